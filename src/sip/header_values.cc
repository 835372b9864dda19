// Lists of name-addr / addr-spec, parameters and Via values: what sip/uri.h reads out of headers.
#include "sip/host.h"
#include "sip/lexer.h"
#include "sipnat/sip/uri.h"

namespace sipnat::sip {

namespace {

/// The URI of '<' URI '>'; the scanner stands at '<' and then behind '>'.
std::optional<Span> read_bracketed(Scanner& scanner) {
    const auto text = scanner.text();
    const std::size_t begin = scanner.at() + 1;
    std::size_t close = begin;  // not find_first_of, which calls a function for each character
    while (close < text.size() && text[close] != '<' && text[close] != '>')
        ++close;
    if (close == text.size() || text[close] == '<') return std::nullopt;
    scanner.move_to(close + 1);
    return trimmed(text, begin, close);
}

/// The addr-spec that begins at `begin` and ends where the scanner stands, or at a blank before:
/// without angle brackets ';' and ',' belong to the header, not to the URI (RFC 3261 20).
std::optional<Span> read_bare(const Scanner& scanner, std::size_t begin) {
    const auto text = scanner.text();
    std::size_t end = begin;
    while (end < scanner.at() && !is(kBlank, text[end]))
        ++end;
    const auto uri = span_of(begin, end);
    // Half of a display name with an unquoted comma is no URI (RFC 4475 3.1.2.6 and others).
    const auto scheme = uri.in(text).substr(0, uri.in(text).find(':'));
    if (uri.in(text) != "*" && (scheme.size() == uri.length || !is_token(scheme))) {
        return std::nullopt;
    }
    return uri;
}

/// From the first character of a value to the comma behind it, or to the end.
std::optional<AddressValue> read_address(Scanner& scanner) {
    const std::size_t begin = scanner.at();
    if (!scanner.skip_to(kLess | kComma | kSemicolon)) return std::nullopt;
    const auto uri = scanner.peek() == '<' ? read_bracketed(scanner) : read_bare(scanner, begin);
    if (!uri || !scanner.skip_to(kComma | kSemicolon)) return std::nullopt;
    const std::size_t params = scanner.at();
    if (!scanner.skip_to(kComma)) return std::nullopt;
    const auto text = scanner.text();
    return AddressValue{trimmed(text, begin, scanner.at()), *uri,
                        trimmed(text, params, scanner.at()), uri->in(text) == "*"};
}

/// Skips white space and the commas of empty values.
void skip_separators(Scanner& scanner) {
    do
        scanner.skip_blanks();
    while (scanner.accept(','));
}

/// "SIP" "/" "2.0" "/" transport, with white space around each slash.
std::optional<std::string_view> read_protocol(Scanner& scanner) {
    const auto text = scanner.text();
    const auto token = [&] {
        scanner.skip_blanks();
        const auto word = scanner.take(kToken).in(text);
        scanner.skip_blanks();
        return word;
    };
    if (!equal_ignoring_case(token(), "SIP") || !scanner.accept('/')) return std::nullopt;
    if (token() != "2.0" || !scanner.accept('/')) return std::nullopt;
    const auto transport = token();
    if (transport.empty()) return std::nullopt;
    return transport;
}

/// Between two words, so that a sent-by of "host:5060x" is not read as "host:5060".
bool at_word_end(const Scanner& scanner) {
    return scanner.done() || is(kDelimiter, scanner.peek()) || is(kBlank, scanner.peek()) ||
           is(kBlank, scanner.text()[scanner.at() - 1]);
}

void read_via_parameters(std::string_view text, Via& via) {
    Scanner scanner(text, via.params);
    while (const auto parameter = scanner.parameter()) {
        const auto name = parameter->name.in(text);
        if (via.branch.empty() && equal_ignoring_case(name, "branch")) {
            via.branch = parameter->value;
        } else if (!via.rport && equal_ignoring_case(name, "rport")) {
            via.rport = parameter->value;
        } else if (!via.received && equal_ignoring_case(name, "received")) {
            via.received = read_parameter_host(text, parameter->value);
        } else if (!via.maddr && equal_ignoring_case(name, "maddr")) {
            via.maddr = read_parameter_host(text, parameter->value);
        }
    }
}

}  // namespace

std::optional<AddressValue> AddressReader::next() {
    if (left_ == 0) return std::nullopt;
    Scanner scanner(text_, rest_);
    skip_separators(scanner);
    const auto value = scanner.done() ? std::nullopt : read_address(scanner);
    left_ = value ? left_ - 1 : 0;
    if (value) rest_ = span_of(scanner.at(), rest_.end());
    return value;
}

std::optional<Span> find_parameter(std::string_view text, Span params, std::string_view name) {
    Scanner scanner(text, params);
    while (const auto parameter = scanner.parameter()) {
        if (equal_ignoring_case(parameter->name.in(text), name)) return parameter->value;
    }
    return std::nullopt;
}

std::optional<Via> parse_top_via(std::string_view text, Span header_value) {
    Scanner scanner(text, header_value);
    Via via;
    const auto transport = read_protocol(scanner);
    if (!transport) return std::nullopt;
    via.transport = *transport;
    const auto sent_by = read_host_port(scanner, ColonBlanks::allowed);
    if (!sent_by) return std::nullopt;
    via.sent_by = *sent_by;
    if (!at_word_end(scanner) || !scanner.skip_to(kComma | kSemicolon)) return std::nullopt;
    const std::size_t params = scanner.at();
    if (!scanner.skip_to(kComma)) return std::nullopt;
    via.params = trimmed(text, params, scanner.at());
    read_via_parameters(text, via);
    return via;
}

std::optional<Span> find_digest_uri(std::string_view text, Span header_value) {
    Scanner scanner(text, header_value);
    if (!equal_ignoring_case(scanner.take(kToken).in(text), "Digest")) return std::nullopt;
    for (skip_separators(scanner); !scanner.done(); skip_separators(scanner)) {
        const auto name = scanner.take(kToken).in(text);
        scanner.skip_blanks();
        const bool named = equal_ignoring_case(name, "uri") && scanner.accept('=');
        const std::size_t begin = scanner.at();
        if (!scanner.skip_to(kComma)) return std::nullopt;
        if (!named) continue;
        const auto value = trimmed(text, begin, scanner.at());
        const bool quoted = value.length >= 2 && value.in(text).front() == '"';
        return quoted ? span_of(value.offset + 1, value.end() - 1) : value;
    }
    return std::nullopt;
}

}  // namespace sipnat::sip
