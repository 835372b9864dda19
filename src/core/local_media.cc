#include "core/local_media.h"

#include <algorithm>
#include <optional>
#include <string>

#include "core/sdp_streams.h"

namespace sipnat {

namespace {

const IpAddress& rtcp_address(const sdp::Media& line, const IpAddress& rtp) {
    const auto& own = line.rtcp_connection;
    return own && own->parsed ? *own->parsed : rtp;
}

LocalStream read_local_stream(const sdp::Media& line, const sdp::Connection* connection,
                              std::string_view text, const MediaTable& media) {
    const auto protocol = line.protocol.in(text);
    if (connection == nullptr || !connection->parsed || number(line.port) == 0) return {};
    if (transport_of(protocol) != Transport::udp || pairs_of(line) > 1) return {};
    const auto rtp = inside_of({*connection->parsed, line.port}, media);
    if (!rtp) return {};
    if (contains_rtp(protocol) && has_rtcp(line, 0)) {
        const auto& at = rtcp_address(line, *connection->parsed);
        const auto rtcp = inside_of({at, rtcp_port(line, 0)}, media);
        if (rtcp ? rtcp->address != rtp->address : !line.rtcp_mux) return {};
    }
    return {Way::hairpin, rtp->address, true};
}

/// A c= that several streams share can say one address only.
void look_at_shared(const sdp::Session& session, std::span<LocalStream> streams) {
    const LocalStream* first = nullptr;
    bool alike = session.further_connections.empty();
    const auto for_each_sharing = [&](auto visit) {
        for (std::size_t i = 0; i < streams.size(); ++i) {
            const auto& line = session.media[i];
            if (!line.connection && number(line.port) != 0) visit(streams[i]);
        }
    };
    for_each_sharing([&](LocalStream& stream) {
        if (first == nullptr) first = &stream;
        alike = alike && stream == *first;
    });
    if (alike) return;
    for_each_sharing([](LocalStream& stream) { stream.can_be_direct = false; });
}

class LocalRewriter {
  public:
    LocalRewriter(std::string_view text, const MediaTable& media, std::vector<Edit>& edits)
        : text_(text), media_(media), edits_(edits) {}

    void connection(const sdp::Connection& connection, const IpAddress& host) {
        replace(connection.address, host.text(), Place::sdp_connection);
    }

    void stream(const sdp::Media& line, const sdp::Connection& connection) {
        const auto rtp = inside_of({*connection.parsed, line.port}, media_).value();
        replace(line.port_text, std::to_string(number(rtp.port)), Place::sdp_media);
        rtcp(line, *connection.parsed, rtp);
        for (const auto& candidate : line.candidates) {
            if (candidate.transport != Transport::udp) continue;
            location(candidate.at, rtp.address);
            if (candidate.related) location(*candidate.related, rtp.address);
        }
    }

  private:
    void rtcp(const sdp::Media& line, const IpAddress& address, const Endpoint& rtp) {
        if (!contains_rtp(line.protocol.in(text_)) || !has_rtcp(line, 0)) return;
        const auto at = inside_of({rtcp_address(line, address), rtcp_port(line, 0)}, media_);
        if (!at || at->address != rtp.address) return;  // muxed, and gone
        const auto port = std::to_string(number(at->port));
        if (line.rtcp_port_text) {
            replace(*line.rtcp_port_text, port, Place::sdp_rtcp);
            for (const auto further : line.further_rtcp_ports)
                replace(further, port, Place::sdp_rtcp);
            if (line.rtcp_connection)
                replace(line.rtcp_connection->address, at->address.text(), Place::sdp_rtcp);
        } else if (at->port != above(rtp.port)) {
            replace(span_of(line.end, line.end), "\r\na=rtcp:" + port, Place::sdp_rtcp);
        }
    }

    void location(const sdp::Location& at, const IpAddress& host) {
        if (!at.parsed) return;
        const auto inside = inside_of({*at.parsed, at.port}, media_);
        if (!inside || inside->address != host) return;
        replace(at.address, inside->address.text(), Place::sdp_candidate);
        replace(at.port_text, std::to_string(number(inside->port)), Place::sdp_candidate);
    }

    void replace(Span span, std::string text, Place place) {
        if (span.in(text_) == text) return;
        edits_.push_back({span, std::move(text), place, Why::local_media});
    }

    std::string_view text_;
    const MediaTable& media_;
    std::vector<Edit>& edits_;
};

}  // namespace

void read_local_streams(Bodies bodies, std::string_view text, const MediaTable& media,
                        std::vector<LocalStream>& streams) {
    streams.clear();
    for_each_stream(bodies, [&](const sdp::Media& line, const sdp::Connection* connection) {
        streams.push_back(read_local_stream(line, connection, text, media));
    });
    auto rest = std::span(streams);
    for (const auto& session : bodies) {
        look_at_shared(session, rest.first(session.media.size()));
        rest = rest.subspan(session.media.size());
    }
}

bool share_networks(const Settings& settings, const IpAddress& one, const IpAddress& other) {
    return std::ranges::any_of(settings.local_networks, [&](const auto& group) {
        const auto has = [&group](const IpAddress& address) {
            return std::ranges::any_of(
                group, [&](const Network& network) { return network.contains(address); });
        };
        return has(one) && has(other);
    });
}

std::optional<Endpoint> inside_of(const Endpoint& outside, const MediaTable& media) {
    const auto key = media.find_outside(outside, Transport::udp);
    if (!key || key->inside == outside) return std::nullopt;
    const auto* mapping = media.find(*key);
    // One that rests is still its owner's: retransmissions read the same as before.
    const bool is_media = mapping->media != ExpectClass::signalling &&
                          (!mapping->uses.empty() || mapping->unused_since);
    return is_media ? std::optional(key->inside) : std::nullopt;
}

void rewrite_local_streams(Bodies bodies, std::string_view text,
                           std::span<const LocalStream> streams, const MediaTable& media,
                           std::vector<Edit>& edits) {
    if (streams.empty()) return;
    LocalRewriter rewriter(text, media, edits);
    auto stream = streams.begin();
    for (const auto& session : bodies) {
        bool shared_is_done = false;
        for (std::size_t i = 0; i < session.media.size(); ++i, ++stream) {
            if (stream->way != Way::direct) continue;
            const auto& line = session.media[i];
            const auto& connection = *session.connection_of(i);
            if (line.connection || !shared_is_done) rewriter.connection(connection, stream->host);
            shared_is_done = shared_is_done || !line.connection;
            rewriter.stream(line, connection);
        }
    }
}

}  // namespace sipnat
