// A message read line by line, as naively as possible: what the engine's fuzzer checks its output
// with. Only for text that Message::parse() has taken.
#pragma once

#include <strings.h>

#include <optional>
#include <string>
#include <string_view>

#include "property.h"

namespace sipnat::fuzz {

struct PlainMessage {
    std::size_t body = 0;               ///< where it begins
    std::optional<std::size_t> length;  ///< what Content-Length says
};

inline std::string_view strip(std::string_view text) {
    const auto first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

inline bool is_content_length(std::string_view name) {
    const std::string copy(strip(name));
    return strcasecmp(copy.c_str(), "Content-Length") == 0 || strcasecmp(copy.c_str(), "l") == 0;
}

inline PlainMessage read_plainly(std::string_view text) {
    PlainMessage message;
    std::size_t at = text.find_first_not_of("\r\n");
    at = text.find('\n', at) + 1;  // the start line
    while (at < text.size()) {
        std::size_t end = text.find('\n', at) + 1;
        if (strip(text.substr(at, end - at)).empty()) {
            message.body = end;
            return message;
        }
        while (end < text.size() && (text[end] == ' ' || text[end] == '\t')) {
            end = text.find('\n', end) + 1;
        }
        const auto header = text.substr(at, end - at);
        const auto colon = header.find(':');
        if (is_content_length(header.substr(0, colon))) {
            message.length = digits(strip(header.substr(colon + 1)), 100);
        }
        at = end;
    }
    require(false, "the headers end in an empty line");
    return message;
}

/// The first header line that begins with `name` and a colon, without its end; no folds.
inline std::string_view header_line(std::string_view text, std::string_view name) {
    const auto begin = text.find("\n" + std::string(name) + ":");
    if (begin == std::string_view::npos) return {};
    const auto line = text.substr(begin + 1);
    return strip(line.substr(0, line.find('\n')));
}

}  // namespace sipnat::fuzz
