// Rows of words as people read them: columns below each other.
#pragma once

#include <string>
#include <vector>

namespace sipnat::control {

/// Each row as a line, with two blanks between columns. A row may have fewer columns than others, and no
/// text in it reaches a terminal but as printable().
[[nodiscard]] std::string to_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace sipnat::control
