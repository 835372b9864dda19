#include "udp.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace bench {
namespace {

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

int check(int result, const std::string& what) {
    if (result < 0) fail(what);
    return result;
}

template <class Value>
void set_option(int fd, int level, int option, const Value& value) {
    check(setsockopt(fd, level, option, &value, sizeof value), "setsockopt");
}

int open_in(const std::string& network_namespace) {
    const int home = check(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), "own namespace");
    const auto path = "/run/netns/" + network_namespace;
    const int there = check(open(path.c_str(), O_RDONLY | O_CLOEXEC), path);
    check(setns(there, CLONE_NEWNET), "enter " + path);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int error = errno;
    check(setns(home, CLONE_NEWNET), "leave " + path);
    close(home);
    close(there);
    errno = error;
    return check(fd, "socket");
}

}  // namespace

Stamp now() {
    timespec time{};
    clock_gettime(CLOCK_REALTIME, &time);
    return Stamp{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

sockaddr_in to_sockaddr(const Endpoint& endpoint) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(endpoint.address);
    address.sin_port = htons(endpoint.port);
    return address;
}

UdpSocket::UdpSocket(const std::string& network_namespace, const Endpoint& local)
    : fd_(open_in(network_namespace)) {
    constexpr int kBuffer = 16 << 20;
    set_option(fd_, SOL_SOCKET, SO_RCVBUFFORCE, kBuffer);
    set_option(fd_, SOL_SOCKET, SO_SNDBUFFORCE, kBuffer);
    set_option(fd_, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    const auto address = to_sockaddr(local);
    check(bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
}

UdpSocket::UdpSocket(UdpSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

UdpSocket::~UdpSocket() {
    if (fd_ >= 0) close(fd_);
}

void UdpSocket::connect(const Endpoint& peer) const {
    const auto address = to_sockaddr(peer);
    check(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect");
}

bool UdpSocket::wait(std::chrono::nanoseconds longest) const {
    pollfd source{fd_, POLLIN, 0};
    const auto left = std::max<std::int64_t>(longest.count(), 0);
    const timespec time{left / 1'000'000'000, left % 1'000'000'000};
    return ppoll(&source, 1, &time, nullptr) > 0;
}

Receiver::Receiver(std::size_t batch)
    : memory_(batch * kLargest), peers_(batch), controls_(batch), vectors_(batch), headers_(batch) {
    for (std::size_t i = 0; i < batch; ++i) {
        vectors_[i] = {memory_.data() + i * kLargest, kLargest};
    }
    datagrams_.reserve(batch);
}

const std::vector<Datagram>& Receiver::receive(const UdpSocket& socket) {
    datagrams_.clear();
    for (std::size_t i = 0; i < headers_.size(); ++i) {
        headers_[i].msg_hdr = {&peers_[i], sizeof peers_[i],    &vectors_[i],
                               1,          &controls_[i].bytes, sizeof controls_[i].bytes,
                               0};
    }
    const int count = recvmmsg(socket.fd(), headers_.data(), static_cast<unsigned>(headers_.size()),
                               MSG_DONTWAIT, nullptr);
    // ECONNREFUSED: an ICMP error of an earlier datagram.
    if (count < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) fail("receive");
    for (std::size_t i = 0; std::cmp_less(i, count); ++i) {
        Datagram datagram{{memory_.data() + i * kLargest, headers_[i].msg_len},
                          {ntohl(peers_[i].sin_addr.s_addr), ntohs(peers_[i].sin_port)}};
        const cmsghdr* control = CMSG_FIRSTHDR(&headers_[i].msg_hdr);
        if (control != nullptr && control->cmsg_type == SO_TIMESTAMPNS) {
            timespec time{};
            std::memcpy(&time, CMSG_DATA(control), sizeof time);
            datagram.at = Stamp{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
        }
        datagrams_.push_back(datagram);
    }
    return datagrams_;
}

Sender::Sender(const UdpSocket& socket, std::size_t batch)
    : socket_(socket),
      batch_(batch),
      memory_(batch * kLargest),
      peers_(batch),
      controls_(batch),
      vectors_(batch),
      headers_(batch),
      sent_(batch) {}

void Sender::send(std::string_view text, const Endpoint& to, std::uint32_t from,
                  std::atomic<Stamp>* sent) {
    if (text.size() > kLargest) throw std::length_error("message");
    auto* const place = memory_.data() + filled_ * kLargest;
    std::memcpy(place, text.data(), text.size());
    peers_[filled_] = to_sockaddr(to);
    vectors_[filled_] = {place, text.size()};
    auto& header = headers_[filled_].msg_hdr;
    header = {&peers_[filled_], sizeof peers_[filled_], &vectors_[filled_], 1, nullptr, 0, 0};
    if (from != 0) {
        header.msg_control = &controls_[filled_].bytes;
        header.msg_controllen = sizeof controls_[filled_].bytes;
        cmsghdr* control = CMSG_FIRSTHDR(&header);
        control->cmsg_level = IPPROTO_IP;
        control->cmsg_type = IP_PKTINFO;
        control->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
        in_pktinfo information{};
        information.ipi_spec_dst.s_addr = htonl(from);
        std::memcpy(CMSG_DATA(control), &information, sizeof information);
    }
    sent_[filled_] = sent;
    if (++filled_ == batch_) flush();
}

void Sender::flush() {
    const auto time = now();
    for (std::size_t i = 0; i < filled_; ++i) {
        if (sent_[i] != nullptr) sent_[i]->store(time, std::memory_order_relaxed);
    }
    for (std::size_t done = 0; done < filled_;) {
        const int count = sendmmsg(socket_.fd(), headers_.data() + done,
                                   static_cast<unsigned>(filled_ - done), 0);
        // What can't be sent counts as lost: it does not arrive.
        done += count > 0 ? static_cast<std::size_t>(count) : 1U;
    }
    filled_ = 0;
}

}  // namespace bench
