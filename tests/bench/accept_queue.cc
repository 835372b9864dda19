// accept_queue QUEUE: takes packets from a netfilter queue and accepts them as they are.
//
// The least that a program behind a queue can do, with sipnatd's way of doing it: whole packets, up to
// 32 read with one call, all their verdicts sent with one. What sipnatd costs beyond this is its own.
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace {

constexpr std::size_t kBatch = 32;
constexpr std::size_t kDatagramSize = 0xffff + 8192;
constexpr std::size_t kVerdictSize = 64;
constexpr std::uint32_t kMaxLength = 4096;
constexpr int kReceiveBuffer = 8 << 20;

struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

[[noreturn]] void die(const char* what) {
    std::fprintf(stderr, "accept_queue: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

void configure(mnl_socket* socket, std::uint16_t queue) {
    std::vector<char> buffer(static_cast<std::size_t>(MNL_SOCKET_BUFFER_SIZE));
    auto* message = nfq_nlmsg_put(buffer.data(), NFQNL_MSG_CONFIG, queue);
    message->nlmsg_flags |= NLM_F_ACK;
    nfq_nlmsg_cfg_put_cmd(message, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
    nfq_nlmsg_cfg_put_params(message, NFQNL_COPY_PACKET, 0xffff);
    nfq_nlmsg_cfg_put_qmaxlen(message, kMaxLength);
    mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_FAIL_OPEN));
    mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_FAIL_OPEN));
    if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0) die("configure");
    const auto length = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
    if (length < 0) die("configure");
    const auto port = mnl_socket_get_portid(socket);
    if (mnl_cb_run(buffer.data(), static_cast<std::size_t>(length), 0, port, nullptr, nullptr) <
        0) {
        die("configure");
    }
}

/// Appends the verdict to `out`; how many bytes that took.
std::size_t put_accept(char* out, std::uint16_t queue, std::uint32_t id) {
    auto* message = nfq_nlmsg_put(out, NFQNL_MSG_VERDICT, queue);
    nfq_nlmsg_verdict_put(message, static_cast<int>(id), NF_ACCEPT);
    return message->nlmsg_len;
}

void serve(mnl_socket* socket, std::uint16_t queue) {
    std::vector<char> memory(kBatch * kDatagramSize);
    std::vector<char> verdicts(2 * kBatch * kVerdictSize);
    std::array<iovec, kBatch> vectors{};
    std::array<mmsghdr, kBatch> headers{};
    for (std::size_t i = 0; i < kBatch; ++i) {
        vectors[i] = {memory.data() + i * kDatagramSize, kDatagramSize};
        headers[i].msg_hdr.msg_iov = &vectors[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    const int fd = mnl_socket_get_fd(socket);
    while (true) {
        pollfd source{fd, POLLIN, 0};
        if (poll(&source, 1, -1) < 0 && errno != EINTR) die("poll");
        const int count = recvmmsg(fd, headers.data(), kBatch, MSG_DONTWAIT, nullptr);
        if (count < 0 && errno != EAGAIN && errno != EINTR) die("receive");
        std::size_t filled = 0;
        for (std::size_t i = 0; static_cast<int>(i) < count; ++i) {
            const auto* message = static_cast<const nlmsghdr*>(vectors[i].iov_base);
            std::array<nlattr*, NFQA_MAX + 1> attributes{};
            if (nfq_nlmsg_parse(message, attributes.data()) < 0) continue;
            const auto* attribute = attributes[NFQA_PACKET_HDR];
            if (attribute == nullptr) continue;
            const auto* head =
                static_cast<const nfqnl_msg_packet_hdr*>(mnl_attr_get_payload(attribute));
            filled += put_accept(verdicts.data() + filled, queue, ntohl(head->packet_id));
        }
        if (filled > 0 && mnl_socket_sendto(socket, verdicts.data(), filled) < 0) die("verdicts");
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: accept_queue QUEUE\n", stderr);
        return 2;
    }
    const auto queue = static_cast<std::uint16_t>(std::atoi(argv[1]));
    const std::unique_ptr<mnl_socket, Close> socket(mnl_socket_open(NETLINK_NETFILTER));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) die("open");
    const int fd = mnl_socket_get_fd(socket.get());
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer);
    configure(socket.get(), queue);
    std::puts("ready");
    std::fflush(stdout);
    serve(socket.get(), queue);
}
