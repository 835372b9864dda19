#include "sipnat/net/tcp.h"

#include "sipnat/net/big_endian.h"

namespace sipnat {

namespace {

// Offsets in the header (RFC 9293 3.1), and bits of the flags.
constexpr std::size_t kSequence = 4;
constexpr std::size_t kAcknowledged = 8;
constexpr std::size_t kFlags = 13;
constexpr std::size_t kWindow = 14;
constexpr unsigned kFin = 0x01;
constexpr unsigned kSyn = 0x02;
constexpr unsigned kRst = 0x04;
constexpr unsigned kAck = 0x10;
constexpr unsigned kUrg = 0x20;

}  // namespace

TcpSegment read_segment(std::span<const std::uint8_t> packet, const PacketView& view) {
    const auto header = packet.subspan(view.network_length);
    const unsigned flags = header[kFlags];
    TcpSegment segment;
    segment.sequence = static_cast<SequenceNumber>(load_be32(header, kSequence));
    segment.acknowledged = static_cast<SequenceNumber>(load_be32(header, kAcknowledged));
    segment.syn = (flags & kSyn) != 0;
    segment.ack = (flags & kAck) != 0;
    segment.fin = (flags & kFin) != 0;
    segment.rst = (flags & kRst) != 0;
    segment.urgent = (flags & kUrg) != 0;
    segment.window = load_be16(header, kWindow);
    segment.payload = view.payload;
    return segment;
}

}  // namespace sipnat
