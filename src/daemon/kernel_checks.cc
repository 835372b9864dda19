#include "daemon/kernel_checks.h"

#include <algorithm>
#include <map>

#include "sipnat/netfilter/local_ports.h"

namespace sipnat::daemon {

namespace {

using Kind = KernelAnswer::Kind;

KernelAnswer refused(const Error& error) {
    return {Kind::refused, {}, error.text()};
}

/// The signalling peer of a hole's call, as the gateway routes to it.
const IpAddress& peer_of(const Hole& hole) {
    return hole.inside_sends == FlowDirection::original ? hole.master.destination.address
                                                        : hole.master.source.address;
}

/// SDP names any address it likes. One of the gateway's own, or one behind another interface than
/// the signalling peer (another inside network, say), is not where that peer's side receives.
Result<bool> is_beside_the_peer(const Hole& hole, netfilter::Routes& routes) {
    const auto remote = routes.lookup(hole.remote->address);
    if (!remote) return tl::unexpected(remote.error());
    if (remote->type != netfilter::RouteType::unicast) return false;
    const auto peer = routes.lookup(peer_of(hole));
    if (!peer) return tl::unexpected(peer.error());
    return remote->output == peer->output;
}

}  // namespace

std::optional<KernelAnswer> find_obstacle(const Decision& decision, netfilter::Routes& routes) {
    for (const auto& hole : decision.open) {
        if (hole.remote) {
            const auto beside = is_beside_the_peer(hole, routes);
            if (!beside) return refused(beside.error());
            if (!*beside) return KernelAnswer{Kind::no_route, *hole.remote, ""};
        } else if (hole.inside != hole.outside) {
            // NAT comes before sockets: a service of the gateway would lose its packets.
            const auto bound = netfilter::port_is_bound(hole.outside, hole.transport);
            if (!bound) return refused(bound.error());
            if (*bound) return KernelAnswer{Kind::port_taken, hole.outside, ""};
        }
    }
    return std::nullopt;
}

Result<void> delete_flows(netfilter::Conntrack& conntrack, std::span<const EndedMedia> ended,
                          netfilter::FlowOrigin origin) {
    if (ended.empty()) return {};
    std::map<Endpoint, const EndedMedia*> by_endpoint;
    for (const auto& media : ended) {
        by_endpoint[media.inside] = &media;
        by_endpoint[media.outside] = &media;
    }
    const auto is_ended = [&](const FlowEntry& flow) {
        const auto& original = flow.tuples.original;
        const auto inbound = by_endpoint.find(original.destination);
        const auto outbound = by_endpoint.find(original.source);
        return (inbound != by_endpoint.end() && inbound->second->outside == original.destination) ||
               (outbound != by_endpoint.end() &&
                outbound->second->outside == flow.tuples.reply.destination);
    };
    netfilter::FlowFilter filter;
    const auto transport = ended.front().transport;
    const auto same = [&](const EndedMedia& media) { return media.transport == transport; };
    filter.transport = std::ranges::all_of(ended, same) ? std::optional(transport) : std::nullopt;
    filter.origin = origin;
    std::vector<FlowEntry> found;
    auto listed = conntrack.for_each(filter, [&](const FlowEntry& flow) {
        if (is_ended(flow)) found.push_back(flow);
    });
    if (!listed) return listed;
    for (const auto& flow : found) {
        if (auto done = conntrack.remove(flow); !done) return done;
    }
    return {};
}

void add_reply_destinations(netfilter::Conntrack& conntrack, TakenOver& taken) {
    auto listed = conntrack.for_each({}, [&](const FlowEntry& flow) {
        if (flow.tuples.reply.destination != flow.tuples.original.source) {
            taken.used_by_others.emplace_back(flow.tuples.reply.destination, Transport::udp);
        }
    });
    if (!listed) taken.faults.push_back(listed.error());
}

}  // namespace sipnat::daemon
