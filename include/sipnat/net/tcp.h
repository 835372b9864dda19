// A view of one TCP segment: its numbers, flags and payload (RFC 9293 3.1).
//
// A view borrows: it ends with the bytes of its packet.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "sipnat/net/packet.h"

namespace sipnat {

/// Counts bytes modulo 2^32 (RFC 9293 3.4).
enum class SequenceNumber : std::uint32_t {};

[[nodiscard]] constexpr SequenceNumber operator+(SequenceNumber number, std::int64_t bytes) {
    return static_cast<SequenceNumber>(static_cast<std::uint32_t>(number) +
                                       static_cast<std::uint32_t>(bytes));
}
/// How far `a` lies behind `b` in the stream; negative: before it. Of numbers less than 2^31 apart.
[[nodiscard]] constexpr std::int64_t operator-(SequenceNumber a, SequenceNumber b) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) - static_cast<std::uint32_t>(b));
}

struct TcpSegment {
    SequenceNumber sequence{};
    SequenceNumber acknowledged{};  ///< with `ack`
    bool syn = false;
    bool ack = false;
    bool fin = false;
    bool rst = false;
    bool urgent = false;
    std::uint16_t window = 0;  ///< not scaled
    std::string_view payload;
};

/// Of a packet that `view` was read from, and that is TCP.
[[nodiscard]] TcpSegment read_segment(std::span<const std::uint8_t> packet, const PacketView& view);

}  // namespace sipnat
