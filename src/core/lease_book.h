// All leases: found by name, counted for each inside host, woken when they are due.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sipnat/core/lease.h"
#include "sipnat/core/settings.h"

namespace sipnat {

class LeaseBook {
  public:
    /// Nothing when there is none. Ends with the next change.
    [[nodiscard]] const Lease* find(const LeaseName& name) const;
    /// Those of one host's messages on this subject to that remote one.
    [[nodiscard]] std::vector<Lease> of(const IpAddress& inside, const IpAddress& remote,
                                        std::string_view subject) const;
    /// In the place of the one with this name. False when that would be one more than the inside
    /// host, or all, may have.
    bool put(Lease lease, const Settings& settings);
    void erase(const LeaseName& name);

    /// One whose time is up, taken out.
    [[nodiscard]] std::optional<Lease> pop_due(Time now);
    [[nodiscard]] std::optional<Time> next_due() const;
    [[nodiscard]] const std::map<LeaseName, Lease>& all() const { return leases_; }

  private:
    std::map<LeaseName, Lease> leases_;
    std::set<std::pair<Time, LeaseName>> by_end_;
    std::unordered_map<IpAddress, std::size_t> per_host_;
};

}  // namespace sipnat
