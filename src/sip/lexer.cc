#include "sip/lexer.h"

#include <algorithm>
#include <charconv>

namespace sipnat::sip {

bool is_token(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) { return is(kToken, c); });
}

Span trimmed(std::string_view text, std::size_t begin, std::size_t end) {
    // The end first: what is all blank is empty where it begins, not behind its line.
    while (begin < end && is(kBlank, text[end - 1]))
        --end;
    while (begin < end && is(kBlank, text[begin]))
        ++begin;
    return span_of(begin, end);
}

bool Scanner::skip_to(unsigned delimiters) {
    for (; !done(); ++at_) {
        const char c = text_[at_];
        const unsigned char_classes = kCharClasses[static_cast<unsigned char>(c)];
        if ((char_classes & (delimiters | kOpener)) == 0) continue;
        if ((char_classes & delimiters) != 0) return true;
        if (c == '"' && !skip_quoted()) return false;
        if (c == '(' && comment_may_start() && !skip_comment()) return false;
    }
    return true;
}

// Parentheses are legal inside the user part of a URI and nowhere in a token, so a comment begins
// only where neither can go on.
bool Scanner::comment_may_start() const {
    if (at_ == start_) return true;
    const char before = text_[at_ - 1];
    return is(kBlank, before) || before == '>' || before == '"' || before == ')' || before == ',';
}

/// From the opening quote to the closing one.
bool Scanner::skip_quoted() {
    for (++at_; !done(); ++at_) {
        if (text_[at_] == '"') return true;
        if (text_[at_] == '\\') ++at_;
    }
    return false;
}

/// From the opening parenthesis to its own closing one; quotes mean nothing in between.
bool Scanner::skip_comment() {
    std::size_t depth = 0;
    for (; !done(); ++at_) {
        const char c = text_[at_];
        if (c == '\\') {
            ++at_;
        } else if (c == '(') {
            ++depth;
        } else if (c == ')' && --depth == 0) {
            return true;
        }
    }
    return false;
}

std::optional<Parameter> Scanner::parameter() {
    if (!skip_to(kSemicolon) || !accept(';')) return std::nullopt;
    skip_blanks();
    const std::size_t begin = at_;
    while (!done() && text_[at_] != '=' && text_[at_] != ';' && !is(kBlank, text_[at_]))
        ++at_;
    Parameter parameter{span_of(begin, at_), span_of(at_, at_)};
    skip_blanks();
    if (!accept('=')) return parameter;
    skip_blanks();
    const std::size_t value = at_;
    if (peek() == '"') {
        if (!skip_quoted()) return std::nullopt;
        parameter.value = span_of(value + 1, at_++);
        return parameter;
    }
    while (!done() && text_[at_] != ';' && !is(kBlank, text_[at_]))
        ++at_;
    parameter.value = span_of(value, at_);
    return parameter;
}

std::size_t empty_line(std::string_view text, std::size_t at) {
    if (at < text.size() && text[at] == '\n') return 1;
    return at + 1 < text.size() && text[at] == '\r' && text[at + 1] == '\n' ? 2 : 0;
}

tl::expected<HeaderLine, std::string_view> read_header(std::string_view text, std::size_t& at) {
    std::size_t colon = at;
    while (colon < text.size() && is(kToken, text[colon]))
        ++colon;
    const Span name = span_of(at, colon);
    // RFC 3261 7.3.1 allows white space before the colon, but no fold.
    while (colon < text.size() && (text[colon] == ' ' || text[colon] == '\t'))
        ++colon;
    if (name.empty() || colon >= text.size() || text[colon] != ':') {
        return tl::unexpected<std::string_view>("no name and colon");
    }
    std::size_t end = colon;
    do {
        end = text.find('\n', end);
        if (end == std::string_view::npos) return tl::unexpected<std::string_view>("no line end");
        ++end;
    } while (end < text.size() && (text[end] == ' ' || text[end] == '\t'));
    at = end;
    return HeaderLine{name, trimmed(text, colon + 1, end)};
}

bool begins_like_sip(std::string_view line) {
    constexpr std::string_view kProtocol = "SIP/";
    const auto is_version = [kProtocol](std::string_view word) {
        return equal_ignoring_case(word.substr(0, kProtocol.size()), kProtocol);
    };
    if (is_version(line)) return true;
    const Span whole = trimmed(line, 0, line.size());
    const auto last = line.substr(0, whole.end()).find_last_of(" \t");
    return last != std::string_view::npos && is_version(line.substr(last + 1)) &&
           is_token(line.substr(0, line.find_first_of(" \t")));
}

std::optional<std::uint32_t> parse_number(std::string_view digits) {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return value;
}

}  // namespace sipnat::sip
