// A span: where in a message something stands. Everything that sip/ and sdp/ find is a span into
// one text, so that an edit is "these bytes, that replacement" and nothing is ever printed anew.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sipnat {

struct Span {
    std::uint32_t offset = 0;
    std::uint32_t length = 0;

    [[nodiscard]] std::uint32_t end() const { return offset + length; }
    [[nodiscard]] bool empty() const { return length == 0; }
    /// The text it stands for; lives as long as `text` does.
    [[nodiscard]] std::string_view in(std::string_view text) const {
        return text.substr(offset, length);
    }
    bool operator==(const Span&) const = default;
};

[[nodiscard]] constexpr Span span_of(std::size_t begin, std::size_t end) {
    return {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end - begin)};
}

}  // namespace sipnat
