#include "netfilter/socket.h"

#include <libmnl/libmnl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace sipnat::netfilter {
namespace {

// A dump's datagram (the kernel fills up to 32 kB when the reader offers that much), or a queued
// packet of 64 kB that comes in between.
constexpr std::size_t kReceiveSize = 0xffff + 8192;

std::error_code from_errno(int code) {
    return {code, std::generic_category()};
}

}  // namespace

int error_of(const nlmsghdr& message) {
    if (mnl_nlmsg_get_payload_len(&message) < sizeof(int)) {
        return EPROTO;
    }
    return -*static_cast<const int*>(mnl_nlmsg_get_payload(&message));
}

void Socket::Close::operator()(mnl_socket* handle) const noexcept {
    mnl_socket_close(handle);
}

Socket::Socket(mnl_socket* handle) : handle_(handle), buffer_(kReceiveSize) {}

Result<Socket> Socket::open(int bus) {
    mnl_socket* handle = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (handle == nullptr) {
        return fail_errno("open netlink socket", "", errno);
    }
    Socket socket(handle);
    if (mnl_socket_bind(handle, 0, MNL_SOCKET_AUTOPID) < 0) {
        return fail_errno("bind netlink socket", "", errno);
    }
    return socket;
}

int Socket::fd() const {
    return mnl_socket_get_fd(handle_.get());
}

void Socket::set_receive_buffer(int bytes) {
    if (setsockopt(fd(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0) {
        (void)setsockopt(fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
}

std::error_code Socket::join(int group) {
    const int failed =
        mnl_socket_setsockopt(handle_.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof group);
    return failed < 0 ? from_errno(errno) : std::error_code{};
}

void Socket::set_option(int option) {
    int on = 1;
    (void)mnl_socket_setsockopt(handle_.get(), option, &on, sizeof on);
}

std::error_code Socket::send(Bytes messages) {
    while (mnl_socket_sendto(handle_.get(), messages.data(), messages.size()) < 0) {
        if (errno != EINTR) {
            return from_errno(errno);
        }
    }
    return {};
}

std::error_code Socket::receive(Bytes& datagram, int flags) {
    for (;;) {
        const ssize_t length = recv(fd(), buffer_.data(), buffer_.size(), flags | MSG_TRUNC);
        if (length >= 0) {
            if (static_cast<std::size_t>(length) > buffer_.size()) {
                return from_errno(EMSGSIZE);
            }
            datagram = Bytes(buffer_).first(static_cast<std::size_t>(length));
            return {};
        }
        if (errno != EINTR) {
            return from_errno(errno);
        }
    }
}

std::error_code Socket::request(Bytes message, std::uint32_t sequence, const Visit& visit,
                                const Visit& stray) {
    if (const auto failed = send(message)) {
        return failed;
    }
    for (;;) {
        Bytes rest;
        if (const auto failed = receive(rest, 0)) {
            return failed;
        }
        while (const nlmsghdr* answer = next_message(rest)) {
            if (answer->nlmsg_seq != sequence) {
                if (stray) {
                    stray(*answer);
                }
                continue;
            }
            if (answer->nlmsg_type == NLMSG_ERROR) {
                return from_errno(error_of(*answer));
            }
            if (answer->nlmsg_type == NLMSG_DONE) {
                return {};
            }
            if (visit) {
                visit(*answer);
            }
        }
    }
}

std::error_code Socket::request_all(Bytes messages, std::uint32_t first, std::span<int> answers) {
    if (const auto failed = send(messages)) {
        return failed;
    }
    for (std::size_t missing = answers.size(); missing > 0;) {
        Bytes rest;
        if (const auto failed = receive(rest, 0)) {
            return failed;
        }
        while (const nlmsghdr* answer = next_message(rest)) {
            const std::uint32_t index = answer->nlmsg_seq - first;
            if (answer->nlmsg_type == NLMSG_ERROR && index < answers.size()) {
                answers[index] = error_of(*answer);
                --missing;
            }
        }
    }
    return {};
}

std::error_code Socket::commit(Bytes batch) {
    if (const auto failed = send(batch)) {
        return failed;
    }
    // Errors come for any of the batch's messages, the commit's own for its first, and the last
    // one's ACK even when an earlier one failed (nfnl_err_deliver): read all there is.
    std::error_code result;
    for (int flags = 0;; flags = MSG_DONTWAIT) {
        Bytes rest;
        if (const auto failed = receive(rest, flags)) {
            const bool drained = failed == std::errc::resource_unavailable_try_again;
            return drained ? result : failed;
        }
        while (const nlmsghdr* answer = next_message(rest)) {
            if (answer->nlmsg_type == NLMSG_ERROR && !result) {
                result = from_errno(error_of(*answer));
            }
        }
    }
}

}  // namespace sipnat::netfilter
