#include "daemon/map_gate.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <map>
#include <utility>

#include "daemon/clock.h"
#include "daemon/kernel_checks.h"
#include "daemon/map_flows.h"
#include "sipnat/netfilter/conntrack.h"
#include "sipnat/netfilter/route.h"

namespace sipnat::daemon {

namespace {

using Kind = KernelAnswer::Kind;
using netfilter::NatChanges;
using netfilter::NatElement;
using netfilter::NatSet;

/// A quarter of their life: a daemon that is down for a day loses no element of a running call.
constexpr std::chrono::hours kPutAgain{9};

bool is_udp(const Hole& hole) {
    return hole.transport == Transport::udp;
}

bool needs_elements(const Hole& hole) {
    return (is_udp(hole) || is_signalling(hole)) && !hole.remote && hole.inside != hole.outside;
}

/// The same but for the time it has left.
bool are_alike(NatElement one, const NatElement& other) {
    one.lifetime = other.lifetime;
    return one == other;
}

/// With two outside addresses an inside endpoint may be named twice, which can't be removed twice.
void name_streams_once(std::vector<NatElement>& elements) {
    std::set<Endpoint> named;
    std::erase_if(elements, [&](const NatElement& one) {
        return one.set == NatSet::streams && !named.insert(one.key).second;
    });
}

class KernelSockets : public GateKernel {
  public:
    KernelSockets(netfilter::Conntrack conntrack, netfilter::Routes routes, netfilter::NatMaps maps)
        : conntrack_(std::move(conntrack)), routes_(std::move(routes)), maps_(std::move(maps)) {}

    std::optional<KernelAnswer> find_obstacle(const Decision& decision) override {
        return daemon::find_obstacle(decision, routes_);
    }
    Result<void> remove_if(const Tuple& tuple,
                           const std::function<bool(const FlowEntry&)>& condition) override {
        auto removed = conntrack_.remove_if(tuple, condition);
        if (!removed) return tl::unexpected(removed.error());
        return {};
    }
    Result<void> delete_flows(std::span<const MediaFlows> ended) override {
        return daemon::delete_flows(conntrack_, ended, netfilter::FlowOrigin::any);
    }
    Result<void> evict(std::span<const Hole> holes) override {
        return daemon::evict(conntrack_, holes, netfilter::FlowOrigin::any);
    }
    Result<MediaCounts> count_packets(std::span<const MediaFlows> media) override {
        return daemon::count_packets(conntrack_, media, netfilter::FlowOrigin::any);
    }
    Result<OutsideEndpoints> reply_destinations(const MediaTable& media) override {
        return daemon::reply_destinations(conntrack_, media, Transport::udp);
    }
    Result<bool> has_heard(const Hole& hole) override {
        return daemon::has_heard(hole, conntrack_);
    }
    Result<void> update(const NatChanges& changes) override { return maps_.update(changes); }
    Result<std::vector<NatElement>> list(NatSet set) override { return maps_.list(set); }

