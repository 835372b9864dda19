#include "sipnat/net/packet.h"

#include <algorithm>
#include <array>
#include <string>

#include "net/checksum.h"
#include "sipnat/net/big_endian.h"

namespace sipnat {

namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kUdpHeader = 8;
constexpr std::size_t kTcpHeader = 20;
constexpr std::size_t kLargestLength = 65535;
constexpr std::uint8_t kDontFragment = 0x40;

// Offsets of the fields that are written.
constexpr std::size_t kIpv4TotalLength = 2;
constexpr std::size_t kIpv4Identification = 4;
constexpr std::size_t kIpv4Flags = 6;
constexpr std::size_t kIpv4Checksum = 10;
constexpr std::size_t kIpv4Source = 12;  // the destination follows, as in IPv6
constexpr std::size_t kIpv6PayloadLength = 4;
constexpr std::size_t kIpv6Source = 8;
constexpr std::size_t kUdpLength = 4;
constexpr std::size_t kUdpChecksum = 6;
constexpr std::size_t kTcpChecksum = 16;

tl::unexpected<Error> refuse(std::string object, std::string cause) {
    return fail("read packet", std::move(object), std::move(cause));
}

/// What the IP header says: who speaks to whom, and where the transport's header begins and ends.
struct NetworkHeader {
    IpAddress source;
    IpAddress destination;
    std::uint8_t protocol = 0;
    std::size_t length = 0;  ///< with options or extension headers
    std::size_t end = 0;     ///< of the packet: link padding may follow
};

Result<NetworkHeader> read_ipv4(Bytes packet) {
    if (packet.size() < kIpv4Header) return refuse("IPv4", "truncated header");
    const std::size_t length = (packet[0] & 0x0fU) * std::size_t{4};
    const std::size_t end = load_be16(packet, kIpv4TotalLength);
    if (length < kIpv4Header || end < length) return refuse("IPv4", "header length contradicts");
    if (end > packet.size()) return refuse("IPv4", "total length is more than there is");
    constexpr unsigned kMoreFragmentsOrOffset = 0x3fff;
    if ((load_be16(packet, kIpv4Flags) & kMoreFragmentsOrOffset) != 0) {
        return refuse("IPv4", "fragment");
    }
    return NetworkHeader{IpAddress::ipv4(packet.subspan<12, 4>()),
                         IpAddress::ipv4(packet.subspan<16, 4>()), packet[9], length, end};
}

/// Moves `header` over one extension header. False when `header.protocol` is none that can be
/// skipped. A routing header with segments left hides the last destination, an authentication
/// header would no longer fit the bytes: neither is skipped, nor are fragments.
Result<bool> skip_extension(Bytes packet, NetworkHeader& header) {
    constexpr std::uint8_t kHopByHop = 0;
    constexpr std::uint8_t kRouting = 43;
    constexpr std::uint8_t kFragment = 44;
    constexpr std::uint8_t kDestinationOptions = 60;
    constexpr std::size_t kUnit = 8;  // RFC 8200 4: length in eights, without the first
    if (header.protocol == kFragment) return refuse("IPv6", "fragment");
    if (header.protocol != kHopByHop && header.protocol != kRouting &&
        header.protocol != kDestinationOptions) {
        return false;
    }
    if (header.end - header.length < kUnit) return refuse("IPv6", "truncated extension header");
    const Bytes extension = packet.subspan(header.length, header.end - header.length);
    const std::size_t length = (extension[1] + std::size_t{1}) * kUnit;
    if (length > extension.size()) return refuse("IPv6", "truncated extension header");
    if (header.protocol == kRouting && extension[3] != 0) {
        return refuse("IPv6", "routing header with segments left");
    }
    header.protocol = extension[0];
    header.length += length;
    return true;
}

Result<NetworkHeader> read_ipv6(Bytes packet) {
    if (packet.size() < kIpv6Header) return refuse("IPv6", "truncated header");
    const std::size_t end = kIpv6Header + load_be16(packet, kIpv6PayloadLength);
    if (end > packet.size()) return refuse("IPv6", "payload length is more than there is");
    NetworkHeader header{IpAddress::ipv6(packet.subspan<8, 16>()),
                         IpAddress::ipv6(packet.subspan<24, 16>()), packet[6], kIpv6Header, end};
    // Each step takes eight bytes at least, so the packet's length bounds the loop.
    for (;;) {
        const auto skipped = skip_extension(packet, header);
        if (!skipped) return tl::unexpected<Error>(skipped.error());
        if (!*skipped) return header;
    }
}

Result<NetworkHeader> read_network(Bytes packet) {
    if (packet.empty()) return refuse("", "empty");
    switch (packet[0] >> 4U) {
        case 4:
            return read_ipv4(packet);
        case 6:
            return read_ipv6(packet);
        default:
            return refuse("", "neither IPv4 nor IPv6");
    }
}

/// The length of the UDP header.
Result<std::size_t> read_udp(Bytes segment) {
    if (segment.size() < kUdpHeader) return refuse("UDP", "truncated header");
    if (load_be16(segment, kUdpLength) != segment.size()) {
        return refuse("UDP", "length contradicts that of the IP packet");
    }
    return kUdpHeader;
}

/// The length of the TCP header with its options.
Result<std::size_t> read_tcp(Bytes segment) {
    if (segment.size() < kTcpHeader) return refuse("TCP", "truncated header");
    const std::size_t length = (segment[12] >> 4U) * std::size_t{4};
    if (length < kTcpHeader) return refuse("TCP", "data offset contradicts");
    if (length > segment.size()) return refuse("TCP", "data offset is more than there is");
    return length;
}

Result<std::size_t> read_transport(std::uint8_t protocol, Bytes segment) {
    switch (protocol) {
        case static_cast<std::uint8_t>(Transport::udp):
            return read_udp(segment);
        case static_cast<std::uint8_t>(Transport::tcp):
            return read_tcp(segment);
        default:
            return refuse("protocol " + std::to_string(protocol), "neither UDP nor TCP");
    }
}

/// Over the pseudo-header (RFC 768, RFC 9293 3.1, RFC 8200 8.1) and the segment, whose checksum
/// field is zero.
std::uint16_t transport_checksum(const Tuple& tuple, Bytes segment) {
    return Checksum{}
        .add(tuple.source.address.bytes())
        .add(tuple.destination.address.bytes())
        .add_word(static_cast<std::uint16_t>(tuple.transport))
        .add_word(static_cast<std::uint16_t>(segment.size()))
        .add(segment)
        .value();
}

void finish_udp(const Tuple& tuple, std::span<std::uint8_t> segment) {
    store_be16(segment, kUdpLength, segment.size());
    store_be16(segment, kUdpChecksum, 0);
    const auto sum = transport_checksum(tuple, segment);
    store_be16(segment, kUdpChecksum, sum == 0 ? 0xffff : sum);  // 0 would say: none computed
}

void finish_tcp(const Tuple& tuple, std::span<std::uint8_t> segment) {
    store_be16(segment, kTcpChecksum, 0);
    store_be16(segment, kTcpChecksum, transport_checksum(tuple, segment));
}

/// A packet that may be fragmented needs an identification, and one with DF may have had none (RFC
/// 6864 4.1; Linux sends 0). The transport's checksum differs from message to message.
void allow_fragments(std::span<std::uint8_t> packet, std::size_t checksum) {
    packet[kIpv4Flags] &= static_cast<std::uint8_t>(~kDontFragment);
    if (load_be16(packet, kIpv4Identification) != 0) return;
    store_be16(packet, kIpv4Identification, load_be16(packet, checksum));
}

void finish_ipv4(std::span<std::uint8_t> packet, std::size_t network_length) {
    store_be16(packet, kIpv4TotalLength, packet.size());
    store_be16(packet, kIpv4Checksum, 0);
    store_be16(packet, kIpv4Checksum, Checksum{}.add(packet.first(network_length)).value());
}

}  // namespace

