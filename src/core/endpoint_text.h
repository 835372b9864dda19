// Endpoints in the text of URIs and of Via: which one stands there, and how another is written.
//
//     sip:alice@192.168.77.2;ob                       192.168.77.2:5060, the port unwritten
//     sip:alice@example.com:1024;maddr=192.168.77.2   192.168.77.2:1024 (RFC 3261 19.1.1)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sipnat/sip/uri.h"

namespace sipnat {

/// What no port means: 5060, or 5061 for sips and TLS (RFC 3261 19.1.2, 18.2.2).
[[nodiscard]] Port default_port(const sip::Uri& uri);
[[nodiscard]] Port default_port(const sip::Via& via);

[[nodiscard]] bool names_host(const std::optional<HostPort>& text, const IpAddress& address);
/// `unwritten` is the port that no port means.
[[nodiscard]] bool names(const HostPort& text, const Endpoint& endpoint, Port unwritten);
/// By its host or its maddr, with the port that is that of both.
[[nodiscard]] bool names(const sip::Uri& uri, const Endpoint& endpoint);
[[nodiscard]] bool names_host(const sip::Uri& uri, const IpAddress& address);
[[nodiscard]] Port port_of(const sip::Uri& uri);

/// What a URI's transport parameter says (RFC 3261 19.1.1).
enum class SaidTransport : std::uint8_t {
    none,
    udp,
    tcp,
    other,  ///< tls, ws, sctp: nothing that we could read
};
[[nodiscard]] SaidTransport said_transport(const sip::Uri& uri);

/// The endpoint as host [":" port] in the place of `text`: the port stays unwritten when it was and
/// still is what no port means.
[[nodiscard]] std::string canonical(const HostPort& text, const Endpoint& endpoint, Port unwritten);
/// The same host with another port.
[[nodiscard]] std::string with_port(std::string_view text, const HostPort& host, Port port,
                                    Port unwritten);
/// The host without port, with the brackets of an IPv6 reference.
[[nodiscard]] std::string_view host_text(std::string_view text, const HostPort& host);

/// The same scheme, user, host and port, whatever else they carry.
[[nodiscard]] bool name_the_same(std::string_view text, const sip::Uri& one, const sip::Uri& other);

}  // namespace sipnat
