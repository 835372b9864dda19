// Whether a program on the gateway itself holds a port: an expectation would take its packets away,
// and conntrack does not look at sockets.
#pragma once

#include "sipnat/base/result.h"
#include "sipnat/net/address.h"

namespace sipnat::netfilter {

/// True if a socket is bound to that port on that address or on the wildcard. The address need not
/// be the gateway's. Tries to bind, and gives the port back within microseconds.
/// Codes: EACCES (a port under net.ipv4.ip_unprivileged_port_start without CAP_NET_BIND_SERVICE).
[[nodiscard]] Result<bool> port_is_bound(const Endpoint& endpoint, Transport transport);

}  // namespace sipnat::netfilter
