#include "daemon/flow_source.h"

#include "sipnat/netfilter/helper.h"

namespace sipnat::daemon {

namespace {

GatewayEnd gateway_end_of(const netfilter::QueuedPacket& queued) {
    if (queued.hook == netfilter::Hook::local_in) return GatewayEnd::receiver;
    return queued.from_gateway ? GatewayEnd::sender : GatewayEnd::none;
}

}  // namespace

FoundFlow QueueFlows::find(const netfilter::QueuedPacket& queued, const PacketView& /*packet*/,
                           const MediaTable& /*media*/, Time /*now*/) {
    if (!queued.flow) return {};
    auto standing = FlowStanding::unhelped;
    if (queued.first) {
        standing = FlowStanding::first;
    } else if (queued.flow->helper == netfilter::kSignallingHelper) {
        standing = FlowStanding::helped;
    }
    return {KnownFlow{queued.flow->tuples, queued.direction, standing, queued.flow->mark,
                      gateway_end_of(queued)},
            ""};
}

}  // namespace sipnat::daemon
