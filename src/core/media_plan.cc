#include "core/media_plan.h"

#include <algorithm>
#include <string>

namespace sipnat {

namespace {

constexpr Port kFirstOpenPort{1024};
constexpr std::uint16_t kMostPairs = 8;  // of m=audio 4000/8

bool starts_with(std::string_view text, std::string_view prefix) {
    return text.substr(0, prefix.size()) == prefix;
}

bool contains_rtp(std::string_view protocol) {
    return protocol.find("RTP/") != std::string_view::npos;
}

Transport transport_of(std::string_view protocol) {
    return starts_with(protocol, "TCP") ? Transport::tcp : Transport::udp;
}

ExpectClass class_of(std::string_view kind) {
    if (kind == "audio") return ExpectClass::audio;
    return kind == "video" ? ExpectClass::video : ExpectClass::other;
}

bool is_unspecified(const sdp::Connection* connection) {
    return connection != nullptr && connection->parsed && connection->parsed->is_unspecified();
}

bool is(const sdp::Connection* connection, const IpAddress& address) {
    return connection != nullptr && connection->parsed == address;
}

/// The RTCP port of the pair that begins at `first`; the explicit one counts for the first pair.
Port rtcp_port(const sdp::Media& media, int pair) {
    if (pair == 0 && media.rtcp_port_text) return media.rtcp_port;
    return above(media.port, 2 * pair + 1);
}

/// Ports past 65535 don't exist; those under 1024 are placeholders or servers.
bool can_open(const sdp::Media& media, bool rtp) {
    if (media.port < kFirstOpenPort || media.setup == sdp::Setup::active) return false;
    const int last = number(media.port) + (rtp ? 2 * media.count - 1 : 0);
    return media.count <= kMostPairs && last <= 65535;
}

std::vector<Endpoint> component_endpoints(const sdp::Media& media, std::string_view text,
                                          const IpAddress& address) {
    if (!contains_rtp(media.protocol.in(text))) return {{address, media.port}};
    std::vector<Endpoint> endpoints;
    for (int pair = 0; pair < media.count; ++pair) {
        endpoints.push_back({address, above(media.port, 2 * pair)});
        if (!media.rtcp_mux_only) endpoints.push_back({address, rtcp_port(media, pair)});
    }
    return endpoints;
}

std::vector<MediaKey> inside_components(const sdp::Media& line, std::string_view text,
                                        const Party& owner) {
    std::vector<MediaKey> keys;
    for (const auto& endpoint : component_endpoints(line, text, owner.real.address)) {
        keys.push_back({owner.shown.address, transport_of(line.protocol.in(text)), endpoint});
    }
    return keys;
}

/// Those that are this owner's own mappings, seen from outside.
std::vector<MediaKey> outside_components(const sdp::Media& line, std::string_view text,
                                         const Party& owner, const MediaTable& media) {
    std::vector<MediaKey> keys;
    for (const auto& endpoint : component_endpoints(line, text, owner.shown.address)) {
        const auto key = media.find_outside(endpoint, transport_of(line.protocol.in(text)));
        if (!key || key->inside.address != owner.real.address) break;
        keys.push_back(*key);
    }
    return keys;
}

bool may_be_reached(const Endpoint& remote, const Party& peer, const Party& inside) {
    const auto& address = remote.address;
    const bool unicast =
        !address.is_unspecified() && !address.is_multicast() && !address.is_limited_broadcast();
    const bool ours = address == inside.shown.address || address == inside.real.address;
    const bool known = !address.is_private() || address == peer.real.address;
    return remote.port >= kFirstOpenPort && unicast && !address.is_loopback() &&
           !address.is_link_local() && !ours && known &&
           address.family() == inside.real.address.family();
}

class SdpRewriter {
  public:
    SdpRewriter(std::string_view text, const Party& owner, const MediaTable& media,
                std::vector<Edit>& edits)
        : text_(text), owner_(owner), media_(media), edits_(edits) {}

    void address(const std::optional<sdp::Connection>& connection, Place place) {
        if (!connection || connection->parsed != owner_.real.address) return;
        replace(connection->address, owner_.shown.address.text(), place, Why::media_address);
    }

    void ports(const sdp::Media& line, const OwnStream& stream) {
        if (stream.components.empty()) return;
        if (const auto* rtp = media_.find(stream.components.front())) {
            replace(line.port_text, std::to_string(number(rtp->outside.port)), Place::sdp_media,
                    Why::media_port);
        }
        if (!line.rtcp_port_text || stream.components.size() < 2) return;
        if (const auto* rtcp = media_.find(stream.components[1])) {
            replace(*line.rtcp_port_text, std::to_string(number(rtcp->outside.port)),
                    Place::sdp_rtcp, Why::media_port);
        }
    }

