// How the two sides of a queued packet's flow are learnt: from its conntrack entry, which comes with
// it (below), or by looking the flow up and choosing its outside port ourselves (map_flows.h).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "daemon/interface.h"
#include "sipnat/core/engine.h"
#include "sipnat/net/packet.h"
#include "sipnat/netfilter/conntrack.h"
#include "sipnat/netfilter/port_forwards.h"
#include "sipnat/netfilter/queue.h"
#include "sipnat/netfilter/route.h"

namespace sipnat::daemon {

struct KnownFlow {
    FlowTuples tuples;
    FlowDirection direction = FlowDirection::original;
    FlowStanding standing = FlowStanding::helped;
    std::uint32_t mark = 0;
    GatewayEnd gateway = GatewayEnd::none;
    TcpState tcp_state = TcpState::none;  ///< with this packet
};

struct FoundFlow {
    std::optional<KnownFlow> flow;  ///< nothing: the packet is none of ours and passes
    std::string fault;              ///< for the admin, also beside a flow; empty: none
};

struct MadeFlows {
    /// Those that are not there: their outside address is not the gateway's (yet), or their outside port
    /// is another flow's.
    std::vector<FlowTuples> missing;
    std::string fault;  ///< the first one, after all were tried; empty: none
};

class FlowSource : public Interface {
  public:
    /// `packet` is what `queued` holds; `media` tells which outside ports are media's.
    [[nodiscard]] virtual FoundFlow find(const netfilter::QueuedPacket& queued,
                                         const PacketView& packet, const MediaTable& media,
                                         Time now) = 0;

    /// Of changed settings: what media may use, and what servers listen on. set_forwards() follows.
    virtual void set_ports(const PortRange& /*media*/, const std::vector<Port>& /*sip*/) {}
    /// The administrator's port forwards, in the place of those named before. After the table was
    /// loaded or its elements put again.
    [[nodiscard]] virtual Result<void> set_forwards(
        const std::vector<netfilter::PortForward>& /*forwards*/) {
        return {};
    }
    /// Once a minute.
    [[nodiscard]] virtual Result<void> keep_up(Time /*now*/) { return {}; }

    /// Flows of registrations must let calls in: those that are gone are made anew, with the outside
    /// ports that they had. But for TCP connections: what is gone is closed.
    [[nodiscard]] virtual MadeFlows make_flows(std::span<const FlowTuples> flows, Time now) = 0;
    /// The gateway translates flows to this outside address.
    [[nodiscard]] virtual Result<bool> has_address(const IpAddress& outside) = 0;
    /// Ends flows whose outside address is gone: their next packet makes a new one. Those that came by
    /// ctnetlink outlive the address, unlike what masquerade made itself (nf_nat_masquerade's notifier).
    [[nodiscard]] virtual Result<void> end_flows(std::span<const FlowTuples> /*flows*/) {
        return {};
    }
    /// A flow that conntrack told the end of may be there all the same: its entry was made anew, or it is a later
    /// one between the same ends.
    [[nodiscard]] virtual bool is_there(const FlowTuples& flow) = 0;
    /// These UDP flows of registrations (original tuples) must not end for want of packets.
    [[nodiscard]] virtual Result<void> keep_flows(std::span<const Tuple> /*flows*/) { return {}; }
};

/// Expectations mode: the kernel hands the entry over with the packet.
class QueueFlows : public FlowSource {
  public:
    [[nodiscard]] static Result<std::unique_ptr<QueueFlows>> open();
    QueueFlows(netfilter::Conntrack conntrack, netfilter::Routes routes)
        : conntrack_(std::move(conntrack)), routes_(std::move(routes)) {}

    [[nodiscard]] MadeFlows make_flows(std::span<const FlowTuples> flows, Time now) override;
    [[nodiscard]] Result<bool> has_address(const IpAddress& outside) override;
    [[nodiscard]] Result<void> end_flows(std::span<const FlowTuples> flows) override;
    [[nodiscard]] Result<void> keep_flows(std::span<const Tuple> flows) override;
    [[nodiscard]] bool is_there(const FlowTuples& flow) override;
    [[nodiscard]] FoundFlow find(const netfilter::QueuedPacket& queued, const PacketView& packet,
                                 const MediaTable& media, Time now) override;

  private:
    [[nodiscard]] Result<bool> make_flow(const FlowTuples& tuples);
    [[nodiscard]] Result<bool> is_present(const FlowTuples& tuples);

    netfilter::Conntrack conntrack_;
    netfilter::Routes routes_;
};

}  // namespace sipnat::daemon
