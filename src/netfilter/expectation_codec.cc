#include "netfilter/expectation_codec.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "netfilter/tuple_codec.h"
#include "sipnat/netfilter/helper.h"

namespace sipnat::netfilter {
namespace {

// The kernel takes the class policy's timeout at creation. Sent all the same: it is what a kernel
// that would honour it should use.
constexpr std::uint32_t kTimeoutSeconds = 86400;

constexpr const char* kSipFunction = "sip";

// Five IPv6 tuples and the rest of an expectation are some 480 bytes.
constexpr std::size_t kRoom = 1024;

constexpr auto kAnyPort = Port{};
constexpr auto kWholePort = static_cast<Port>(0xffff);

nlmsghdr* begin(char* place, unsigned message, int flags, std::uint32_t sequence, Family family) {
    return begin_netfilter_message(place, message_type(NFNL_SUBSYS_CTNETLINK_EXP, message), flags,
                                   sequence, address_family(family));
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

/// A message that names an expectation by its tuple, and by its id if there is one.
void encode_name(Buffer& out, unsigned message, std::uint32_t sequence, const Tuple& match,
                 std::optional<std::uint32_t> id) {
    const Tuple tuple = with_one_family(match);
    append_message(out, kRoom, [&](char* place) {
        nlmsghdr* named =
            begin(place, message, NLM_F_ACK, sequence, tuple.destination.address.family());
        put_tuple(named, CTA_EXPECT_TUPLE, tuple);
        if (id) {
            mnl_attr_put_u32(named, CTA_EXPECT_ID, htonl(*id));
        }
        return named;
    });
}

}  // namespace

void encode_create_expectation(Buffer& out, std::uint32_t sequence, const Expectation& expectation,
                               Present present) {
    const auto flags = static_cast<std::uint16_t>(NLM_F_CREATE | NLM_F_ACK |
                                                  (present == Present::fails ? NLM_F_EXCL : 0));
    const Tuple match = with_one_family(expectation.match);
    append_message(out, kRoom, [&](char* place) {
        nlmsghdr* message =
            begin(place, IPCTNL_MSG_EXP_NEW, flags, sequence, match.destination.address.family());
        put_tuple(message, CTA_EXPECT_MASTER, expectation.master);
        put_tuple(message, CTA_EXPECT_TUPLE, match);
        put_tuple(message, CTA_EXPECT_MASK, mask_of(match));
        mnl_attr_put_u32(message, CTA_EXPECT_TIMEOUT, htonl(kTimeoutSeconds));
        mnl_attr_put_u32(message, CTA_EXPECT_FLAGS, htonl(NF_CT_EXPECT_PERMANENT));
        mnl_attr_put_u32(message, CTA_EXPECT_CLASS,
                         htonl(static_cast<std::uint32_t>(expectation.media)));
        // 5.10 and some 6.18 take the class as 0 unless a helper is named.
        mnl_attr_put_strz(message, CTA_EXPECT_HELP_NAME, std::string(kMediaHelper).c_str());
        if (expectation.translates) {
            put_nest(message, CTA_EXPECT_NAT, [&] {
                mnl_attr_put_u32(message, CTA_EXPECT_NAT_DIR,
                                 htonl(static_cast<std::uint32_t>(expectation.direction)));
                put_tuple(message, CTA_EXPECT_NAT_TUPLE,
                          {expectation.nat,
                           {unspecified(expectation.nat.address.family()), kAnyPort},
                           match.transport});
            });
            mnl_attr_put_strz(message, CTA_EXPECT_FN, kSipFunction);
        }
        return message;
    });
}

void encode_find_expectation(Buffer& out, std::uint32_t sequence, const Tuple& match) {
    encode_name(out, IPCTNL_MSG_EXP_GET, sequence, match, std::nullopt);
}

void encode_remove_expectation(Buffer& out, std::uint32_t sequence, const Tuple& match,
                               std::optional<std::uint32_t> id) {
    encode_name(out, IPCTNL_MSG_EXP_DELETE, sequence, match, id);
}

void encode_dump_expectations(Buffer& out, std::uint32_t sequence, Family family) {
    append_message(out, kRoom, [&](char* place) {
        return begin(place, IPCTNL_MSG_EXP_GET, NLM_F_DUMP, sequence, family);
    });
}

std::optional<DecodedExpectation> decode_expectation(Bytes attributes) {
    const auto parts = attributes_in<CTA_EXPECT_MAX>(attributes);
    const auto master = read_tuple(parts[CTA_EXPECT_MASTER]);
    const auto match = read_tuple(parts[CTA_EXPECT_TUPLE]);
    const auto mask = read_tuple(parts[CTA_EXPECT_MASK]);
    const std::uint32_t media = be32(parts[CTA_EXPECT_CLASS]).value_or(0);
    if (!master || !match || !mask || media > static_cast<std::uint32_t>(ExpectClass::other)) {
        return std::nullopt;
    }
    DecodedExpectation decoded;
    decoded.id = be32(parts[CTA_EXPECT_ID]).value_or(0);
    decoded.helper = text_of(parts[CTA_EXPECT_HELP_NAME]);
    decoded.sip_function = text_of(parts[CTA_EXPECT_FN]) == kSipFunction;
    Expectation& expectation = decoded.expectation;
    expectation.master = *master;
    expectation.match = *match;
    apply_mask(expectation.match, *mask);
    expectation.media = static_cast<ExpectClass>(media);
    const auto nat = attributes_in<CTA_EXPECT_NAT_MAX>(payload_of(parts[CTA_EXPECT_NAT]));
    const auto nat_tuple = read_tuple(nat[CTA_EXPECT_NAT_TUPLE]);
    expectation.translates = nat_tuple.has_value();
    if (nat_tuple) {
        expectation.nat = nat_tuple->source;
        expectation.direction = be32(nat[CTA_EXPECT_NAT_DIR]).value_or(0) == 0
                                    ? FlowDirection::original
                                    : FlowDirection::reply;
    }
    return decoded;
}

}  // namespace sipnat::netfilter
