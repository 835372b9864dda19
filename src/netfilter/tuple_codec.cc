#include "netfilter/tuple_codec.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

namespace sipnat::netfilter {
namespace {

std::optional<IpAddress> read_address(const nlattr* v4, const nlattr* v6) {
    const Bytes bytes = payload_of(v4 != nullptr ? v4 : v6);
    if (v4 != nullptr && bytes.size() == 4) {
        return IpAddress::ipv4(bytes.first<4>());
    }
    if (v4 == nullptr && bytes.size() == 16) {
        return IpAddress::ipv6(bytes.first<16>());
    }
    return std::nullopt;
}

bool is(const nlattr* attribute, mnl_attr_data_type type) {
    return attribute != nullptr && mnl_attr_validate(attribute, type) == 0;
}

}  // namespace

void put_tuple(nlmsghdr* message, std::uint16_t type, const Tuple& tuple) {
    const bool v4 = tuple.source.address.family() == Family::ipv4;
    const auto put_address = [&](std::uint16_t place, const IpAddress& address) {
        mnl_attr_put(message, place, address.bytes().size(), address.bytes().data());
    };
    put_nest(message, type, [&] {
        put_nest(message, CTA_TUPLE_IP, [&] {
            put_address(v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, tuple.source.address);
            put_address(v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, tuple.destination.address);
        });
        put_nest(message, CTA_TUPLE_PROTO, [&] {
            mnl_attr_put_u8(message, CTA_PROTO_NUM, static_cast<std::uint8_t>(tuple.transport));
            mnl_attr_put_u16(message, CTA_PROTO_SRC_PORT, htons(number(tuple.source.port)));
            mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, htons(number(tuple.destination.port)));
        });
    });
}

std::optional<Tuple> read_tuple(const nlattr* nest) {
    const auto parts = attributes_in<CTA_TUPLE_MAX>(payload_of(nest));
    const auto ip = attributes_in<CTA_IP_MAX>(payload_of(parts[CTA_TUPLE_IP]));
    const auto protocol = attributes_in<CTA_PROTO_MAX>(payload_of(parts[CTA_TUPLE_PROTO]));
    const auto source = read_address(ip[CTA_IP_V4_SRC], ip[CTA_IP_V6_SRC]);
    const auto destination = read_address(ip[CTA_IP_V4_DST], ip[CTA_IP_V6_DST]);
    if (!source || !destination || source->family() != destination->family() ||
        !is(protocol[CTA_PROTO_NUM], MNL_TYPE_U8) ||
        !is(protocol[CTA_PROTO_SRC_PORT], MNL_TYPE_U16) ||
        !is(protocol[CTA_PROTO_DST_PORT], MNL_TYPE_U16)) {
        return std::nullopt;
    }
    const auto transport = static_cast<Transport>(mnl_attr_get_u8(protocol[CTA_PROTO_NUM]));
    if (transport != Transport::udp && transport != Transport::tcp) {
        return std::nullopt;
    }
    const auto port = [](const nlattr* attribute) {
        return static_cast<Port>(ntohs(mnl_attr_get_u16(attribute)));
    };
    return Tuple{{*source, port(protocol[CTA_PROTO_SRC_PORT])},
                 {*destination, port(protocol[CTA_PROTO_DST_PORT])},
                 transport};
}

}  // namespace sipnat::netfilter
