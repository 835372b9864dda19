#include "daemon/kernel_checks.h"

#include <cerrno>
#include <map>
#include <tuple>
#include <utility>

#include "sipnat/netfilter/local_ports.h"

namespace sipnat::daemon {

namespace {

using Kind = KernelAnswer::Kind;

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

Result<bool> are_neighbours(const Neighbours& hosts, netfilter::Routes& routes) {
    const auto one = routes.lookup(hosts.receiver);
    if (!one) return tl::unexpected(one.error());
    const auto other = routes.lookup(hosts.host);
    if (!other) return tl::unexpected(other.error());
    const bool both =
        one->type == netfilter::RouteType::unicast && other->type == netfilter::RouteType::unicast;
    return both && one->output == other->output;
}

/// Whose media a flow is, by either side's first packet.
class MediaOwners {
  public:
    void add(const MediaFlows& media, std::size_t owner) {
        inbound_.emplace(std::pair{media.transport, media.outside}, owner);
        outbound_.emplace(std::tuple{media.transport, media.inside, media.outside}, owner);
        has_tcp_ = has_tcp_ || media.transport == Transport::tcp;
    }
    /// What has to be listed to find all of them.
    [[nodiscard]] netfilter::FlowFilter filter(netfilter::FlowOrigin origin) const {
        netfilter::FlowFilter filter;
        if (has_tcp_) filter.transport = std::nullopt;
        filter.origin = origin;
        return filter;
    }
    [[nodiscard]] std::vector<std::size_t> of(const FlowEntry& flow) const {
        std::vector<std::size_t> owners;
        const auto take = [&owners](auto range) {
            for (auto entry = range.first; entry != range.second; ++entry)
                owners.push_back(entry->second);
        };
        const auto& original = flow.tuples.original;
        take(inbound_.equal_range({original.transport, original.destination}));
        take(outbound_.equal_range(
            {original.transport, original.source, flow.tuples.reply.destination}));
        return owners;
    }

