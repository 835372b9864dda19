// Start-up against the kernel, in the order that it needs: probe, helpers, queue, table.
#pragma once

#include <string>
#include <vector>

#include "sipnat/base/result.h"
#include "sipnat/config/config.h"
#include "sipnat/netfilter/expectation_limits.h"
#include "sipnat/netfilter/port_forwards.h"
#include "sipnat/netfilter/probe.h"
#include "sipnat/netfilter/queue.h"

namespace sipnat::daemon {

/// One text for each thing that the kernel lacks, with its remedy; or the probe's result.
[[nodiscard]] tl::expected<netfilter::Probe, std::vector<std::string>> probe(
    const config::Configuration& configuration);

[[nodiscard]] Result<netfilter::Queue> open_queue(const config::QueueConfiguration& queue);

/// Loads the shipped table with the configured ports and queues. The queue must be open, or packets
/// of the first moment pass by it.
[[nodiscard]] Result<void> load_table(const config::Configuration& configuration);

/// Port forwards that lie in the media range, each with the rule that makes it. Fails where the
/// ruleset can't be read (without root).
[[nodiscard]] Result<std::vector<netfilter::PortForward>> overlapping_forwards(
    const PortRange& media);
[[nodiscard]] std::string overlap_text(const netfilter::PortForward& forward);

/// What the kernel's limits on expectations fall short of, for so many calls.
[[nodiscard]] std::vector<std::string> shortages(const netfilter::ExpectationLimits& limits,
                                                 std::size_t calls);

/// What works, but will bite: for `status` and the log.
[[nodiscard]] std::vector<std::string> warnings_of(const config::Configuration& configuration);

/// "5060" or "5060-5063", as nft and the admin write it.
[[nodiscard]] std::string queue_text(const config::QueueConfiguration& queue);

}  // namespace sipnat::daemon
