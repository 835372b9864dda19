#include "core/lease_book.h"

namespace sipnat {

const Lease* LeaseBook::find(const LeaseName& name) const {
    const auto found = leases_.find(name);
    return found == leases_.end() ? nullptr : &found->second;
}

std::vector<Lease> LeaseBook::of(const IpAddress& inside, const IpAddress& remote,
                                 std::string_view subject) const {
    std::vector<Lease> found;
    const auto [first, last] = leases_.equal_range(Prefix{inside, remote, subject});
    for (auto at = first; at != last; ++at)
        found.push_back(at->second);
    return found;
}

bool LeaseBook::put(Lease lease, const Settings& settings) {
    const auto present = leases_.find(lease.name);
    if (present != leases_.end()) {
        by_end_.erase({present->second.until, lease.name});
        by_end_.emplace(lease.until, lease.name);
        present->second = std::move(lease);
        return true;
    }
    auto& count = per_host_[lease.name.inside];
    if (count >= settings.bindings_per_host || leases_.size() >= settings.bindings) {
        if (count == 0) per_host_.erase(lease.name.inside);
        return false;
    }
    ++count;
    by_end_.emplace(lease.until, lease.name);
    auto name = lease.name;
    leases_.emplace(std::move(name), std::move(lease));
    return true;
}

void LeaseBook::erase(const LeaseName& name) {
    const auto found = leases_.find(name);
    if (found == leases_.end()) return;
    by_end_.erase({found->second.until, name});
    const auto count = per_host_.find(name.inside);
    if (--count->second == 0) per_host_.erase(count);
    leases_.erase(found);
}

std::optional<Lease> LeaseBook::pop_due(Time now) {
    if (by_end_.empty() || by_end_.begin()->first > now) return std::nullopt;
    const auto name = by_end_.begin()->second;
    auto lease = leases_.at(name);
    erase(name);
    return lease;
}

std::optional<Time> LeaseBook::next_due() const {
    return by_end_.empty() ? std::nullopt : std::optional(by_end_.begin()->first);
}

}  // namespace sipnat
