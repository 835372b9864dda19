// The daemon's log: lines on standard error, with the priority that journald reads (sd-daemon(3))
// when journald is what listens.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "sipnat/base/time.h"
#include "sipnat/core/decision.h"

namespace sipnat::daemon {

enum class Level : std::uint8_t { error = 3, warning = 4, notice = 5, info = 6 };

void log(Level level, std::string_view text);

/// Strangers must not be able to fill the disk: so many lines for each reason and minute, then one
/// that tells how many were left out.
class PacketLog {
  public:
    void note(Reason reason, std::string_view text, Time now);

  private:
    static constexpr int kLinesAMinute = 10;
    struct Window {
        Time begin{};
        int lines = 0;
        std::uint64_t left_out = 0;
    };
    std::array<Window, kReasons> windows_{};
};

/// Faults of the kernel's, which each packet may meet again: so many lines a minute.
class FaultLog {
  public:
    void note(std::string_view text, Time now);

  private:
    static constexpr int kLinesAMinute = 10;
    Time begin_{};
    int lines_ = 0;
};

}  // namespace sipnat::daemon
