// A netlink socket: the owner of an mnl_socket, and requests over it.
//
// The kernel works through a request inside sendmsg, so every answer is there when it returns.
// One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <system_error>

#include "netfilter/wire.h"
#include "sipnat/base/result.h"

struct mnl_socket;

namespace sipnat::netfilter {

class Socket {
  public:
    /// Opens and binds a socket of a netlink family, NETLINK_NETFILTER or NETLINK_ROUTE.
    [[nodiscard]] static Result<Socket> open(int bus);

    [[nodiscard]] int fd() const;
    [[nodiscard]] std::uint32_t next_sequence() { return ++sequence_; }

    /// Asks for a receive buffer of this many bytes, past net.core.rmem_max if we may
    /// (SO_RCVBUFFORCE wants CAP_NET_ADMIN in the initial user namespace).
    void set_receive_buffer(int bytes);
    /// Receives what the kernel tells a multicast group (NFNLGRP_*, RTNLGRP_*), from now on.
    [[nodiscard]] std::error_code join(int group);
    /// Sets one of NETLINK_*'s on/off options; old kernels may refuse, which no caller depends on.
    void set_option(int option);

    [[nodiscard]] std::error_code send(Bytes messages);

    /// Sends one message that asks for an ACK and waits for it; `visit` sees each message of the
    /// answer before that. Also ends at a dump's NLMSG_DONE. Messages with other sequence numbers
    /// (stale answers, events) go to `stray`. The code is the kernel's errno.
    using Visit = std::function<void(const nlmsghdr&)>;
    [[nodiscard]] std::error_code request(Bytes message, std::uint32_t sequence,
                                          const Visit& visit = nullptr,
                                          const Visit& stray = nullptr);

    /// Sends several messages at once, with the sequence numbers `first`, `first` + 1, …, each
    /// asking for an ACK; fills in one errno for each (0: done). The code is the socket's own.
    [[nodiscard]] std::error_code request_all(Bytes messages, std::uint32_t first,
                                              std::span<int> answers);

    /// The next datagram, which ends with the next call. Waits for it unless told not to
    /// (MSG_DONTWAIT: EAGAIN).
    [[nodiscard]] std::error_code receive(Bytes& datagram, int flags);

    /// One nf_tables batch: everything or nothing. The first error that the kernel reports.
    [[nodiscard]] std::error_code commit(Bytes batch);

  private:
    struct Close {
        void operator()(mnl_socket* handle) const noexcept;
    };
    explicit Socket(mnl_socket* handle);

    std::unique_ptr<mnl_socket, Close> handle_;
    Buffer buffer_;
    std::uint32_t sequence_ = 0;
};

/// errno of an NLMSG_ERROR, 0 if it is an ACK; EPROTO if it is too short to hold one.
[[nodiscard]] int error_of(const nlmsghdr& message);

}  // namespace sipnat::netfilter
