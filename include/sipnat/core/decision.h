// What the engine wants done with one packet: the value that everything else carries out or prints.
//
// The daemon carries a Decision out, `sipnatctl rewrite` prints it, tests compare it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sipnat/base/span.h"
#include "sipnat/core/kernel.h"
#include "sipnat/net/address.h"

namespace sipnat {

enum class Verdict : std::uint8_t { accept, drop };
[[nodiscard]] std::string_view to_text(Verdict verdict);

/// Each way that a packet can go. Every one is a counter, and a word that users read.
enum class Reason : std::uint8_t {
    rewritten,
    unchanged,       ///< SIP, and nothing in it to edit
    keepalive,       ///< CRLF, NUL, STUN
    not_sip,         ///< something else on a signalling flow
    malformed,       ///< no message that the index can read
    malformed_sdp,   ///< its headers can be read, its SDP can't: headers edited, body as sent
    second_opinion,  ///< two parsers read different values: nothing opened, and nothing edited; of
                     ///< SDP alone: headers edited, body as sent
    no_media_port,   ///< the range is used up
    media_refused,   ///< the kernel would not take an expectation
    call_limit,      ///< limits.dialogs reached: no media for this call, nothing remembered of it
    media_limit,     ///< limits.media reached: no media for this message
    binding_limit,   ///< limits.bindings reached: a Contact on another port stays as sent
    entry_exists,    ///< another flow was quicker with this outside port: dropped, to be resent
};
inline constexpr std::size_t kReasons = static_cast<std::size_t>(Reason::entry_exists) + 1;
/// "rewritten", "no_media_port", …
[[nodiscard]] std::string_view to_text(Reason reason);

/// Where in a message an edit stands.
enum class Place : std::uint8_t {
    request_uri,
    via,
    contact,
    reply_to,
    refer_to,
    route,
    record_route,
    path,
    service_route,
    from,
    to,
    p_asserted_identity,
    p_preferred_identity,
    remote_party_id,
    referred_by,
    diversion,
    content_length,
    sdp_origin,
    sdp_connection,
    sdp_media,
    sdp_rtcp,
    sdp_candidate,
    sdp_remote_candidates,
};
/// "Request-URI", "Via", "SDP c=", …
[[nodiscard]] std::string_view to_text(Place place);

enum class Why : std::uint8_t {
    sender_outside,   ///< the sender's own endpoint, as the other side sees it
    receiver_inside,  ///< the receiver, as it really is
    restored,         ///< the text that the receiver wrote itself
    media_address,    ///< where the stream is received, seen from outside
    media_port,       ///< the outside port of the stream
    local_media,      ///< where another inside party receives the stream
    body_length,      ///< the body has another length now
};
[[nodiscard]] std::string_view to_text(Why why);

struct Edit {
    Span span;
    std::string replacement;
    Place place = Place::contact;
    Why why = Why::sender_outside;
};

/// How media goes to the remote party.
enum class Way : std::uint8_t {
    nat,      ///< to somebody outside
    direct,   ///< to another inside host, past the NAT (nat.local_media)
    hairpin,  ///< to another inside host by the outside endpoints of both
};
/// "nat", "direct", "hairpin".
[[nodiscard]] std::string_view to_text(Way way);

/// A way through the NAT for one component of a stream, or for signalling on a port of its own:
/// inbound (anybody may send to `outside`, or only `from`) or, with a remote endpoint, outbound
/// (`inside` may speak first).
struct Hole {
    Tuple master;  ///< original tuple of the signalling flow that it hangs on
    FlowDirection inside_sends = FlowDirection::original;  ///< in which direction of the master
    Transport transport = Transport::udp;
    ExpectClass media = ExpectClass::audio;
    Endpoint inside;
    Endpoint outside;  ///< the same as inside on a flow without NAT
    std::optional<Endpoint> remote;
    std::optional<IpAddress> from;  ///< of an inbound one
    /// Another one like this is open: inbound of this port, hairpin to that outside address.
    bool shares_port = false;
    Way way = Way::nat;  ///< of an outbound one

    bool operator==(const Hole&) const = default;
};
[[nodiscard]] Expectation to_expectation(const Hole& hole);
[[nodiscard]] inline bool is_signalling(const Hole& hole) {
    return hole.media == ExpectClass::signalling;
}
/// Who is at the other end: "203.0.113.10:7000", "203.0.113.10:any", "any".
[[nodiscard]] std::string remote_text(const Hole& hole);

/// A conntrack entry that has to be there before expectations can hang on it: of a flow whose first
/// packet this is, or of one that was confirmed without the helper.
struct EntryRequest {
    FlowTuples tuples;
    bool replaces = false;  ///< the flow's present entry has to go first

    bool operator==(const EntryRequest&) const = default;
};

/// Two inside hosts whose media may go past the gateway, if it reaches both by one interface.
struct Neighbours {
    IpAddress receiver;
    IpAddress host;

    bool operator==(const Neighbours&) const = default;
};

struct Decision {
    Verdict verdict = Verdict::accept;
    Reason reason = Reason::unchanged;
    std::string detail;       ///< for a reader: what exactly was malformed, refused, different
    std::vector<Edit> edits;  ///< ascending, not overlapping
    std::optional<EntryRequest> entry;
    std::vector<Neighbours> neighbours;  ///< who have to be that, before the packet leaves
    std::vector<Hole> open;              ///< to be created, in this order, before the packet leaves
    std::vector<Hole> close;             ///< to be removed after it
    std::size_t beyond_body =
        0;  ///< bytes that Content-Length leaves out: no message over UDP has any
    bool breaks_digest = false;  ///< auth-int over a body that is edited
    bool breaks_msrp = false;    ///< a=path names an inside address, and no msrp-cema helps
    bool other_family = false;   ///< media over IPv6 with signalling over IPv4, or the reverse
    std::optional<std::chrono::seconds> flow_timeout;  ///< for the signalling flow's entry

    /// The kernel has to be asked before the packet may leave: Engine::settle comes next.
    [[nodiscard]] bool needs_kernel() const { return !open.empty() || !neighbours.empty(); }
};

/// The text with its edits applied. Edits must be ascending, disjoint and inside the text.
[[nodiscard]] std::string apply_edits(std::string_view text, const std::vector<Edit>& edits);

}  // namespace sipnat
