// How long a Contact on a port of its own can be reached: as long as its registration or
// subscription, by what the messages themselves say.
#pragma once

#include <chrono>
#include <memory_resource>
#include <optional>
#include <string>

#include "core/header_rewriter.h"
#include "sipnat/sip/message.h"

namespace sipnat {

/// Of registrations and subscriptions that say nothing, and of the NOTIFYs that follow a REFER.
inline constexpr std::chrono::hours kUsualExpiry{1};

/// What a REGISTER asks for this Contact, or its 2xx grants it (RFC 3261 10.2.1.1, 10.3): seconds,
/// at most a day; `unsaid` if it gives no number. Nothing if the message has no word of it, which of
/// a 2xx that names other Contacts means none.
[[nodiscard]] std::optional<std::chrono::seconds> expiry_of(const sip::Message& message,
                                                            const Endpoint& contact,
                                                            std::chrono::seconds unsaid);

/// What a lease for this message is known by: of a REGISTER and its answers the address of record, in
/// a form that is the same on both sides of the NAT. All others of a port share one, without a name.
[[nodiscard]] std::pmr::string lease_subject(const sip::Message& message,
                                             std::pmr::memory_resource* memory);

/// From this message of the inside party on. A REGISTER's Contact is waited for like an answer until
/// its 2xx grants more.
[[nodiscard]] std::chrono::seconds lease_time(const sip::Message& message, bool in_contact);

}  // namespace sipnat
