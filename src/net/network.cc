#include "sipnat/net/network.h"

#include <charconv>

namespace sipnat {

namespace {

/// The first `length` bits of both are the same.
bool same_start(std::span<const std::uint8_t> one, std::span<const std::uint8_t> other,
                int length) {
    for (std::size_t i = 0; length > 0; ++i, length -= 8) {
        const unsigned mask = length >= 8 ? 0xff : 0xff00U >> static_cast<unsigned>(length) & 0xffU;
        if (((one[i] ^ other[i]) & mask) != 0) return false;
    }
    return true;
}

bool is_zero_beyond(std::span<const std::uint8_t> bytes, int length) {
    for (int bit = length; bit < static_cast<int>(bytes.size()) * 8; ++bit) {
        const unsigned byte = bytes[static_cast<std::size_t>(bit / 8)];
        if ((byte >> static_cast<unsigned>(7 - bit % 8) & 1U) != 0) return false;
    }
    return true;
}

}  // namespace

std::optional<Network> Network::parse(std::string_view text, HostBits host_bits) {
    const auto slash = text.find('/');
    const auto address = IpAddress::parse(text.substr(0, slash));
    if (!address) return std::nullopt;
    const int most = static_cast<int>(address->bytes().size()) * 8;
    int length = most;
    if (slash != std::string_view::npos) {
        const auto digits = text.substr(slash + 1);
        const auto* end = digits.data() + digits.size();
        const auto [stop, error] = std::from_chars(digits.data(), end, length);
        if (error != std::errc{} || stop != end || length < 0 || length > most) return std::nullopt;
    }
    if (host_bits == HostBits::refused && !is_zero_beyond(address->bytes(), length)) {
        return std::nullopt;
    }
    return Network(*address, length);
}

bool Network::contains(const IpAddress& address) const {
    return address.family() == address_.family() &&
           same_start(address.bytes(), address_.bytes(), length_);
}

std::string Network::text() const {
    return address_.text() + "/" + std::to_string(length_);
}

}  // namespace sipnat
