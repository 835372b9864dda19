// How long a Contact on a port of its own can be reached: as long as its registration or
// subscription, by what the messages themselves say.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/header_rewriter.h"
#include "sipnat/sip/message.h"
#include "sipnat/sip/uri.h"

namespace sipnat {

/// Of registrations and subscriptions that say nothing, and of the NOTIFYs that follow a REFER.
inline constexpr std::chrono::hours kUsualExpiry{1};

/// delta-seconds (RFC 3261 25.1), at most a day; nothing for other text.
[[nodiscard]] std::optional<std::chrono::seconds> delta_seconds(std::string_view text);

/// Calls `visit` with each Contact and its expires parameter, of a message at most sip::kMostAddresses.
template <class Visit>
void for_each_contact(const sip::Message& message, Visit visit) {
    const auto text = message.text();
    std::size_t left = sip::kMostAddresses;
    for (const auto& header : message.headers()) {
        if (header.kind != sip::HeaderKind::contact) continue;
        sip::AddressReader values(text, header.value);
        for (auto value = values.next(); value && left > 0; value = values.next(), --left) {
            const auto expires = sip::find_parameter(text, value->params, "expires");
            visit(*value, expires ? delta_seconds(expires->in(text)) : std::nullopt);
        }
    }
}

/// What a REGISTER asks for its Contacts, or its 2xx grants them (RFC 3261 10.2.1.1, 10.3). Of more
/// than sip::kMostAddresses the first ones.
class Expiries {
  public:
    /// `message` is used until this is done.
    Expiries(const sip::Message& message, std::pmr::memory_resource* memory);

    /// Seconds, at most a day; `unsaid` if it gives no number. Nothing if the message has no word of
    /// this Contact, which of a 2xx that names other Contacts means none.
    [[nodiscard]] std::optional<std::chrono::seconds> of(const Endpoint& contact,
                                                         std::chrono::seconds unsaid) const;

  private:
    struct Said {
        sip::Uri contact;
        std::optional<std::chrono::seconds> expires;
    };
    std::pmr::vector<Said> said_;
    std::optional<std::chrono::seconds> general_;
    bool is_request_ = false;
    bool has_contact_ = false;
    bool star_ = false;
};

/// SUBSCRIBE, and REFER, which is one too (RFC 6665 4.1, RFC 3515 2.4.4).
[[nodiscard]] bool is_subscription(const sip::Message& message);

/// What a lease for this message is known by: of a REGISTER and its answers the address of record, in
/// a form that is the same on both sides of the NAT; of subscriptions the Call-ID. All others of a
/// port share one, without a name.
[[nodiscard]] std::pmr::string lease_subject(const sip::Message& message,
                                             std::pmr::memory_resource* memory);
/// The same for a Via of it, which is needed for the answers only: of an INVITE, which may ring, and its
/// answers the Call-ID. All others of a port share one.
[[nodiscard]] std::pmr::string via_lease_subject(const sip::Message& message,
                                                 std::pmr::memory_resource* memory);
/// An INVITE that was answered provisionally is waited for so much longer (RFC 3261 16.6, Timer C).
inline constexpr std::chrono::minutes kRingingTime{3};

/// From this message of the inside party on. The Contact of a REGISTER or a subscription is waited for
/// like an answer until the 2xx grants more.
[[nodiscard]] std::chrono::seconds lease_time(const sip::Message& message, bool in_contact);

}  // namespace sipnat
