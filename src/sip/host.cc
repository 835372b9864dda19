#include "sip/host.h"

namespace sipnat::sip {

namespace {

/// "[2001:db8::1]"; no zone identifiers, no other IP literals.
bool read_reference(Scanner& scanner, HostPort& host) {
    const auto text = scanner.text();
    const std::size_t begin = scanner.at() + 1;
    const std::size_t end = text.find(']', begin);
    if (end == std::string_view::npos) return false;
    host.host = span_of(begin, end);
    host.address = IpAddress::parse(host.host.in(text));
    scanner.move_to(end + 1);
    return host.address && host.address->family() == Family::ipv6;
}

/// What looks like an address and is none ("10.0.0.256") is taken for a name: it matches nothing.
bool read_name_or_ipv4(Scanner& scanner, HostPort& host) {
    host.host = scanner.take(kHost);
    if (host.host.empty()) return false;
    const auto name = host.host.in(scanner.text());
    if (name.front() >= '0' && name.front() <= '9') host.address = IpAddress::parse(name);
    return true;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

}  // namespace

std::optional<HostPort> read_host_port(Scanner& scanner, ColonBlanks blanks) {
    HostPort host;
    const std::size_t begin = scanner.at();
    const bool found =
        scanner.peek() == '[' ? read_reference(scanner, host) : read_name_or_ipv4(scanner, host);
    if (!found) return std::nullopt;
    host.whole = span_of(begin, scanner.at());
    if (blanks == ColonBlanks::allowed) scanner.skip_blanks();
    if (!scanner.accept(':')) return host;
    if (blanks == ColonBlanks::allowed) scanner.skip_blanks();
    const std::size_t digits = scanner.at();
    while (is_digit(scanner.peek()))
        scanner.move_to(scanner.at() + 1);
    host.port_text = span_of(digits, scanner.at());
    host.port = parse_port(host.port_text.in(scanner.text()));
    if (!host.port) return std::nullopt;
    host.whole = span_of(begin, scanner.at());
    return host;
}

std::optional<HostPort> read_parameter_host(std::string_view text, Span value) {
    if (const auto bare = IpAddress::parse(value.in(text)))
        return HostPort{value, value, {}, bare, {}};
    Scanner scanner(text, value);
    auto host = read_host_port(scanner, ColonBlanks::refused);
    if (!host || !scanner.done() || host->port) return std::nullopt;
    return host;
}

}  // namespace sipnat::sip
