// The internet checksum (RFC 1071): the ones' complement sum of 16-bit words.
//
//     Checksum sum;
//     sum.add(header).add(payload);      every span but the last of even length
//     store_be16(field, sum.value());
#pragma once

#include <cstdint>
#include <span>

namespace sipnat {

class Checksum {
  public:
    /// An odd last byte counts as the high half of a word; nothing may be added after it.
    Checksum& add(std::span<const std::uint8_t> bytes);
    Checksum& add_word(std::uint16_t word);
    /// The complement of the sum in host order, as it goes into the header.
    [[nodiscard]] std::uint16_t value() const;

  private:
    std::uint64_t sum_ = 0;  ///< of 32-bit words as they lie in memory, not folded yet
};

}  // namespace sipnat
