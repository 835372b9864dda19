// host [":" port], the piece that URIs, sent-by and address parameters have in common
// (RFC 3261 25.1).
#pragma once

#include <optional>
#include <string_view>

#include "sip/lexer.h"
#include "sipnat/sip/text.h"

namespace sipnat::sip {

/// Whether white space may stand around the colon: in a sent-by, not in a URI.
enum class ColonBlanks : std::uint8_t { refused, allowed };

/// Reads from where the scanner stands and moves it behind; what follows is the caller's affair.
[[nodiscard]] std::optional<HostPort> read_host_port(Scanner& scanner, ColonBlanks blanks);

/// The value of maddr or received: a host, or an IPv6 address without brackets (RFC 5118 4.5).
[[nodiscard]] std::optional<HostPort> read_parameter_host(std::string_view text, Span value);

}  // namespace sipnat::sip
