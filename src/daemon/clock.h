// The clock behind the injected times.
#pragma once

#include "sipnat/base/time.h"

namespace sipnat::daemon {

/// CLOCK_BOOTTIME: goes on during suspend, as conntrack's timers do.
[[nodiscard]] Time now_by_clock();

}  // namespace sipnat::daemon
