#include "core/bodies.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "sipnat/base/ascii.h"

namespace sipnat {

using sip::HeaderKind;

tl::expected<std::pmr::vector<sdp::Session>, std::string> read_bodies(
    const sip::Message& message, std::pmr::memory_resource* memory) {
    std::pmr::vector<sdp::Session> bodies(memory);
    const auto parts = sip::sdp_parts(message, memory);
    const auto encoding = message.value(HeaderKind::content_encoding);
    if (!parts.empty() && !encoding.empty() && !equal_ignoring_case(encoding, "identity")) {
        return tl::unexpected("encoded: " + std::string(encoding.substr(0, kLongestDetail)));
    }
    for (const auto& part : parts) {
        auto parsed = sdp::parse(message.text(), part, memory);
        if (!parsed) return tl::unexpected(parsed.error().text());
        bodies.push_back(*std::move(parsed));
    }
    return bodies;
}

void set_content_length(const sip::Message& message, std::vector<Edit>& edits) {
    std::int64_t length = message.body().length;
    for (const auto& edit : edits) {
        if (edit.span.offset < message.body().offset) continue;
        length += static_cast<std::int64_t>(edit.replacement.size()) - edit.span.length;
    }
    if (length == message.body().length) return;
    for (const auto& header : message.headers()) {
        if (header.kind != HeaderKind::content_length) continue;
        edits.push_back(
            {header.value, std::to_string(length), Place::content_length, Why::body_length});
    }
}

std::size_t beyond_body(const sip::Message& message) {
    const auto rest = message.text().substr(message.body().end());
    return rest.find_first_not_of("\r\n") == std::string_view::npos ? 0 : rest.size();
}

bool covers_body_by_digest(const sip::Message& message) {
    return std::ranges::any_of(message.headers(), [&](const sip::Header& header) {
        const auto name = header.name.in(message.text());
        return (equal_ignoring_case(name, "Authorization") ||
                equal_ignoring_case(name, "Proxy-Authorization")) &&
               header.value.in(message.text()).find("auth-int") != std::string_view::npos;
    });
}

bool has_unreachable_msrp(Bodies bodies) {
    return std::ranges::any_of(bodies, [](const sdp::Session& session) {
        return std::ranges::any_of(session.media, [](const sdp::Media& media) {
            return media.has_path && !media.msrp_cema && number(media.port) != 0;
        });
    });
}

}  // namespace sipnat
