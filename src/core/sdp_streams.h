// The streams of SDP bodies, and the ports of their components: RTP, RTCP, RTP, …
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "core/bodies.h"
#include "sipnat/sdp/session.h"

namespace sipnat {

/// No SDP of a real phone asks for more; one that does gets no media.
inline constexpr std::size_t kMostComponents = 32;
inline constexpr int kLastPort = 65535;

inline bool contains_rtp(std::string_view protocol) {
    return protocol.find("RTP/") != std::string_view::npos;
}

inline Transport transport_of(std::string_view protocol) {
    return protocol.starts_with("TCP") ? Transport::tcp : Transport::udp;
}

/// The RTCP port of the pair that begins at `first`; the explicit one counts for the first pair.
inline Port rtcp_port(const sdp::Media& media, int pair) {
    if (pair == 0 && media.rtcp_port_text) return media.rtcp_port;
    return above(media.port, 2 * pair + 1);
}

/// Of m=audio 4000/8. More than a message may have are refused, however many.
inline int pairs_of(const sdp::Media& media) {
    return std::min<int>(media.count, kMostComponents + 1);
}

/// RTP on the last port of all has none above it: muxed, or without RTCP.
inline bool has_rtcp(const sdp::Media& media, int pair) {
    if (media.rtcp_mux_only) return false;
    const bool is_explicit = pair == 0 && media.rtcp_port_text;
    return is_explicit || number(media.port) + 2 * pair + 1 <= kLastPort;
}

/// Nobody connects to it there: the address is edited, the port stays.
inline bool is_placeholder(const sdp::Candidate& candidate) {
    return candidate.active || candidate.at.port < kFirstUserPort;
}

/// Calls `visit` with the port of each component; once for what is not RTP.
template <class Visit>
void for_each_port(const sdp::Media& media, std::string_view text, Visit visit) {
    if (!contains_rtp(media.protocol.in(text))) {
        visit(media.port);
        return;
    }
    for (int pair = 0; pair < pairs_of(media); ++pair) {
        visit(above(media.port, 2 * pair));
        if (has_rtcp(media, pair)) visit(rtcp_port(media, pair));
    }
}

/// Calls `visit(line, connection)` for each m= line of all bodies.
template <class Visit>
void for_each_stream(Bodies bodies, Visit visit) {
    for (const auto& session : bodies) {
        for (std::size_t i = 0; i < session.media.size(); ++i)
            visit(session.media[i], session.connection_of(i));
    }
}

inline std::size_t count_streams(Bodies bodies) {
    std::size_t count = 0;
    for (const auto& session : bodies)
        count += session.media.size();
    return count;
}

}  // namespace sipnat
