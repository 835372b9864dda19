// Scanning that the SIP readers share: blanks, tokens, quoted strings, comments, parameters, header
// lines (RFC 3261 25.1).
//
//     Scanner scanner(text, header_value);        never looks past the end of header_value
//     if (!scanner.skip_to(kComma)) …             a quoted string or comment did not close
//
// A scanner borrows the text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <tl/expected.hpp>

#include "sipnat/base/ascii.h"
#include "sipnat/base/span.h"

namespace sipnat::sip {

enum CharClass : std::uint8_t {
    kBlank = 1,      ///< SP, TAB, and CR LF, since folds are white space
    kToken = 2,      ///< RFC 3261 25.1 token
    kHost = 4,       ///< of a name or an IPv4 address; '_' is not legal and not rare
    kNotInUser = 8,  ///< controls, blanks, angle brackets
    kComma = 16,
    kSemicolon = 32,
    kLess = 64,
    kOpener = 128,  ///< of a quoted string or a comment
    kDelimiter = kComma | kSemicolon | kLess | kOpener,
};

inline constexpr auto kCharClasses = [] {
    std::array<std::uint8_t, 256> classes{};
    const auto mark = [&classes](std::string_view chars, CharClass char_class) {
        for (const char c : chars)
            classes[static_cast<unsigned char>(c)] |= char_class;
    };
    constexpr std::string_view kAlphanum =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    mark(" \t\r\n", kBlank);
    mark(kAlphanum, kToken);
    mark("-.!%*_+`'~", kToken);
    mark(kAlphanum, kHost);
    mark("-._", kHost);
    mark(",", kComma);
    mark(";", kSemicolon);
    mark("<", kLess);
    mark("\"(", kOpener);
    for (std::size_t c = 0; c <= ' '; ++c)
        classes[c] |= kNotInUser;
    mark("<>\x7f", kNotInUser);
    return classes;
}();

[[nodiscard]] constexpr bool is(CharClass char_class, char c) {
    return (kCharClasses[static_cast<unsigned char>(c)] & char_class) != 0;
}

/// All of `text` is token characters, one at least.
[[nodiscard]] bool is_token(std::string_view text);

/// [begin, end) without blanks around it.
[[nodiscard]] Span trimmed(std::string_view text, std::size_t begin, std::size_t end);

/// ";name=value". The value is without quotes; without '=' it is empty and begins behind the name.
struct Parameter {
    Span name;
    Span value;
};

class Scanner {
  public:
    Scanner(std::string_view text, Span where)
        : text_(text.substr(0, where.end())), at_(where.offset) {}

    [[nodiscard]] std::string_view text() const { return text_; }
    [[nodiscard]] std::size_t at() const { return at_; }
    [[nodiscard]] bool done() const { return at_ >= text_.size(); }
    /// NUL at the end: it is no part of any grammar here.
    [[nodiscard]] char peek() const { return done() ? '\0' : text_[at_]; }
    void move_to(std::size_t at) { at_ = at; }

    bool accept(char c) {
        if (done() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    /// The run of characters of this class from here on; may be empty.
    Span take(CharClass char_class) {
        const std::size_t begin = at_;
        while (!done() && is(char_class, text_[at_]))
            ++at_;
        return span_of(begin, at_);
    }
    void skip_blanks() { take(kBlank); }
    /// Moves to the first of `delimiters` (kComma | …) outside quoted strings and comments, or to
    /// the end. False when one of these does not close.
    bool skip_to(unsigned delimiters);
    /// The next parameter; what stands before its ';' is passed over.
    std::optional<Parameter> parameter();

  private:
    bool skip_quoted();
    bool skip_comment();
    [[nodiscard]] bool comment_may_start() const;

    std::string_view text_;
    std::size_t at_;
    std::size_t start_ = at_;
};

/// One header with all of its folds.
struct HeaderLine {
    Span name;
    Span value;
};
/// The length of the empty line at `at`: 2 (CRLF), 1 (LF), 0 when there is none.
[[nodiscard]] std::size_t empty_line(std::string_view text, std::size_t at);
/// Reads the header at `at` and moves `at` behind it. The error says what is wrong with it.
[[nodiscard]] tl::expected<HeaderLine, std::string_view> read_header(std::string_view text,
                                                                     std::size_t& at);

/// This line, without its end, is a start line of some version of SIP.
[[nodiscard]] bool begins_like_sip(std::string_view line);

/// Only digits, fits 32 bits; leading zeros as many as there are (RFC 4475 3.1.1.1).
[[nodiscard]] std::optional<std::uint32_t> parse_number(std::string_view digits);

}  // namespace sipnat::sip
