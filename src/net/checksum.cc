#include "net/checksum.h"

#include <arpa/inet.h>

#include <cstring>

namespace sipnat {

// The sum does not depend on byte order (RFC 1071 2 B), so words are added as they lie in memory,
// four bytes at a time, and swapped once at the end.
Checksum& Checksum::add(std::span<const std::uint8_t> bytes) {
    std::uint64_t sum = sum_;
    while (bytes.size() >= sizeof(std::uint32_t)) {
        std::uint32_t word = 0;
        std::memcpy(&word, bytes.data(), sizeof word);
        sum += word;
        bytes = bytes.subspan(sizeof word);
    }
    std::uint32_t rest = 0;
    if (!bytes.empty()) std::memcpy(&rest, bytes.data(), bytes.size());
    sum_ = sum + rest;
    return *this;
}

Checksum& Checksum::add_word(std::uint16_t word) {
    sum_ += htons(word);
    return *this;
}

std::uint16_t Checksum::value() const {
    std::uint64_t sum = sum_;
    while ((sum >> 16U) != 0)
        sum = (sum & 0xffffU) + (sum >> 16U);
    return ntohs(static_cast<std::uint16_t>(~sum & 0xffffU));
}

}  // namespace sipnat
