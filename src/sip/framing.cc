#include "sipnat/sip/framing.h"

#include <algorithm>

#include "sip/header_kind.h"
#include "sip/lexer.h"
#include "sipnat/sip/message.h"

namespace sipnat::sip {

namespace {

using Kind = Frame::Kind;

/// Of a line whose end has not come yet.
bool may_become_start_line(std::string_view line) {
    if (line.size() > kLongestStartLine) return false;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const bool is_text =
        std::ranges::all_of(line, [](char c) { return c == '\t' || (c >= ' ' && c != '\x7f'); });
    const auto word = line.substr(0, line.find(' '));
    // "SIP/2.0", or a method
    return is_text && std::ranges::all_of(word, [](char c) { return is(kToken, c) || c == '/'; });
}

/// Content-Length of these headers, the start line among them; what can't be read ends the framing.
std::optional<std::size_t> content_length(std::string_view headers) {
    std::optional<std::size_t> length;
    for (std::size_t at = headers.find('\n') + 1; empty_line(headers, at) == 0;) {
        const auto line = read_header(headers, at);
        if (!line) {  // the message is malformed, but its length may be readable all the same
            at = headers.find('\n', at) + 1;
            continue;
        }
        if (header_kind(line->name.in(headers)) != HeaderKind::content_length) continue;
        const auto value = parse_number(line->value.in(headers));
        if (!value || (length && *length != *value)) return std::nullopt;
        length = *value;
    }
    return length.value_or(0);
}

}  // namespace

Frame Framer::next(std::string_view stream) {
    if (!begun_) {
        const auto first = begin(stream);
        if (!begun_) return first;
    }
    if (!end_ && !find_end_of_headers(stream)) {
        return {stream.size() > kLargestMessage ? Kind::broken : Kind::incomplete, 0};
    }
    const auto frame = *end_;
    if (frame.kind == Kind::message && frame.length > stream.size()) return {};
    *this = {};
    return frame;
}

Frame Framer::begin(std::string_view stream) {
    const auto blank = std::min(stream.find_first_not_of("\r\n"), stream.size());
    if (blank > 0) return {Kind::blank, blank};
    const auto line_feed = stream.find('\n');
    if (line_feed == std::string_view::npos) {
        return {may_become_start_line(stream) ? Kind::incomplete : Kind::not_sip, 0};
    }
    if (line_feed > kLongestStartLine || !begins_like_sip(stream.substr(0, line_feed))) {
        return {Kind::not_sip, 0};
    }
    begun_ = true;
    line_ = line_feed + 1;
    return {};
}

/// Each line is looked at once, however many times the stream has grown.
bool Framer::find_end_of_headers(std::string_view stream) {
    for (;;) {
        if (const auto empty = empty_line(stream, line_); empty > 0) {
            const auto end = line_ + empty;
            const auto body = content_length(stream.substr(0, end));
            if (!body) {
                end_ = {Kind::broken, 0};
            } else {
                const auto length = end + *body;
                end_ = {length > kLargestMessage ? Kind::too_long : Kind::message, length};
            }
            return true;
        }
        const auto line_feed = stream.find('\n', line_);
        if (line_feed == std::string_view::npos) return false;
        line_ = line_feed + 1;
    }
}

}  // namespace sipnat::sip