  private:
    void replace(Span span, std::string text, Place place, Why why) {
        if (span.in(text_) == text) return;
        edits_.push_back({span, std::move(text), place, why});
    }

    std::string_view text_;
    const Party& owner_;
    const MediaTable& media_;
    std::vector<Edit>& edits_;
};

}  // namespace

std::vector<OwnStream> read_own_streams(const sdp::Session& session, std::string_view text,
                                        const Party& owner, const MediaTable& media) {
    std::vector<OwnStream> streams;
    for (std::size_t i = 0; i < session.media.size(); ++i) {
        const auto& line = session.media[i];
        const auto* connection = session.connection_of(i);
        auto& stream = streams.emplace_back();
        stream.media = class_of(line.kind.in(text));
        stream.mux = line.rtcp_mux;
        stream.held = is_unspecified(connection);
        if (!can_open(line, contains_rtp(line.protocol.in(text)))) continue;
        if (stream.held || is(connection, owner.real.address)) {
            stream.components = inside_components(line, text, owner);
        } else if (is(connection, owner.shown.address)) {
            stream.components = outside_components(line, text, owner, media);
        }
        if (stream.components.size() < 2) continue;
        // RTCP that goes to another host is not ours, and a=rtcp:9 is a placeholder.
        const auto& rtcp = line.rtcp_connection;
        const bool elsewhere =
            rtcp && rtcp->parsed != connection->parsed && rtcp->parsed != owner.real.address;
        const bool closed = line.rtcp_port_text && line.rtcp_port < kFirstOpenPort;
        if (elsewhere || closed) stream.components.resize(1);
    }
    return streams;
}

std::vector<RemoteStream> read_remote_streams(const sdp::Session& session, std::string_view text,
                                              const Party& peer, const Party& inside) {
    std::vector<RemoteStream> streams;
    for (std::size_t i = 0; i < session.media.size(); ++i) {
        const auto& media = session.media[i];
        const auto* connection = session.connection_of(i);
        auto& stream = streams.emplace_back();
        stream.mux = media.rtcp_mux;
        if (connection == nullptr || !connection->parsed || number(media.port) == 0) continue;
        if (media.count > kMostPairs) continue;
        stream.components = component_endpoints(media, text, *connection->parsed);
        if (media.rtcp_connection && media.rtcp_connection->parsed &&
            stream.components.size() > 1) {
            stream.components[1].address = *media.rtcp_connection->parsed;
        }
        for (auto& endpoint : stream.components) {
            if (!may_be_reached(endpoint, peer, inside)) endpoint.port = Port{0};
        }
    }
    return streams;
}

std::vector<Claim> read_claims(const sdp::Session& session, std::string_view text,
                               const Party& owner, const MediaTable& media) {
    std::vector<Claim> claims;
    if (!owner.translated()) return claims;
    for (std::size_t i = 0; i < session.media.size(); ++i) {
        const auto& line = session.media[i];
        const auto protocol = line.protocol.in(text);
        if (!is(session.connection_of(i), owner.shown.address)) continue;
        if (!can_open(line, contains_rtp(protocol))) continue;
        for (const auto& endpoint : component_endpoints(line, text, owner.shown.address)) {
            const auto transport = transport_of(protocol);
            if (media.find_outside(endpoint, transport)) continue;
            if (claims.size() < kMostComponents) claims.push_back({endpoint, transport});
        }
    }
    return claims;
}

std::size_t count_components(const std::vector<OwnStream>& streams) {
    std::size_t count = 0;
    for (const auto& stream : streams)
        count += stream.components.size();
    return count;
}

void rewrite_sdp(const sdp::Session& session, std::string_view text, const Party& owner,
                 std::span<const OwnStream> streams, const MediaTable& media,
                 std::vector<Edit>& edits) {
    SdpRewriter rewriter(text, owner, media, edits);
    rewriter.address(session.origin, Place::sdp_origin);
    rewriter.address(session.connection, Place::sdp_connection);
    for (std::size_t i = 0; i < session.media.size(); ++i) {
        const auto& line = session.media[i];
        rewriter.address(line.connection, Place::sdp_connection);
        rewriter.address(line.rtcp_connection, Place::sdp_rtcp);
        if (i < streams.size()) rewriter.ports(line, streams[i]);
    }
}

}  // namespace sipnat
