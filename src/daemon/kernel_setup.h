// Start-up against the kernel, in the order that it needs: probe, helpers, queue, table.
// Which mode it will be is mode.h's to say.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/mode.h"
#include "sipnat/base/result.h"
#include "sipnat/config/config.h"
#include "sipnat/netfilter/expectation_limits.h"
#include "sipnat/netfilter/helper.h"
#include "sipnat/netfilter/port_forwards.h"
#include "sipnat/netfilter/probe.h"
#include "sipnat/netfilter/queue.h"

namespace sipnat::daemon {

/// Asks the kernel, unless the setting leaves nothing to ask.
[[nodiscard]] Result<netfilter::Probe> probe(const config::Configuration& configuration);

[[nodiscard]] Result<netfilter::Queue> open_queue(Mode mode,
                                                  const config::QueueConfiguration& queue);

/// Whether TCP packets of SIP flows come to the queue, which must be open while they do.
[[nodiscard]] Result<void> queue_streams(const config::QueueConfiguration& queue,
                                         netfilter::StreamQueueing streams);

/// Loads the mode's shipped table with what is configured, and removes the other mode's. The queue
/// must be open, or packets of the first moment pass by it.
[[nodiscard]] Result<void> load_table(Mode mode, const config::Configuration& configuration);
/// Of family inet.
[[nodiscard]] const char* table_of(Mode mode);

/// Those of the forwards that lie in the media range.
[[nodiscard]] std::vector<netfilter::PortForward> overlapping(
    std::vector<netfilter::PortForward> forwards, const PortRange& media);
/// Port forwards that lie in the media range, each with the rule that makes it. Fails where the
/// ruleset can't be read (without root).
[[nodiscard]] Result<std::vector<netfilter::PortForward>> overlapping_forwards(
    const PortRange& media);
[[nodiscard]] std::string overlap_text(const netfilter::PortForward& forward);

/// What the kernel's limits on expectations fall short of, for so many calls.
[[nodiscard]] std::vector<std::string> shortages(const netfilter::ExpectationLimits& limits,
                                                 std::size_t calls);

/// What to say of conntrack's table when it has hardly any room left.
[[nodiscard]] std::optional<std::string> fullness(const netfilter::FlowLimits& limits);

/// What works, but will bite: for `status` and the log.
[[nodiscard]] std::vector<std::string> warnings_of(Mode mode,
                                                   const config::Configuration& configuration);

/// "5060" or "5060-5063", as nft and the admin write it.
[[nodiscard]] std::string queue_text(const config::QueueConfiguration& queue);

}  // namespace sipnat::daemon
