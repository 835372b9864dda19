// RTM_GETROUTE and its answer. No I/O.
#pragma once

#include "netfilter/wire.h"
#include "sipnat/netfilter/route.h"

namespace sipnat::netfilter {

void encode_find_route(Buffer& out, std::uint32_t sequence, const IpAddress& destination);

/// Reads an RTM_NEWROUTE. Types that lead nowhere are `unreachable`; nothing if the message is too
/// short for an rtmsg.
[[nodiscard]] std::optional<Route> decode_route(const nlmsghdr& message);

}  // namespace sipnat::netfilter
