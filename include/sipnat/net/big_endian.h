// Numbers of headers, in network order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sipnat {

/// Of the two bytes at `at`, which must be there.
[[nodiscard]] inline std::uint16_t load_be16(std::span<const std::uint8_t> bytes, std::size_t at) {
    return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

/// Of the four bytes at `at`, which must be there.
[[nodiscard]] inline std::uint32_t load_be32(std::span<const std::uint8_t> bytes, std::size_t at) {
    return static_cast<std::uint32_t>(load_be16(bytes, at)) << 16U | load_be16(bytes, at + 2);
}

/// The low 16 bits of `value` into the two bytes at `at`, which must be there.
inline void store_be16(std::span<std::uint8_t> bytes, std::size_t at, std::size_t value) {
    bytes[at] = static_cast<std::uint8_t>(value >> 8U);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}

/// Into the four bytes at `at`, which must be there.
inline void store_be32(std::span<std::uint8_t> bytes, std::size_t at, std::uint32_t value) {
    store_be16(bytes, at, value >> 16U);
    store_be16(bytes, at + 2, value);
}

}  // namespace sipnat
