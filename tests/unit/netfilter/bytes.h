// Bytes for codec tests: hex text in heap blocks of exactly their size, so that ASan sees an
// overread of a single byte.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace sipnat::netfilter {

/// Blanks are for the reader; text after '#' up to the end of its line is a comment.
inline std::vector<std::uint8_t> from_hex(std::string_view text) {
    const auto value_of = [](char digit) {
        return static_cast<unsigned>(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    };
    std::vector<std::uint8_t> bytes;
    bool high = true;
    bool comment = false;
    for (const char character : text) {
        comment = (comment || character == '#') && character != '\n';
        if (comment || std::isxdigit(static_cast<unsigned char>(character)) == 0) {
            continue;
        }
        if (high) {
            bytes.push_back(static_cast<std::uint8_t>(value_of(character) << 4U));
        } else {
            bytes.back() = static_cast<std::uint8_t>(bytes.back() | value_of(character));
        }
        high = !high;
    }
    return bytes;
}

/// A copy without a spare byte behind it.
class ExactBytes {
  public:
    explicit ExactBytes(std::span<const std::uint8_t> bytes)
        : size_(bytes.size()), data_(new std::uint8_t[bytes.size()]) {
        std::copy(bytes.begin(), bytes.end(), data_.get());
    }
    [[nodiscard]] std::span<const std::uint8_t> get() const { return {data_.get(), size_}; }

  private:
    std::size_t size_;
    std::unique_ptr<std::uint8_t[]> data_;
};

/// A netlink message of type 0 around a body, with the right length.
inline std::vector<std::uint8_t> as_message(std::span<const std::uint8_t> body) {
    std::vector<std::uint8_t> message(16);
    message.insert(message.end(), body.begin(), body.end());
    const auto length = static_cast<std::uint32_t>(message.size());
    std::memcpy(message.data(), &length, sizeof length);
    return message;
}

/// Calls `read(bytes)` with every shorter beginning, and with every byte replaced by a few others.
template <class Read>
void with_damaged(const std::vector<std::uint8_t>& whole, Read&& read) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
        const ExactBytes cut({whole.data(), length});
        read(cut.get());
    }
    for (std::size_t place = 0; place < whole.size(); ++place) {
        for (const unsigned other : {0x00U, 0x01U, 0x03U, 0x7fU, 0x80U, 0xffU}) {
            auto copy = whole;
            copy[place] = static_cast<std::uint8_t>(other);
            const ExactBytes damaged(copy);
            read(damaged.get());
        }
    }
}

}  // namespace sipnat::netfilter
