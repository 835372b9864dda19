// Finding SDP in a body, inside multipart too (RFC 2046 5.1, RFC 3261 7.4, RFC 5621).
//
//     --boundary            delimiter: at the start of a line, blanks may follow
//     Content-Type: …       the part's headers
//                           empty line
//     v=0…                  the part, without the line end before the next delimiter
//     --boundary--          the last one; what follows is nobody's
#include <algorithm>

#include "sip/lexer.h"
#include "sipnat/sip/message.h"
#include "sipnat/sip/uri.h"

namespace sipnat::sip {

namespace {

constexpr std::size_t kLongestBoundary = 70;  // RFC 2046 5.1.1

enum class BodyKind { sdp, multipart, opaque };

struct ContentType {
    BodyKind kind = BodyKind::opaque;
    std::string_view boundary;
};

std::string_view read_boundary(std::string_view text, Span params) {
    const auto value = find_parameter(text, params, "boundary");
    if (!value || value->length > kLongestBoundary) return {};
    return value->in(text);
}

/// type "/" subtype *(";" parameter)
ContentType read_content_type(std::string_view text, Span value) {
    Scanner scanner(text, value);
    const auto type = scanner.take(kToken).in(text);
    scanner.skip_blanks();
    if (!scanner.accept('/')) return {};
    scanner.skip_blanks();
    const auto subtype = scanner.take(kToken).in(text);
    if (equal_ignoring_case(type, "application") && equal_ignoring_case(subtype, "sdp")) {
        return {BodyKind::sdp, {}};
    }
    // A signature covers each byte of what it signs (RFC 1847): an edit would break it.
    if (!equal_ignoring_case(type, "multipart") || equal_ignoring_case(subtype, "signed") ||
        equal_ignoring_case(subtype, "encrypted")) {
        return {};
    }
    const auto boundary = read_boundary(text, span_of(scanner.at(), value.end()));
    return boundary.empty() ? ContentType{} : ContentType{BodyKind::multipart, boundary};
}

struct Delimiter {
    std::size_t begin = 0;  ///< with the line end before it
    std::size_t end = 0;    ///< with its own line end
    bool last = false;
};

/// The delimiter line at `at`, if there is one.
std::optional<Delimiter> delimiter_at(std::string_view text, std::size_t at,
                                      std::string_view boundary) {
    constexpr std::string_view kDashes = "--";
    const auto accept = [&](std::string_view word) {
        if (text.substr(at, word.size()) != word) return false;
        at += word.size();
        return true;
    };
    Delimiter delimiter{at, 0, false};
    if (!accept(kDashes) || !accept(boundary)) return std::nullopt;
    delimiter.last = accept(kDashes);
    while (accept(" ") || accept("\t")) {
    }
    if (at < text.size()) {
        const std::size_t line_end = empty_line(text, at);
        if (line_end == 0) return std::nullopt;  // a longer word that begins like the boundary
        at += line_end;
    }
    delimiter.end = at;
    return delimiter;
}

/// The next delimiter from `from` on, which is the start of a line.
std::optional<Delimiter> find_delimiter(std::string_view text, std::size_t from,
                                        std::string_view boundary) {
    for (std::size_t line = from; line <= text.size();) {
        if (auto found = delimiter_at(text, line, boundary)) {
            if (line > from)
                found->begin = line - (line > from + 1 && text[line - 2] == '\r' ? 2 : 1);
            return found;
        }
        const std::size_t line_feed = text.find('\n', line);
        if (line_feed == std::string_view::npos) break;
        line = line_feed + 1;
    }
    return std::nullopt;
}

/// What a part's own headers say, and where its content begins.
struct Part {
    Span content_type;
    Span content_length;
    bool plain = true;  ///< no encoding that hides the text, and one type for all readers
    std::size_t begin = 0;
};

std::optional<Part> read_part_headers(std::string_view text, std::size_t at) {
    Part part;
    while (empty_line(text, at) == 0) {
        const auto header = read_header(text, at);
        if (!header) return std::nullopt;
        const auto name = header->name.in(text);
        const auto value = header->value.in(text);
        if (equal_ignoring_case(name, "Content-Type")) {
            if (!part.content_type.empty() && part.content_type.in(text) != value) {
                part.plain = false;
            }
            part.content_type = header->value;
        }
        if (equal_ignoring_case(name, "Content-Length")) part.content_length = header->value;
        if (equal_ignoring_case(name, "Content-Encoding")) part.plain = false;
        if (equal_ignoring_case(name, "Content-Transfer-Encoding")) {
            if (equal_ignoring_case(value, "base64") ||
                equal_ignoring_case(value, "quoted-printable")) {
                part.plain = false;
            }
        }
    }
    part.begin = at + empty_line(text, at);
    return part;
}

class Collector {
  public:
    /// `text` ends with the body, so that nothing behind it is read.
    Collector(std::string_view text, std::pmr::memory_resource* memory)
        : text_(text), found_(memory), lengths_(memory) {}

    void body(Span content_type, Span where, std::size_t depth) {
        if (where.empty() || found_.size() == kMostSdpParts) return;
        const auto type = read_content_type(text_, content_type);
        if (type.kind == BodyKind::sdp) found_.push_back(where);
        if (type.kind == BodyKind::multipart && depth < kDeepestMultipart) {
            multipart(type.boundary, where, depth + 1);
        }
    }
    [[nodiscard]] std::pmr::vector<Span> take() { return std::move(found_); }
    [[nodiscard]] std::pmr::vector<PartLength> take_lengths() { return std::move(lengths_); }

  private:
    void multipart(std::string_view boundary, Span where, std::size_t depth) {
        const auto text = text_.substr(0, where.end());
        auto delimiter = find_delimiter(text, where.offset, boundary);
        while (delimiter && !delimiter->last) {
            const auto next = find_delimiter(text, delimiter->end, boundary);
            part(delimiter->end, next ? next->begin : text.size(), depth);
            delimiter = next;
        }
    }

    void part(std::size_t begin, std::size_t end, std::size_t depth) {
        const auto part = read_part_headers(text_.substr(0, end), begin);
        if (!part || !part->plain) return;
        const auto where = span_of(part->begin, end);
        const auto before = found_.size();
        body(part->content_type, where, depth);
        const bool has_sdp = found_.size() > before;
        if (has_sdp && !part->content_length.empty()) {
            lengths_.push_back({where, part->content_length});
        }
    }

    std::string_view text_;
    std::pmr::vector<Span> found_;
    std::pmr::vector<PartLength> lengths_;
};

Collector collect(const Message& message, std::pmr::memory_resource* memory) {
    Collector collector(message.text().substr(0, message.body().end()), memory);
    const auto* type = message.find(HeaderKind::content_type);
    if (type != nullptr) collector.body(type->value, message.body(), 0);
    return collector;
}

}  // namespace

std::pmr::vector<Span> sdp_parts(const Message& message, std::pmr::memory_resource* memory) {
    return collect(message, memory).take();
}

std::pmr::vector<PartLength> part_lengths(const Message& message,
                                          std::pmr::memory_resource* memory) {
    return collect(message, memory).take_lengths();
}

}  // namespace sipnat::sip
