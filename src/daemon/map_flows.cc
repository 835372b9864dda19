#include "daemon/map_flows.h"

#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "sipnat/netfilter/conntrack.h"
#include "sipnat/netfilter/local_ports.h"
#include "sipnat/netfilter/route.h"

namespace sipnat::daemon {

namespace {

using netfilter::NatChanges;

FoundFlow failed(const Error& error) {
    return {std::nullopt, error.text()};
}

bool holds(const std::vector<Network>& networks, const IpAddress& address) {
    return std::ranges::any_of(networks,
                               [&](const Network& network) { return network.contains(address); });
}

bool is_left_alone(const config::Outside& way, const IpAddress& inside, const IpAddress& remote) {
    return holds(way.except, inside) || holds(way.except, remote);
}

/// A translated flow from its phone's view.
struct Sides {
    Endpoint inside;
    Endpoint outside;
    Endpoint remote;
    bool opened_inside = false;
};

/// Nothing for a flow without NAT. One that reaches itself through the gateway counts as opened
/// inside.
std::optional<Sides> sides_of(const FlowTuples& flow) {
    if (flow.original.source != flow.reply.destination) {
        return Sides{flow.original.source, flow.reply.destination, flow.original.destination, true};
    }
    if (flow.original.destination != flow.reply.source) {
        return Sides{flow.reply.source, flow.original.destination, flow.original.source, false};
    }
    return std::nullopt;
}

/// Of signalling, though its mapping is the engine's.
bool is_further(const MediaKey& key, const MediaTable& media) {
    const auto* mapping = media.find(key);
    return mapping != nullptr && mapping->media == ExpectClass::signalling &&
           !mapping->uses.empty();
}

class KernelSockets : public FlowKernel {
  public:
    KernelSockets(netfilter::Conntrack conntrack, netfilter::Routes routes, netfilter::NatMaps maps)
        : conntrack_(std::move(conntrack)), routes_(std::move(routes)), maps_(std::move(maps)) {}

    Result<std::optional<FlowEntry>> find(const Tuple& tuple) override {
        auto found = conntrack_.find(tuple);
        if (found) return *std::move(found);
        if (found.error().code == ENOENT) return std::nullopt;
        return tl::unexpected(found.error());
    }
    Result<void> forget_plain(const Tuple& tuple) override {
        auto removed = conntrack_.remove_if(
            tuple, [](const FlowEntry& flow) { return !sides_of(flow.tuples); });
        if (!removed) return tl::unexpected(removed.error());
        return {};
    }
    Result<void> make_anew(const FlowEntry& entry) override {
        const auto is_that = [&](const FlowEntry& flow) {
            return flow.tuples == entry.tuples && flow.tcp_state == TcpState::syn_received;
        };
        const auto removed = conntrack_.remove_if(entry.tuples.original, is_that);
        if (!removed) return tl::unexpected(removed.error());
        if (!*removed) return {};
        auto fresh = entry;
        fresh.status = netfilter::flow_status::kSeenReply;
        return conntrack_.create(fresh);
    }
    Result<bool> leaves_by(const IpAddress& destination, const std::string& interface) override {
        const auto route = routes_.lookup(destination);
        if (!route) return tl::unexpected(route.error());
        return route->type == netfilter::RouteType::unicast &&
               static_cast<unsigned>(route->output) == if_nametoindex(interface.c_str());
    }
    Result<bool> is_bound(const Endpoint& endpoint) override {
        return netfilter::port_is_bound(endpoint, Transport::udp);
    }
    Result<void> update(const NatChanges& changes) override { return maps_.update(changes); }

