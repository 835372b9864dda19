// Conntrack's expectations (ctnetlink, IPCTNL_MSG_EXP_*): what the media of a call hangs on.
//
// Every expectation is permanent, carries the in-kernel SIP helper's function "sip" (it restores
// the NAT of the pair, see core/kernel.h) and the helper "sipmedia", which makes the class count on
// all kernels. One on a flow without NAT has neither NAT nor function.
//
// Round trips are blocking, some microseconds each. Needs CAP_NET_ADMIN. One thread at a time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "sipnat/base/result.h"
#include "sipnat/core/kernel.h"

namespace sipnat::netfilter {

/// Which of several expectations failed, and why. Its text() names that one.
struct BatchError {
    std::size_t index = 0;
    Error error;
};

class Expectations {
  public:
    [[nodiscard]] static Result<Expectations> open();
    Expectations(Expectations&&) noexcept;
    Expectations& operator=(Expectations&&) noexcept;
    ~Expectations();

    /// Codes (ctnetlink_create_expect, __nf_ct_expect_check):
    ///   ENOENT      no confirmed master
    ///   EOPNOTSUPP  the master has no helper
    ///   EINVAL      no function "sip": nf_nat_sip is not loaded
    ///   EEXIST      it is there already
    ///   EBUSY       it overlaps another one
    ///   EMFILE      nf_conntrack_expect_max or the class's limit is reached
    [[nodiscard]] Result<void> create(const Expectation& expectation);

    /// All of them or none, in one sendmsg: after a failure those that were made are removed again.
    /// A packet may match one of them in between.
    [[nodiscard]] tl::expected<void, BatchError> create_all(
        std::span<const Expectation> expectations);

    /// Those that are there get a day more; those that are not are made, if their master is there.
    /// What can't be is left out: the first cause but a missing master (ENOENT, EOPNOTSUPP).
    [[nodiscard]] Result<void> renew(std::span<const Expectation> expectations);

    /// Removes this one, also from another master than it names, and no other that covers the same packets; one that is gone already is a
    /// success. Flows that it made stay.
    [[nodiscard]] Result<void> remove(const Expectation& expectation);

    /// Those whose helper, as the kernel names it, is one of ours. On one that does not translate
    /// the kernel keeps no direction: it reads as `reply`.
    [[nodiscard]] Result<std::vector<Expectation>> dump(Family family = Family::ipv4);

  private:
    struct Impl;
    explicit Expectations(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sipnat::netfilter
