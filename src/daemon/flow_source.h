// How the two sides of a queued packet's flow are learnt: from its conntrack entry, which comes with
// it (below), or by looking the flow up and choosing its outside port ourselves (map_flows.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/interface.h"
#include "sipnat/core/engine.h"
#include "sipnat/net/packet.h"
#include "sipnat/netfilter/port_forwards.h"
#include "sipnat/netfilter/queue.h"

namespace sipnat::daemon {

struct KnownFlow {
    FlowTuples tuples;
    FlowDirection direction = FlowDirection::original;
    FlowStanding standing = FlowStanding::helped;
    std::uint32_t mark = 0;
    GatewayEnd gateway = GatewayEnd::none;
};

struct FoundFlow {
    std::optional<KnownFlow> flow;  ///< nothing: the packet is none of ours and passes
    std::string fault;              ///< for the admin, also beside a flow; empty: none
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
};

/// Expectations mode: the kernel hands the entry over with the packet.
class QueueFlows : public FlowSource {
  public:
    [[nodiscard]] FoundFlow find(const netfilter::QueuedPacket& queued, const PacketView& packet,
                                 const MediaTable& media, Time now) override;
};

}  // namespace sipnat::daemon
