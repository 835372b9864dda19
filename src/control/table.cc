#include "control/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "sipnat/base/ascii.h"

namespace sipnat::control {

std::string to_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        for (std::size_t i = 0; i + 1 < row.size(); ++i) {
            fmt::format_to(std::back_inserter(text), "{:<{}}  ", printable(row[i]), widths[i]);
        }
        text += printable(row.back()) + "\n";
    }
    return text;
}

}  // namespace sipnat::control
