#include "netfilter/tuple_codec.h"

#include <linux/netfilter/nfnetlink_conntrack.h>

namespace sipnat::netfilter {
namespace {

struct TupleParts {
    std::optional<IpAddress> source;
    std::optional<IpAddress> destination;
    std::optional<std::uint8_t> protocol;
    std::optional<std::uint16_t> source_port;
    std::optional<std::uint16_t> destination_port;
};

std::optional<IpAddress> read_ipv4(Bytes bytes) {
    return bytes.size() == 4 ? std::optional(IpAddress::ipv4(bytes.first<4>())) : std::nullopt;
}

std::optional<IpAddress> read_ipv6(Bytes bytes) {
    return bytes.size() == 16 ? std::optional(IpAddress::ipv6(bytes.first<16>())) : std::nullopt;
}

bool read_addresses(Bytes nest, TupleParts& parts) {
    return for_each_attribute(nest, [&](const Attribute& part) {
        switch (part.type) {
            case CTA_IP_V4_SRC:
                parts.source = read_ipv4(part.payload);
                break;
            case CTA_IP_V4_DST:
                parts.destination = read_ipv4(part.payload);
                break;
            case CTA_IP_V6_SRC:
                parts.source = read_ipv6(part.payload);
                break;
            case CTA_IP_V6_DST:
                parts.destination = read_ipv6(part.payload);
                break;
            default:
                break;
        }
    });
}

bool read_protocol(Bytes nest, TupleParts& parts) {
    return for_each_attribute(nest, [&](const Attribute& part) {
        switch (part.type) {
            case CTA_PROTO_NUM:
                parts.protocol = part.u8();
                break;
            case CTA_PROTO_SRC_PORT:
                parts.source_port = part.be16();
                break;
            case CTA_PROTO_DST_PORT:
                parts.destination_port = part.be16();
                break;
            default:
                break;
        }
    });
}

}  // namespace

void put_tuple(MessageWriter& message, std::uint16_t type, const Tuple& tuple) {
    const bool v4 = tuple.source.address.family() == Family::ipv4;
    message.nest(type, [&] {
        message.nest(CTA_TUPLE_IP, [&] {
            message.put(v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, tuple.source.address.bytes());
            message.put(v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, tuple.destination.address.bytes());
        });
        message.nest(CTA_TUPLE_PROTO, [&] {
            message.put_u8(CTA_PROTO_NUM, static_cast<std::uint8_t>(tuple.transport));
            message.put_be16(CTA_PROTO_SRC_PORT, number(tuple.source.port));
            message.put_be16(CTA_PROTO_DST_PORT, number(tuple.destination.port));
        });
    });
}

std::optional<Tuple> read_tuple(Bytes nest) {
    TupleParts parts;
    bool whole = true;
    whole &= for_each_attribute(nest, [&](const Attribute& part) {
        if (part.type == CTA_TUPLE_IP) {
            whole &= read_addresses(part.payload, parts);
        } else if (part.type == CTA_TUPLE_PROTO) {
            whole &= read_protocol(part.payload, parts);
        }
    });
    if (!whole || !parts.source || !parts.destination || !parts.source_port ||
        !parts.destination_port || parts.source->family() != parts.destination->family()) {
        return std::nullopt;
    }
    if (parts.protocol != static_cast<std::uint8_t>(Transport::udp) &&
        parts.protocol != static_cast<std::uint8_t>(Transport::tcp)) {
        return std::nullopt;
    }
    return Tuple{{*parts.source, static_cast<Port>(*parts.source_port)},
                 {*parts.destination, static_cast<Port>(*parts.destination_port)},
                 static_cast<Transport>(*parts.protocol)};
}

}  // namespace sipnat::netfilter
