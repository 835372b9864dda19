// 16-bit numbers of headers, in network order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sipnat {

/// Of the two bytes at `at`, which must be there.
[[nodiscard]] inline std::uint16_t load_be16(std::span<const std::uint8_t> bytes, std::size_t at) {
    return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

/// The low 16 bits of `value` into the two bytes at `at`, which must be there.
inline void store_be16(std::span<std::uint8_t> bytes, std::size_t at, std::size_t value) {
    bytes[at] = static_cast<std::uint8_t>(value >> 8U);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}

}  // namespace sipnat