  private:
    std::multimap<std::pair<Transport, Endpoint>, std::size_t> inbound_;
    std::multimap<std::tuple<Transport, Endpoint, Endpoint>, std::size_t> outbound_;
    bool has_tcp_ = false;
};

/// The flow of a hairpin hole is between two of our outside endpoints, whoever opened it.
bool is_hairpin(const FlowEntry& flow, const Hole& hole) {
    const auto& [original, reply] = flow.tuples;
    const bool opened_inside = original.source == hole.inside;
    return (opened_inside ? reply : original).destination == hole.outside;
}

Result<void> remove_all(netfilter::Conntrack& conntrack, const netfilter::FlowFilter& filter,
                        const std::function<bool(const FlowEntry&)>& condition) {
    std::vector<FlowEntry> found;
    auto listed = conntrack.for_each(filter, [&](const FlowEntry& flow) {
        if (condition(flow)) found.push_back(flow);
    });
    if (!listed) return listed;
    for (const auto& flow : found) {
        if (auto done = conntrack.remove(flow); !done) return done;
    }
    return {};
}

}  // namespace

KernelAnswer refused(const Error& error) {
    return {Kind::refused, {}, error.text()};
}

std::optional<KernelAnswer> find_obstacle(const Decision& decision, netfilter::Routes& routes) {
    for (const auto& hosts : decision.neighbours) {
        const auto are = are_neighbours(hosts, routes);
        if (!are) return refused(are.error());
        if (!*are) return KernelAnswer{Kind::not_neighbours, {hosts.host, Port{}}, ""};
    }
    for (const auto& hole : decision.open) {
        if (hole.remote && hole.way != Way::nat) continue;
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

std::optional<KernelAnswer> find_signalling_flow(std::span<const Hole> holes,
                                                 netfilter::Conntrack& conntrack) {
    for (const auto& hole : holes) {
        if (!is_signalling(hole) || !hole.remote) continue;
        const auto found = conntrack.find({hole.inside, *hole.remote, hole.transport});
        if (!found) {
            if (found.error().code == ENOENT) continue;
            return refused(found.error());
        }
        const auto& shown = found->tuples.reply.destination;
        if (found->expected || shown == hole.outside || shown == hole.inside) continue;
        if (shown.address != hole.outside.address) continue;
        return KernelAnswer{Kind::flow_exists, shown, "", hole.inside};
    }
    return std::nullopt;
}

Result<void> forget_early_media(const Hole& hole, netfilter::FlowOrigin origin,
                                const RemoveFlow& remove_if) {
    if (!hole.remote || hole.way == Way::direct) return {};
    const Tuple there{hole.inside, *hole.remote, hole.transport};
    if (hole.way == Way::hairpin) {
        return remove_if(there, [&](const FlowEntry& flow) { return !is_hairpin(flow, hole); });
    }
    const Tuple back{*hole.remote, hole.outside, hole.transport};
    // The same flow, whoever opened it, has these two as its tuples. With expectations one by another
    // port is left from a call that ended just before a restart.
    const auto is_other = [&](const FlowEntry& flow) {
        const bool is_ours = origin == netfilter::FlowOrigin::any || flow.expected;
        return !is_ours ||
               (flow.tuples != FlowTuples{there, back} && flow.tuples != FlowTuples{back, there});
    };
    for (const auto& tuple : {there, back}) {
        if (auto done = remove_if(tuple, is_other); !done) return done;
    }
    return {};
}

Result<bool> has_heard(const Hole& hole, netfilter::Conntrack& conntrack) {
    const auto flow = conntrack.find({*hole.remote, hole.outside, hole.transport});
    if (!flow) {
        if (flow.error().code == ENOENT) return false;
        return tl::unexpected(flow.error());
    }
    const bool opened_there = flow->tuples.original.source == *hole.remote;
    return opened_there || (flow->status & netfilter::flow_status::kSeenReply) != 0;
}

Result<void> delete_flows(netfilter::Conntrack& conntrack, std::span<const MediaFlows> ended,
                          netfilter::FlowOrigin origin) {
    if (ended.empty()) return {};
    MediaOwners owners;
    for (const auto& media : ended)
        owners.add(media, 0);
    return remove_all(conntrack, owners.filter(origin),
                      [&](const FlowEntry& flow) { return !owners.of(flow).empty(); });
}

Result<void> evict(netfilter::Conntrack& conntrack, std::span<const Hole> holes,
                   netfilter::FlowOrigin origin) {
    std::map<std::pair<Transport, Endpoint>, IpAddress> senders;
    netfilter::FlowFilter filter;
    filter.origin = origin;
    for (const auto& hole : holes) {
        // The last word on an endpoint counts.
        senders.insert_or_assign({hole.transport, hole.outside}, *hole.from);
        if (hole.transport == Transport::tcp) filter.transport = std::nullopt;
    }
    return remove_all(conntrack, filter, [&](const FlowEntry& flow) {
        const auto& original = flow.tuples.original;
        const auto sender = senders.find({original.transport, original.destination});
        return sender != senders.end() && sender->second != original.source.address;
    });
}

Result<MediaCounts> count_packets(netfilter::Conntrack& conntrack,
                                  std::span<const MediaFlows> media, netfilter::FlowOrigin origin) {
    MediaCounts counts;
    MediaOwners owners;
    for (const auto& one : media) {
        owners.add(one, counts.size());
        counts.emplace_back(MediaPackets{});
    }
    auto listed = conntrack.for_each(owners.filter(origin), [&](const FlowEntry& flow) {
        for (const auto owner : owners.of(flow)) {
            auto& count = counts[owner];
            if (!count || !flow.packets) {
                count.reset();
                continue;
            }
            const bool opened_inside = flow.tuples.original.source == media[owner].inside;
            const auto& [original, reply] = *flow.packets;
            count->sent += opened_inside ? original : reply;
            count->received += opened_inside ? reply : original;
        }
    });
    if (!listed) return tl::unexpected(listed.error());
    return counts;
}

Result<OutsideEndpoints> reply_destinations(netfilter::Conntrack& conntrack,
                                            const MediaTable& media,
                                            std::optional<Transport> transport) {
    OutsideEndpoints endpoints;
    netfilter::FlowFilter filter;
    filter.transport = transport;
    auto listed = conntrack.for_each(filter, [&](const FlowEntry& flow) {
        const auto& [source, answered_at, over] = flow.tuples.reply;
        const bool translated = answered_at != flow.tuples.original.source;
        if (translated && !media.find_outside(answered_at, over)) {
            endpoints[over].insert(answered_at);
        }
    });
    if (!listed) return tl::unexpected(listed.error());
    return endpoints;
}

}  // namespace sipnat::daemon
