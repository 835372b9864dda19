// How many expectations this kernel takes, of all helpers and in all network namespaces together; and how many flows.
#pragma once

#include <optional>

namespace sipnat::netfilter {

/// Each is nothing where it can't be read. Both can be changed in the initial network namespace
/// only.
struct ExpectationLimits {
    std::optional<unsigned> most;       ///< net.netfilter.nf_conntrack_expect_max
    std::optional<unsigned> hash_size;  ///< nf_conntrack's parameter expect_hashsize, in buckets
};

/// As they are now.
[[nodiscard]] ExpectationLimits expectation_limits();

struct FlowLimits {
    std::optional<unsigned> count;  ///< conntrack's entries of this network namespace
    std::optional<unsigned> most;   ///< net.netfilter.nf_conntrack_max: of each namespace
};
[[nodiscard]] FlowLimits flow_limits();

}  // namespace sipnat::netfilter