  private:
    netfilter::Conntrack conntrack_;
    netfilter::Routes routes_;
    netfilter::NatMaps maps_;
};

}  // namespace

const config::Outside* find_outside(const std::vector<config::Outside>& all,
                                    const IpAddress& address) {
    const auto found = std::ranges::find(all, address, &config::Outside::address);
    return found == all.end() ? nullptr : &*found;
}

Result<std::unique_ptr<FlowKernel>> open_flow_kernel() {
    auto conntrack = netfilter::Conntrack::open();
    if (!conntrack) return tl::unexpected(conntrack.error());
    auto routes = netfilter::Routes::open();
    if (!routes) return tl::unexpected(routes.error());
    auto maps = netfilter::NatMaps::open();
    if (!maps) return tl::unexpected(maps.error());
    return std::make_unique<KernelSockets>(*std::move(conntrack), *std::move(routes),
                                           *std::move(maps));
}

MapFlows::MapFlows(std::vector<config::Outside> outside, PortRange ports,
                   std::vector<Port> sip_ports, std::unique_ptr<FlowKernel> kernel,
                   std::shared_ptr<SignallingMap> map)
    : outside_(std::move(outside)),
      ports_(ports),
      kernel_(std::move(kernel)),
      map_(std::move(map)),
      sip_ports_(std::move(sip_ports)) {}

FoundFlow MapFlows::find(const netfilter::QueuedPacket& queued, const PacketView& packet,
                         const MediaTable& media, Time now) {
    if (packet.tuple.transport == Transport::udp) return find(packet.tuple, media, now);
    return find_connection(packet.tuple, read_segment(queued.packet, packet));
}

/// What is translated how is seen with the answer to the first packet, which has no entry yet.
FoundFlow MapFlows::find_connection(const Tuple& packet, const TcpSegment& segment) {
    const auto entry = kernel_->find(packet);
    if (!entry) return failed(entry.error());
    if (*entry) return follow(**entry, packet, segment);
    if (!segment.syn || segment.ack) return {};
    return {KnownFlow{{packet, packet.reversed()}, FlowDirection::original, FlowStanding::first, 0},
            ""};
}

FoundFlow MapFlows::follow(const FlowEntry& entry, const Tuple& packet, const TcpSegment& segment) {
    const auto sides = sides_of(entry.tuples);
    if (!sides) return {};
    const auto* way = find_outside(outside_, sides->outside.address);
    if (way == nullptr || is_left_alone(*way, sides->inside.address, sides->remote.address)) {
        return {};
    }
    const bool is_answer = segment.syn && segment.ack && packet == entry.tuples.reply;
    // Numbers that are adjusted before anything was sent are somebody else's affair (SYNPROXY).
    const bool is_plain = entry.shifts == SequenceShifts{};
    if (is_answer && is_plain && entry.tcp_state == TcpState::syn_received) {
        auto made = kernel_->make_anew(entry);
        if (!made) return failed(made.error());
    }
    return {
        KnownFlow{entry.tuples,
                  packet == entry.tuples.original ? FlowDirection::original : FlowDirection::reply,
                  FlowStanding::helped, entry.mark, GatewayEnd::none, entry.tcp_state},
        ""};
}

FoundFlow MapFlows::find(const Tuple& packet, const MediaTable& media, Time now) {
    const auto entry = kernel_->find(packet);
    if (!entry) return failed(entry.error());
    if (*entry) return confirmed(**entry, packet, media, now);
    if (const auto* mapping = map_->find_outside(packet.destination)) {
        return inbound(*mapping, packet, now);
    }
    if (const auto target = further_target(packet, media)) {
        return {KnownFlow{{packet, {*target, packet.source, packet.transport}},
                          FlowDirection::original,
                          FlowStanding::helped,
                          0},
                ""};
    }
    if (const auto target = forward_target(packet.destination)) {
        return {KnownFlow{{packet, {*target, packet.source, packet.transport}},
                          FlowDirection::original,
                          FlowStanding::helped,
                          0},
                ""};
    }
    return outbound(packet, media, now);
}

FoundFlow MapFlows::confirmed(const FlowEntry& entry, const Tuple& packet, const MediaTable& media,
                              Time now) {
    const auto sides = sides_of(entry.tuples);
    if (!sides) {
        // Made while no map knew its destination: it would keep out for ever whom the map lets in.
        const auto* mapping = map_->find_outside(packet.destination);
        if (mapping == nullptr || !mapping->senders.contains(packet.source.address)) return {};
        auto done = kernel_->forget_plain(packet);
        return done ? FoundFlow{} : failed(done.error());
    }
    const auto* way = find_outside(outside_, sides->outside.address);
    if (way == nullptr || is_left_alone(*way, sides->inside.address, sides->remote.address)) {
        return {};
    }
    // SDP may name a SIP port, and then RTP is queued.
    if (is_medias(sides->outside, media)) return {};
    FoundFlow found;
    found.flow = {entry.tuples,
                  packet == entry.tuples.original ? FlowDirection::original : FlowDirection::reply,
                  FlowStanding::helped, entry.mark};
    // The endpoint has a mapping in the engine, perhaps since this flow was opened.
    if (is_further({way->address, packet.transport, sides->inside}, media)) return found;
    const auto* mapping = map_->find_outside(sides->outside);
    const bool is_mapped = mapping != nullptr && mapping->inside == sides->inside;
    NatChanges changes;
    if (!is_mapped) {
        // Older than this process, or masqueraded while it was down. What a port forward opened
        // is the administrator's to map.
        if (!sides->opened_inside || !holds(way->inside, sides->inside.address)) return found;
        auto added = map_->add(way->interface, sides->inside, sides->outside, now);
        if (!added.added) return found;
        changes = std::move(added.changes);
    }
    auto done = touch(sides->outside, sides->remote.address, now, std::move(changes));
    if (!done) found.fault = done.error().text();
    return found;
}

/// The flow as if the phone had opened it, since that is how its mapping came about.
FoundFlow MapFlows::inbound(const SignallingMap::Mapping& mapping, const Tuple& packet, Time now) {
    if (!mapping.senders.contains(packet.source.address)) return {};
    FoundFlow found;
    found.flow = {{{mapping.inside, packet.source, packet.transport},
                   {packet.source, mapping.outside, packet.transport}},
                  FlowDirection::reply,
                  FlowStanding::helped,
                  0};
    auto done = touch(packet.destination, packet.source.address, now);
    if (!done) found.fault = done.error().text();
    return found;
}

FoundFlow MapFlows::outbound(const Tuple& packet, const MediaTable& media, Time now) {
    const auto way = way_out(packet);
    if (!way) return failed(way.error());
    if (*way == nullptr) return {};
    const MediaKey key{(*way)->address, packet.transport, packet.source};
    std::optional<Endpoint> outside;
    if (const auto* ours = media.find(key); ours != nullptr) {
        if (!is_further(key, media)) return {};
        outside = ours->outside;
    } else if (const auto* mapping = map_->find((*way)->address, packet.source)) {
        outside = mapping->outside;
        if (auto done = touch(*outside, packet.destination.address, now); !done) {
            return failed(done.error());
        }
    } else {
        auto made = map_anew(**way, packet, media, now);
        if (!made) return failed(made.error());
        outside = *made;
    }
    // A packet that came from there before it was let in made an entry that holds the way back.
    const Tuple reply{packet.destination, *outside, packet.transport};
    if (auto done = kernel_->forget_plain(reply); !done) return failed(done.error());
    return {KnownFlow{{packet, reply}, FlowDirection::original, FlowStanding::helped, 0}, ""};
}

Result<const config::Outside*> MapFlows::way_out(const Tuple& packet) {
    for (const auto& way : outside_) {
        if (!holds(way.inside, packet.source.address)) continue;
        if (is_left_alone(way, packet.source.address, packet.destination.address)) continue;
        const auto leaves = kernel_->leaves_by(packet.destination.address, way.interface);
        if (!leaves) return tl::unexpected(leaves.error());
        if (*leaves) return &way;
    }
    return nullptr;
}

Result<Endpoint> MapFlows::map_anew(const config::Outside& way, const Tuple& packet,
                                    const MediaTable& media, Time now) {
    std::optional<Error> error;
    const auto port = choose_signalling_port(
        packet.source.port, ports_,
        [&](Port candidate) {
            return is_ours({way.address, candidate}, media);
        },
        [&](Port candidate) {
            const auto free = is_free({way.address, candidate}, packet);
            if (!free && !error) error = free.error();
            return free && *free;
        });
    if (!port) {
        if (error) return tl::unexpected(*error);
        return fail("map signalling", way.address.text(), "no free port");
    }
    const Endpoint outside{way.address, *port};
    auto added = map_->add(way.interface, packet.source, outside, now);
    if (!added.added) return fail("map signalling", way.address.text(), "too many mappings");
    auto done = touch(outside, packet.destination.address, now, std::move(added.changes));
    if (!done) return tl::unexpected(done.error());
    return outside;
}

std::optional<Endpoint> MapFlows::forward_target(const Endpoint& outside) const {
    if (find_outside(outside_, outside.address) == nullptr) return std::nullopt;
    for (const auto& forward : forwards_) {
        if (!forward.address || outside.port < forward.ports.low ||
            outside.port > forward.ports.high)
            continue;
        return Endpoint{*forward.address, forward.port.value_or(outside.port)};
    }
    return std::nullopt;
}

void MapFlows::set_ports(const PortRange& media, const std::vector<Port>& sip) {
    ports_ = media;
    sip_ports_ = sip;
}

/// A first packet waits before the administrator's rule is asked, so what the rule says has to be
/// known; once the flow is confirmed, conntrack knows better.
Result<void> MapFlows::set_forwards(const std::vector<netfilter::PortForward>& forwards) {
    forwards_ = forwards;
    NatChanges changes;
    changes.remove = std::exchange(forwarded_, {});
    for (const auto& way : outside_) {
        for (const auto port : sip_ports_) {
            const Endpoint outside{way.address, port};
            if (!forward_target(outside)) continue;
            forwarded_.push_back({netfilter::NatSet::forwarded, outside, std::nullopt, std::nullopt,
                                  "", std::nullopt});
        }
    }
    changes.add = forwarded_;
    return changes.empty() ? Result<void>{} : kernel_->update(changes);
}

/// Where a Contact or Via on another port is really, if this packet's sender may come to it.
std::optional<Endpoint> MapFlows::further_target(const Tuple& packet, const MediaTable& media) {
    const auto key = media.find_outside(packet.destination, packet.transport);
    if (!key || !is_further(*key, media)) return std::nullopt;
    const auto& uses = media.find(*key)->uses;
    const bool is_let_in = std::ranges::any_of(uses, [&packet](const Mapping::Use& use) {
        return !use.remote && (!use.from || *use.from == packet.source.address);
    });
    return is_let_in ? std::optional(key->inside) : std::nullopt;
}

bool MapFlows::is_medias(const Endpoint& outside, const MediaTable& media) const {
    const auto key = media.find_outside(outside, Transport::udp);
    return (key && !is_further(*key, media)) || map_->is_left(outside);
}

/// Or the administrator's: without asking the kernel.
bool MapFlows::is_ours(const Endpoint& outside, const MediaTable& media) const {
    const auto holds_port = [&](const netfilter::PortForward& forward) {
        return outside.port >= forward.ports.low && outside.port <= forward.ports.high;
    };
    return map_->find_outside(outside) != nullptr || map_->is_left(outside) ||
           media.find_outside(outside, Transport::udp) ||
           std::ranges::any_of(forwards_, holds_port);
}

/// Up to two system calls.
Result<bool> MapFlows::is_free(const Endpoint& outside, const Tuple& packet) {
    const auto bound = kernel_->is_bound(outside);
    if (!bound || *bound) return bound ? Result<bool>(false) : bound;
    const Tuple reply{packet.destination, outside, packet.transport};
    const auto other = kernel_->find(reply);
    if (!other) return tl::unexpected(other.error());
    // One that the other side opened to the gateway itself, where nobody listens, is nobody's.
    return !*other || ((*other)->tuples.original == reply && !sides_of((*other)->tuples));
}

/// Puts into the kernel what a packet of this mapping needs there; after a failure the mapping, or
/// this sender of it, is forgotten, so that the next packet tries again.
Result<void> MapFlows::touch(const Endpoint& outside, const IpAddress& sender, Time now,
                             NatChanges before) {
    before.append(map_->touch(outside, sender, now));
    if (before.empty()) return {};
    auto done = kernel_->update(before);
    if (!done) map_->not_put(outside, sender);
    return done;
}

MadeFlows MapFlows::make_flows(std::span<const FlowTuples> flows, Time now) {
    MadeFlows made;
    for (const auto& flow : flows) {
        const auto there = make_flow(flow, now);
        if (!there && made.fault.empty()) made.fault = there.error().text();
        if (!there || !*there) made.missing.push_back(flow);
    }
    return made;
}

bool MapFlows::is_there(const FlowTuples& flow) {
    const auto entry = kernel_->find(flow.original);
    return entry && *entry && (*entry)->tuples == flow;
}

/// What was forwarded from outside is the administrator's rule's.
Result<bool> MapFlows::make_flow(const FlowTuples& flow, Time now) {
    if (flow.original.transport == Transport::tcp) return is_there(flow);
    const auto sides = sides_of(flow);
    if (!sides || !sides->opened_inside) return true;
    const auto* way = find_outside(outside_, sides->outside.address);
    if (way == nullptr || !holds(way->inside, sides->inside.address) ||
        is_left_alone(*way, sides->inside.address, sides->remote.address)) {
        return false;
    }
    const auto* mapping = map_->find(way->address, sides->inside);
    NatChanges changes;
    if (mapping == nullptr) {
        auto added = map_->add(way->interface, sides->inside, sides->outside, now);
        if (!added.added) return false;
        changes = std::move(added.changes);
    } else if (mapping->outside != sides->outside) {
        return false;
    }
    auto done = touch(sides->outside, sides->remote.address, now, std::move(changes));
    if (!done) return tl::unexpected(done.error());
    return true;
}

Result<void> MapFlows::keep_up(Time now) {
    const auto changes = map_->expire(now);
    return changes.empty() ? Result<void>{} : kernel_->update(changes);
}

}  // namespace sipnat::daemon
