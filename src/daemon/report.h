// What an administrator is shown, from what the engine knows and the kernel counted.
#pragma once

#include <vector>

#include "daemon/media_gate.h"
#include "sipnat/control/calls.h"
#include "sipnat/control/media.h"
#include "sipnat/control/registrations.h"
#include "sipnat/control/stats.h"
#include "sipnat/core/engine.h"

namespace sipnat::daemon {

struct CallReport {
    std::vector<control::Call> calls;  ///< by Call-ID, streams without their packets
    std::vector<MediaFlows> media;     ///< of each stream of each call, in order
};
[[nodiscard]] CallReport report_calls(const Engine& engine);
/// `counts` are of `report.media`.
void add_packets(const MediaCounts& counts, CallReport& report);

/// By outside endpoint.
[[nodiscard]] std::vector<control::MediaMapping> report_media(const MediaTable& media);
/// Those on `missing` flows are stale.
[[nodiscard]] std::vector<control::Registration> report_registrations(
    const Engine& engine, const std::vector<FlowTuples>& missing, Time now);
/// Without the queue's own.
[[nodiscard]] control::Stats report_stats(const Engine& engine);

}  // namespace sipnat::daemon
