// Decisions for readers: lines of text, and the JSON of `rewrite --json`.
#pragma once

#include <string>
#include <string_view>

#include "sipnat/core/decision.h"

namespace sipnat::ctl {

/// One object on one line, without the line's end:
/// {"verdict":…,"reason":…,"edits":[…],"open":[…],"close":[…]}
[[nodiscard]] std::string to_json(const Decision& decision, std::string_view message);

/// One line for each edit and each hole.
[[nodiscard]] std::string to_explanation(const Decision& decision, std::string_view message);

}  // namespace sipnat::ctl
