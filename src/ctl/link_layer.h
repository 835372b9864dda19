// Where the IP packet begins in a captured frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace sipnat::ctl {

/// As libpcap's link types (DLT_…) group them; capture.cc knows their numbers.
enum class LinkLayer : std::uint8_t {
    ethernet,  ///< with any number of VLAN tags, or PPPoE
    ip,        ///< none: the frame is the packet
    cooked,    ///< Linux's "any" device, 16 bytes (SLL)
    cooked2,   ///< … 20 bytes (SLL2)
    loopback,  ///< BSD's: four bytes of address family, in either byte order
};

struct IpInFrame {
    std::size_t offset = 0;
    /// Where PPPoE's header says in two bytes how much follows it (RFC 2516 4): the packet and the two
    /// bytes before it.
    std::optional<std::size_t> pppoe_length;
};

/// Nothing when the frame holds something else, or ends before.
[[nodiscard]] std::optional<IpInFrame> find_ip(LinkLayer link, std::span<const std::uint8_t> frame);

}  // namespace sipnat::ctl
