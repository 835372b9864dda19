// Spans inside header values: URIs, lists of addresses, Via (RFC 3261 19.1, 20, 25.1).
//
//     Contact: "A, <b>" <sip:alice@192.168.77.2:5062;ob>;expires=60 , <sip:…>
//              └ value ────────────────────────────────────────────┘   next value
//                        └ uri ────────────────────────┘└ params ──┘
//
// White space includes folds. Quoted strings (with escapes) and comments are skipped whole.
#pragma once

#include <optional>
#include <string_view>

#include "sipnat/sip/text.h"

namespace sipnat::sip {

enum class Scheme : std::uint8_t { sip, sips, other };

struct Uri {
    Scheme scheme = Scheme::sip;
    Span user;  ///< with password, without '@'; empty when there is none
    HostPort host;
    Span params;                    ///< from the first ';' to '?' or the end
    std::optional<HostPort> maddr;  ///< its value; no port in it; IPv6 with or without brackets
    std::string_view transport;     ///< parameter's value as written; empty: none
};

/// sip: and sips: URIs. Nothing for others (tel:, urn:, "*") and for what can't be read: a port
/// that is none, brackets without an IPv6 address, blanks in user or host, '@' in the parameters.
/// The user part ends at the first '@' and may hold ';' and '?' (RFC 3261 25.1).
[[nodiscard]] std::optional<Uri> parse_uri(std::string_view text, Span where);

struct AddressValue {
    Span value;
    Span uri;     ///< without < >
    Span params;  ///< header parameters from the first ';'; in the addr-spec form all of them
    bool star = false;
};

inline constexpr std::size_t kMostAddresses = 64;

/// The values of a header that holds name-addr / addr-spec, comma-separated, one after the other.
/// Empty values are passed over; what can't be read ends the list, and so does kMostAddresses.
class AddressReader {
  public:
    AddressReader(std::string_view text, Span header_value) : text_(text), rest_(header_value) {}

    /// Nothing behind the last.
    [[nodiscard]] std::optional<AddressValue> next();

  private:
    std::string_view text_;
    Span rest_;
    std::size_t left_ = kMostAddresses;
};

/// The value of the first parameter `name` (any case) in ";a=b;c" text: without quotes; empty, and
/// standing behind the name, if it has none; nothing when it is absent.
[[nodiscard]] std::optional<Span> find_parameter(std::string_view text, Span params,
                                                 std::string_view name);

struct Via {
    std::string_view transport;  ///< "UDP" as written
    HostPort sent_by;
    Span params;
    std::optional<HostPort> maddr;
    std::optional<HostPort> received;
    std::optional<Span> rport;  ///< its value; an empty span, behind the name, for a bare ";rport"
    Span branch;                ///< empty when there is none
};

/// The first value of a Via header. Nothing unless it is "SIP/2.0/…" (any case) with a readable
/// sent-by; of a parameter that stands twice, the first.
[[nodiscard]] std::optional<Via> parse_top_via(std::string_view text, Span header_value);

/// The uri of Digest credentials (RFC 7616 3.4) in an Authorization or Proxy-Authorization header,
/// without its quotes; nothing for other schemes, and when it has none.
[[nodiscard]] std::optional<Span> find_digest_uri(std::string_view text, Span header_value);

/// host[:port] alone in `where`, by the rules of a sent-by: white space around ':' is legal.
[[nodiscard]] std::optional<HostPort> parse_host_port(std::string_view text, Span where);

}  // namespace sipnat::sip
