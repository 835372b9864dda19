// What `sipnatctl stats` shows: all counters since the daemon's start, and what there is now.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sipnat::control {

/// "messages_rewritten" and its number, in the order in which they are shown.
using Stats = std::vector<std::pair<std::string, std::uint64_t>>;

[[nodiscard]] std::string to_json(const Stats& stats);
/// Nothing when it is not what to_json() wrote.
[[nodiscard]] std::optional<Stats> parse_stats(std::string_view json);
/// A line each.
[[nodiscard]] std::string to_text(const Stats& stats);

}  // namespace sipnat::control
