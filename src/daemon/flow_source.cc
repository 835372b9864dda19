#include "daemon/flow_source.h"

#include <cerrno>
#include <map>

#include "daemon/kernel_checks.h"
#include "sipnat/netfilter/helper.h"

namespace sipnat::daemon {

namespace {

GatewayEnd gateway_end_of(const netfilter::QueuedPacket& queued) {
    if (queued.hook == netfilter::Hook::local_in) return GatewayEnd::receiver;
    return queued.from_gateway ? GatewayEnd::sender : GatewayEnd::none;
}

/// Of a translated flow: what the other side knows of the inside party.
const IpAddress& outside_of(const FlowTuples& flow) {
    const bool opened_inside = flow.original.source != flow.reply.destination;
    return (opened_inside ? flow.reply : flow.original).destination.address;
}

}  // namespace

Result<std::unique_ptr<QueueFlows>> QueueFlows::open() {
    auto conntrack = netfilter::Conntrack::open();
    if (!conntrack) return tl::unexpected(conntrack.error());
    auto routes = netfilter::Routes::open();
    if (!routes) return tl::unexpected(routes.error());
    return std::make_unique<QueueFlows>(*std::move(conntrack), *std::move(routes));
}

/// An entry with an outside address that went to somebody else would send the phone's own packets out
/// under it, for as long as they come.
MadeFlows QueueFlows::make_flows(std::span<const FlowTuples> flows, Time /*now*/) {
    MadeFlows made;
    std::map<IpAddress, bool> local;
    for (const auto& tuples : flows) {
        const auto& outside = outside_of(tuples);
        const auto [known, is_new] = local.try_emplace(outside, false);
        if (is_new) {
            const auto is_ours = has_address(outside);
            known->second = is_ours && *is_ours;
            if (!is_ours && made.fault.empty()) made.fault = is_ours.error().text();
        }
        const auto there = known->second ? make_flow(tuples) : Result<bool>(false);
        if (!there && made.fault.empty()) made.fault = there.error().text();
        if (!there || !*there) made.missing.push_back(tuples);
    }
    return made;
}

/// True when it is there now, or was before; false when another flow has one of its ends, or nobody can
/// make it.
Result<bool> QueueFlows::make_flow(const FlowTuples& tuples) {
    if (tuples.original.transport == Transport::tcp) return is_present(tuples);
    FlowEntry entry;
    entry.tuples = tuples;
    entry.helper = netfilter::kSignallingHelper;
    entry.timeout = kEntryTimeout;
    // Unanswered ones are the first to go when the table is full (early_drop()).
    entry.status = netfilter::flow_status::kSeenReply | netfilter::flow_status::kAssured;
    const auto made = conntrack_.create(entry);
    if (made) return true;
    if (made.error().code != EEXIST) return tl::unexpected(made.error());
    return is_present(tuples);
}

Result<bool> QueueFlows::is_present(const FlowTuples& tuples) {
    const auto present = conntrack_.find(tuples.original);
    if (present) return present->tuples == tuples;
    if (present.error().code == ENOENT) return false;
    return tl::unexpected(present.error());
}

bool QueueFlows::is_there(const FlowTuples& flow) {
    const auto present = is_present(flow);
    return present && *present;
}

Result<bool> QueueFlows::has_address(const IpAddress& outside) {
    const auto route = routes_.lookup(outside);
    if (!route) return tl::unexpected(route.error());
    return route->type == netfilter::RouteType::local;
}

Result<void> QueueFlows::end_flows(std::span<const FlowTuples> flows) {
    Result<void> result;
    for (const auto& tuples : flows) {
        const auto is_that = [&](const FlowEntry& flow) { return flow.tuples == tuples; };
        auto done = conntrack_.remove_if(tuples.original, is_that);
        if (!done && result) result = tl::unexpected(done.error());
    }
    return result;
}

Result<void> QueueFlows::keep_flows(std::span<const Tuple> flows) {
    Result<void> result;
    for (const auto& flow : flows) {
        auto done = conntrack_.prolong(flow, kEntryTimeout);
        // The phone's next message makes it anew.
        if (!done && done.error().code != ENOENT && result) result = done;
    }
    return result;
}

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
                      gateway_end_of(queued), queued.flow->tcp_state},
            ""};
}

}  // namespace sipnat::daemon
