// What became of `sipnatctl reload`: filled by the daemon, carried as JSON, printed by the client.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sipnat::control {

struct Reloaded {
    std::vector<std::string> faults;    ///< the running settings stay if there are any
    std::vector<std::string> warnings;  ///< what takes effect with a restart only

    bool operator==(const Reloaded&) const = default;
};

[[nodiscard]] std::string to_json(const Reloaded& reloaded);
/// Nothing when it is not what to_json() wrote.
[[nodiscard]] std::optional<Reloaded> parse_reloaded(std::string_view json);
/// A line each, and one that says whether the settings are in effect.
[[nodiscard]] std::string to_text(const Reloaded& reloaded);

}  // namespace sipnat::control
