#include "netfilter/queue_codec.h"

#include <arpa/inet.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace sipnat::netfilter {
namespace {

constexpr int kWholePacket = 0xffff;

// nfq_nlmsg_parse() fills up to the NFQA_MAX that libnetfilter_queue was built with, which may lie
// above that of our headers.
constexpr std::size_t kAttributes = 64;
static_assert(NFQA_MAX < kAttributes);

/// Takes the next number off a line of blank-separated numbers.
std::optional<std::uint32_t> take_number(std::string_view& line) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    line.remove_prefix(static_cast<std::size_t>(end - line.data()));
    return value;
}

}  // namespace

void encode_bind_queue(Buffer& out, std::uint32_t sequence, QueueNumber queue,
                       const QueueSettings& settings) {
    constexpr std::uint32_t kFlags = NFQA_CFG_F_CONNTRACK | NFQA_CFG_F_FAIL_OPEN;
    std::uint32_t wanted = 0;
    if (settings.when_full == WhenFull::accept) {
        wanted |= NFQA_CFG_F_FAIL_OPEN;
    }
    if (settings.flows == FlowInformation::required) {
        wanted |= NFQA_CFG_F_CONNTRACK;
    }
    append_message(out, 128, [&](char* place) {
        nlmsghdr* message = nfq_nlmsg_put(place, NFQNL_MSG_CONFIG, number(queue));
        message->nlmsg_flags |= NLM_F_ACK;
        message->nlmsg_seq = sequence;
        nfq_nlmsg_cfg_put_cmd(message, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
        nfq_nlmsg_cfg_put_params(message, NFQNL_COPY_PACKET, kWholePacket);
        nfq_nlmsg_cfg_put_qmaxlen(message, settings.max_length);
        mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(wanted));
        mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(kFlags));
        return message;
    });
}

void encode_accept(Buffer& out, PacketId id, Bytes packet, const FlowChange& change) {
    if (packet.size() > kMaxPacket) {
        std::abort();  // an attribute's length has 16 bits
    }
    append_message(out, 256 + packet.size(), [&](char* place) {
        nlmsghdr* message = nfq_nlmsg_put(place, NFQNL_MSG_VERDICT, number(id.queue));
        nfq_nlmsg_verdict_put(message, static_cast<int>(id.number), NF_ACCEPT);
        if (change.timeout || change.memo || change.loses_helper) {
            put_nest(message, NFQA_CT, [&] {
                if (change.timeout) {
                    mnl_attr_put_u32(message, CTA_TIMEOUT,
                                     htonl(static_cast<std::uint32_t>(change.timeout->count())));
                }
                if (change.loses_helper) {
                    put_nest(message, CTA_HELP,
                             [&] { mnl_attr_put_strz(message, CTA_HELP_NAME, ""); });
                } else if (change.memo) {
                    put_memo(message, *change.memo);
                }
            });
        }
        if (!packet.empty()) {
            nfq_nlmsg_verdict_put_pkt(message, packet.data(),
                                      static_cast<std::uint32_t>(packet.size()));
        }
        return message;
    });
}

void encode_drop(Buffer& out, PacketId id) {
    append_message(out, 64, [&](char* place) {
        nlmsghdr* message = nfq_nlmsg_put(place, NFQNL_MSG_VERDICT, number(id.queue));
        nfq_nlmsg_verdict_put(message, static_cast<int>(id.number), NF_DROP);
        return message;
    });
}

bool decode_packet(const nlmsghdr& message, QueuedPacket& out) {
    std::array<nlattr*, kAttributes> parts{};
    if (nfq_nlmsg_parse(&message, parts.data()) < 0) {
        return false;
    }
    const Bytes head = payload_of(parts[NFQA_PACKET_HDR]);
    if (head.size() < sizeof(nfqnl_msg_packet_hdr)) {
        return false;
    }
    // A message with an attribute has an nfgenmsg before it.
    const auto* netfilter = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(&message));
    const auto* packet = reinterpret_cast<const nfqnl_msg_packet_hdr*>(head.data());
    out.id = {static_cast<QueueNumber>(ntohs(netfilter->res_id)), ntohl(packet->packet_id)};
    out.hook = static_cast<Hook>(packet->hook);
    out.packet = payload_of(parts[NFQA_PAYLOAD]);
    out.from_gateway = parts[NFQA_IFINDEX_INDEV] == nullptr;
    out.truncated = parts[NFQA_CAP_LEN] != nullptr;
    const auto info = be32(parts[NFQA_CT_INFO]);
    const bool reply = info == IP_CT_ESTABLISHED_REPLY || info == IP_CT_RELATED_REPLY;
    out.direction = reply ? FlowDirection::reply : FlowDirection::original;
    out.flow.reset();
    out.first = false;
    if (auto decoded = decode_flow(payload_of(parts[NFQA_CT]))) {
        out.first = (decoded->flow.status & flow_status::kConfirmed) == 0;
        out.flow = std::move(decoded->flow);
    }
    return true;
}

std::optional<std::uint32_t> queue_owner(std::string_view proc_text, QueueNumber queue) {
    // seq_show: queue, port id, and what the queue holds
    while (!proc_text.empty()) {
        std::string_view line = proc_text.substr(0, proc_text.find('\n'));
        proc_text.remove_prefix(std::min(line.size() + 1, proc_text.size()));
        if (take_number(line) == number(queue)) {
            return take_number(line);
        }
    }
    return std::nullopt;
}

}  // namespace sipnat::netfilter
