// nft-map mode: the two sides of a packet's flow, looked up or chosen.
//
//     confirmed in conntrack       its tuples are the truth
//     to a signalling port of ours from whom the phone talked to: maps back
//     to a SIP port that the       goes where the rule says
//     administrator forwards
//     from inside, leaving by an   a mapping of it, or a new one with a port chosen here; its
//     interface of [[outside]]     elements are in the kernel before the packet goes on
//     anything else, and whatever  none of ours: untouched
//     is a media stream's
//
// Packets wait after conntrack and before NAT, so both directions show what is on the wire.
//
// A TCP connection is translated by the administrator's rules, or by a map if it goes to a port that a phone listens
// on. Its entry is made anew with the answer to its first packet: only then has it room for sequence numbers, which
// conntrack's own have not without a helper (ctnetlink_create_conntrack, nf_nat_setup_info).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/flow_source.h"
#include "daemon/interface.h"
#include "daemon/signalling_map.h"
#include "sipnat/config/config.h"

namespace sipnat::daemon {

/// What the kernel is asked and told; another one in tests.
class FlowKernel : public Interface {
  public:
    /// The confirmed entry with this tuple in either direction.
    [[nodiscard]] virtual Result<std::optional<FlowEntry>> find(const Tuple& tuple) = 0;
    /// Removes the entry with this tuple if it is not translated: made while no map had it.
    [[nodiscard]] virtual Result<void> forget_plain(const Tuple& tuple) = 0;
    /// The same entry of a TCP connection that was answered and has sent nothing, with room for sequence numbers.
    [[nodiscard]] virtual Result<void> make_anew(const FlowEntry& entry) = 0;
    [[nodiscard]] virtual Result<bool> leaves_by(const IpAddress& destination,
                                                 const std::string& interface) = 0;
    [[nodiscard]] virtual Result<bool> is_bound(const Endpoint& endpoint) = 0;
    [[nodiscard]] virtual Result<void> update(const netfilter::NatChanges& changes) = 0;
};

/// The entry with this address; nothing if there is none. Ends with the list.
[[nodiscard]] const config::Outside* find_outside(const std::vector<config::Outside>& all,
                                                  const IpAddress& address);

class MapFlows : public FlowSource {
  public:
    /// `ports` are for mappings whose phone's own port is taken, `sip_ports` what servers listen on.
    MapFlows(std::vector<config::Outside> outside, PortRange ports, std::vector<Port> sip_ports,
             std::unique_ptr<FlowKernel> kernel, std::shared_ptr<SignallingMap> map);

    [[nodiscard]] FoundFlow find(const netfilter::QueuedPacket& queued, const PacketView& packet,
                                 const MediaTable& media, Time now) override;
    /// The same of a UDP packet with these endpoints.
    [[nodiscard]] FoundFlow find(const Tuple& packet, const MediaTable& media, Time now);
    /// The same of a TCP packet.
    [[nodiscard]] FoundFlow find_connection(const Tuple& packet, const TcpSegment& segment);

    void set_ports(const PortRange& media, const std::vector<Port>& sip) override;
    [[nodiscard]] Result<void> set_forwards(
        const std::vector<netfilter::PortForward>& forwards) override;
    [[nodiscard]] Result<void> keep_up(Time now) override;
    /// By the settings: an address that changes wants a change of those.
    [[nodiscard]] Result<bool> has_address(const IpAddress& outside) override {
        return find_outside(outside_, outside) != nullptr;
    }
    /// Their mappings. Who is mapped already keeps what it has.
    [[nodiscard]] MadeFlows make_flows(std::span<const FlowTuples> flows, Time now) override;
    [[nodiscard]] bool is_there(const FlowTuples& flow) override;

  private:
    [[nodiscard]] FoundFlow follow(const FlowEntry& entry, const Tuple& packet,
                                   const TcpSegment& segment);
    [[nodiscard]] Result<bool> make_flow(const FlowTuples& flow, Time now);
    [[nodiscard]] FoundFlow confirmed(const FlowEntry& entry, const Tuple& packet,
                                      const MediaTable& media, Time now);
    [[nodiscard]] FoundFlow inbound(const SignallingMap::Mapping& mapping, const Tuple& packet,
                                    Time now);
    [[nodiscard]] static std::optional<Endpoint> further_target(const Tuple& packet,
                                                                const MediaTable& media);
    [[nodiscard]] std::optional<Endpoint> forward_target(const Endpoint& outside) const;
    [[nodiscard]] FoundFlow outbound(const Tuple& packet, const MediaTable& media, Time now);
    [[nodiscard]] Result<const config::Outside*> way_out(const Tuple& packet);
    [[nodiscard]] Result<Endpoint> map_anew(const config::Outside& way, const Tuple& packet,
                                            const MediaTable& media, Time now);
    [[nodiscard]] bool is_medias(const Endpoint& outside, const MediaTable& media) const;
    [[nodiscard]] bool is_ours(const Endpoint& outside, const MediaTable& media) const;
    [[nodiscard]] Result<bool> is_free(const Endpoint& outside, const Tuple& packet);
    [[nodiscard]] Result<void> touch(const Endpoint& outside, const IpAddress& sender, Time now,
                                     netfilter::NatChanges before = {});

    std::vector<config::Outside> outside_;
    PortRange ports_;
    std::unique_ptr<FlowKernel> kernel_;
    std::shared_ptr<SignallingMap> map_;
    std::vector<Port> sip_ports_;
    std::vector<netfilter::PortForward> forwards_;
    std::vector<netfilter::NatElement> forwarded_;  ///< in the kernel
};

/// With sockets of its own.
[[nodiscard]] Result<std::unique_ptr<FlowKernel>> open_flow_kernel();

}  // namespace sipnat::daemon
