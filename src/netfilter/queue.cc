#include "sipnat/netfilter/queue.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "netfilter/queue_codec.h"
#include "netfilter/socket.h"

namespace sipnat::netfilter {
namespace {

constexpr std::size_t kBatch = 32;
// A packet of 64 kB and its attributes: entry, device names' numbers, hardware address. Each
// datagram of a batch begins on a multiple of 4 bytes.
constexpr std::size_t kDatagramSize = 0x10000 + 8192;
// What one sendmsg carries. A default socket buffer takes 208 kB (netlink_sendmsg), one verdict at
// most 64 kB and a bit.
constexpr std::size_t kSendChunk = 128U * 1024U;

constexpr const char* kProcFile = "/proc/net/netfilter/nfnetlink_queue";

constexpr std::uint16_t kPacketMessage = message_type(NFNL_SUBSYS_QUEUE, NFQNL_MSG_PACKET);

std::string read_file(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string taken_by(QueueNumber queue) {
    std::string text = "taken by another program";
    const auto owner = queue_owner(read_file(kProcFile), queue);
    if (!owner) {
        return text + " (another sipnatd?)";
    }
    const std::string process = std::to_string(*owner);
    std::string name = read_file("/proc/" + process + "/comm");
    while (!name.empty() && name.back() == '\n') {
        name.pop_back();
    }
    return text + (name.empty() ? " (another sipnatd? netlink port " + process + ")"
                                : ": " + name + ", process " + process);
}

}  // namespace

struct Queue::Impl {
    Impl(Socket opened, const QueueSettings& wanted) : socket(std::move(opened)), settings(wanted) {
        memory.resize(kBatch * kDatagramSize);
        last_number.resize(settings.count);
        for (std::size_t i = 0; i < kBatch; ++i) {
            vectors[i] = {memory.data() + i * kDatagramSize, kDatagramSize};
            headers[i].msg_hdr.msg_iov = &vectors[i];
            headers[i].msg_hdr.msg_iovlen = 1;
        }
    }

    [[nodiscard]] std::error_code bind(QueueNumber queue) {
        const auto sequence = socket.next_sequence();
        Buffer message;
        encode_bind_queue(message, sequence, queue, settings);
        // The rules of an earlier process feed this queue from the first moment on: what comes
        // before the ACK must not wait for a verdict for ever.
        const auto failed = socket.request(message, sequence, nullptr, [&](const nlmsghdr& stray) {
            if (stray.nlmsg_type == kPacketMessage && decode_packet(stray, packets[0])) {
                count_gap(packets[0].id);
                encode_accept(verdicts, packets[0].id, {}, {});
                verdict_done();
            }
        });
        return failed ? failed : send_verdicts();
    }

    void count_gap(PacketId id) {
        const auto index = static_cast<std::uint16_t>(number(id.queue) - number(settings.first));
        if (index >= last_number.size()) {
            return;
        }
        auto& last = last_number[index];
        const std::uint32_t step = id.number - last;
        if (last != 0 && step > 1 && step < 1U << 31U) {
            overruns += step - 1;
        }
        last = id.number;
    }

    void take(Bytes datagram) {
        while (const nlmsghdr* message = next_message(datagram)) {
            if (message->nlmsg_type == NLMSG_ERROR) {
                refused += error_of(*message) != 0 ? 1U : 0U;
            } else if (message->nlmsg_type == kPacketMessage && filled < packets.size() &&
                       decode_packet(*message, packets[filled])) {
                count_gap(packets[filled].id);
                ++filled;
            }
        }
    }

    /// Remembers where a sendmsg may end, once enough has gathered.
    void verdict_done() {
        const std::size_t begun = cuts.empty() ? 0 : cuts.back();
        if (verdicts.size() - begun >= kSendChunk - kDatagramSize) {
            cuts.push_back(verdicts.size());
        }
    }

    std::error_code send_verdicts() {
        const Bytes all(verdicts);
        std::error_code failed;
        std::size_t begun = 0;
        cuts.push_back(all.size());
        for (const std::size_t end : cuts) {
            if (end > begun && !failed) {
                failed = socket.send(all.subspan(begun, end - begun));
            }
            begun = end;
        }
        verdicts.clear();
        cuts.clear();
        return failed;
    }

