#include "sipnat/sip/message.h"

#include <algorithm>
#include <array>
#include <string>

#include "sip/header_kind.h"
#include "sip/lexer.h"

namespace sipnat::sip {

namespace {

constexpr std::string_view kVersion = "SIP/2.0";
constexpr std::size_t kUsualHeaders = 24;  // one allocation for nearly all messages

tl::unexpected<Error> malformed(std::string object, std::string_view cause) {
    return fail("read SIP message", std::move(object), std::string(cause));
}

struct StartLine {
    int status = 0;
    Span method;  ///< empty for a response
    Span uri;
};

/// "SIP/2.0" SP 3DIGIT [SP reason]
Result<StartLine> read_status_line(std::string_view line) {
    constexpr std::size_t kCode = kVersion.size() + 1;
    constexpr std::size_t kCodeLength = 3;
    const auto code = parse_number(line.substr(kCode, kCodeLength));
    const std::size_t end = kCode + kCodeLength;
    if (!code || *code < 100 || *code > 699 || (line.size() > end && line[end] != ' ')) {
        return malformed("start line", "no status code");
    }
    return StartLine{static_cast<int>(*code), {}, {}};
}

/// Method SP Request-URI SP SIP-Version
Result<StartLine> read_request_line(std::string_view text, Span where) {
    const auto line = where.in(text);
    const std::size_t first = line.find(' ');
    const std::size_t last = line.rfind(' ');
    if (first == std::string_view::npos || last - first < 2) {
        return malformed("start line", "not a method, a URI and a version");
    }
    if (!equal_ignoring_case(line.substr(last + 1), kVersion)) {
        return malformed("start line", "not " + std::string(kVersion));
    }
    if (!is_token(line.substr(0, first))) return malformed("start line", "no method");
    const StartLine start{0, span_of(where.offset, where.offset + first),
                          span_of(where.offset + first + 1, where.offset + last)};
    const auto uri = start.uri.in(text);
    if (std::ranges::any_of(uri, [](char c) { return is(kBlank, c); })) {
        return malformed("start line", "white space in the Request-URI");
    }
    return start;
}

Result<StartLine> read_start_line(std::string_view text, std::size_t& at) {
    while (const std::size_t length = empty_line(text, at))
        at += length;
    const std::size_t line_feed = text.find('\n', at);
    if (line_feed == std::string_view::npos) return malformed("start line", "no line end");
    const bool crlf = line_feed > at && text[line_feed - 1] == '\r';
    const Span where = span_of(at, crlf ? line_feed - 1 : line_feed);
    at = line_feed + 1;
    const auto line = where.in(text);
    const bool status = equal_ignoring_case(line.substr(0, kVersion.size()), kVersion) &&
                        line.size() > kVersion.size() && line[kVersion.size()] == ' ';
    return status ? read_status_line(line) : read_request_line(text, where);
}

/// All headers; `at` ends behind the empty line.
Result<std::pmr::vector<Header>> read_headers(std::string_view text, std::size_t& at,
                                              std::pmr::memory_resource* memory) {
    std::pmr::vector<Header> headers(memory);
    headers.reserve(kUsualHeaders);
    const auto here = [&headers] { return "header " + std::to_string(headers.size() + 1); };
    for (;;) {
        if (const std::size_t length = empty_line(text, at)) {
            at += length;
            return headers;
        }
        if (at >= text.size()) return malformed(here(), "the headers have no end");
        if (headers.size() == kMostHeaders) return malformed(here(), "too many headers");
        const auto line = read_header(text, at);
        if (!line) return malformed(here(), line.error());
        headers.push_back({header_kind(line->name.in(text)), line->name, line->value});
    }
}

/// Two readers may take another of them each: what the body is has to be said once.
Result<void> check_content_type(std::string_view text, const std::pmr::vector<Header>& headers) {
    const Header* first = nullptr;
    for (const auto& header : headers) {
        if (header.kind != HeaderKind::content_type) continue;
        if (first != nullptr && header.value.in(text) != first->value.in(text)) {
            return malformed("Content-Type", "two values");
        }
        first = &header;
    }
    return {};
}

/// Which headers must be there, and once (RFC 3261 8.1.1, 20; 7.3.1 for the others).
Result<void> check_presence(const std::pmr::vector<Header>& headers) {
    std::array<std::uint16_t, static_cast<std::size_t>(HeaderKind::other) + 1> counts{};
    for (const auto& header : headers)
        ++counts[static_cast<std::size_t>(header.kind)];
    for (const auto kind : {HeaderKind::via, HeaderKind::from, HeaderKind::to, HeaderKind::call_id,
                            HeaderKind::cseq}) {
        const auto count = counts[static_cast<std::size_t>(kind)];
        if (count == 0) return malformed(std::string(to_text(kind)), "missing");
        if (count > 1 && kind != HeaderKind::via) {
            return malformed(std::string(to_text(kind)), "more than one");
        }
    }
    return {};
}

struct CSeqValue {
    CSeq cseq;
    std::string_view method;
};

/// 1*DIGIT LWS Method
Result<CSeqValue> read_cseq(std::string_view value) {
    const std::size_t length = std::min(value.find_first_of(" \t\r\n"), value.size());
    const auto number = parse_number(value.substr(0, length));
    if (!number) return malformed("CSeq", "no 32-bit number");
    const Span rest = trimmed(value, length, value.size());
    if (!is_token(rest.in(value))) return malformed("CSeq", "no method");
    return CSeqValue{{*number, method_of(rest.in(value))}, rest.in(value)};
}

/// The one value of all Content-Length headers; none if there is no such header.
Result<std::optional<std::uint32_t>> read_content_length(std::string_view text,
                                                         const std::pmr::vector<Header>& headers) {
    std::optional<std::uint32_t> length;
    for (const auto& header : headers) {
        if (header.kind != HeaderKind::content_length) continue;
        const auto value = parse_number(header.value.in(text));
        if (!value) return malformed("Content-Length", "no 32-bit number");
        if (length && *length != *value) return malformed("Content-Length", "two values");
        length = value;
    }
    return length;
}

}  // namespace

Result<Message> Message::parse(std::string_view text, std::pmr::memory_resource* memory) {
    if (text.size() > kLargestMessage) return malformed("", "too long");
    std::size_t at = 0;
    const auto start = read_start_line(text, at);
    if (!start) return tl::unexpected<Error>(start.error());
    auto headers = read_headers(text, at, memory);
    if (!headers) return tl::unexpected<Error>(headers.error());
    // Legal behind a backslash only (RFC 4475 3.1.1.2), and what is written in C, such as the
    // second parser, ends its reading there.
    if (text.substr(0, at).find('\0') != std::string_view::npos) return malformed("", "NUL byte");
    if (const auto present = check_presence(*headers); !present) {
        return tl::unexpected<Error>(present.error());
    }
    if (const auto type = check_content_type(text, *headers); !type) {
        return tl::unexpected<Error>(type.error());
    }

    Message message(*std::move(headers));
    message.text_ = text;
    message.status_ = start->status;
    message.request_uri_ = start->uri;

    const auto cseq = read_cseq(message.value(HeaderKind::cseq));
    if (!cseq) return tl::unexpected<Error>(cseq.error());
    if (message.is_request() && cseq->method != start->method.in(text)) {
        return malformed("CSeq", "another method than the request line");
    }
    message.cseq_ = cseq->cseq;

    const auto content_length = read_content_length(text, message.headers_);
    if (!content_length) return tl::unexpected<Error>(content_length.error());
    if (content_length->value_or(0) > text.size() - at) {
        return malformed("Content-Length", "more than there is");
    }
    message.content_length_ = *content_length;
    message.body_ = span_of(at, *content_length ? at + **content_length : text.size());
    return message;
}

const Header* Message::find(HeaderKind kind) const {
    const auto found = std::ranges::find(headers_, kind, &Header::kind);
    return found == headers_.end() ? nullptr : &*found;
}

std::string_view Message::value(HeaderKind kind) const {
    const auto* header = find(kind);
    return header == nullptr ? std::string_view{} : header->value.in(text_);
}

}  // namespace sipnat::sip
