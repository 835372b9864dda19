// The kernel's routing table: what a destination is, and where it leaves (rtnetlink RTM_GETROUTE).
//
// Says whether an address from a message body is the gateway's own, a broadcast, or behind an
// inside interface, before anything is opened towards it.
#pragma once

#include <cstdint>
#include <memory>

#include "sipnat/base/result.h"
#include "sipnat/net/address.h"

namespace sipnat::netfilter {

enum class RouteType : std::uint8_t { unicast, local, broadcast, multicast, unreachable };

/// An interface's number in this network namespace; 0: none.
enum class InterfaceIndex : std::uint32_t {};

struct Route {
    RouteType type = RouteType::unreachable;
    InterfaceIndex output{};  ///< lo for local destinations, none for unreachable ones

    bool operator==(const Route&) const = default;
};

class Routes {
  public:
    [[nodiscard]] static Result<Routes> open();
    Routes(Routes&&) noexcept;
    Routes& operator=(Routes&&) noexcept;
    ~Routes();

    /// How a packet of the gateway itself to this address would go; rules by source, mark or input
    /// interface are not asked. No route, blackhole and prohibit are `unreachable`, not an error.
    /// One blocking round trip of some microseconds.
    [[nodiscard]] Result<Route> lookup(const IpAddress& destination);

  private:
    struct Impl;
    explicit Routes(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sipnat::netfilter
