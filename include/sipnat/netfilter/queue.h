// The netfilter queue: packets of SIP flows in, verdicts out (nfnetlink_queue).
//
//     poll(fd) ─► receive_batch() ─► for each: accept(id[, new bytes]) or drop(id) ─► flush()
//
// Each packet comes with its conntrack entry, so both tuples are known, also on a flow's first
// packet, whose entry nobody else can see yet. What sits in a queue when the object goes is dropped
// by the kernel. One thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "sipnat/base/result.h"
#include "sipnat/core/kernel.h"
#include "sipnat/netfilter/queue_number.h"

namespace sipnat::netfilter {

/// A packet's name until its verdict; numbers count up within their queue.
struct PacketId {
    QueueNumber queue{};
    std::uint32_t number = 0;

    bool operator==(const PacketId&) const = default;
};

/// Where in the stack the packet waits; values are enum nf_inet_hooks.
enum class Hook : std::uint8_t {
    prerouting = 0,
    local_in = 1,
    forward = 2,
    local_out = 3,
    postrouting = 4
};

/// Bytes of a packet that a netlink attribute has room for (NFQNL_MAX_COPY_RANGE).
inline constexpr std::size_t kMaxPacket = 0xffff - 4;

struct QueuedPacket {
    PacketId id;
    Hook hook = Hook::postrouting;
    /// The IP packet. The queue's own memory, until the next receive_batch().
    std::span<const std::uint8_t> packet;
    bool from_gateway = false;  ///< no input device: sent by a program on the gateway itself
    bool truncated = false;     ///< longer than kMaxPacket: not all of it is here, do not edit it
    /// Nothing on packets that conntrack does not track, and on those of other transports than UDP
    /// and TCP. An ICMP error of a flow has that flow here: look at the packet's own protocol.
    std::optional<FlowEntry> flow;
    FlowDirection direction = FlowDirection::original;
    bool first = false;  ///< the entry is not confirmed: it exists for this packet only
};

/// What a verdict does to the packet's entry, beside letting the packet go.
struct FlowChange {
    /// What is left of the entry's life, in whole seconds, also on a first packet; every later packet sets it
    /// back to the flow's policy.
    std::optional<std::chrono::seconds> timeout;
    /// For the private data of our helper, which the flow has (nfnl_cthelper_from_nlattr).
    std::optional<StreamMemo> memo;
    /// The flow, which is confirmed, is queued no more on behalf of its helper (ctnetlink_change_helper).
    bool loses_helper = false;
};

enum class WhenFull : std::uint8_t { accept, drop };

/// Whether packets bring their conntrack entry along. `absent` is for kernels without the glue:
/// QueuedPacket::flow stays empty.
enum class FlowInformation : std::uint8_t { required, absent };

struct QueueSettings {
    QueueNumber first{};
    std::uint16_t count = 1;  ///< queues first … first+count-1, for nft's `queue to A-B`
    /// Packets that may wait in each queue: more than the buffer takes. What that refuses has a number,
    /// and so is missed; what a full queue passes on has none (kernel: __nfqnl_enqueue_packet).
    std::uint32_t max_length = 1U << 20U;
    WhenFull when_full = WhenFull::accept;
    FlowInformation flows = FlowInformation::required;
    int receive_buffer = 8 << 20;  ///< bytes of the socket; the kernel doubles it
};

class Queue {
  public:
    /// Binds all the queues. Whatever arrives while it does is accepted unchanged.
    /// Codes: EBUSY (another program listens: named where it can be), EPERM (no CAP_NET_ADMIN),
    /// EOPNOTSUPP (no conntrack glue: nf_conntrack_netlink).
    [[nodiscard]] static Result<Queue> open(const QueueSettings& settings);
    Queue(Queue&&) noexcept;
    Queue& operator=(Queue&&) noexcept;
    ~Queue();

    /// For poll: readable when packets wait.
    [[nodiscard]] int fd() const;

    /// What waits, up to 32 packets, without blocking; empty if nothing does. Views end with the
    /// next call.
    [[nodiscard]] Result<std::span<const QueuedPacket>> receive_batch();

    /// Verdicts wait for flush().
    void accept(PacketId id, const FlowChange& change = {});
    /// With these bytes, a whole IP packet, in its place; they are copied. More than kMaxPacket
    /// cannot be handed over: the packet goes on unchanged and counts as a refused verdict. Over TCP
    /// any change of the flow beside a change of length makes the kernel adjust sequence numbers by
    /// itself (nfqnl_recv_verdict), which with IPv6 it does wrong: have one of the two.
    void accept(PacketId id, std::span<const std::uint8_t> packet, const FlowChange& change = {});
    void drop(PacketId id);

    /// Sends all verdicts. The packets go on, and first packets' entries are confirmed, before it
    /// returns. After an error the verdicts not sent are forgotten.
    [[nodiscard]] Result<void> flush();

    /// Packets that the kernel numbered but could not hand over, since open(): its socket buffer
    /// was full. With WhenFull::accept they went on unchanged.
    [[nodiscard]] std::uint64_t overruns() const;
    /// Verdicts that the kernel refused (their packet was gone) or that were too long for it.
    [[nodiscard]] std::uint64_t refused_verdicts() const;

  private:
    struct Impl;
    explicit Queue(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sipnat::netfilter
