// host [":" port]: the piece that URIs, sent-by and address parameters have in common.
#pragma once

#include <optional>

#include "sipnat/base/span.h"
#include "sipnat/net/address.h"

namespace sipnat {

/// host [":" port] of a URI or a sent-by, RFC 3261 25.1.
///
///     sip:alice@192.168.77.2:5062;ob      sip:alice@[2001:db8::2]
///               └── host ──┘ └port           └── host ─┘ (without brackets)
///               └──── whole ────┘            └── whole ──┘ (with them)
struct HostPort {
    Span whole;
    Span host;
    Span port_text;                    ///< empty when none is written
    std::optional<IpAddress> address;  ///< none: a name
    std::optional<Port> port;          ///< none when none is written

    bool operator==(const HostPort&) const = default;
};

}  // namespace sipnat
