#include "daemon/clock.h"

#include <ctime>

namespace sipnat::daemon {

Time now_by_clock() {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return Time(std::chrono::duration_cast<EngineClock::duration>(
        std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec)));
}

}  // namespace sipnat::daemon
