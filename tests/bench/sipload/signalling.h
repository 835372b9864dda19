// Cycles of SIP messages through a gateway: as fast as it carries them, or at a given rate.
//
//     phones (one socket, many addresses)            server (one socket)
//       INVITE ───────────────────────────────────────►
//          ◄─────────────────────────────────────── 200
//       ACK, BYE ─────────────────────────────────────►
//          ◄─────────────────────────────────────── 200
//
// Two threads, one for each side. At saturation `window` cycles are under way at any moment and each
// message is answered at once, so nothing is lost that is not the gateway's doing; at a rate, cycles
// begin on schedule, whatever became of the earlier ones, and each message is sent by itself.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cpu.h"

namespace bench {

/// Where the load goes.
struct Place {
    std::string inside;   ///< network namespace of the phones
    std::string outside;  ///< … of the server
    std::string server = "203.0.113.10";
    std::string gateway = "203.0.113.1";  ///< what stands in the place of the phones' addresses
    std::size_t phones = 1000;
    bool rewrites = false;                     ///< whether the gateway is expected to
    std::chrono::milliseconds patience{1000};  ///< an answer that takes longer is lost
    Accounts accounts;
};

struct SignallingLoad {
    std::string workload = "invite";
    std::uint32_t first_serial = 0;  ///< calls of one gateway's life must not repeat one
    std::uint32_t cycles = 4000;     ///< at most
    std::chrono::duration<double> duration{2.0};
    unsigned window = 128;
    double rate = 0;  ///< cycles a second; 0: saturation
};

/// Messages, lost and wrong ones, seconds, CPU, and at a rate the latency of messages on their way
/// through the gateway, in microseconds. Every phone registers first, unmeasured.
[[nodiscard]] nlohmann::json run_signalling(const Place& place, const SignallingLoad& load);

}  // namespace bench
