// Letters of protocol text: ASCII whatever the locale, as all tokens of SIP and SDP are.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace sipnat {

[[nodiscard]] constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

[[nodiscard]] constexpr bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
               return x == y || lower(x) == lower(y);
           });
}

/// A stranger's bytes for a terminal or a log: one line stays one line, and no terminal obeys it. What is
/// not printable ASCII is '?'.
[[nodiscard]] inline std::string printable(std::string_view text) {
    std::string shown(text);
    std::replace_if(
        shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return shown;
}

}  // namespace sipnat
