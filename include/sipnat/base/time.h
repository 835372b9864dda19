// Time as the pure side sees it: a number that its caller hands in, never a clock it reads.
//
// The daemon fills it from CLOCK_BOOTTIME, `replay` from a capture's timestamps, tests from a
// constant. Durations are std::chrono.
#pragma once

#include <chrono>

namespace sipnat {

struct EngineClock {
    using duration = std::chrono::milliseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<EngineClock>;
    static constexpr bool is_steady = true;
};

using Time = EngineClock::time_point;

}  // namespace sipnat
