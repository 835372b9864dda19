// The headers' half of the rewriting. Which header goes by which rule: header_rules.h.
//
// Inwards the text that the receiver wrote itself comes first, the canonical one second.
#pragma once

#include <memory_resource>
#include <optional>
#include <vector>

#include "core/known_endpoints.h"
#include "core/spelling.h"
#include "sipnat/core/decision.h"
#include "sipnat/core/nat_view.h"
#include "sipnat/core/settings.h"
#include "sipnat/sip/message.h"
#include "sipnat/sip/uri.h"

namespace sipnat {

/// What earlier messages left.
struct HeaderMemory {
    Spellings& spellings;
    KnownEndpoints& known;
};

/// A port of the sender's host, other than its packet's, at which it wants to be reached.
struct FurtherPort {
    Port port{};
    Transport transport = Transport::udp;
    bool in_contact = false;  ///< else the answer to this request goes there (RFC 3261 18.2.2)

    bool operator==(const FurtherPort&) const = default;
};
inline constexpr std::size_t kMostFurtherPorts = 8;

/// Appends the edits in no particular order and remembers what the sender wrote. Gives the further
/// ports of 1024 and up, translated or not: of Contact, and of a request's top Via over UDP without
/// rport (RFC 3581 4), at most kMostFurtherPorts. A Via over TCP names none: its answer comes on the
/// connection (RFC 3261 18.2.2), and so do requests to its alias (RFC 5923). `via` is the top one,
/// nothing if it can't be read; `scratch` is used until it is done.
std::vector<FurtherPort> rewrite_headers(const sip::Message& message,
                                         const std::optional<sip::Via>& via, const NatView& view,
                                         HeaderMemory memory, std::vector<Edit>& edits,
                                         RewriteRequestUri request_uri, Time now,
                                         std::pmr::memory_resource* scratch);

}  // namespace sipnat
