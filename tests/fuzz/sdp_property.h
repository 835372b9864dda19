// What holds of every SDP body that sdp::parse() reads.
#pragma once

#include "property.h"
#include "sipnat/sdp/session.h"

namespace sipnat::fuzz {

inline void check_connection(std::string_view text, Span body,
                             const std::optional<sdp::Connection>& connection) {
    if (!connection) return;
    require(within(body, connection->address), "an address stands in the body");
    if (!connection->parsed) return;
    require(address_bytes(connection->address.in(text)) == address_bytes(*connection->parsed),
            "an address is what its text says");
}

inline void check_media(std::string_view text, Span body, const sdp::Media& media) {
    for (const auto span : {media.kind, media.port_text, media.protocol}) {
        require(within(body, span) && !span.empty(), "the words of an m= line stand in the body");
    }
    require(
        media.kind.end() < media.port_text.offset && media.port_text.end() < media.protocol.offset,
        "the words of an m= line are in order");
    require_port(media.port, media.port_text.in(text));
    require(media.count > 0, "a stream has ports");
    check_connection(text, body, media.connection);
    check_connection(text, body, media.rtcp_connection);
    require(media.rtcp_port_text || !media.rtcp_connection, "a=rtcp begins with its port");
    if (!media.rtcp_port_text) return;
    require(within(body, *media.rtcp_port_text), "the RTCP port stands in the body");
    require_port(media.rtcp_port, media.rtcp_port_text->in(text));
}

/// Lines that begin with "m=", counted without the parser.
inline std::size_t count_media_lines(std::string_view body) {
    std::size_t count = body.starts_with("m=") ? 1 : 0;
    for (auto at = body.find("\nm="); at != std::string_view::npos;
         at = body.find("\nm=", at + 1)) {
        ++count;
    }
    return count;
}

inline void check_session(std::string_view text, Span body, const sdp::Session& session) {
    check_connection(text, body, session.origin);
    check_connection(text, body, session.connection);
    require(session.media.size() <= sdp::kMostMedia, "the number of streams is limited");
    require(session.media.size() == count_media_lines(body.in(text)), "each m= line is a stream");
    std::uint32_t done = body.offset;
    for (const auto& media : session.media) {
        require(media.kind.offset >= done, "streams are in order");
        done = media.protocol.end();
        check_media(text, body, media);
    }
}

}  // namespace sipnat::fuzz
