#include "daemon/map_gate.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "daemon/clock.h"
#include "daemon/kernel_checks.h"
#include "daemon/map_flows.h"

namespace sipnat::daemon {

namespace {

using Kind = KernelAnswer::Kind;
using netfilter::NatChanges;
using netfilter::NatElement;
using netfilter::NatSet;

/// A quarter of their life: a daemon that is down for a day loses no element of a running call.
constexpr std::chrono::hours kPutAgain{9};

KernelAnswer refused(const Error& error) {
    return {Kind::refused, {}, error.text()};
}

bool needs_elements(const Hole& hole) {
    return !hole.remote && hole.inside != hole.outside;
}

}  // namespace

std::vector<NatElement> media_elements(const Endpoint& inside, const Endpoint& outside,
                                       const std::string& interface) {
    return {{NatSet::in, outside, inside, std::nullopt, "", kMediaElementLife},
            {NatSet::out, inside, outside, std::nullopt, interface, kMediaElementLife},
            {NatSet::hairpin, inside, outside, outside.address, "", kMediaElementLife},
            {NatSet::streams, inside, std::nullopt, std::nullopt, "", kMediaElementLife}};
}

NatElement media_guard(const Endpoint& outside) {
    return {NatSet::media, outside, std::nullopt, std::nullopt, "", kMediaElementLife};
}

NatElement resting_guard(const Endpoint& outside) {
    return {NatSet::media, outside, std::nullopt, std::nullopt, "", kRest};
}

MapGate::MapGate(std::vector<config::Outside> outside, std::shared_ptr<SignallingMap> signalling,
                 netfilter::Conntrack conntrack, netfilter::Routes routes, netfilter::NatMaps maps)
    : outside_(std::move(outside)),
      signalling_(std::move(signalling)),
      conntrack_(std::move(conntrack)),
      routes_(std::move(routes)),
      maps_(std::move(maps)) {}

Result<std::unique_ptr<MapGate>> MapGate::open(std::vector<config::Outside> outside,
                                               std::shared_ptr<SignallingMap> signalling) {
    auto conntrack = netfilter::Conntrack::open();
    if (!conntrack) return tl::unexpected(conntrack.error());
    auto routes = netfilter::Routes::open();
    if (!routes) return tl::unexpected(routes.error());
    auto maps = netfilter::NatMaps::open();
    if (!maps) return tl::unexpected(maps.error());
    return std::unique_ptr<MapGate>(new MapGate(std::move(outside), std::move(signalling),
                                                *std::move(conntrack), *std::move(routes),
                                                *std::move(maps)));
}

KernelAnswer MapGate::open_holes(const Decision& decision, std::uint32_t /*mark*/) {
    if (auto obstacle = find_obstacle(decision, routes_)) return *obstacle;
    NatChanges changes;
    for (const auto& hole : decision.open) {
        if (!needs_elements(hole)) continue;
        if (signalling_->find_outside(hole.outside) != nullptr) {
            return {Kind::port_taken, hole.outside, ""};
        }
        const auto* way = find_outside(outside_, hole.outside.address);
        if (way == nullptr) {
            return {Kind::refused, {}, hole.outside.address.text() + " is in no [[outside]]"};
        }
        // One that rests from an earlier call loses its lifetime.
        changes.remove.push_back(media_guard(hole.outside));
        changes.add.push_back(media_guard(hole.outside));
        std::ranges::move(media_elements(hole.inside, hole.outside, way->interface),
                          std::back_inserter(changes.add));
    }
    if (!changes.empty()) {
        if (auto done = maps_.update(changes); !done) return refused(done.error());
    }
    // The holes are open; what ran ahead of them can't be a reason to close them again.
    auto done = forget_early_media(decision.open);
    return {Kind::done, {}, done ? "" : done.error().text()};
}

/// Media that ran ahead of its maps made an ordinary entry; each of its packets would refresh that,
/// and maps are looked up for new flows only.
Result<void> MapGate::forget_early_media(const std::vector<Hole>& holes) {
    for (const auto& hole : holes) {
        if (!hole.remote) continue;
        const Tuple there{hole.inside, *hole.remote, hole.transport};
        const Tuple back{*hole.remote, hole.outside, hole.transport};
        // The same flow, whoever opened it, has these two as its tuples.
        const auto is_other = [&](const FlowEntry& flow) {
            return flow.tuples != FlowTuples{there, back} && flow.tuples != FlowTuples{back, there};
        };
        for (const auto& tuple : {there, back}) {
            if (auto done = conntrack_.remove_if(tuple, is_other); !done) {
                return tl::unexpected(done.error());
            }
        }
    }
    return {};
}

Result<void> MapGate::close_holes(std::span<const Hole> holes) {
    NatChanges changes;
    for (const auto& hole : holes) {
        if (!needs_elements(hole)) continue;
        const auto* way = find_outside(outside_, hole.outside.address);
        if (way == nullptr) continue;  // [[outside]] has changed since: the start removed them
        std::ranges::move(media_elements(hole.inside, hole.outside, way->interface),
                          std::back_inserter(changes.remove));
        changes.remove.push_back(media_guard(hole.outside));
        changes.add.push_back(resting_guard(hole.outside));
    }
    return changes.empty() ? Result<void>{} : maps_.update(changes);
}

Result<void> MapGate::sweep(std::span<const MediaFlows> ended) {
    return delete_flows(conntrack_, ended, netfilter::FlowOrigin::any);
}

Result<std::vector<IdleAnswer>> MapGate::count(std::span<const IdleQuestion> questions) {
    return count_packets(conntrack_, questions, netfilter::FlowOrigin::any);
}

Result<std::set<Endpoint>> MapGate::foreign_endpoints(const MediaTable& media) {
    auto endpoints = reply_destinations(conntrack_, media);
    if (endpoints) endpoints->insert(left_.begin(), left_.end());
    return endpoints;
}

std::vector<NatElement> MapGate::all(const MediaTable& media) const {
    std::vector<NatElement> elements;
    for (const auto& [key, mapping] : media.mappings()) {
        const auto* way = find_outside(outside_, mapping.outside.address);
        if (way == nullptr) continue;
        if (mapping.uses.empty()) {
            elements.push_back(resting_guard(mapping.outside));
            continue;
        }
        elements.push_back(media_guard(mapping.outside));
        std::ranges::move(media_elements(key.inside, mapping.outside, way->interface),
                          std::back_inserter(elements));
    }
    return elements;
}

std::vector<Error> MapGate::take_over(const MediaTable& media, Knowledge knowledge) {
    std::vector<Error> faults;
    auto elements = all(media);
    if (knowledge == Knowledge::some_calls) {
        // Perhaps of calls that are still up: who sends to them goes on to reach them.
        auto left = maps_.list(NatSet::in);
        if (!left) faults.push_back(left.error());
        for (auto& element : left.value_or(std::vector<NatElement>{})) {
            const bool is_over = element.lifetime == std::chrono::milliseconds(0);
            if (is_over || media.find_outside(element.key, Transport::udp)) continue;
            left_.insert(element.key);
            elements.push_back(std::move(element));
        }
    }
    std::ranges::move(signalling_->all(now_by_clock()), std::back_inserter(elements));
    if (auto done = maps_.replace(elements); !done) faults.push_back(done.error());
    return faults;
}

Result<void> MapGate::put_again(const MediaTable& media) {
    auto elements = all(media);
    std::ranges::move(signalling_->all(now_by_clock()), std::back_inserter(elements));
    return maps_.replace(elements);
}

Result<void> MapGate::keep_up(const MediaTable& media, Time now) {
    if (!put_) put_ = now;
    if (now - *put_ < kPutAgain) return {};
    put_ = now;
    NatChanges changes;
    changes.add = all(media);
    std::erase_if(changes.add, [](const NatElement& one) { return one.lifetime == kRest; });
    changes.remove = changes.add;
    return maps_.update(changes);
}

}  // namespace sipnat::daemon
