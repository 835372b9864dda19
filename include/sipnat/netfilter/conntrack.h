// Conntrack's table: make, find, remove and list entries (ctnetlink, IPCTNL_MSG_CT_*).
//
// A NATed entry is given as its two tuples; the translation is what differs between them:
//
//     original   192.168.77.2:5060 > 198.51.100.10:5060
//     reply      198.51.100.10:5060 > 203.0.113.1:15060        source NAT to 203.0.113.1:15060
//
// Each call is one blocking round trip (the kernel answers inside sendmsg). Needs CAP_NET_ADMIN.
// One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "sipnat/base/result.h"
#include "sipnat/core/kernel.h"
#include "sipnat/net/address.h"

namespace sipnat::netfilter {

/// The bits of FlowEntry::status that have a meaning here (enum ip_conntrack_status).
namespace flow_status {
inline constexpr std::uint32_t kExpected = 1U << 0U;
inline constexpr std::uint32_t kSeenReply = 1U << 1U;
inline constexpr std::uint32_t kAssured = 1U << 2U;
inline constexpr std::uint32_t kConfirmed = 1U << 3U;
inline constexpr std::uint32_t kSourceNat = 1U << 4U;
inline constexpr std::uint32_t kDestinationNat = 1U << 5U;
inline constexpr std::uint32_t kFixedTimeout = 1U << 10U;
}  // namespace flow_status

enum class FlowOrigin : std::uint8_t { any, expected };

/// What a dump gives. The kernel filters as far as it can (family always, mark where marks are
/// built in, transport from 5.8 on, origin from 6.0 on); the rest is sorted out here, so the result
/// is the same.
struct FlowFilter {
    Family family = Family::ipv4;
    std::optional<Transport> transport = Transport::udp;
    FlowOrigin origin = FlowOrigin::any;
    std::uint32_t mark = 0;
    std::uint32_t mark_mask = 0;  ///< 0: any mark

    [[nodiscard]] bool admits(const FlowEntry& flow) const;
};

class Conntrack {
  public:
    [[nodiscard]] static Result<Conntrack> open();
    Conntrack(Conntrack&&) noexcept;
    Conntrack& operator=(Conntrack&&) noexcept;
    ~Conntrack();

    /// Makes an entry that must not exist yet, in either direction. Takes the tuples, the helper by
    /// name, the timeout (seconds), the mark, of the status kSeenReply, kAssured and kFixedTimeout, and a TCP
    /// flow's state; the rest is the kernel's to set. A TCP flow's window tracking knows nothing of what went
    /// before, and takes all for granted. (ctnetlink_create_conntrack)
    /// Codes: EEXIST (a tuple is taken), EOPNOTSUPP (no such helper), ENOMEM (table full).
    [[nodiscard]] Result<void> create(const FlowEntry& flow);

    /// The confirmed entry that has this tuple as its original or its reply. Code ENOENT: none.
    [[nodiscard]] Result<FlowEntry> find(const Tuple& tuple);

    /// The entry with this original tuple lasts for at least `seconds` more without packets. Code
    /// ENOENT: none.
    [[nodiscard]] Result<void> prolong(const Tuple& original, std::uint32_t seconds);

    /// What the kernel adds to the numbers of a TCP flow's directions from now on, all of it, and with it the memo,
    /// if the flow has our helper. Its window tracking takes them for granted from then on: that compares positions
    /// of two countings (nf_ct_seq_offset). Code ENOENT: none.
    [[nodiscard]] Result<void> shift(const Tuple& original, const SequenceShifts& shifts,
                                     const std::optional<StreamMemo>& memo);

    /// Removes the entry with this tuple in either direction; one that is gone already is a
    /// success.
    [[nodiscard]] Result<void> remove(const Tuple& tuple);
    [[nodiscard]] Result<void> remove(const FlowEntry& flow) {
        return remove(flow.tuples.original);
    }

    /// Removes the entry with this tuple in either direction if it meets the condition. True if one
    /// was removed. The removal names the very entry that was looked at, so a flow that took its
    /// place stays.
    [[nodiscard]] Result<bool> remove_if(const Tuple& tuple,
                                         const std::function<bool(const FlowEntry&)>& condition);

    /// Entries that begin or end during the dump may or may not be in it; entries of transports
    /// other than UDP and TCP are not. `visit` must not call back into this object.
    [[nodiscard]] Result<void> for_each(const FlowFilter& filter,
                                        const std::function<void(const FlowEntry&)>& visit);
    [[nodiscard]] Result<std::vector<FlowEntry>> dump(const FlowFilter& filter);

  private:
    struct Impl;
    explicit Conntrack(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sipnat::netfilter
