#include "netfilter/conntrack_codec.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include "netfilter/tuple_codec.h"

namespace sipnat::netfilter {
namespace {

// CTA_FILTER's attributes and flags are not in the uapi headers of all the years that we build on
// (linux/netfilter/nfnetlink_conntrack.h, net/netfilter/nf_internals.h).
constexpr std::uint16_t kFilterOriginalFlags = 1;
constexpr std::uint16_t kFilterReplyFlags = 2;
constexpr std::uint32_t kFilterByProtocol = 1U << 3U;

// What ctnetlink may set; it answers EBUSY to a change of the others.
constexpr std::uint32_t kSettableStatus =
    flow_status::kSeenReply | flow_status::kAssured | flow_status::kFixedTimeout;

MessageHead head(unsigned message, int flags, std::uint32_t sequence) {
    return {message_type(NFNL_SUBSYS_CTNETLINK, message),
            static_cast<std::uint16_t>(NLM_F_REQUEST | flags), sequence};
}

NetfilterHead family_of(const Tuple& tuple) {
    return {address_family(tuple.source.address.family()), 0};
}

void put_nat(MessageWriter& message, std::uint16_t type, const Endpoint& to) {
    const bool v4 = to.address.family() == Family::ipv4;
    message.nest(type, [&] {
        message.put(v4 ? CTA_NAT_V4_MINIP : CTA_NAT_V6_MINIP, to.address.bytes());
        message.put(v4 ? CTA_NAT_V4_MAXIP : CTA_NAT_V6_MAXIP, to.address.bytes());
        message.nest(CTA_NAT_PROTO, [&] {
            message.put_be16(CTA_PROTONAT_PORT_MIN, number(to.port));
            message.put_be16(CTA_PROTONAT_PORT_MAX, number(to.port));
        });
    });
}

}  // namespace

void encode_create_flow(Buffer& out, std::uint32_t sequence, const FlowEntry& flow) {
    const Tuple& original = flow.tuples.original;
    const Tuple& reply = flow.tuples.reply;
    MessageWriter message(out,
                          head(IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, sequence),
                          family_of(original));
    put_tuple(message, CTA_TUPLE_ORIG, original);
    // The mirror, not the reply that we want: nf_nat_setup_info alters the reply itself, and sets
    // no NAT status when it finds that there is nothing left to alter.
    put_tuple(message, CTA_TUPLE_REPLY, original.reversed());
    if (reply.source != original.destination) {
        put_nat(message, CTA_NAT_DST, reply.source);
    }
    if (reply.destination != original.source) {
        put_nat(message, CTA_NAT_SRC, reply.destination);
    }
    if (!flow.helper.empty()) {
        message.nest(CTA_HELP, [&] { message.put_text(CTA_HELP_NAME, flow.helper); });
    }
    message.put_be32(CTA_TIMEOUT, flow.timeout);
    message.put_be32(CTA_STATUS, (flow.status & kSettableStatus) | flow_status::kConfirmed);
    if (flow.mark != 0) {
        message.put_be32(CTA_MARK, flow.mark);
    }
}

void encode_find_flow(Buffer& out, std::uint32_t sequence, const Tuple& tuple) {
    MessageWriter message(out, head(IPCTNL_MSG_CT_GET, NLM_F_ACK, sequence), family_of(tuple));
    put_tuple(message, CTA_TUPLE_ORIG, tuple);
}

void encode_remove_flow(Buffer& out, std::uint32_t sequence, const Tuple& tuple,
                        std::optional<std::uint32_t> id) {
    MessageWriter message(out, head(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, sequence), family_of(tuple));
    put_tuple(message, CTA_TUPLE_ORIG, tuple);
    if (id) {
        message.put_be32(CTA_ID, *id);
    }
}

void encode_dump_flows(Buffer& out, std::uint32_t sequence, const FlowFilter& filter,
                       KernelFilter kernel) {
    MessageWriter message(out, head(IPCTNL_MSG_CT_GET, NLM_F_DUMP, sequence),
                          {address_family(filter.family), 0});
    if (kernel == KernelFilter::family_only) {
        return;
    }
    if (filter.mark_mask != 0) {
        message.put_be32(CTA_MARK, filter.mark);
        message.put_be32(CTA_MARK_MASK, filter.mark_mask);
    }
    if (filter.origin == FlowOrigin::expected) {
        message.put_be32(CTA_STATUS, flow_status::kExpected);
        message.put_be32(CTA_STATUS_MASK, flow_status::kExpected);
    }
    if (filter.transport) {
        message.nest(CTA_FILTER, [&] {
            // Flags in host order, the only ones in ctnetlink that are.
            const auto put_flags = [&](std::uint16_t type, std::uint32_t flags) {
                message.put(type, {reinterpret_cast<const std::uint8_t*>(&flags), sizeof flags});
            };
            put_flags(kFilterOriginalFlags, kFilterByProtocol);
            put_flags(kFilterReplyFlags, 0);
        });
        message.nest(CTA_TUPLE_ORIG, [&] {
            message.nest(CTA_TUPLE_PROTO, [&] {
                message.put_u8(CTA_PROTO_NUM, static_cast<std::uint8_t>(*filter.transport));
            });
        });
    }
}

bool decode_flow(Bytes attributes, DecodedFlow& out) {
    std::optional<Tuple> original;
    std::optional<Tuple> reply;
    out.flow.status = out.flow.mark = out.flow.timeout = out.id = 0;
    out.flow.helper.clear();
    out.flow.expected = false;
    bool whole = true;
    whole &= for_each_attribute(attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case CTA_TUPLE_ORIG:
                original = read_tuple(attribute.payload);
                break;
            case CTA_TUPLE_REPLY:
                reply = read_tuple(attribute.payload);
                break;
            case CTA_STATUS:
                out.flow.status = attribute.be32().value_or(0);
                break;
            case CTA_MARK:
                out.flow.mark = attribute.be32().value_or(0);
                break;
            case CTA_TIMEOUT:
                out.flow.timeout = attribute.be32().value_or(0);
                break;
            case CTA_ID:
                out.id = attribute.be32().value_or(0);
                break;
            case CTA_TUPLE_MASTER:
                out.flow.expected = true;
                break;
            case CTA_HELP:
                whole &= for_each_attribute(attribute.payload, [&](const Attribute& part) {
                    if (part.type == CTA_HELP_NAME) {
                        out.flow.helper = part.text();
                    }
                });
                break;
            default:
                break;
        }
    });
    if (!whole || !original || !reply) {
        return false;
    }
    out.flow.tuples = {*original, *reply};
    // The master may be gone while its child lives on: the status bit stays.
    out.flow.expected |= (out.flow.status & flow_status::kExpected) != 0;
    return true;
}

}  // namespace sipnat::netfilter
