#include "netfilter/conntrack_codec.h"

#include <arpa/inet.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <memory>
#include <new>

#include "netfilter/tuple_codec.h"
#include "sipnat/netfilter/helper.h"

namespace sipnat::netfilter {
namespace {

// A flag within CTA_FILTER, not in any uapi header (net/netfilter/nf_internals.h).
constexpr std::uint32_t kFilterByProtocol = 1U << 3U;

// What ctnetlink may set; it answers EBUSY to a change of the others.
constexpr std::uint32_t kSettableStatus =
    flow_status::kSeenReply | flow_status::kAssured | flow_status::kFixedTimeout;

// With a mask, it is set and nothing else is touched.
constexpr std::uint8_t kLiberal = IP_CT_TCP_FLAG_BE_LIBERAL;

// Two IPv6 tuples, NAT and the rest of an entry are some 320 bytes.
constexpr std::size_t kRoom = 1024;

nlmsghdr* begin(char* place, unsigned message, int flags, std::uint32_t sequence, Family family) {
    return begin_netfilter_message(place, message_type(NFNL_SUBSYS_CTNETLINK, message), flags,
                                   sequence, address_family(family));
}

struct FreeEntry {
    void operator()(nf_conntrack* entry) const noexcept { nfct_destroy(entry); }
};
using EntryObject = std::unique_ptr<nf_conntrack, FreeEntry>;

/// An address and a port, which libnetfilter_conntrack keeps in network order.
void set_endpoint(nf_conntrack* entry, nf_conntrack_attr v4, nf_conntrack_attr v6,
                  nf_conntrack_attr port, const Endpoint& endpoint) {
    in6_addr words{};  // the library reads whole ones
    std::ranges::copy(endpoint.address.bytes(), words.s6_addr);
    nfct_set_attr(entry, endpoint.address.family() == Family::ipv4 ? v4 : v6, &words);
    nfct_set_attr_u16(entry, port, htons(number(endpoint.port)));
}

EntryObject make_entry(const FlowEntry& flow) {
    EntryObject owner(nfct_new());
    if (!owner) {
        throw std::bad_alloc();
    }
    nf_conntrack* entry = owner.get();
    const Tuple& original = flow.tuples.original;
    const Tuple& reply = flow.tuples.reply;
    nfct_set_attr_u8(entry, ATTR_L3PROTO, address_family(original.source.address.family()));
    nfct_set_attr_u8(entry, ATTR_L4PROTO, static_cast<std::uint8_t>(original.transport));
    set_endpoint(entry, ATTR_IPV4_SRC, ATTR_IPV6_SRC, ATTR_PORT_SRC, original.source);
    set_endpoint(entry, ATTR_IPV4_DST, ATTR_IPV6_DST, ATTR_PORT_DST, original.destination);
    // The mirror, not the reply that we want: nf_nat_setup_info alters the reply itself, and sets
    // no NAT status when it finds that there is nothing left to alter.
    nfct_setobjopt(entry, NFCT_SOPT_SETUP_REPLY);
    if (reply.source != original.destination) {
        set_endpoint(entry, ATTR_DNAT_IPV4, ATTR_DNAT_IPV6, ATTR_DNAT_PORT, reply.source);
    }
    if (reply.destination != original.source) {
        set_endpoint(entry, ATTR_SNAT_IPV4, ATTR_SNAT_IPV6, ATTR_SNAT_PORT, reply.destination);
    }
    if (!flow.helper.empty()) {
        nfct_set_attr(entry, ATTR_HELPER_NAME, flow.helper.c_str());
    }
    nfct_set_attr_u32(entry, ATTR_TIMEOUT, flow.timeout);
    nfct_set_attr_u32(entry, ATTR_STATUS, flow.status & kSettableStatus);  // and IPS_CONFIRMED
    if (flow.mark != 0) {
        nfct_set_attr_u32(entry, ATTR_MARK, flow.mark);
    }
    if (original.transport == Transport::tcp) {
        nfct_set_attr_u8(entry, ATTR_TCP_STATE, static_cast<std::uint8_t>(flow.tcp_state));
        for (const auto attribute :
             {ATTR_TCP_FLAGS_ORIG, ATTR_TCP_FLAGS_REPL, ATTR_TCP_MASK_ORIG, ATTR_TCP_MASK_REPL}) {
            nfct_set_attr_u8(entry, attribute, kLiberal);
        }
    }
    return owner;
}

void put_shift(nlmsghdr* message, std::uint16_t attribute, const SequenceShift& shift) {
    put_nest(message, attribute, [&] {
        mnl_attr_put_u32(message, CTA_SEQADJ_CORRECTION_POS,
                         htonl(static_cast<std::uint32_t>(shift.position)));
        mnl_attr_put_u32(message, CTA_SEQADJ_OFFSET_BEFORE,
                         htonl(static_cast<std::uint32_t>(shift.before)));
        mnl_attr_put_u32(message, CTA_SEQADJ_OFFSET_AFTER,
                         htonl(static_cast<std::uint32_t>(shift.after)));
    });
}

SequenceShift shift_in(const nlattr* nest) {
    const auto parts = attributes_in<CTA_SEQADJ_MAX>(payload_of(nest));
    const auto number = [&](int attribute) { return be32(parts[attribute]).value_or(0); };
    return {static_cast<SequenceNumber>(number(CTA_SEQADJ_CORRECTION_POS)),
            static_cast<std::int32_t>(number(CTA_SEQADJ_OFFSET_BEFORE)),
            static_cast<std::int32_t>(number(CTA_SEQADJ_OFFSET_AFTER))};
}

std::optional<std::uint64_t> packets_in(const nlattr* counters) {
    return be64(attributes_in<CTA_COUNTERS_MAX>(payload_of(counters))[CTA_COUNTERS_PACKETS]);
}

}  // namespace

void encode_create_flow(Buffer& out, std::uint32_t sequence, const FlowEntry& flow) {
    const EntryObject entry = make_entry(flow);
    append_message(out, kRoom, [&](char* place) {
        nlmsghdr* message = begin(place, IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK,
                                  sequence, flow.tuples.original.source.address.family());
        if (nfct_nlmsg_build(message, entry.get()) != 0) {
            std::abort();  // of an entry without a family only
        }
        return message;
    });
}

void encode_prolong_flow(Buffer& out, std::uint32_t sequence, const Tuple& original,
                         std::uint32_t timeout) {
    append_message(out, kRoom, [&](char* place) {
        nlmsghdr* message =
            begin(place, IPCTNL_MSG_CT_NEW, NLM_F_ACK, sequence, original.source.address.family());
        put_tuple(message, CTA_TUPLE_ORIG, original);
        mnl_attr_put_u32(message, CTA_TIMEOUT, htonl(timeout));
        return message;
    });
}

void put_memo(nlmsghdr* message, const StreamMemo& memo) {
    put_nest(message, CTA_HELP, [&] {
        mnl_attr_put_strz(message, CTA_HELP_NAME, std::string(kSignallingHelper).c_str());
        mnl_attr_put(message, CTA_HELP_INFO, memo.size(), memo.data());
    });
}

void encode_shift_flow(Buffer& out, std::uint32_t sequence, const Tuple& original,
                       const SequenceShifts& shifts, const std::optional<StreamMemo>& memo) {
    append_message(out, kRoom, [&](char* place) {
        nlmsghdr* message =
            begin(place, IPCTNL_MSG_CT_NEW, NLM_F_ACK, sequence, original.source.address.family());
        put_tuple(message, CTA_TUPLE_ORIG, original);
        put_shift(message, CTA_SEQ_ADJ_ORIG, shifts[0]);
        put_shift(message, CTA_SEQ_ADJ_REPLY, shifts[1]);
        if (memo) put_memo(message, *memo);
        put_nest(message, CTA_PROTOINFO, [&] {
            put_nest(message, CTA_PROTOINFO_TCP, [&] {
                constexpr nf_ct_tcp_flags kFlags{kLiberal, kLiberal};
                for (const auto attribute :
                     {CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, CTA_PROTOINFO_TCP_FLAGS_REPLY}) {
                    mnl_attr_put(message, attribute, sizeof kFlags, &kFlags);
                }
            });
        });
        return message;
    });
}

void encode_find_flow(Buffer& out, std::uint32_t sequence, const Tuple& tuple) {
    append_message(out, kRoom, [&](char* place) {
        nlmsghdr* message =
            begin(place, IPCTNL_MSG_CT_GET, NLM_F_ACK, sequence, tuple.source.address.family());
        put_tuple(message, CTA_TUPLE_ORIG, tuple);
        return message;
    });
}

void encode_remove_flow(Buffer& out, std::uint32_t sequence, const Tuple& tuple,
                        std::optional<std::uint32_t> id) {
    append_message(out, kRoom, [&](char* place) {
        nlmsghdr* message =
            begin(place, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, sequence, tuple.source.address.family());
        put_tuple(message, CTA_TUPLE_ORIG, tuple);
        if (id) {
            mnl_attr_put_u32(message, CTA_ID, htonl(*id));
        }
        return message;
    });
}

void encode_dump_flows(Buffer& out, std::uint32_t sequence, const FlowFilter& filter,
                       KernelFilter kernel) {
    append_message(out, kRoom, [&](char* place) {
        nlmsghdr* message = begin(place, IPCTNL_MSG_CT_GET, NLM_F_DUMP, sequence, filter.family);
        if (kernel == KernelFilter::family_only) {
            return message;
        }
        if (filter.mark_mask != 0) {
            mnl_attr_put_u32(message, CTA_MARK, htonl(filter.mark));
            mnl_attr_put_u32(message, CTA_MARK_MASK, htonl(filter.mark_mask));
        }
        if (filter.origin == FlowOrigin::expected) {
            mnl_attr_put_u32(message, CTA_STATUS, htonl(flow_status::kExpected));
            mnl_attr_put_u32(message, CTA_STATUS_MASK, htonl(flow_status::kExpected));
        }
        if (filter.transport) {
            put_nest(message, CTA_FILTER, [&] {
                // Flags in host order, the only ones in ctnetlink that are.
                mnl_attr_put_u32(message, CTA_FILTER_ORIG_FLAGS, kFilterByProtocol);
                mnl_attr_put_u32(message, CTA_FILTER_REPLY_FLAGS, 0);
            });
            put_nest(message, CTA_TUPLE_ORIG, [&] {
                put_nest(message, CTA_TUPLE_PROTO, [&] {
                    mnl_attr_put_u8(message, CTA_PROTO_NUM,
                                    static_cast<std::uint8_t>(*filter.transport));
                });
            });
        }
        return message;
    });
}

std::optional<DecodedFlow> decode_flow(Bytes attributes) {
    const auto parts = attributes_in<CTA_MAX>(attributes);
    const auto original = read_tuple(parts[CTA_TUPLE_ORIG]);
    const auto reply = read_tuple(parts[CTA_TUPLE_REPLY]);
    if (!original || !reply) {
        return std::nullopt;
    }
    DecodedFlow decoded;
    decoded.id = be32(parts[CTA_ID]).value_or(0);
    FlowEntry& flow = decoded.flow;
    flow.tuples = {*original, *reply};
    flow.status = be32(parts[CTA_STATUS]).value_or(0);
    flow.mark = be32(parts[CTA_MARK]).value_or(0);
    flow.timeout = be32(parts[CTA_TIMEOUT]).value_or(0);
    const auto help = attributes_in<CTA_HELP_MAX>(payload_of(parts[CTA_HELP]));
    flow.helper = text_of(help[CTA_HELP_NAME]);
    const Bytes memo = payload_of(help[CTA_HELP_INFO]);
    if (memo.size() == flow.memo.size()) std::ranges::copy(memo, flow.memo.begin());
    const auto protocol = attributes_in<CTA_PROTOINFO_MAX>(payload_of(parts[CTA_PROTOINFO]));
    const auto tcp = attributes_in<CTA_PROTOINFO_TCP_MAX>(payload_of(protocol[CTA_PROTOINFO_TCP]));
    const Bytes state = payload_of(tcp[CTA_PROTOINFO_TCP_STATE]);
    if (!state.empty()) flow.tcp_state = static_cast<TcpState>(state[0]);
    flow.shifts = {shift_in(parts[CTA_SEQ_ADJ_ORIG]), shift_in(parts[CTA_SEQ_ADJ_REPLY])};
    const auto there = packets_in(parts[CTA_COUNTERS_ORIG]);
    const auto back = packets_in(parts[CTA_COUNTERS_REPLY]);
    if (there && back) flow.packets = {*there, *back};
    // The master may be gone while its child lives on: the status bit stays.
    flow.expected =
        parts[CTA_TUPLE_MASTER] != nullptr || (flow.status & flow_status::kExpected) != 0;
    return decoded;
}

}  // namespace sipnat::netfilter
