// Addresses, ports and tuples: the values that every other folder speaks in.
//
// All are host-order value types; byte order changes in codecs (net/packet, netfilter/) only.
//
//     Endpoint::parse("203.0.113.1:5060")   Endpoint::parse("[2001:db8::1]:5060")
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sipnat {

enum class Family : std::uint8_t { ipv4, ipv6 };

/// The transport of a flow or of a media stream; values are IANA protocol numbers.
enum class Transport : std::uint8_t { tcp = 6, udp = 17 };

[[nodiscard]] std::string_view to_text(Transport transport);

/// A transport port in host order. 0 means "any" in a tuple and "rejected" in an m= line.
enum class Port : std::uint16_t {};

[[nodiscard]] constexpr std::uint16_t number(Port port) {
    return static_cast<std::uint16_t>(port);
}
/// The port `distance` above; wraps like the 16-bit number it is.
[[nodiscard]] constexpr Port above(Port port, int distance = 1) {
    return static_cast<Port>(static_cast<std::uint16_t>(number(port) + distance));
}

/// Those below are servers' (RFC 6335 6): nothing is opened to them.
inline constexpr Port kFirstUserPort{1024};

/// From `low` to `high`, both included.
struct PortRange {
    Port low{};
    Port high{};

    bool operator==(const PortRange&) const = default;
};

/// 1 to 5 decimal digits, 0 to 65535, nothing else.
[[nodiscard]] std::optional<Port> parse_port(std::string_view text);
/// "LOW-HIGH", with LOW not above HIGH.
[[nodiscard]] std::optional<PortRange> parse_port_range(std::string_view text);

class IpAddress {
  public:
    /// 0.0.0.0
    constexpr IpAddress() = default;
    [[nodiscard]] static IpAddress ipv4(std::span<const std::uint8_t, 4> bytes);
    [[nodiscard]] static IpAddress ipv6(std::span<const std::uint8_t, 16> bytes);
    /// Dotted quad (no octal, no short forms) or RFC 4291 text without brackets and zone.
    [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);

    [[nodiscard]] Family family() const { return family_; }
    /// Network order; 4 or 16 bytes, valid as long as this address is.
    [[nodiscard]] std::span<const std::uint8_t> bytes() const {
        return std::span(bytes_).first(family_ == Family::ipv4 ? 4 : 16);
    }
    /// RFC 5952 text, no brackets.
    [[nodiscard]] std::string text() const;

    [[nodiscard]] bool is_unspecified() const;
    [[nodiscard]] bool is_loopback() const;
    [[nodiscard]] bool is_link_local() const;
    [[nodiscard]] bool is_multicast() const;
    /// RFC 1918, RFC 6598 (100.64/10) and RFC 4193 addresses.
    [[nodiscard]] bool is_private() const;
    /// One host's, as far as the address itself tells: not of this network (0/8, ::), not loopback,
    /// multicast or reserved (240/4, with 255.255.255.255; other broadcasts are known to the routing
    /// table only), nor IPv4 written as IPv6 (RFC 6890).
    [[nodiscard]] bool is_host() const;

    auto operator<=>(const IpAddress&) const = default;
    /// As the default does, but inlined.
    bool operator==(const IpAddress& other) const {
        return family_ == other.family_ &&
               std::memcmp(bytes_.data(), other.bytes_.data(), bytes_.size()) == 0;
    }
    [[nodiscard]] std::size_t hash() const;

  private:
    Family family_ = Family::ipv4;
    std::array<std::uint8_t, 16> bytes_{};
};

struct Endpoint {
    IpAddress address;
    Port port{};

    /// "IP:PORT" or "[IPv6]:PORT".
    [[nodiscard]] static std::optional<Endpoint> parse(std::string_view text);
    [[nodiscard]] std::string text() const;

    auto operator<=>(const Endpoint&) const = default;
};

/// One direction of a flow, as conntrack keeps it.
struct Tuple {
    Endpoint source;
    Endpoint destination;
    Transport transport = Transport::udp;

    /// "10.0.0.2:5060 > 203.0.113.9:5060/udp", for messages to an admin.
    [[nodiscard]] std::string text() const;
    [[nodiscard]] Tuple reversed() const { return {destination, source, transport}; }

    auto operator<=>(const Tuple&) const = default;
};

/// Conntrack's two tuples of one flow. `reply` is how an answer looks on the wire, so a NATed flow
/// is one whose reply is not the mirror of its original.
struct FlowTuples {
    Tuple original;
    Tuple reply;

    auto operator<=>(const FlowTuples&) const = default;
};

/// Mixes one more value into a hash (as splitmix64 does, one round).
[[nodiscard]] constexpr std::size_t hash_mix(std::size_t seed, std::size_t value) {
    const std::size_t mixed = (seed ^ value) * 0x9e3779b97f4a7c15ULL;
    return mixed ^ (mixed >> 32U);
}

inline std::size_t IpAddress::hash() const {
    const auto halves = std::bit_cast<std::array<std::uint64_t, 2>>(bytes_);
    return hash_mix(hash_mix(static_cast<std::size_t>(family_) + 1, halves[0]), halves[1]);
}

}  // namespace sipnat

template <>
struct std::hash<sipnat::IpAddress> {
    std::size_t operator()(const sipnat::IpAddress& address) const noexcept {
        return address.hash();
    }
};

template <>
struct std::hash<sipnat::Endpoint> {
    std::size_t operator()(const sipnat::Endpoint& endpoint) const noexcept {
        return sipnat::hash_mix(std::hash<sipnat::IpAddress>{}(endpoint.address),
                                sipnat::number(endpoint.port));
    }
};

template <>
struct std::hash<sipnat::Tuple> {
    std::size_t operator()(const sipnat::Tuple& tuple) const noexcept {
        const std::hash<sipnat::Endpoint> endpoint;
        return sipnat::hash_mix(
            sipnat::hash_mix(endpoint(tuple.source), endpoint(tuple.destination)),
            static_cast<std::size_t>(tuple.transport));
    }
};