    Socket socket;
    QueueSettings settings;
    Buffer memory;
    std::array<iovec, kBatch> vectors{};
    std::array<mmsghdr, kBatch> headers{};
    std::array<QueuedPacket, kBatch> packets{};
    std::size_t filled = 0;
    Buffer verdicts;
    std::vector<std::size_t> cuts;
    std::vector<std::uint32_t> last_number;
    std::uint64_t overruns = 0;
    std::uint64_t refused = 0;
};

Queue::Queue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Queue::Queue(Queue&&) noexcept = default;
Queue& Queue::operator=(Queue&&) noexcept = default;
Queue::~Queue() = default;

Result<Queue> Queue::open(const QueueSettings& settings) {
    auto socket = Socket::open(NETLINK_NETFILTER);
    if (!socket) {
        return in_context("open queue", std::move(socket.error()));
    }
    socket->set_receive_buffer(settings.receive_buffer);
    // A full buffer shows as a gap in the packets' numbers; ENOBUFS would on top make the kernel
    // refuse packets until the buffer is empty (netlink's "congested" state).
    socket->set_option(NETLINK_NO_ENOBUFS);
    // A refused verdict comes back without the packet that it carried.
    socket->set_option(NETLINK_CAP_ACK);
    auto impl = std::make_unique<Impl>(std::move(*socket), settings);
    for (unsigned i = 0; i < settings.count; ++i) {
        const auto queue = static_cast<QueueNumber>(number(settings.first) + i);
        const auto failed = impl->bind(queue);
        if (!failed) {
            continue;
        }
        const std::string name = std::to_string(number(queue));
        // nfnetlink_queue answers EPERM when another port owns the queue, and so does nfnetlink
        // when we may not configure anything: only the list of queues tells them apart.
        const bool listed = queue_owner(read_file(kProcFile), queue).has_value();
        if (failed == std::errc::device_or_resource_busy ||
            (failed == std::errc::operation_not_permitted && listed)) {
            return fail("bind queue", name, taken_by(queue), EBUSY);
        }
        if (failed == std::errc::operation_not_supported) {
            return fail("bind queue", name,
                        "the kernel does not hand over conntrack entries (nf_conntrack_netlink, "
                        "CONFIG_NETFILTER_NETLINK_GLUE_CT)",
                        EOPNOTSUPP);
        }
        return fail_errno("bind queue", name, failed.value());
    }
    return Queue(std::move(impl));
}

int Queue::fd() const {
    return impl_->socket.fd();
}

Result<std::span<const QueuedPacket>> Queue::receive_batch() {
    impl_->filled = 0;
    int count = 0;
    do {
        count = recvmmsg(fd(), impl_->headers.data(), kBatch, MSG_DONTWAIT, nullptr);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        // Out of memory for an answer to a verdict: that is lost, and nothing else.
        if (errno == EAGAIN || errno == ENOBUFS) {
            return std::span<const QueuedPacket>{};
        }
        return fail_errno("receive from queue", std::to_string(number(impl_->settings.first)),
                          errno);
    }
    for (int i = 0; i < count; ++i) {
        const auto& header = impl_->headers[static_cast<std::size_t>(i)];
        impl_->take(Bytes(static_cast<const std::uint8_t*>(header.msg_hdr.msg_iov->iov_base),
                          header.msg_len));
    }
    return std::span<const QueuedPacket>(impl_->packets.data(), impl_->filled);
}

void Queue::accept(PacketId id, const FlowChange& change) {
    encode_accept(impl_->verdicts, id, {}, change);
    impl_->verdict_done();
}

void Queue::accept(PacketId id, std::span<const std::uint8_t> packet, const FlowChange& change) {
    if (packet.size() > kMaxPacket) {
        ++impl_->refused;
        packet = {};
    }
    encode_accept(impl_->verdicts, id, packet, change);
    impl_->verdict_done();
}

void Queue::drop(PacketId id) {
    encode_drop(impl_->verdicts, id);
    impl_->verdict_done();
}

Result<void> Queue::flush() {
    if (const auto failed = impl_->send_verdicts()) {
        return fail_errno("send verdicts to queue", std::to_string(number(impl_->settings.first)),
                          failed.value());
    }
    return {};
}

std::uint64_t Queue::overruns() const {
    return impl_->overruns;
}
std::uint64_t Queue::refused_verdicts() const {
    return impl_->refused;
}

}  // namespace sipnat::netfilter
