// A view of one IP packet, and the packet again with another payload.
//
//      bytes ─► PacketView::parse ─► { source, destination, transport, payload }
//      bytes, view, new payload ─► with_payload ─► bytes   (lengths and checksums right)
//      bytes, view, new endpoints, new payload ─► with_tuple ─► bytes
//
// Whole datagrams only: conntrack has put fragments together before a packet reaches the queue.
// A view borrows: it ends with the bytes that it was made from.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sipnat/base/result.h"
#include "sipnat/net/address.h"

namespace sipnat {

struct PacketView {
    /// Reads IPv4 (options allowed) or IPv6 (extension headers skipped) with UDP or TCP inside.
    /// Fails on anything else: other protocols (ICMP errors of a helped flow are queued too),
    /// fragments, and lengths that contradict each other or the bytes at hand.
    [[nodiscard]] static Result<PacketView> parse(std::span<const std::uint8_t> packet);

    Tuple tuple;                     ///< as the packet says it: NAT applied so far included
    std::size_t network_length = 0;  ///< the IP header with its options or extension headers
    std::size_t header_length = 0;   ///< all headers: the payload's offset
    std::string_view payload;        ///< points into the packet
};

/// The packet with `payload` in the place of its own. IPv4 header checksum and UDP or TCP checksum
/// are computed anew; a zero (absent) UDP checksum over IPv4 becomes a real one. DF is cleared when
/// a packet grows, since nobody told its sender that it would.
/// Fails when the result would not fit a 16-bit length.
[[nodiscard]] Result<std::vector<std::uint8_t>> with_payload(std::span<const std::uint8_t> packet,
                                                             const PacketView& view,
                                                             std::string_view payload);

/// The same between the endpoints of `tuple` (of the packet's family and transport), as after NAT.
[[nodiscard]] Result<std::vector<std::uint8_t>> with_tuple(std::span<const std::uint8_t> packet,
                                                           const PacketView& view,
                                                           const Tuple& tuple,
                                                           std::string_view payload);

}  // namespace sipnat
