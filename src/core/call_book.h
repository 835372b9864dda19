// All calls: found by their key, counted for each host that began them, woken when they are due.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sipnat/core/call.h"
#include "sipnat/core/settings.h"

namespace sipnat {

enum class CallId : std::uint64_t {};

class CallBook {
  public:
    /// The call of this message between these hosts, if there is one.
    [[nodiscard]] std::optional<CallId> find(const CallMessage& seen, const IpAddress& inside,
                                             const IpAddress& remote) const;
    /// The same, but none that has ended.
    [[nodiscard]] std::optional<CallId> find_living(const CallMessage& seen,
                                                    const IpAddress& inside,
                                                    const IpAddress& remote) const;
    /// Nothing when a limit is reached: of the host that began the call, or of all. Calls from
    /// outside, whose sources can be forged, get no more than half of what there is in all.
    [[nodiscard]] std::optional<CallId> add(Call call, const Settings& settings);
    void erase(CallId id);
    /// Nothing when it has been erased.
    [[nodiscard]] const Call* find(CallId id) const;
    [[nodiscard]] Call& at(CallId id) { return slots_.at(id).call; }
    /// Has to follow every change of a call that may bring its deadline forward.
    void schedule(CallId id);

    /// A call whose deadline has come; it has to be scheduled again or erased.
    [[nodiscard]] std::optional<CallId> pop_due(Time now);
    /// Not later than the next deadline.
    [[nodiscard]] std::optional<Time> next_due() const;

    [[nodiscard]] std::size_t active() const;
    template <class Visit>
    void for_each(Visit visit) const {
        for (const auto& [id, slot] : slots_)
            visit(slot.call);
    }

  private:
    using Wake = std::pair<Time, CallId>;
    struct Slot {
        Call call;
        Time wake = Time::max();  ///< of its one entry in wakes_; none: max
    };

    template <class Matches>
    [[nodiscard]] std::optional<CallId> find(const CallMessage& seen, const IpAddress& inside,
                                             const IpAddress& remote, Matches matches) const;
    static const IpAddress& charged(const Call& call);

    void wake_at(CallId id, Slot& slot, Time time);

    std::unordered_map<CallId, Slot> slots_;
    std::unordered_multimap<std::size_t, CallId> by_call_id_;  // hash of both hosts and Call-ID
    std::unordered_map<IpAddress, std::size_t> per_host_;
    std::size_t from_outside_ = 0;  // begun there, by whoever says so
    std::set<Wake> wakes_;          // earliest first
    std::uint64_t next_ = 1;
};

}  // namespace sipnat
