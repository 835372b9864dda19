#include "netfilter/expectation_codec.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include "netfilter/tuple_codec.h"
#include "sipnat/netfilter/helper.h"

namespace sipnat::netfilter {
namespace {

// The kernel takes the class policy's timeout at creation. Sent all the same: it is what a kernel
// that would honour it should use.
constexpr std::uint32_t kTimeoutSeconds = 86400;

constexpr std::string_view kSipFunction = "sip";

constexpr auto kAnyPort = Port{};
constexpr auto kWholePort = static_cast<Port>(0xffff);

MessageHead head(unsigned message, int flags, std::uint32_t sequence) {
    return {message_type(NFNL_SUBSYS_CTNETLINK_EXP, message),
            static_cast<std::uint16_t>(NLM_F_REQUEST | flags), sequence};
}

NetfilterHead family_of(const Tuple& tuple) {
    return {address_family(tuple.destination.address.family()), 0};
}

IpAddress unspecified(Family family) {
    static constexpr std::array<std::uint8_t, 16> zeros{};
    return family == Family::ipv4 ? IpAddress() : IpAddress::ipv6(zeros);
}

IpAddress all_ones(Family family) {
    std::array<std::uint8_t, 16> ones{};
    ones.fill(0xff);
    return family == Family::ipv4 ? IpAddress::ipv4(std::span(ones).first<4>())
                                  : IpAddress::ipv6(ones);
}

/// The tuple as the kernel wants it, one family throughout: 0.0.0.0 stands for anybody in IPv6 too.
Tuple with_one_family(Tuple tuple) {
    const Family family = tuple.destination.address.family();
    if (tuple.source.address.is_unspecified()) {
        tuple.source.address = unspecified(family);
    }
    return tuple;
}

/// Only the source is maskable; the kernel compares destinations as a whole.
Tuple mask_of(const Tuple& match) {
    const Family family = match.destination.address.family();
    const bool any_address = match.source.address.is_unspecified();
    return {{any_address ? unspecified(family) : all_ones(family),
             match.source.port == kAnyPort ? kAnyPort : kWholePort},
            {all_ones(family), kWholePort},
            match.transport};
}

/// A source port or address that the mask blanks out is "any".
void apply_mask(Tuple& match, const Tuple& mask) {
    if (mask.source.address.is_unspecified()) {
        match.source.address = unspecified(match.destination.address.family());
    }
    if (mask.source.port == kAnyPort) {
        match.source.port = kAnyPort;
    }
}

struct NatPart {
    std::uint32_t direction = 0;
    std::optional<Tuple> tuple;
};

std::optional<NatPart> read_nat(Bytes nest) {
    NatPart nat;
    const bool whole = for_each_attribute(nest, [&](const Attribute& part) {
        if (part.type == CTA_EXPECT_NAT_DIR) {
            nat.direction = part.be32().value_or(0);
        } else if (part.type == CTA_EXPECT_NAT_TUPLE) {
            nat.tuple = read_tuple(part.payload);
        }
    });
    return whole && nat.tuple ? std::optional(nat) : std::nullopt;
}

}  // namespace

void encode_create_expectation(Buffer& out, std::uint32_t sequence,
                               const Expectation& expectation) {
    const Tuple match = with_one_family(expectation.match);
    MessageWriter message(out,
                          head(IPCTNL_MSG_EXP_NEW, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, sequence),
                          family_of(match));
    put_tuple(message, CTA_EXPECT_MASTER, expectation.master);
    put_tuple(message, CTA_EXPECT_TUPLE, match);
    put_tuple(message, CTA_EXPECT_MASK, mask_of(match));
    message.put_be32(CTA_EXPECT_TIMEOUT, kTimeoutSeconds);
    message.put_be32(CTA_EXPECT_FLAGS, NF_CT_EXPECT_PERMANENT);
    message.put_be32(CTA_EXPECT_CLASS, static_cast<std::uint32_t>(expectation.media));
    // 5.10 and some 6.18 take the class as 0 unless a helper is named.
    message.put_text(CTA_EXPECT_HELP_NAME, kMediaHelper);
    if (expectation.translates) {
        message.nest(CTA_EXPECT_NAT, [&] {
            message.put_be32(CTA_EXPECT_NAT_DIR, static_cast<std::uint32_t>(expectation.direction));
            put_tuple(message, CTA_EXPECT_NAT_TUPLE,
                      {expectation.nat,
                       {unspecified(expectation.nat.address.family()), kAnyPort},
                       match.transport});
        });
        message.put_text(CTA_EXPECT_FN, kSipFunction);
    }
}

void encode_find_expectation(Buffer& out, std::uint32_t sequence, const Tuple& match) {
    const Tuple tuple = with_one_family(match);
    MessageWriter message(out, head(IPCTNL_MSG_EXP_GET, NLM_F_ACK, sequence), family_of(tuple));
    put_tuple(message, CTA_EXPECT_TUPLE, tuple);
}

void encode_remove_expectation(Buffer& out, std::uint32_t sequence, const Tuple& match,
                               std::optional<std::uint32_t> id) {
    const Tuple tuple = with_one_family(match);
    MessageWriter message(out, head(IPCTNL_MSG_EXP_DELETE, NLM_F_ACK, sequence), family_of(tuple));
    put_tuple(message, CTA_EXPECT_TUPLE, tuple);
    if (id) {
        message.put_be32(CTA_EXPECT_ID, *id);
    }
}

void encode_dump_expectations(Buffer& out, std::uint32_t sequence, Family family) {
    const MessageWriter message(out, head(IPCTNL_MSG_EXP_GET, NLM_F_DUMP, sequence),
                                {address_family(family), 0});
}

std::optional<DecodedExpectation> decode_expectation(Bytes attributes) {
    std::optional<Tuple> master;
    std::optional<Tuple> match;
    std::optional<Tuple> mask;
    std::optional<NatPart> nat;
    std::uint32_t media = 0;
    DecodedExpectation decoded;
    const bool whole = for_each_attribute(attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case CTA_EXPECT_MASTER:
                master = read_tuple(attribute.payload);
                break;
            case CTA_EXPECT_TUPLE:
                match = read_tuple(attribute.payload);
                break;
            case CTA_EXPECT_MASK:
                mask = read_tuple(attribute.payload);
                break;
            case CTA_EXPECT_NAT:
                nat = read_nat(attribute.payload);
                break;
            case CTA_EXPECT_CLASS:
                media = attribute.be32().value_or(0);
                break;
            case CTA_EXPECT_ID:
                decoded.id = attribute.be32().value_or(0);
                break;
            case CTA_EXPECT_HELP_NAME:
                decoded.helper = attribute.text();
                break;
            case CTA_EXPECT_FN:
                decoded.sip_function = attribute.text() == kSipFunction;
                break;
            default:
                break;
        }
    });
    if (!whole || !master || !match || !mask ||
        media > static_cast<std::uint32_t>(ExpectClass::other)) {
        return std::nullopt;
    }
    apply_mask(*match, *mask);
    Expectation& expectation = decoded.expectation;
    expectation.master = *master;
    expectation.match = *match;
    expectation.media = static_cast<ExpectClass>(media);
    expectation.translates = nat.has_value();
    if (nat) {
        expectation.nat = nat->tuple->source;
        expectation.direction =
            nat->direction == 0 ? FlowDirection::original : FlowDirection::reply;
    }
    return decoded;
}

}  // namespace sipnat::netfilter
