// NFQNL_MSG_*: queue configuration, queued packets and verdicts as netlink messages. No I/O.
#pragma once

#include "netfilter/conntrack_codec.h"
#include "netfilter/wire.h"
#include "sipnat/netfilter/queue.h"

namespace sipnat::netfilter {

/// Binds and configures in one message: between a bare BIND and its COPY_PACKET the kernel drops
/// what arrives.
void encode_bind_queue(Buffer& out, std::uint32_t sequence, QueueNumber queue,
                       const QueueSettings& settings);

/// `packet` empty: unchanged; at most kMaxPacket bytes. Asks for no ACK; a refusal comes all the
/// same.
void encode_accept(Buffer& out, PacketId id, Bytes packet, const FlowChange& change);
void encode_drop(Buffer& out, PacketId id);

/// Reads an NFQNL_MSG_PACKET into `out`. False if it has no id, or if libnetfilter_queue refuses an
/// attribute.
[[nodiscard]] bool decode_packet(const nlmsghdr& message, QueuedPacket& out);

/// The port id (nearly always a process id) of the program that listens on a queue; nothing if none
/// does. `proc_text` is the content of /proc/net/netfilter/nfnetlink_queue.
[[nodiscard]] std::optional<std::uint32_t> queue_owner(std::string_view proc_text,
                                                       QueueNumber queue);

}  // namespace sipnat::netfilter
