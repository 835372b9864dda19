#include "daemon/flow_source.h"

#include "sipnat/netfilter/helper.h"

namespace sipnat::daemon {

FoundFlow QueueFlows::find(const netfilter::QueuedPacket& queued, const PacketView& /*packet*/,
                           const MediaTable& /*media*/, Time /*now*/) {
    if (!queued.flow) return {};
    auto standing = FlowStanding::unhelped;
    if (queued.first) {
        standing = FlowStanding::first;
    } else if (queued.flow->helper == netfilter::kSignallingHelper) {
        standing = FlowStanding::helped;
    }
    return {KnownFlow{queued.flow->tuples, queued.direction, standing, queued.flow->mark}, ""};
}

}  // namespace sipnat::daemon
