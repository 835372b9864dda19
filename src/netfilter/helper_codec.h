// NFNL_MSG_CTHELPER_NEW: the registration of one helper for one family and transport. No I/O.
#pragma once

#include <optional>

#include "netfilter/wire.h"
#include "sipnat/netfilter/helper.h"

namespace sipnat::netfilter {

struct HelperRegistration {
    std::string_view name;
    HelperScope scope;
    QueueNumber queue{};
    std::uint32_t private_length = 0;  ///< bytes of a flow's private data that user space may set
    /// Packets of its flows are queued. Nothing: as it is; not, where it is new.
    std::optional<bool> is_enabled = false;
};

void encode_register_helper(Buffer& out, std::uint32_t sequence,
                            const HelperRegistration& registration);

}  // namespace sipnat::netfilter
