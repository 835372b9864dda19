#include "core/further_ports.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <ranges>
#include <span>
#include <utility>

#include "core/lease_time.h"

namespace sipnat {

namespace {

using sip::Method;

std::vector<HoleKey> difference(const std::vector<HoleKey>& from,
                                const std::vector<HoleKey>& what) {
    std::vector<HoleKey> rest;
    std::ranges::set_difference(from, what, std::back_inserter(rest));
    return rest;
}

}  // namespace

void FurtherPorts::begin() {
    changes_.clear();
    unreached_.reset();
    left_.clear();
    leaves_all_ = false;
    has_recalled_ = false;
}

Reach FurtherPorts::reach(const Packet& packet, const Perspective& sender,
                          const std::vector<FurtherPort>& ports, Time now) {
    Reach reach;
    if (ports.empty()) return reach;
    recall_left(sender);
    const auto& inside = sender.inside;
    const auto& peer = sender.peer;
    const FlowEnd own{inside, peer.real.address, packet.flow.original.transport};
    for (const auto& [port, transport, in_contact] : ports) {
        if (leaves_all_) left_.emplace_back(transport, port);
        if (std::ranges::count(left_, LeftPort(transport, port)) > 0) continue;
        const MediaKey key{inside.shown.address, transport, {inside.real.address, port}};
        const auto* mapping = media_.find(key);
        const bool is_new = mapping == nullptr || mapping->uses.empty();
        // It has spoken from there to this peer already: that flow's outside port is this one's.
        if (known_.by_flow(own, port, transport, now)) continue;
        const auto mapped =
            media_.map(std::span(&key, 1), ExpectClass::signalling,
                       {packet.flow.original, packet.direction, key.inside.address});
        if (mapped != Mapped::done) {
            leave(key, reason_of(mapped));
            continue;
        }
        if (mapping != nullptr && mapping->uses.size() >= kMostSignallingHoles) continue;
        reach.is_new = reach.is_new || is_new;
        add_holes(key, peer, reach.holes);
        if (in_contact) add_holes(key, peer, reach.for_call);
    }
    std::ranges::sort(reach.holes);
    std::ranges::sort(reach.for_call);
    return reach;
}

void FurtherPorts::add_own(const Packet& packet, const Perspective& perspective,
                           Reach& reach) const {
    if (!perspective.seen.message.is_request()) return;
    const auto& inside = perspective.inside;
    const MediaKey key{inside.shown.address, packet.flow.original.transport, inside.real};
    const auto* mapping = media_.find(key);
    if (mapping == nullptr || mapping->media != ExpectClass::signalling) return;
    for (auto* holes : {&reach.holes, &reach.for_call}) {
        for (const auto& use : mapping->uses)
            holes->push_back({key, use.remote, use.from});
        std::ranges::sort(*holes);
        const auto repeated = std::ranges::unique(*holes);
        holes->erase(repeated.begin(), repeated.end());
    }
}

/// In for whom the settings name, out for the peer over UDP.
void FurtherPorts::add_holes(const MediaKey& key, const Party& peer,
                             std::vector<HoleKey>& holes) const {
    switch (settings_.signalling_source) {
        case SignallingSource::registrar:
            holes.push_back({key, std::nullopt, peer.real.address});
            break;
        case SignallingSource::listed:
            for (const auto& address : settings_.signalling_peers)
                holes.push_back({key, std::nullopt, address});
            break;
        case SignallingSource::any:
            holes.push_back({key, std::nullopt});
            break;
    }
    if (key.transport == Transport::udp && !peer.translated()) holes.push_back({key, peer.real});
}

bool FurtherPorts::lend(const Perspective& sender, const Reach& reach,
                        const std::vector<FurtherPort>& ports, bool in_call, Time now,
                        std::pmr::memory_resource* scratch, std::vector<Hole>& open) {
    const auto& message = sender.seen.message;
    for (const auto& [port, transport, in_contact] : ports) {
        std::vector<HoleKey> holes;
        std::ranges::copy_if(reach.holes, std::back_inserter(holes), [&](const HoleKey& key) {
            return key.mapping.inside.port == port && key.mapping.transport == transport;
        });
        if (holes.empty() || (in_call && in_contact)) continue;
        const auto subject =
            in_contact ? lease_subject(message, scratch) : via_lease_subject(message, scratch);
        const LeaseName name{sender.inside.real.address, sender.peer.real.address,
                             std::string(subject), holes.front().mapping};
        const auto* present = leases_.find(name);
        Change change{name, present ? std::optional(*present) : std::nullopt, {}};
        Lease lease = present ? *present : Lease{name, {}, {}, {}};
        change.acquired = difference(holes, lease.holes);
        lease.holes.insert(lease.holes.end(), change.acquired.begin(), change.acquired.end());
        std::ranges::sort(lease.holes);
        lease.until = std::max(lease.until, now + lease_time(message, in_contact));
        const bool is_news =
            !change.acquired.empty() || lease.until - lease.saved_until > kStaleDeadline;
        if (is_news) lease.saved_until = lease.until;
        if (!leases_.put(std::move(lease), settings_)) {
            leave(name.mapping, Reason::binding_limit);
            continue;
        }
        for (const auto& key : change.acquired) {
            if (media_.acquire(key)) open.push_back(media_.hole(key));
        }
        if (is_news) changed_.insert(name);
        changes_.push_back(std::move(change));
    }
    return !changes_.empty();
}

void FurtherPorts::leave(const MediaKey& key, Reason reason) {
    unreached_ = Refusal{reason, key.inside.text()};
    left_.emplace_back(key.transport, key.inside.port);
}

void FurtherPorts::leave_all(const std::string& why) {
    unreached_ = Refusal{Reason::media_refused, why};
    leaves_all_ = true;
}

void FurtherPorts::recall_left(const Perspective& sender) {
    if (std::exchange(has_recalled_, true)) return;
    const auto* left = left_before_.find(sender);
    if (left == nullptr) return;
    unreached_ = left->why;
    left_ = left->ports;
}

void FurtherPorts::remember_left(const Perspective& sender) {
    if (unreached_) left_before_.put(sender) = {*unreached_, left_};
}

void FurtherPorts::note_granted(const sip::Message& message, const NatView& view, Time now,
                                std::pmr::memory_resource* scratch) {
    if (message.method() == Method::invite) note_ringing(message, view, now, scratch);
    const bool subscribes = is_subscription(message);
    if ((!subscribes && message.method() != Method::reg) || message.status() >= 300) return;
    const bool is_request = message.is_request();
    if (!is_request && message.status() < 200) return;
    const auto& inside = is_request ? view.sender : view.receiver;
    const auto& remote = is_request ? view.receiver : view.sender;
    if (!inside.translated()) return;
    auto leases =
        leases_.of(inside.real.address, remote.real.address, lease_subject(message, scratch));
    if (leases.empty()) return;
    const Expiries expiries(message, scratch);
    const auto general = delta_seconds(message.value(sip::HeaderKind::expires));
    // A subscription has one time, a registration one for each Contact.
    const auto time_of = [&](const Endpoint& contact, std::chrono::seconds unsaid) {
        return subscribes ? std::optional(general.value_or(unsaid)) : expiries.of(contact, unsaid);
    };
    for (auto& lease : leases) {
        const auto& mapping = lease.name.mapping;
        if (is_request) {
            lease.asked = time_of(mapping.inside, kUsualExpiry).value_or(lease.asked);
        } else {
            const auto& contact = media_.find(mapping)->outside;
            const auto granted = time_of(contact, lease.asked).value_or(lease.asked);
            lease.until = now + granted + kTransactionTime;
            lease.saved_until = lease.until;
            changed_.insert(lease.name);
        }
        (void)leases_.put(std::move(lease), settings_);
    }
}

void FurtherPorts::note_ringing(const sip::Message& message, const NatView& view, Time now,
                                std::pmr::memory_resource* scratch) {
    if (message.is_request() || message.status() == 100 || !view.receiver.translated()) return;
    const Time until =
        now + (message.status() < 200 ? std::chrono::seconds(kRingingTime) : kTransactionTime);
    for (auto& lease : leases_.of(view.receiver.real.address, view.sender.real.address,
                                  via_lease_subject(message, scratch))) {
        lease.until = lease.saved_until = until;
        changed_.insert(lease.name);
        (void)leases_.put(std::move(lease), settings_);
    }
}

void FurtherPorts::undo() {
    for (auto& change : std::views::reverse(changes_)) {
        for (const auto& key : change.acquired)
            media_.undo(key);
        if (change.before) {
            (void)leases_.put(*std::move(change.before), settings_);
        } else {
            leases_.erase(change.name);
        }
    }
    changes_.clear();
}

void FurtherPorts::end_due(Time now, std::vector<Hole>& closed) {
    while (const auto lease = leases_.pop_due(now)) {
        for (const auto& key : lease->holes) {
            const auto hole = media_.hole(key);
            if (media_.release(key, now)) closed.push_back(hole);
        }
        changed_.insert(lease->name);
    }
}

std::vector<Lease> FurtherPorts::leases() const {
    std::vector<Lease> all;
    for (const auto& [name, lease] : leases_.all())
        all.push_back(lease);
    return all;
}

std::vector<Lease> FurtherPorts::take_changes() {
    std::vector<Lease> all;
    for (const auto& name : std::exchange(changed_, {})) {
        const auto* lease = leases_.find(name);
        all.push_back(lease != nullptr ? *lease : Lease{name, {}, {}, {}});
    }
    return all;
}

void FurtherPorts::restore(Lease lease) {
    std::erase_if(lease.holes,
                  [this](const HoleKey& key) { return media_.find(key.mapping) == nullptr; });
    const auto holes = lease.holes;
    if (holes.empty() || !leases_.put(std::move(lease), settings_)) return;
    for (const auto& key : holes)
        (void)media_.acquire(key);
}

}  // namespace sipnat
