#include "core/bodies.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "sipnat/base/ascii.h"

namespace sipnat {

using sip::HeaderKind;

namespace {

/// `written` says how long `body` is.
void set_length(Span body, Span written, std::vector<Edit>& edits) {
    std::int64_t more = 0;
    for (const auto& edit : edits) {
        if (edit.span.offset < body.offset || edit.span.end() > body.end()) continue;
        more += static_cast<std::int64_t>(edit.replacement.size()) - edit.span.length;
    }
    if (more == 0) return;
    edits.push_back(
        {written, std::to_string(body.length + more), Place::content_length, Why::body_length});
}

}  // namespace

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

void set_content_lengths(const sip::Message& message, std::vector<Edit>& edits,
                         std::pmr::memory_resource* memory) {
    for (const auto& [part, value] : sip::part_lengths(message, memory)) {
        // A wrong one is not repaired, as a message's is not.
        if (value.in(message.text()) == std::to_string(part.length)) set_length(part, value, edits);
    }
    for (const auto& header : message.headers()) {
        if (header.kind == HeaderKind::content_length) {
            set_length(message.body(), header.value, edits);
        }
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

bool has_media_of_another_family(Bodies bodies, Family family) {
    return std::ranges::any_of(bodies, [family](const sdp::Session& session) {
        for (std::size_t i = 0; i < session.media.size(); ++i) {
            const auto* connection = session.connection_of(i);
            if (number(session.media[i].port) == 0 || connection == nullptr) continue;
            const auto& address = connection->parsed;
            if (address && !address->is_unspecified() && address->family() != family) return true;
        }
        return false;
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
