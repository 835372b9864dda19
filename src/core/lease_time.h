// How long a Contact on a port of its own can be reached: as long as its registration or
// subscription, seen in the messages themselves.
#pragma once

#include <chrono>

#include "core/header_rewriter.h"
#include "sipnat/sip/message.h"

namespace sipnat {

/// What a REGISTER asks for this Contact, or its 2xx grants it (RFC 3261 10.2.1.1, 10.3): seconds,
/// at most a day. `unsaid` if there is no word of it; none if the message names other Contacts only.
[[nodiscard]] std::chrono::seconds expiry_of(const sip::Message& message, const Endpoint& contact,
                                             std::chrono::seconds unsaid);

/// From this message of the inside party on. A REGISTER's Contact is waited for like an answer until
/// its 2xx grants more.
[[nodiscard]] std::chrono::seconds lease_time(const sip::Message& message, bool in_contact);

}  // namespace sipnat
