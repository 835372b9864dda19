// What the kernel tells unasked, read. No I/O.
#pragma once

#include <optional>
#include <string_view>

#include "netfilter/wire.h"
#include "sipnat/net/address.h"

namespace sipnat::netfilter {

/// Of an IPCTNL_MSG_CT_DELETE of UDP or TCP.
[[nodiscard]] std::optional<FlowTuples> decode_ended_flow(const nlmsghdr& message);
/// The table of a removed table, chain or rule (NFT_MSG_DELTABLE, …). Points into the message.
[[nodiscard]] std::optional<std::string_view> decode_removed_from(const nlmsghdr& message);

}  // namespace sipnat::netfilter
