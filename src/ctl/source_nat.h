// Masquerading, as `replay` imagines it between the capture and the outside.
//
//     --nat 192.168.77.0/24=203.0.113.1
//     seen  192.168.77.2:5060 > 203.0.113.10:5060    original direction of that flow
//     seen  203.0.113.10:5060 > 192.168.77.2:5060    its reply: outside, to 203.0.113.1:5060
//
// A flow between an inside host and an outside one is one that the inside host opened: that a packet
// came in shows that there was a mapping. Everything else passes as it is: between inside networks,
// between others, and to groups. Flows do not time out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "sipnat/core/decision.h"
#include "sipnat/core/kernel.h"
#include "sipnat/core/media_table.h"
#include "sipnat/net/address.h"
#include "sipnat/net/network.h"

namespace sipnat::ctl {

/// Hosts of `network` are seen as `outside`.
struct NatRule {
    Network network;
    IpAddress outside;

    /// "NET/BITS=IP" or "IP=IP", of one address family.
    [[nodiscard]] static std::optional<NatRule> parse(std::string_view text);
};

class SourceNat {
  public:
    /// A capture can name as many as it likes.
    static constexpr std::size_t kMostFlows = 262'144;

    /// Of rules that cover one address, the first counts.
    explicit SourceNat(std::vector<NatRule> rules, std::size_t most_flows = kMostFlows)
        : rules_(std::move(rules)), most_flows_(most_flows) {}

    struct Way {
        FlowTuples flow;
        FlowDirection direction = FlowDirection::original;

        /// The packet's endpoints outside.
        [[nodiscard]] Tuple outside() const {
            return direction == FlowDirection::original ? flow.reply.reversed() : flow.reply;
        }
    };
    /// The flow of a packet as it is seen inside, begun if it is the first. An inside endpoint keeps
    /// the outside port that it has, or its own, towards every remote where that is free, else it
    /// gets the next free one from 1024 up. Nothing when the table or the ports are used up.
    [[nodiscard]] std::optional<Way> way_of(const Tuple& seen);

    /// What the kernel does with the expectation of a hole: from now on its inside endpoint is its
    /// outside endpoint, and flows that were quicker are gone.
    void open(const Hole& hole);
    /// After the last one, new flows of that inside endpoint are as any other.
    void close(const Hole& hole);
    /// Ends the flows of a stream that is over.
    void sweep(const MediaFlows& media);
    /// Packets of such flows so far.
    [[nodiscard]] std::uint64_t packets_of(const MediaFlows& media) const;

    /// UDP endpoints of the gateway that flows use without a hole. The engine keeps off them.
    [[nodiscard]] std::set<Endpoint> foreign() const;

  private:
    struct Flow {
        Tuple reply;
        std::uint64_t packets = 0;
    };
    using Flows = std::map<Tuple, Flow>;  ///< by original tuple
    using Inside = std::pair<Endpoint, Transport>;
    struct HoleUse {
        Endpoint outside;
        std::size_t holes = 0;
    };

    [[nodiscard]] const NatRule* rule_of(const IpAddress& address) const;
    [[nodiscard]] std::optional<Tuple> translate(const Tuple& original, const NatRule& rule);
    [[nodiscard]] std::optional<Endpoint> present_port(const Tuple& original) const;
    [[nodiscard]] bool is_free(const Endpoint& outside, const Tuple& original) const;
    [[nodiscard]] std::pair<Flows::const_iterator, Flows::const_iterator> flows_of(
        const Endpoint& inside) const;
    template <class Which>
    void forget(const Inside& inside, Which which);

    std::vector<NatRule> rules_;
    std::size_t most_flows_;
    Flows flows_;
    std::set<Tuple> replies_;
    std::map<Inside, HoleUse> holes_;
    std::set<std::pair<Endpoint, Transport>> hole_ports_;  ///< outside
    std::uint16_t last_chosen_ = 1023;
};

}  // namespace sipnat::ctl
