// The user-space conntrack helpers that expectations hang on (nfnetlink_cthelper).
//
//     sipnat    on signalling flows: lets them be the master of expectations
//     sipmedia  named by every expectation; no flow has it
//
// Both are registered disabled: the kernel queues nothing on their behalf, an nft rule does. Only for TCP the first
// is enabled while somebody listens: then the kernel queues each packet of its flows, and adjusts sequence numbers
// behind that (nf_confirm_cthelper). Disabled it goes on adjusting them, and queues nothing. A
// registration outlives the process and must (removing it strips live flows and their
// expectations), so there is no way to take one back here. Names are one for all network
// namespaces.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "sipnat/base/result.h"
#include "sipnat/net/address.h"
#include "sipnat/netfilter/queue_number.h"

namespace sipnat::netfilter {

inline constexpr std::string_view kSignallingHelper = "sipnat";
inline constexpr std::string_view kMediaHelper = "sipmedia";

struct HelperScope {
    Family family = Family::ipv4;
    Transport transport = Transport::udp;
};

inline constexpr std::array kIpv4{HelperScope{Family::ipv4, Transport::udp},
                                  HelperScope{Family::ipv4, Transport::tcp}};

/// Whether the kernel queues TCP packets of flows with our helper.
enum class StreamQueueing : std::uint8_t { off, on };

/// Registers both, or updates them when they are there: flows that use them notice nothing.
/// Four classes without a limit on expectations (a policy maximum of 0; a limit of the kernel's
/// choice from 7.2 on), each living up to a day. Without `streams` it stays as it is whether TCP is queued; where
/// the helpers are new it is not.
/// Codes (nfnl_cthelper_new): EINVAL (no nfnetlink_cthelper), EPERM, EBUSY (there with other
/// classes or private data), EEXIST (another helper has that name).
[[nodiscard]] Result<void> register_helpers(QueueNumber queue,
                                            std::optional<StreamQueueing> streams = std::nullopt,
                                            std::span<const HelperScope> scopes = kIpv4);

}  // namespace sipnat::netfilter
