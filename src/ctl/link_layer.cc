#include "ctl/link_layer.h"

#include "sipnat/net/big_endian.h"

namespace sipnat::ctl {

namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr unsigned kIpv4 = 0x0800;
constexpr unsigned kIpv6 = 0x86dd;

bool is_ip(Bytes frame, std::size_t at) {
    return at < frame.size() && (frame[at] >> 4U == 4 || frame[at] >> 4U == 6);
}

/// What a session's frame holds stands behind six bytes and a PPP protocol (RFC 2516 4).
std::optional<IpInFrame> behind_pppoe(Bytes frame, std::size_t at) {
    constexpr std::size_t kHeader = 8;
    constexpr unsigned kPppIpv4 = 0x0021;
    constexpr unsigned kPppIpv6 = 0x0057;
    if (frame.size() < at + kHeader) return std::nullopt;
    const auto protocol = load_be16(frame, at + kHeader - 2);
    if (protocol != kPppIpv4 && protocol != kPppIpv6) return std::nullopt;
    return IpInFrame{at + kHeader, at + kHeader - 4};
}

/// `type_at`: where the EtherType stands, `at`: what follows the header.
std::optional<IpInFrame> behind_type(Bytes frame, std::size_t type_at, std::size_t at) {
    constexpr std::size_t kTag = 4;
    for (; frame.size() >= at; type_at = at - 2) {
        switch (load_be16(frame, type_at)) {
            case kIpv4:
            case kIpv6:
                return IpInFrame{at, {}};
            case 0x8100:  // IEEE 802.1Q, 802.1ad, and what came before it
            case 0x88a8:
            case 0x9100:
                at += kTag;
                break;
            case 0x8864:
                return behind_pppoe(frame, at);
            default:
                return std::nullopt;
        }
    }
    return std::nullopt;
}

}  // namespace

std::optional<IpInFrame> find_ip(LinkLayer link, Bytes frame) {
    std::optional<IpInFrame> found;
    switch (link) {
        case LinkLayer::ethernet:
            found = behind_type(frame, 12, 14);
            break;
        case LinkLayer::ip:
            found = IpInFrame{};
            break;
        case LinkLayer::cooked:
            found = behind_type(frame, 14, 16);
            break;
        case LinkLayer::cooked2:
            // The type stands first; a tag inside is followed by its own type, as everywhere.
            found = behind_type(frame, 0, 20);
            break;
        case LinkLayer::loopback:
            found = IpInFrame{4, {}};
            break;
    }
    return found && is_ip(frame, found->offset) ? found : std::nullopt;
}

}  // namespace sipnat::ctl
