#include "core/call_book.h"

#include <algorithm>
#include <functional>

namespace sipnat {

namespace {

/// With the remote host: others who use the same Call-ID, by chance or not, are not looked through.
std::size_t bucket(const IpAddress& inside, const IpAddress& remote, std::string_view call_id) {
    const std::hash<IpAddress> address;
    return hash_mix(hash_mix(address(inside), address(remote)),
                    std::hash<std::string_view>{}(call_id));
}

}  // namespace

const IpAddress& CallBook::charged(const Call& call) {
    return call.charged_to_inside ? call.inside : call.remote;
}

template <class Matches>
std::optional<CallId> CallBook::find(const CallMessage& seen, const IpAddress& inside,
                                     const IpAddress& remote, Matches matches) const {
    const auto call_id = seen.message.value(sip::HeaderKind::call_id);
    const auto [first, last] = by_call_id_.equal_range(bucket(inside, remote, call_id));
    for (auto entry = first; entry != last; ++entry) {
        const auto& call = slots_.at(entry->second).call;
        if (call.inside == inside && call.remote == remote && call.call_id == call_id &&
            call.owns(seen) && matches(call)) {
            return entry->second;
        }
    }
    return std::nullopt;
}

std::optional<CallId> CallBook::find(const CallMessage& seen, const IpAddress& inside,
                                     const IpAddress& remote) const {
    return find(seen, inside, remote, [](const Call&) { return true; });
}

std::optional<CallId> CallBook::find_living(const CallMessage& seen, const IpAddress& inside,
                                            const IpAddress& remote) const {
    return find(seen, inside, remote,
                [](const Call& call) { return call.state != Call::State::ended; });
}

const Call* CallBook::find(CallId id) const {
    const auto found = slots_.find(id);
    return found == slots_.end() ? nullptr : &found->second.call;
}

std::optional<CallId> CallBook::add(Call call, const Settings& settings) {
    auto& of_host = per_host_[charged(call)];
    const bool strangers_full = call.from_outside && from_outside_ >= (settings.calls + 1) / 2;
    if (of_host >= settings.calls_per_host || slots_.size() >= settings.calls || strangers_full) {
        if (of_host == 0) per_host_.erase(charged(call));
        return std::nullopt;
    }
    ++of_host;
    if (call.from_outside) ++from_outside_;
    const auto id = static_cast<CallId>(next_++);
    by_call_id_.emplace(bucket(call.inside, call.remote, call.call_id), id);
    slots_.emplace(id, Slot{std::move(call)});
    return id;
}

void CallBook::erase(CallId id) {
    const auto& call = slots_.at(id).call;
    const auto of_host = per_host_.find(charged(call));
    if (--of_host->second == 0) per_host_.erase(of_host);
    if (call.from_outside) --from_outside_;
    const auto [first, last] =
        by_call_id_.equal_range(bucket(call.inside, call.remote, call.call_id));
    by_call_id_.erase(std::find_if(first, last, [id](const auto& e) { return e.second == id; }));
    wakes_.erase({slots_.at(id).wake, id});
    slots_.erase(id);
}

void CallBook::wake_at(CallId id, Slot& slot, Time time) {
    wakes_.erase({slot.wake, id});
    slot.wake = time;
    wakes_.emplace(time, id);
}

void CallBook::schedule(CallId id) {
    auto& slot = slots_.at(id);
    const auto deadline = slot.call.next_deadline();
    // A deadline that moved back is noticed when the old one comes: one entry a call is enough.
    if (deadline < slot.wake) wake_at(id, slot, deadline);
}

std::optional<CallId> CallBook::pop_due(Time now) {
    while (!wakes_.empty() && wakes_.begin()->first <= now) {
        const auto id = wakes_.begin()->second;
        wakes_.erase(wakes_.begin());
        auto& slot = slots_.at(id);
        slot.wake = Time::max();
        const auto deadline = slot.call.next_deadline();
        if (deadline <= now) return id;
        wake_at(id, slot, deadline);
    }
    return std::nullopt;
}

std::optional<Time> CallBook::next_due() const {
    if (wakes_.empty()) return std::nullopt;
    return wakes_.begin()->first;
}

std::size_t CallBook::active() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        slots_, [](const auto& e) { return e.second.call.state != Call::State::ended; }));
}

}  // namespace sipnat
