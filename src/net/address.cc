#include "sipnat/net/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace sipnat {

namespace {

constexpr std::size_t kLongestAddressText = 45;  // RFC 4291 with an embedded dotted quad

bool has_prefix(std::span<const std::uint8_t> bytes, std::uint8_t first, std::uint8_t mask) {
    return (bytes[0] & mask) == first;
}

}  // namespace

std::string_view to_text(Transport transport) {
    return transport == Transport::tcp ? "tcp" : "udp";
}

std::optional<Port> parse_port(std::string_view text) {
    if (text.empty() || text.size() > 5) return std::nullopt;
    std::uint16_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return static_cast<Port>(value);
}

std::optional<PortRange> parse_port_range(std::string_view text) {
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto low = parse_port(text.substr(0, dash));
    const auto high = parse_port(text.substr(dash + 1));
    if (!low || !high || *low > *high) return std::nullopt;
    return PortRange{*low, *high};
}

IpAddress IpAddress::ipv4(std::span<const std::uint8_t, 4> bytes) {
    IpAddress address;
    std::ranges::copy(bytes, address.bytes_.begin());
    return address;
}

IpAddress IpAddress::ipv6(std::span<const std::uint8_t, 16> bytes) {
    IpAddress address;
    address.family_ = Family::ipv6;
    std::ranges::copy(bytes, address.bytes_.begin());
    return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    if (text.empty() || text.size() > kLongestAddressText) return std::nullopt;
    std::array<char, kLongestAddressText + 1> terminated{};
    std::ranges::copy(text, terminated.begin());
    if (std::strlen(terminated.data()) != text.size()) return std::nullopt;  // NUL inside
    IpAddress address;
    if (text.find(':') == std::string_view::npos) {
        if (inet_pton(AF_INET, terminated.data(), address.bytes_.data()) != 1) return std::nullopt;
        return address;
    }
    if (inet_pton(AF_INET6, terminated.data(), address.bytes_.data()) != 1) return std::nullopt;
    address.family_ = Family::ipv6;
    return address;
}

std::string IpAddress::text() const {
    std::array<char, INET6_ADDRSTRLEN> buffer{};
    if (family_ == Family::ipv6) {
        inet_ntop(AF_INET6, bytes_.data(), buffer.data(), buffer.size());
        return buffer.data();
    }
    // Many a message: inet_ntop goes through snprintf, which takes ten times as long.
    char* end = buffer.data();
    for (const auto byte : bytes()) {
        if (end != buffer.data()) *end++ = '.';
        end = std::to_chars(end, buffer.data() + buffer.size(), byte).ptr;
    }
    return {buffer.data(), end};
}

bool IpAddress::is_unspecified() const {
    return std::ranges::all_of(bytes(), [](std::uint8_t byte) { return byte == 0; });
}

bool IpAddress::is_loopback() const {
    if (family_ == Family::ipv4) return bytes_[0] == 127;
    return bytes_[15] == 1 &&
           std::ranges::all_of(bytes().first(15), [](std::uint8_t byte) { return byte == 0; });
}

bool IpAddress::is_link_local() const {
    if (family_ == Family::ipv4) return bytes_[0] == 169 && bytes_[1] == 254;
    return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool IpAddress::is_multicast() const {
    return family_ == Family::ipv4 ? has_prefix(bytes(), 0xe0, 0xf0) : bytes_[0] == 0xff;
}

bool IpAddress::is_host() const {
    if (is_multicast() || is_loopback()) return false;
    if (family_ == Family::ipv4) return bytes_[0] != 0 && bytes_[0] < 240;
    static constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return !is_unspecified() && !std::ranges::equal(bytes().first(12), kMapped);
}

bool IpAddress::is_private() const {
    if (family_ == Family::ipv6) return has_prefix(bytes(), 0xfc, 0xfe);
    return bytes_[0] == 10 || (bytes_[0] == 172 && (bytes_[1] & 0xf0) == 16) ||
           (bytes_[0] == 192 && bytes_[1] == 168) || (bytes_[0] == 100 && (bytes_[1] & 0xc0) == 64);
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    auto host = text.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    const auto address = IpAddress::parse(host);
    const auto port = parse_port(text.substr(colon + 1));
    if (!address || !port || bracketed != (address->family() == Family::ipv6)) return std::nullopt;
    return Endpoint{*address, *port};
}

std::string Endpoint::text() const {
    auto host = address.text();
    if (address.family() == Family::ipv6) host = "[" + host + "]";
    return host.append(":").append(std::to_string(number(port)));
}

std::string Tuple::text() const {
    return source.text() + " > " + destination.text() + "/" + std::string(to_text(transport));
}

}  // namespace sipnat
