// Which headers are rewritten, and by which rule. What is not in this table is never touched:
// Call-ID, credentials, Replaces, Warning and all the others.
//
//              outwards (S → S')                   towards the inside (R' → R)
//     via      top one of requests                 top one of responses, with received and rport
//     routable URIs of the sender's endpoint       URIs of the receiver's endpoint
//     path     the same                            the same
//     identity URIs of the sender's host           what the receiver wrote itself; without memory
//                                                  only the field that names the receiver
//
// The Request-URI, which is no header, goes by the rule of Contact, towards the inside.
// In a message with an Identity header From and To stay: it signs them (RFC 8224 4, RFC 4474 9).
#pragma once

#include <algorithm>
#include <array>

#include "sipnat/core/decision.h"
#include "sipnat/sip/message.h"

namespace sipnat {

enum class Rule : std::uint8_t {
    via,
    /// Somebody will send a request there: address, port and transport have to match. The text that
    /// goes back is known by header and user.
    routable,
    /// The same. Route sets are copied to the letter (RFC 3261 12.1, 20.30; RFC 3327, RFC 3608), so
    /// the text that goes back is known by user and parameters, whichever of the four wrote it.
    path,
    /// A name of somebody: only the host has to match, only it is replaced, no port is added.
    identity,
};

/// Whom an identity header names. All inside parties share one outside host, so that a host alone
/// does not tell.
enum class Names : std::uint8_t {
    nobody,  ///< no identity header
    caller,  ///< who sent the request, in its responses too
    callee,  ///< who got it
    sender,  ///< who sent this very message
    party,   ///< as its parameter says: calling or called; the sender without it
    other,   ///< a third one
};

struct HeaderRule {
    sip::HeaderKind kind;
    Place place;
    Rule rule;
    Names names = Names::nobody;
};

inline constexpr std::array kHeaderRules = [] {
    using sip::HeaderKind;
    return std::array{
        HeaderRule{HeaderKind::via, Place::via, Rule::via},
        HeaderRule{HeaderKind::contact, Place::contact, Rule::routable},
        HeaderRule{HeaderKind::reply_to, Place::reply_to, Rule::routable},
        HeaderRule{HeaderKind::refer_to, Place::refer_to, Rule::routable},
        HeaderRule{HeaderKind::route, Place::route, Rule::path},
        HeaderRule{HeaderKind::record_route, Place::record_route, Rule::path},
        HeaderRule{HeaderKind::path, Place::path, Rule::path},
        HeaderRule{HeaderKind::service_route, Place::service_route, Rule::path},
        HeaderRule{HeaderKind::from, Place::from, Rule::identity, Names::caller},
        HeaderRule{HeaderKind::to, Place::to, Rule::identity, Names::callee},
        HeaderRule{HeaderKind::p_asserted_identity, Place::p_asserted_identity, Rule::identity,
                   Names::sender},
        HeaderRule{HeaderKind::p_preferred_identity, Place::p_preferred_identity, Rule::identity,
                   Names::sender},
        HeaderRule{HeaderKind::remote_party_id, Place::remote_party_id, Rule::identity,
                   Names::party},
        HeaderRule{HeaderKind::referred_by, Place::referred_by, Rule::identity, Names::other},
        HeaderRule{HeaderKind::diversion, Place::diversion, Rule::identity, Names::other},
    };
}();

/// Null: it is never touched.
[[nodiscard]] constexpr const HeaderRule* rule_of(sip::HeaderKind kind) {
    const auto* found = std::ranges::find(kHeaderRules, kind, &HeaderRule::kind);
    return found == kHeaderRules.end() ? nullptr : found;
}

}  // namespace sipnat
