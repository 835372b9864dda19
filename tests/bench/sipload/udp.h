// UDP sockets in network namespaces, and datagrams in batches with the time at which they came.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages.h"

namespace bench {

/// Nanoseconds of CLOCK_REALTIME, the kernel's for the time stamps of packets.
using Stamp = std::int64_t;
[[nodiscard]] Stamp now();

[[nodiscard]] sockaddr_in to_sockaddr(const Endpoint& endpoint);

class UdpSocket {
  public:
    /// Bound in that network namespace (a name of /run/netns). Throws std::system_error.
    UdpSocket(const std::string& network_namespace, const Endpoint& local);
    UdpSocket(UdpSocket&& other) noexcept;
    UdpSocket(const UdpSocket&) = delete;
    UdpSocket& operator=(const UdpSocket&) = delete;
    UdpSocket& operator=(UdpSocket&&) = delete;
    ~UdpSocket();

    void connect(const Endpoint& peer) const;
    /// Readable within that time?
    [[nodiscard]] bool wait(std::chrono::nanoseconds longest) const;
    [[nodiscard]] int fd() const { return fd_; }

  private:
    int fd_;
};

struct Datagram {
    std::string_view text;  ///< the batch's memory
    Endpoint peer;
    Stamp at = 0;  ///< when the kernel had it
};

/// Takes what waits in a socket.
class Receiver {
  public:
    explicit Receiver(std::size_t batch = 32);
    /// Does not block; at most `batch` datagrams, valid until the next call.
    [[nodiscard]] const std::vector<Datagram>& receive(const UdpSocket& socket);

  private:
    static constexpr std::size_t kLargest = 2048;
    struct Control {
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(timespec))> bytes;
    };
    std::vector<char> memory_;
    std::vector<sockaddr_in> peers_;
    std::vector<Control> controls_;
    std::vector<iovec> vectors_;
    std::vector<mmsghdr> headers_;
    std::vector<Datagram> datagrams_;
};

/// Gathers datagrams and sends `batch` of them with one call.
class Sender {
  public:
    Sender(const UdpSocket& socket, std::size_t batch);
    /// `from`: the source address (0: the socket's). `sent` is set when it leaves.
    void send(std::string_view text, const Endpoint& to, std::uint32_t from,
              std::atomic<Stamp>* sent);
    void flush();

  private:
    static constexpr std::size_t kLargest = 2048;
    struct Control {
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in_pktinfo))> bytes;
    };
    const UdpSocket& socket_;
    std::size_t batch_;
    std::size_t filled_ = 0;
    std::vector<char> memory_;
    std::vector<sockaddr_in> peers_;
    std::vector<Control> controls_;
    std::vector<iovec> vectors_;
    std::vector<mmsghdr> headers_;
    std::vector<std::atomic<Stamp>*> sent_;
};

}  // namespace bench
