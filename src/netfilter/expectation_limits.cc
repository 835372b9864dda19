#include "sipnat/netfilter/expectation_limits.h"

#include <fstream>

namespace sipnat::netfilter {

namespace {

std::optional<unsigned> number_in(const char* path) {
    std::ifstream file(path);
    unsigned number = 0;
    if (!(file >> number)) return std::nullopt;
    return number;
}

}  // namespace

ExpectationLimits expectation_limits() {
    return {number_in("/proc/sys/net/netfilter/nf_conntrack_expect_max"),
            number_in("/sys/module/nf_conntrack/parameters/expect_hashsize")};
}

FlowLimits flow_limits() {
    return {number_in("/proc/sys/net/netfilter/nf_conntrack_count"),
            number_in("/proc/sys/net/netfilter/nf_conntrack_max")};
}

}  // namespace sipnat::netfilter
