// Decisions for readers: lines of text, and the JSON of `rewrite --json`.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sipnat/core/decision.h"
#include "sipnat/net/address.h"

namespace sipnat::ctl {

/// One object on one line, without the line's end:
/// {"verdict":…,"reason":…,"edits":[…],"open":[…],"close":[…]}
[[nodiscard]] std::string to_json(const Decision& decision, std::string_view message);

/// A packet of a capture.
struct CapturedPacket {
    std::size_t number = 0;           ///< from 1, as other tools count
    std::chrono::nanoseconds time{};  ///< since 1970
    Tuple tuple;                      ///< as captured
};
/// The same object with {"packet":N,"time":S,"src":…,"dst":…} in front.
[[nodiscard]] std::string to_json(const CapturedPacket& packet, const Decision& decision,
                                  std::string_view message);
/// Holes that no packet closed: {"time":S,"reason":"timer","edits":[],"open":[],"close":[…]}
[[nodiscard]] std::string to_json(std::chrono::nanoseconds time, const std::vector<Hole>& closed);

/// One line for each edit and each hole.
[[nodiscard]] std::string to_explanation(const Decision& decision, std::string_view message);

}  // namespace sipnat::ctl
