// What the fuzzers hold code to: a property that does not hold ends the process with its name.
//
//     require(within(header.value, uri.host.whole), "the host stands in its header");
//
// The readers here are the oracles' own: the C library's and a few lines of plain scanning, never
// those of sipnat that they judge.
#pragma once

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>

#include "sipnat/net/address.h"
#include "sipnat/sip/text.h"

namespace sipnat::fuzz {

inline void require(bool holds, std::string_view property,
                    std::source_location where = std::source_location::current()) {
    if (holds) return;
    std::fprintf(stderr, "%s:%u: does not hold: %.*s\n", where.file_name(), where.line(),
                 static_cast<int>(property.size()), property.data());
    std::abort();
}

/// Computed in 64 bits: a span that wraps is not inside.
inline bool within(Span outer, Span inner) {
    const std::uint64_t begin = inner.offset;
    const std::uint64_t end = begin + inner.length;
    const std::uint64_t outer_begin = outer.offset;
    return begin >= outer_begin && end <= outer_begin + outer.length;
}

/// Views have no offset; these compare pointers.
inline bool within(std::string_view outer, std::string_view inner) {
    return inner.empty() || (inner.data() >= outer.data() &&
                             inner.data() + inner.size() <= outer.data() + outer.size());
}

/// The address as the C library reads it: 4 or 16 bytes; nothing when it is none.
inline std::optional<std::string> address_bytes(std::string_view text) {
    std::array<char, 16> bytes{};
    const std::string copy(text);
    if (copy.find('\0') != std::string::npos) return std::nullopt;
    if (inet_pton(AF_INET, copy.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 4);
    if (inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 16);
    return std::nullopt;
}

inline std::string address_bytes(const IpAddress& address) {
    return {address.bytes().begin(), address.bytes().end()};
}

/// 1 to `most` digits and nothing else.
inline std::optional<unsigned long> digits(std::string_view text, std::size_t most = 10) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (text.empty() || text.size() > most || !std::ranges::all_of(text, is_digit)) {
        return std::nullopt;
    }
    return std::strtoul(std::string(text).c_str(), nullptr, 10);
}

inline void require_port(Port port, std::string_view text) {
    const auto value = digits(text, 5);
    require(value && *value <= 65535 && *value == number(port), "a port is what its digits say");
}

}  // namespace sipnat::fuzz
