// The settings that the engine obeys. config/ fills them from the file; their defaults are the
// documented ones.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "sipnat/net/address.h"
#include "sipnat/net/network.h"

namespace sipnat {

/// "LOW-HIGH": ports from 1024 up, with room for at least one pair that begins even (RTP, RTCP).
[[nodiscard]] std::optional<PortRange> parse_media_ports(std::string_view text);

enum class OnMalformed : std::uint8_t { accept, drop };

/// What a message gets whose media can't be opened (no port, refused expectation, call limit).
enum class OnNoMedia : std::uint8_t {
    headers,    ///< headers edited, body as sent
    unchanged,  ///< nothing edited
    drop,
};

/// Whether the Request-URI of a request to an inside party is rewritten.
enum class RewriteRequestUri : std::uint8_t {
    always,
    unless_digest,  ///< not where the credentials of the request name it (RFC 7616 3.4)
};

/// Who may send to a Contact or Via on another port than its packet's.
enum class SignallingSource : std::uint8_t {
    registrar,  ///< whom that packet went to
    listed,     ///< Settings::signalling_peers
    any,
};

/// What two inside parties that meet at an outside server are told of each other's media.
enum class LocalMedia : std::uint8_t {
    direct,   ///< where it is received inside, if they reach each other past the gateway
    hairpin,  ///< where it is received seen from outside
};

/// Who may send media once the remote party has said where it receives (symmetric RTP, RFC 4961).
enum class MediaSource : std::uint8_t {
    strict,  ///< the announced address only
    latch,   ///< the same, but anybody if nothing came from there within kLatch
    any,
};

struct Settings {
    PortRange media_ports{Port{10000}, Port{32767}};
    bool keep_ports = true;  ///< a phone keeps its own port when it is in the range and free
    std::vector<IpAddress> media_hosts;  ///< further inside hosts whose media a party may announce
    MediaSource media_source = MediaSource::latch;
    LocalMedia local_media = LocalMedia::direct;
    std::vector<std::vector<Network>> local_networks;  ///< groups that reach each other directly
    OnMalformed on_malformed = OnMalformed::accept;
    OnNoMedia on_no_media = OnNoMedia::headers;
    RewriteRequestUri rewrite_request_uri = RewriteRequestUri::always;
    std::chrono::seconds media_timeout{300};  ///< without packets; begins with the first one
    std::chrono::seconds hold_timeout{3600};  ///< the same while the call is on hold
    SignallingSource signalling_source = SignallingSource::registrar;
    std::vector<IpAddress> signalling_peers;
    std::size_t calls_per_host = 500;
    std::size_t calls = 20000;
    std::size_t media_per_host = 4000;  ///< mappings of one inside host, resting ones too
    std::size_t media = 100'000;
    /// Of registrations, and as many Contacts and Vias on ports of their own, beside calls.
    std::size_t bindings_per_host = 100;
    std::size_t bindings = 100'000;

    bool operator==(const Settings&) const = default;
};

}  // namespace sipnat