  private:
    netfilter::Conntrack conntrack_;
    netfilter::Routes routes_;
    netfilter::NatMaps maps_;
};

}  // namespace

namespace {

/// `one_sender` is the map of those that are for one.
NatElement inbound_element(const Endpoint& inside, const Endpoint& outside,
                           const std::optional<IpAddress>& from, NatSet one_sender) {
    return {from ? one_sender : NatSet::in, outside, inside, from, "", kMediaElementLife};
}

/// Media's inbound ones.
bool is_inbound(NatSet set) {
    return set == NatSet::in || set == NatSet::in_from;
}

}  // namespace

std::vector<NatElement> media_elements(const Endpoint& inside, const Endpoint& outside,
                                       const std::string& interface,
                                       const std::optional<IpAddress>& from) {
    return {inbound_element(inside, outside, from, NatSet::in_from),
            {NatSet::out, inside, outside, std::nullopt, interface, kMediaElementLife},
            {NatSet::hairpin, inside, outside, outside.address, "", kMediaElementLife},
            {NatSet::streams, inside, std::nullopt, std::nullopt, "", kMediaElementLife}};
}

std::vector<NatElement> signalling_elements(const Hole& hole, const std::string& interface) {
    const auto& inside = hole.inside;
    const auto& outside = hole.outside;
    if (!is_udp(hole)) {
        const auto in = hole.from ? NatSet::contacts_tcp : NatSet::in_tcp;
        return {{in, outside, inside, hole.from, "", kMediaElementLife}};
    }
    const auto in = inbound_element(inside, outside, hole.from, NatSet::contacts);
    if (hole.shares_port) return {in};
    return {in,
            {NatSet::out, inside, outside, std::nullopt, interface, kMediaElementLife},
            {NatSet::signalling, outside, std::nullopt, std::nullopt, "", kMediaElementLife}};
}

NatElement media_guard(const Endpoint& outside) {
    return {NatSet::media, outside, std::nullopt, std::nullopt, "", kMediaElementLife};
}

NatElement queued_endpoint(const Endpoint& outside) {
    return {NatSet::signalling_tcp, outside, std::nullopt, std::nullopt, "", kMediaElementLife};
}

NatElement resting_guard(const Endpoint& outside) {
    return {NatSet::media, outside, std::nullopt, std::nullopt, "", kRest};
}

namespace {

NatElement guard(const Hole& hole) {
    return is_udp(hole) ? media_guard(hole.outside) : queued_endpoint(hole.outside);
}

std::vector<NatElement> elements_of(const Hole& hole, const std::string& interface) {
    return is_signalling(hole) ? signalling_elements(hole, interface)
                               : media_elements(hole.inside, hole.outside, interface, hole.from);
}

}  // namespace

MapGate::MapGate(std::vector<config::Outside> outside, std::shared_ptr<SignallingMap> signalling,
                 std::unique_ptr<GateKernel> kernel)
    : outside_(std::move(outside)),
      signalling_(std::move(signalling)),
      kernel_(std::move(kernel)) {}

Result<std::unique_ptr<MapGate>> MapGate::open(std::vector<config::Outside> outside,
                                               std::shared_ptr<SignallingMap> signalling) {
    auto conntrack = netfilter::Conntrack::open();
    if (!conntrack) return tl::unexpected(conntrack.error());
    auto routes = netfilter::Routes::open();
    if (!routes) return tl::unexpected(routes.error());
    auto maps = netfilter::NatMaps::open();
    if (!maps) return tl::unexpected(maps.error());
    return std::make_unique<MapGate>(
        std::move(outside), std::move(signalling),
        std::make_unique<KernelSockets>(*std::move(conntrack), *std::move(routes),
                                        *std::move(maps)));
}

KernelAnswer MapGate::open_holes(const Decision& decision, std::uint32_t /*mark*/) {
    if (auto obstacle = kernel_->find_obstacle(decision)) return *obstacle;
    NatChanges changes;
    for (const auto& hole : decision.open) {
        if (!needs_elements(hole)) continue;
        if (auto taken = find_signalling(hole)) return *taken;
        const auto* way = find_outside(outside_, hole.outside.address);
        if (way == nullptr) {
            return {Kind::refused, {}, hole.outside.address.text() + " is in no [[outside]]"};
        }
        if (!hole.shares_port) {
            // One that rests from an earlier call loses its lifetime.
            changes.remove.push_back(guard(hole));
            changes.add.push_back(guard(hole));
        }
        std::ranges::move(elements_of(hole, way->interface), std::back_inserter(changes.add));
    }
    if (!changes.empty()) {
        auto answer = add_elements(changes, decision.open);
        if (answer.kind != Kind::done) return answer;
    }
    // The holes are open; what ran ahead of them can't be a reason to close them again.
    auto done = forget_early_media(decision.open);
    return {Kind::done, {}, done ? "" : done.error().text()};
}

/// What signalling over UDP has of the two ends of this hole.
std::optional<KernelAnswer> MapGate::find_signalling(const Hole& hole) const {
    if (!is_udp(hole)) return std::nullopt;
    if (signalling_->find_outside(hole.outside) != nullptr) {
        return KernelAnswer{Kind::port_taken, hole.outside, ""};
    }
    // `out` has one place for both, and SDP may name any port.
    const auto* mapped = signalling_->find(hole.outside.address, hole.inside);
    if (mapped == nullptr) return std::nullopt;
    if (is_signalling(hole)) {
        return KernelAnswer{Kind::flow_exists, mapped->outside, "", hole.inside};
    }
    return KernelAnswer{Kind::refused, {}, hole.inside.text() + " has signalling, so no media"};
}

/// A close that failed leaves elements behind, which the port's or the phone's next owner finds in
/// the way.
KernelAnswer MapGate::add_elements(const NatChanges& changes, const std::vector<Hole>& holes) {
    auto done = kernel_->update(changes);
    if (!done && done.error().code == EEXIST) {
        auto stale = stale_elements(holes);
        if (!stale) return refused(stale.error());
        NatChanges instead{*std::move(stale), {}};
        instead.append(changes);
        done = kernel_->update(instead);
    }
    if (done) return {};
    if (done.error().code != EEXIST) return refused(done.error());
    // Somebody else put them there; which of the ports it is, nobody says.
    return {Kind::port_taken, std::ranges::find_if(holes, needs_elements)->outside, ""};
}

/// The kernel's elements that lead one end of these holes elsewhere. Those of left calls stay.
Result<std::vector<NatElement>> MapGate::stale_elements(const std::vector<Hole>& holes) {
    std::vector<NatElement> stale;
    for (const auto set : {NatSet::in, NatSet::in_from, NatSet::out, NatSet::hairpin,
                           NatSet::in_tcp, NatSet::contacts_tcp}) {
        const bool is_tcp = set == NatSet::in_tcp || set == NatSet::contacts_tcp;
        const bool leads_in = is_inbound(set) || is_tcp;
        auto present = kernel_->list(set);
        if (!present) return present;
        for (auto& element : *present) {
            const auto& outside = leads_in ? element.key : *element.target;
            const auto& inside = leads_in ? *element.target : element.key;
            // An inside endpoint may have a mapping with each outside address.
            const auto contradicts = [&](const Hole& hole) {
                return needs_elements(hole) && is_udp(hole) != is_tcp &&
                       outside.address == hole.outside.address &&
                       (outside == hole.outside) != (inside == hole.inside);
            };
            const bool is_left = !is_tcp && signalling_->is_left(outside);
            if (std::ranges::any_of(holes, contradicts) && !is_left) {
                stale.push_back(std::move(element));
            }
        }
    }
    return stale;
}

Result<void> MapGate::forget_early_media(const std::vector<Hole>& holes) {
    for (const auto& hole : holes) {
        if (!is_udp(hole)) continue;
        auto done = daemon::forget_early_media(hole, netfilter::FlowOrigin::any,
                                               [this](const auto& tuple, const auto& condition) {
                                                   return kernel_->remove_if(tuple, condition);
                                               });
        if (!done) return done;
    }
    return {};
}

Result<void> MapGate::close_holes(std::span<const Hole> holes) {
    NatChanges changes;
    for (const auto& hole : holes) {
        if (!needs_elements(hole)) continue;
        const auto* way = find_outside(outside_, hole.outside.address);
        if (way == nullptr) continue;  // [[outside]] has changed since: the start removed them
        std::ranges::move(elements_of(hole, way->interface), std::back_inserter(changes.remove));
        if (hole.shares_port || !is_udp(hole)) continue;
        changes.remove.push_back(media_guard(hole.outside));
        changes.add.push_back(resting_guard(hole.outside));
    }
    name_streams_once(changes.remove);
    return changes.empty() ? Result<void>{} : kernel_->update(changes);
}

std::vector<MediaGate::Refused> MapGate::admit(std::span<const Admission> admissions) {
    const auto changes_of = [this](std::span<const Admission> some) {
        NatChanges changes;
        for (const auto& [before, after] : some) {
            const bool is_there = is_udp(before) && needs_elements(before) &&
                                  find_outside(outside_, before.outside.address) != nullptr;
            if (!is_there) continue;
            changes.remove.push_back(
                inbound_element(before.inside, before.outside, before.from, NatSet::in_from));
            changes.add.push_back(
                inbound_element(after.inside, after.outside, after.from, NatSet::in_from));
        }
        return changes;
    };
    std::vector<Refused> refused;
    const auto all = changes_of(admissions);
    if (all.empty() || kernel_->update(all)) return refused;
    // One of them spoils the transaction.
    for (const auto& admission : admissions) {
        const auto one = changes_of(std::span(&admission, 1));
        if (one.empty()) continue;
        if (auto done = kernel_->update(one); !done) refused.push_back({admission, done.error()});
    }
    return refused;
}

Result<void> MapGate::evict(std::span<const Hole> holes) {
    return kernel_->evict(holes);
}

Result<bool> MapGate::has_heard(const Hole& hole) {
    return kernel_->has_heard(hole);
}

Result<void> MapGate::sweep(std::span<const MediaFlows> ended) {
    return kernel_->delete_flows(ended);
}

Result<MediaCounts> MapGate::count(std::span<const MediaFlows> media) {
    return kernel_->count_packets(media);
}

Result<OutsideEndpoints> MapGate::foreign_endpoints(const MediaTable& media) {
    auto endpoints = kernel_->reply_destinations(media);
    if (!endpoints) return endpoints;
    (*endpoints)[Transport::udp].insert(signalling_->left().begin(), signalling_->left().end());
    return endpoints;
}

std::vector<NatElement> MapGate::all(const MediaTable& media) const {
    std::vector<NatElement> elements;
    for (const auto& [key, mapping] : media.mappings()) {
        const auto* way = find_outside(outside_, mapping.outside.address);
        const bool is_udp = key.transport == Transport::udp;
        if (way == nullptr || key.inside == mapping.outside) continue;
        if (!is_udp && mapping.media != ExpectClass::signalling) continue;
        if (is_udp) {
            elements.push_back(mapping.uses.empty() ? resting_guard(mapping.outside)
                                                    : media_guard(mapping.outside));
        } else {
            elements.push_back(queued_endpoint(mapping.outside));
        }
        bool shares_port = false;
        for (const auto& use : mapping.uses) {
            if (use.remote) continue;
            auto hole = media.hole({key, std::nullopt, use.from});
            hole.shares_port = std::exchange(shares_port, true);
            std::ranges::move(elements_of(hole, way->interface), std::back_inserter(elements));
        }
    }
    name_streams_once(elements);
    return elements;
}

std::vector<Error> MapGate::take_over(const MediaTable& media, Knowledge knowledge) {
    std::vector<Error> faults;
    // What `contacts` told when signalling was read back is the engine's, if it knows of it.
    for (const auto& [key, mapping] : media.mappings())
        signalling_->forget(mapping.outside);
    if (knowledge == Knowledge::some_calls) {
        // Perhaps of calls that are still up: who sends to them goes on to reach them.
        std::set<Endpoint> left;
        for (const auto set : {NatSet::in, NatSet::in_from}) {
            auto present = kernel_->list(set);
            if (!present) faults.push_back(present.error());
            for (const auto& element : present.value_or(std::vector<NatElement>{})) {
                const bool is_over = element.lifetime == std::chrono::milliseconds(0);
                if (is_over || media.find_outside(element.key, Transport::udp)) continue;
                left.insert(element.key);
            }
        }
        signalling_->set_left(std::move(left));
    }
    if (auto done = put_again(media); !done) faults.push_back(done.error());
    return faults;
}

Result<void> MapGate::put_again(const MediaTable& media) {
    auto elements = all(media);
    std::ranges::move(signalling_->all(now_by_clock()), std::back_inserter(elements));
    return replace(elements);
}

/// Makes the kernel's elements these, and those of left calls, without a moment in which one that
/// stays is not there.
Result<void> MapGate::replace(const std::vector<NatElement>& wanted) {
    std::map<std::pair<NatSet, Endpoint>, std::vector<const NatElement*>> by_key;
    for (const auto& element : wanted)
        by_key[{element.set, element.key}].push_back(&element);
    NatChanges stale;
    for (const auto set : netfilter::kAllNatSets) {
        auto present = kernel_->list(set);
        if (!present) return tl::unexpected(present.error());
        for (auto& element : *present) {
            const auto& alike = by_key[{set, element.key}];
            const bool stays =
                std::ranges::any_of(alike,
                                    [&](const auto* one) { return are_alike(*one, element); }) ||
                (is_inbound(set) && signalling_->is_left(element.key)) ||
                set == NatSet::signalling_tcp;  // connections may be left
            if (!stays) stale.remove.push_back(std::move(element));
        }
    }
    if (!stale.empty()) {
        if (auto done = kernel_->update(stale); !done) return done;
    }
    return put(wanted);
}

/// With the lifetime that they say, whether they are there or not. What is there has to leave and
/// come back in one transaction, or packets in between would make entries of their own.
Result<void> MapGate::put(std::span<const NatElement> elements) {
    while (!elements.empty()) {
        const auto some = elements.first(std::min(elements.size(), netfilter::kNatTransaction));
        elements = elements.subspan(some.size());
        const std::vector<NatElement> same(some.begin(), some.end());
        if (auto done = kernel_->update({same, same}); !done) return done;
    }
    return {};
}

Result<void> MapGate::keep_up(const MediaTable& media, Time now) {
    if (!put_) put_ = now;
    if (now - *put_ < kPutAgain) return {};
    auto elements = all(media);
    std::erase_if(elements, [](const NatElement& one) { return one.lifetime == kRest; });
    auto done = put(elements);
    if (done) put_ = now;  // else again in a minute
    return done;
}

}  // namespace sipnat::daemon
