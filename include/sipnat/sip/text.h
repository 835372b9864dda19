// A span: where in a message something stands. Everything that sip/ and sdp/ find is a span into
// one text, so that an edit is "these bytes, that replacement" and nothing is ever printed anew.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "sipnat/net/address.h"

namespace sipnat {

struct Span {
    std::uint32_t offset = 0;
    std::uint32_t length = 0;

    [[nodiscard]] std::uint32_t end() const { return offset + length; }
    [[nodiscard]] bool empty() const { return length == 0; }
    /// The text it stands for; lives as long as `text` does.
    [[nodiscard]] std::string_view in(std::string_view text) const {
        return text.substr(offset, length);
    }
    bool operator==(const Span&) const = default;
};

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