Result<PacketView> PacketView::parse(Bytes packet) {
    const auto network = read_network(packet);
    if (!network) return tl::unexpected<Error>(network.error());
    const auto segment = packet.subspan(network->length, network->end - network->length);
    const auto transport_length = read_transport(network->protocol, segment);
    if (!transport_length) return tl::unexpected<Error>(transport_length.error());

    PacketView view;
    view.tuple.source = {network->source, static_cast<Port>(load_be16(segment, 0))};
    view.tuple.destination = {network->destination, static_cast<Port>(load_be16(segment, 2))};
    view.tuple.transport = static_cast<Transport>(network->protocol);
    view.network_length = network->length;
    view.header_length = network->length + *transport_length;
    const auto payload = segment.subspan(*transport_length);
    view.payload = {reinterpret_cast<const char*>(payload.data()), payload.size()};
    return view;
}

Result<std::vector<std::uint8_t>> with_payload(Bytes packet, const PacketView& view,
                                               std::string_view payload) {
    const bool ipv4 = view.tuple.source.address.family() == Family::ipv4;
    const bool udp = view.tuple.transport == Transport::udp;
    const std::size_t size = view.header_length + payload.size();
    if (size > kLargestLength + (ipv4 ? 0 : kIpv6Header)) {
        return fail("write packet", view.tuple.text(),
                    "payload of " + std::to_string(payload.size()) + " bytes does not fit");
    }
    std::vector<std::uint8_t> result;
    result.reserve(size);
    const auto headers = packet.first(view.header_length);
    result.insert(result.end(), headers.begin(), headers.end());
    result.insert(result.end(), payload.begin(), payload.end());

    const auto segment = std::span(result).subspan(view.network_length);
    udp ? finish_udp(view.tuple, segment) : finish_tcp(view.tuple, segment);
    if (!ipv4) {
        store_be16(result, kIpv6PayloadLength, size - kIpv6Header);
        return result;
    }
    const bool may_fragment = (result[kIpv4Flags] & kDontFragment) == 0;
    if (!may_fragment && payload.size() > view.payload.size()) {
        allow_fragments(result, view.network_length + (udp ? kUdpChecksum : kTcpChecksum));
    }
    finish_ipv4(result, view.network_length);
    return result;
}

Result<std::vector<std::uint8_t>> with_tuple(Bytes packet, const PacketView& view,
                                             const Tuple& tuple, std::string_view payload) {
    const bool ipv4 = view.tuple.source.address.family() == Family::ipv4;
    const auto headers = packet.first(view.header_length);
    std::vector<std::uint8_t> changed(headers.begin(), headers.end());
    const auto source = tuple.source.address.bytes();
    const auto destination = tuple.destination.address.bytes();
    const std::size_t at = ipv4 ? kIpv4Source : kIpv6Source;
    std::ranges::copy(source, changed.begin() + static_cast<std::ptrdiff_t>(at));
    std::ranges::copy(destination,
                      changed.begin() + static_cast<std::ptrdiff_t>(at + source.size()));
    store_be16(changed, view.network_length, number(tuple.source.port));
    store_be16(changed, view.network_length + 2, number(tuple.destination.port));
    auto after = view;
    after.tuple = tuple;
    return with_payload(changed, after, payload);
}

}  // namespace sipnat
