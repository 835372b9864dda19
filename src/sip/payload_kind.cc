#include <algorithm>

#include "sip/lexer.h"
#include "sipnat/sip/message.h"

namespace sipnat::sip {

namespace {

constexpr std::size_t kLongestJunk = 4;

bool is_stun(std::string_view payload) {
    constexpr std::size_t kHeader = 20;
    constexpr std::string_view kMagicCookie("\x21\x12\xa4\x42", 4);
    if (payload.size() < kHeader || payload.substr(4, 4) != kMagicCookie) return false;
    const auto byte = [payload](std::size_t at) { return static_cast<unsigned char>(payload[at]); };
    const std::size_t length = byte(2) * std::size_t{256} + byte(3);
    return (byte(0) & 0xc0U) == 0 && length % 4 == 0 && length == payload.size() - kHeader;
}

bool is_only_padding(std::string_view payload) {
    return std::ranges::all_of(payload, [](char c) { return c == '\0' || is(kBlank, c); });
}

}  // namespace

PayloadKind classify(std::string_view payload) {
    if (payload.size() <= kLongestJunk || is_stun(payload) || is_only_padding(payload)) {
        return PayloadKind::keepalive;
    }
    std::size_t at = 0;
    while (const std::size_t length = empty_line(payload, at))
        at += length;
    const auto end = payload.find('\n', at);
    if (end == std::string_view::npos) return PayloadKind::unknown;
    return begins_like_sip(payload.substr(at, end - at)) ? PayloadKind::sip : PayloadKind::unknown;
}

}  // namespace sipnat::sip
