// G.711 calls through a gateway: 50 packets a second and direction, 160 bytes of sound each.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "signalling.h"

namespace bench {

struct MediaLoad {
    unsigned calls = 100;
    std::uint32_t first_serial = 0;
    std::chrono::duration<double> duration{2.0};
};

/// Sets up the calls, one phone each, one after the other; lets the sound run, measures, hangs up.
/// Where the gateway rewrites, the server sends to what the SDP says and expects packets from there;
/// else it answers to where they come from.
[[nodiscard]] nlohmann::json run_media(const Place& place, const MediaLoad& load);

}  // namespace bench
