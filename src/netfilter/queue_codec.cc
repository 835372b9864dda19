#include "netfilter/queue_codec.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <sys/socket.h>

namespace sipnat::netfilter {
namespace {

constexpr std::uint32_t kWholePacket = 0xffff;

MessageHead head(unsigned message, int flags, std::uint32_t sequence) {
    return {message_type(NFNL_SUBSYS_QUEUE, message),
            static_cast<std::uint16_t>(NLM_F_REQUEST | flags), sequence};
}

void put_verdict(MessageWriter& message, std::uint32_t verdict, PacketId id) {
    const std::uint32_t number = id.number;
    message.put(
        NFQA_VERDICT_HDR,
        std::array{
            static_cast<std::uint8_t>(verdict >> 24U), static_cast<std::uint8_t>(verdict >> 16U),
            static_cast<std::uint8_t>(verdict >> 8U), static_cast<std::uint8_t>(verdict),
            static_cast<std::uint8_t>(number >> 24U), static_cast<std::uint8_t>(number >> 16U),
            static_cast<std::uint8_t>(number >> 8U), static_cast<std::uint8_t>(number)});
}

/// struct nfqnl_msg_packet_hdr: id (4), hardware protocol (2), hook (1)
bool read_packet_head(Bytes bytes, QueuedPacket& out) {
    if (bytes.size() < 7) {
        return false;
    }
    out.id.number = *Attribute{0, bytes}.be32();
    out.hook = static_cast<Hook>(bytes[6]);
    return true;
}

}  // namespace

void encode_bind_queue(Buffer& out, std::uint32_t sequence, QueueNumber queue,
                       const QueueSettings& settings) {
    MessageWriter message(out, head(NFQNL_MSG_CONFIG, NLM_F_ACK, sequence),
                          {AF_UNSPEC, number(queue)});
    constexpr std::uint32_t kFlags = NFQA_CFG_F_CONNTRACK | NFQA_CFG_F_FAIL_OPEN;
    std::uint32_t wanted = 0;
    if (settings.when_full == WhenFull::accept) {
        wanted |= NFQA_CFG_F_FAIL_OPEN;
    }
    if (settings.flows == FlowInformation::required) {
        wanted |= NFQA_CFG_F_CONNTRACK;
    }
    // struct nfqnl_msg_config_cmd: command, padding, family (not used for a bind)
    message.put(NFQA_CFG_CMD, std::array<std::uint8_t, 4>{NFQNL_CFG_CMD_BIND, 0, 0, 0});
    // struct nfqnl_msg_config_params: copy range (4), copy mode (1)
    message.put(NFQA_CFG_PARAMS,
                std::array<std::uint8_t, 5>{0, 0, kWholePacket >> 8U, kWholePacket & 0xffU,
                                            NFQNL_COPY_PACKET});
    message.put_be32(NFQA_CFG_QUEUE_MAXLEN, settings.max_length);
    message.put_be32(NFQA_CFG_FLAGS, wanted);
    message.put_be32(NFQA_CFG_MASK, kFlags);
}

void encode_accept(Buffer& out, PacketId id, Bytes packet,
                   std::optional<std::chrono::seconds> flow_timeout) {
    MessageWriter message(out, head(NFQNL_MSG_VERDICT, 0, 0), {AF_UNSPEC, number(id.queue)});
    put_verdict(message, NF_ACCEPT, id);
    if (flow_timeout) {
        message.nest(NFQA_CT, [&] {
            message.put_be32(CTA_TIMEOUT, static_cast<std::uint32_t>(flow_timeout->count()));
        });
    }
    if (!packet.empty()) {
        message.put(NFQA_PAYLOAD, packet);
    }
}

void encode_drop(Buffer& out, PacketId id) {
    MessageWriter message(out, head(NFQNL_MSG_VERDICT, 0, 0), {AF_UNSPEC, number(id.queue)});
    put_verdict(message, NF_DROP, id);
}

bool decode_packet(const MessageView& message, QueuedPacket& out, DecodedFlow& scratch) {
    const auto attributes = message.netfilter_attributes();
    if (!attributes) {
        return false;
    }
    out.id = {static_cast<QueueNumber>(message.resource()), 0};
    out.packet = {};
    out.from_gateway = true;
    out.truncated = false;
    out.direction = FlowDirection::original;
    out.first = false;
    bool named = false;
    std::optional<Bytes> flow;
    const bool whole = for_each_attribute(*attributes, [&](const Attribute& attribute) {
        switch (attribute.type) {
            case NFQA_PACKET_HDR:
                named = read_packet_head(attribute.payload, out);
                break;
            case NFQA_PAYLOAD:
                out.packet = attribute.payload;
                break;
            case NFQA_IFINDEX_INDEV:
                out.from_gateway = false;
                break;
            case NFQA_CAP_LEN:
                out.truncated = true;
                break;
            case NFQA_CT:
                flow = attribute.payload;
                break;
            case NFQA_CT_INFO: {
                const std::uint32_t info = attribute.be32().value_or(0);
                const bool reply = info == IP_CT_ESTABLISHED_REPLY || info == IP_CT_RELATED_REPLY;
                out.direction = reply ? FlowDirection::reply : FlowDirection::original;
                break;
            }
            default:
                break;
        }
    });
    if (!whole || !named) {
        return false;
    }
    if (flow && decode_flow(*flow, scratch)) {
        out.flow = scratch.flow;
        out.first = (scratch.flow.status & flow_status::kConfirmed) == 0;
    } else {
        out.flow.reset();
    }
    return true;
}

}  // namespace sipnat::netfilter
