// All leases: found by name, counted for each inside host, woken when they are due.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sipnat/core/lease.h"
#include "sipnat/core/settings.h"

namespace sipnat {

class LeaseBook {
    /// All names that begin like this are equal to it.
    struct Prefix {
        IpAddress inside;
        IpAddress remote;
        std::string_view subject;
    };
    struct Order {
        using is_transparent = void;
        template <class Name>
        static auto prefix(const Name& name) {
            return std::tuple(name.inside, name.remote, std::string_view(name.subject));
        }

        bool operator()(const LeaseName& a, const LeaseName& b) const { return a < b; }
        bool operator()(const LeaseName& a, const Prefix& b) const { return prefix(a) < prefix(b); }
        bool operator()(const Prefix& a, const LeaseName& b) const { return prefix(a) < prefix(b); }
    };
    using Leases = std::map<LeaseName, Lease, Order>;

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
    [[nodiscard]] const Leases& all() const { return leases_; }

  private:
    Leases leases_;
    std::set<std::pair<Time, LeaseName>> by_end_;
    std::unordered_map<IpAddress, std::size_t> per_host_;
};

}  // namespace sipnat
