// PacketView::parse() over any bytes; with_payload() over every packet that it reads.
//
//     input   2 bytes: length of the new payload    the rest: the packet
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "exact.h"
#include "property.h"
#include "sipnat/net/packet.h"

namespace sipnat::fuzz {

namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kUdp = 17;

std::uint32_t word(Bytes bytes, std::size_t at) {
    const std::uint32_t low = at + 1 < bytes.size() ? bytes[at + 1] : 0;
    return static_cast<std::uint32_t>(bytes[at]) * 256 + low;
}

/// RFC 1071 word by word: 0xffff over what holds its own checksum.
std::uint32_t ones_sum(Bytes bytes, std::uint32_t sum = 0) {
    for (std::size_t at = 0; at < bytes.size(); at += 2) {
        sum += word(bytes, at);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

void check_view(Bytes packet, const PacketView& view) {
    const bool ipv4 = packet[0] / 16 == 4;
    const auto* begin = reinterpret_cast<const char*>(packet.data());
    require(view.network_length >= (ipv4 ? 20U : 40U), "an IP header has its least length");
    require(view.header_length <= packet.size(), "headers are inside the packet");
    require(view.payload.data() == begin + view.header_length, "the payload follows the headers");
    require(view.payload.size() <= packet.size() - view.header_length,
            "the payload is inside the packet");
    const std::size_t address = ipv4 ? 4 : 16;
    const auto source = packet.subspan(ipv4 ? 12 : 8, 2 * address);
    require(std::ranges::equal(view.tuple.source.address.bytes(), source.first(address)) &&
                std::ranges::equal(view.tuple.destination.address.bytes(), source.last(address)),
            "addresses are those of the header");
    const auto transport = packet.subspan(view.network_length);
    require(number(view.tuple.source.port) == word(transport, 0) &&
                number(view.tuple.destination.port) == word(transport, 2),
            "ports are those of the header");
    for (const auto& endpoint : {view.tuple.source, view.tuple.destination}) {
        require(Endpoint::parse(endpoint.text()) == endpoint, "an endpoint's text says the same");
        require(address_bytes(endpoint.address.text()) == address_bytes(endpoint.address),
                "an address's text is what the C library reads");
    }
}

void check_checksums(Bytes packet, const PacketView& view) {
    const bool ipv4 = packet[0] / 16 == 4;
    if (ipv4) {
        require(ones_sum(packet.first(view.network_length)) == 0xffff, "IPv4 header checksum");
    }
    const auto segment = packet.subspan(view.network_length);
    const auto protocol = static_cast<std::uint32_t>(view.tuple.transport);
    auto sum = ones_sum(ipv4 ? packet.subspan(12, 8) : packet.subspan(8, 32));
    sum += protocol + static_cast<std::uint32_t>(segment.size());
    require(ones_sum(segment, (sum & 0xffff) + (sum >> 16)) == 0xffff, "transport checksum");
    if (protocol == kUdp) require(word(segment, 6) != 0, "a UDP checksum is there");
}

/// Only lengths and checksums may differ, and over IPv4 the identification and the flags.
void check_headers(Bytes before, Bytes after, const PacketView& view) {
    const bool ipv4 = before[0] / 16 == 4;
    const bool udp = static_cast<std::size_t>(view.tuple.transport) == kUdp;
    const auto may_differ = [&](std::size_t at) {
        if (at < view.network_length) {
            return ipv4 ? (at >= 2 && at <= 6) || at == 10 || at == 11 : at == 4 || at == 5;
        }
        const std::size_t in_transport = at - view.network_length;
        return udp ? in_transport >= 4 && in_transport <= 7
                   : in_transport == 16 || in_transport == 17;
    };
    for (std::size_t at = 0; at < view.header_length; ++at) {
        require(before[at] == after[at] || may_differ(at), "other header fields stay");
    }
    if (!ipv4) return;
    const unsigned flags = before[6] ^ after[6];
    require(flags == 0 || (flags == 0x40 && (after[6] & 0x40U) == 0), "DF can only be cleared");
    require(flags != 0 || (before[4] == after[4] && before[5] == after[5]),
            "the identification stays with DF");
}

void check_rebuilt(Bytes packet, const PacketView& view, std::string_view payload) {
    const auto rebuilt = with_payload(packet, view, payload);
    if (!rebuilt) {
        require(view.header_length + payload.size() > 65535, "every payload that fits is taken");
        return;
    }
    const ExactText exact({reinterpret_cast<const char*>(rebuilt->data()), rebuilt->size()});
    const auto again = PacketView::parse(exact.bytes());
    require(again.has_value(), "a rebuilt packet can be read");
    require(again->tuple == view.tuple, "a rebuilt packet has the same endpoints");
    require(again->payload == payload, "a rebuilt packet has the payload");
    require(again->header_length == view.header_length &&
                exact.bytes().size() == view.header_length + payload.size(),
            "a rebuilt packet is its headers and the payload");
    check_headers(packet, exact.bytes(), view);
    check_checksums(exact.bytes(), *again);
}

void run(Bytes input) {
    if (input.size() < 2) return;
    const std::size_t length = word(input, 0);
    const ExactText exact({reinterpret_cast<const char*>(input.data()) + 2, input.size() - 2});
    const auto view = PacketView::parse(exact.bytes());
    if (!view) return;
    check_view(exact.bytes(), *view);
    check_rebuilt(exact.bytes(), *view, view->payload);
    check_rebuilt(exact.bytes(), *view, {});
    check_rebuilt(exact.bytes(), *view, std::string(length, 's'));
    check_rebuilt(exact.bytes(), *view, std::string(view->payload).append("x"));
}

}  // namespace

}  // namespace sipnat::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    sipnat::fuzz::run({data, size});
    return 0;
}
