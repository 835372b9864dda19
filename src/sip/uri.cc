#include "sipnat/sip/uri.h"

#include <algorithm>

#include "sip/host.h"
#include "sip/lexer.h"

namespace sipnat::sip {

namespace {

std::optional<Scheme> read_scheme(Scanner& scanner) {
    const auto name = scanner.take(kToken).in(scanner.text());
    if (!scanner.accept(':')) return std::nullopt;
    if (equal_ignoring_case(name, "sip")) return Scheme::sip;
    if (equal_ignoring_case(name, "sips")) return Scheme::sips;
    return std::nullopt;
}

/// The user part may hold ';', '?', '/' and ':' (RFC 3261 25.1 user-unreserved and password) and
/// nothing else may hold '@', so the first '@' ends it whatever stands before.
bool read_user(Scanner& scanner, Span& user) {
    const auto text = scanner.text();
    const std::size_t at_sign = text.find('@', scanner.at());
    if (at_sign == std::string_view::npos) return true;
    user = span_of(scanner.at(), at_sign);
    scanner.move_to(at_sign + 1);
    return std::ranges::none_of(user.in(text), [](char c) { return is(kNotInUser, c); });
}

void read_parameters(std::string_view text, Uri& uri) {
    Scanner scanner(text, uri.params);
    while (const auto parameter = scanner.parameter()) {
        const auto name = parameter->name.in(text);
        if (!uri.maddr && equal_ignoring_case(name, "maddr")) {
            uri.maddr = read_parameter_host(text, parameter->value);
        } else if (uri.transport.empty() && equal_ignoring_case(name, "transport")) {
            uri.transport = parameter->value.in(text);
        }
    }
}

}  // namespace

std::optional<Uri> parse_uri(std::string_view text, Span where) {
    Scanner scanner(text, where);
    Uri uri;
    const auto scheme = read_scheme(scanner);
    if (!scheme || !read_user(scanner, uri.user)) return std::nullopt;
    uri.scheme = *scheme;
    const auto host = read_host_port(scanner, ColonBlanks::refused);
    if (!host) return std::nullopt;
    uri.host = *host;
    if (scanner.done() || scanner.peek() == '?') return uri;
    if (scanner.peek() != ';') return std::nullopt;
    const std::size_t end = std::min(scanner.text().find('?', scanner.at()), scanner.text().size());
    uri.params = span_of(scanner.at(), end);
    // A second '@' would let another reader take all before it for the user part. Behind '?' it
    // can't: '?' there is a phone's unescaped Call-ID in a Replaces.
    if (uri.params.in(text).find('@') != std::string_view::npos) return std::nullopt;
    read_parameters(text, uri);
    return uri;
}

std::optional<HostPort> parse_host_port(std::string_view text, Span where) {
    Scanner scanner(text, where);
    auto host = read_host_port(scanner, ColonBlanks::allowed);
    if (!host || !scanner.done()) return std::nullopt;
    return host;
}

}  // namespace sipnat::sip
