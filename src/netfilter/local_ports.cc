#include "sipnat/netfilter/local_ports.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "netfilter/wire.h"

namespace sipnat::netfilter {
namespace {

class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) {
            close(fd_);
        }
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const { return fd_; }

  private:
    int fd_;
};

int try_bind(int fd, const Endpoint& endpoint) {
    const auto address = endpoint.address.bytes();
    if (endpoint.address.family() == Family::ipv4) {
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_port = htons(number(endpoint.port));
        std::memcpy(&name.sin_addr, address.data(), address.size());
        return bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name);
    }
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    name.sin6_port = htons(number(endpoint.port));
    std::memcpy(&name.sin6_addr, address.data(), address.size());
    return bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name);
}

}  // namespace

Result<bool> port_is_bound(const Endpoint& endpoint, Transport transport) {
    const int type = transport == Transport::udp ? SOCK_DGRAM : SOCK_STREAM;
    const Descriptor probe(socket(address_family(endpoint.address.family()), type | SOCK_CLOEXEC,
                                  static_cast<int>(transport)));
    if (probe.get() < 0) {
        return fail_errno("open socket", endpoint.text(), errno);
    }
    // Lets us ask about addresses that the gateway does not have (yet): wildcard sockets still
    // conflict. Works for IPv6 sockets as well.
    int on = 1;
    (void)setsockopt(probe.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
    if (try_bind(probe.get(), endpoint) == 0) {
        return false;
    }
    if (errno == EADDRINUSE) {
        return true;
    }
    return fail_errno("try port", endpoint.text() + "/" + std::string(to_text(transport)), errno);
}

}  // namespace sipnat::netfilter
