#include "core/media_plan.h"

#include <algorithm>
#include <string>

#include "core/sdp_streams.h"

namespace sipnat {

namespace {

constexpr std::uint16_t kMostPairs = 8;  // of a remote party
constexpr std::size_t kUsualComponents = 2;
constexpr std::size_t kMostRemoteCandidates = 8;  // of one stream: two expectations a host are many

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

/// Ports past 65535 don't exist; those under 1024 are placeholders or servers. Nobody connects to who is
/// active; over UDP that is only who speaks first (RFC 4145 4, RFC 8842 5.3).
bool can_open(const sdp::Media& media, Transport transport, bool rtp) {
    const bool connects = transport == Transport::tcp && media.setup == sdp::Setup::active;
    if (media.port < kFirstUserPort || connects) return false;
    const int last = number(media.port) + (rtp ? 2 * (pairs_of(media) - 1) : 0);
    return last <= kLastPort;
}

void add_inside_components(const sdp::Media& line, std::string_view text, const Party& owner,
                           const IpAddress& address, std::vector<MediaKey>& keys) {
    const auto transport = transport_of(line.protocol.in(text));
    keys.reserve(kUsualComponents);
    for_each_port(line, text, [&](Port port) {
        keys.push_back({owner.shown.address, transport, {address, port}});
    });
}

/// Those that are this owner's own mappings, seen from outside.
void add_outside_components(const sdp::Media& line, std::string_view text, const MediaOwner& owner,
                            const MediaTable& media, std::vector<MediaKey>& keys) {
    const auto transport = transport_of(line.protocol.in(text));
    bool all_own = true;
    for_each_port(line, text, [&](Port port) {
        const auto key = media.find_outside({owner.party().shown.address, port}, transport);
        all_own = all_own && key && owner.has(key->inside.address) &&
                  media.find(*key)->media != ExpectClass::signalling;
        if (all_own) keys.push_back(*key);
    });
}

/// Its candidates follow the mapping of the stream: with a c= of somebody else (a STUN server's
/// answer, a relay) the phone sees to itself.
bool may_follow(const MediaOwner& owner, const sdp::Connection* connection,
                const OwnStream& stream) {
    const bool is_ours = !stream.components.empty() && is(connection, owner.party().shown.address);
    return is_unspecified(connection) || is_ours ||
           (connection != nullptr && owner.has(connection->parsed));
}

std::optional<MediaKey> key_of(const sdp::Location& at, Transport transport,
                               const MediaOwner& owner) {
    if (!owner.has(at.parsed) || !owner.may_open(*at.parsed, transport)) return std::nullopt;
    return MediaKey{owner.party().shown.address, transport, {*at.parsed, at.port}};
}

void add_candidates(const sdp::Media& line, const MediaOwner& owner, OwnStream& stream) {
    for (const auto& candidate : line.candidates) {
        if (!candidate.host || is_placeholder(candidate)) continue;
        const auto key = key_of(candidate.at, candidate.transport, owner);
        if (!key || std::ranges::count(stream.components, *key) > 0) continue;
        if (std::ranges::count(stream.candidates, *key) == 0) stream.candidates.push_back(*key);
    }
}

bool may_be_reached(const Endpoint& remote, const Party& peer, const Party& inside) {
    const auto& address = remote.address;
    const bool ours = address == inside.shown.address || address == inside.real.address;
    const bool known = !address.is_private() || address == peer.real.address;
    return remote.port >= kFirstUserPort && address.is_host() && !address.is_link_local() &&
           !ours && known && address.family() == inside.real.address.family();
}

void read_own_stream(const sdp::Media& line, const sdp::Connection* connection,
                     std::string_view text, const MediaOwner& owner, const MediaTable& media,
                     OwnStream& stream) {
    const auto& party = owner.party();
    stream.components.clear();
    stream.candidates.clear();
    stream.media = class_of(line.kind.in(text));
    stream.mux = line.rtcp_mux;
    stream.held = is_unspecified(connection);
    stream.quiet = line.direction != sdp::Direction::sendrecv;
    const auto transport = transport_of(line.protocol.in(text));
    if (can_open(line, transport, contains_rtp(line.protocol.in(text)))) {
        if (stream.held) {
            add_inside_components(line, text, party, party.real.address, stream.components);
        } else if (connection != nullptr && owner.has(connection->parsed)) {
            if (owner.may_open(*connection->parsed, transport)) {
                add_inside_components(line, text, party, *connection->parsed, stream.components);
            }
        } else if (is(connection, party.shown.address)) {
            add_outside_components(line, text, owner, media, stream.components);
        }
    }
    if (may_follow(owner, connection, stream)) add_candidates(line, owner, stream);
    if (stream.components.size() < 2) return;
    // RTCP that goes to another host is not ours, and a=rtcp:9 is a placeholder.
    const auto& rtcp = line.rtcp_connection;
    const bool elsewhere = rtcp && rtcp->parsed != connection->parsed && !owner.has(rtcp->parsed);
    const bool closed = line.rtcp_port_text && line.rtcp_port < kFirstUserPort;
    if (elsewhere || closed) {
        stream.components.resize(1);
    } else if (rtcp && owner.has(rtcp->parsed)) {
        if (owner.may_open(*rtcp->parsed, stream.components[1].transport)) {
            stream.components[1].inside.address = *rtcp->parsed;
        } else {
            stream.components.resize(1);
        }
    }
}

void read_remote_stream(const sdp::Media& line, const sdp::Connection* connection,
                        std::string_view text, const Party& peer, const Party& inside,
                        const LocalStream& local, const MediaTable& media, RemoteStream& stream) {
    stream.components.clear();
    stream.candidates.clear();
    stream.mux = line.rtcp_mux;
    stream.rejected = number(line.port) == 0;
    stream.quiet = is_unspecified(connection) || line.direction != sdp::Direction::sendrecv;
    if (connection == nullptr || !connection->parsed || stream.rejected) return;
    if (line.count > kMostPairs) return;
    stream.components.reserve(kUsualComponents);
    for_each_port(line, text, [&](Port port) {
        stream.components.push_back({*connection->parsed, port});
    });
    const auto& rtcp = line.rtcp_connection;
    if (rtcp && rtcp->parsed && stream.components.size() > 1) {
        stream.components[1].address = *rtcp->parsed;
    }
    stream.way = local.way;
    if (local.way != Way::nat) {
        for (auto& endpoint : stream.components) {
            const auto at = inside_of(endpoint, media);
            const bool is_the_hosts = at && at->address == local.host;
            if (!is_the_hosts) {
                endpoint = {};
            } else if (local.way == Way::direct) {
                endpoint = *at;
            }
        }
        return;
    }
    for (auto& endpoint : stream.components) {
        if (!may_be_reached(endpoint, peer, inside)) endpoint.port = Port{0};
    }
    for (const auto& candidate : line.candidates) {
        if (stream.candidates.size() == kMostRemoteCandidates) break;
        if (candidate.transport != Transport::udp || !candidate.at.parsed) continue;
        const Endpoint at{*candidate.at.parsed, candidate.at.port};
        const bool counts = candidate.component == 1 || candidate.component == 2;
        if (!counts || !may_be_reached(at, peer, inside)) continue;
        stream.candidates.push_back({candidate.component - std::size_t{1}, at});
    }
}

class SdpRewriter {
  public:
    SdpRewriter(std::string_view text, const MediaOwner& owner, const MediaTable& media,
                std::vector<Edit>& edits)
        : text_(text), owner_(owner), media_(media), edits_(edits) {}

    void address(const std::optional<sdp::Connection>& connection, Place place) {
        if (connection && owner_.has(connection->parsed)) shown(connection->address, place);
    }

    void ports(const sdp::Media& line, const OwnStream& stream) {
        if (stream.components.empty()) return;
        const auto* rtp = media_.find(stream.components.front());
        if (rtp != nullptr) port(line.port_text, *rtp, Place::sdp_media);
        if (stream.components.size() < 2) return;
        const auto* rtcp = media_.find(stream.components[1]);
        if (rtcp == nullptr) return;
        if (line.rtcp_port_text) {
            port(*line.rtcp_port_text, *rtcp, Place::sdp_rtcp);
            for (const auto further : line.further_rtcp_ports)
                port(further, *rtcp, Place::sdp_rtcp);
        } else if (rtp != nullptr && has_rtcp(line, 0) &&
                   rtcp->outside.port != above(rtp->outside.port)) {
            add_rtcp(line, *rtcp);
        }
    }

    void candidate(const sdp::Candidate& candidate) {
        if (candidate.host) {
            if (is_placeholder(candidate) && owner_.has(candidate.at.parsed)) {
                shown(candidate.at.address, Place::sdp_candidate);
            } else {
                location(candidate.at, candidate.transport);
            }
        }
        if (candidate.related) location(*candidate.related, candidate.transport);
    }

  private:
    /// The two are neighbours inside, and nothing says that they are not outside (RFC 3605 2.1).
    void add_rtcp(const sdp::Media& line, const Mapping& rtcp) {
        replace(span_of(line.end, line.end),
                "\r\na=rtcp:" + std::to_string(number(rtcp.outside.port)), Place::sdp_rtcp,
                Why::media_port);
    }

    void location(const sdp::Location& at, Transport transport) {
        const auto key = key_of(at, transport, owner_);
        const auto* mapping = key ? media_.find(*key) : nullptr;
        if (mapping == nullptr) return;
        shown(at.address, Place::sdp_candidate);
        port(at.port_text, *mapping, Place::sdp_candidate);
    }

    void shown(Span address, Place place) {
        replace(address, owner_.party().shown.address.text(), place, Why::media_address);
    }

    void port(Span port_text, const Mapping& mapping, Place place) {
        replace(port_text, std::to_string(number(mapping.outside.port)), place, Why::media_port);
    }

    void replace(Span span, std::string text, Place place, Why why) {
        if (span.in(text_) == text) return;
        edits_.push_back({span, std::move(text), place, why});
    }

    std::string_view text_;
    const MediaOwner& owner_;
    const MediaTable& media_;
    std::vector<Edit>& edits_;
};

}  // namespace

bool MediaOwner::has(const std::optional<IpAddress>& address) const {
    if (!address) return false;
    if (*address == party_->real.address) return true;
    return party_->translated() && std::ranges::count(media_hosts_, *address) > 0;
}

bool MediaOwner::may_open(const IpAddress& address, Transport transport) const {
    return address == party_->real.address || transport == Transport::udp;
}

void read_own_streams(Bodies bodies, std::string_view text, const MediaOwner& owner,
                      const MediaTable& media, std::vector<OwnStream>& streams) {
    streams.resize(count_streams(bodies));
    auto stream = streams.begin();
    for_each_stream(bodies, [&](const sdp::Media& line, const sdp::Connection* connection) {
        read_own_stream(line, connection, text, owner, media, *stream++);
    });
}

void read_remote_streams(Bodies bodies, std::string_view text, const Party& peer,
                         const Party& inside, std::span<const LocalStream> local,
                         const MediaTable& media, std::vector<RemoteStream>& streams) {
    streams.resize(std::min(count_streams(bodies), sdp::kMostMedia));
    auto stream = streams.begin();
    auto next_local = local.begin();
    std::size_t components = 0;
    for_each_stream(bodies, [&](const sdp::Media& line, const sdp::Connection* connection) {
        if (stream == streams.end()) return;
        const auto& of_line = next_local == local.end() ? LocalStream{} : *next_local++;
        read_remote_stream(line, connection, text, peer, inside, of_line, media, *stream);
        components += stream->components.size();
        if (components > kMostComponents) *stream = {};  // it gets no way out
        ++stream;
    });
}

std::pmr::vector<Claim> read_claims(Bodies bodies, std::string_view text, const Party& owner,
                                    const MediaTable& media, std::pmr::memory_resource* memory) {
    std::pmr::vector<Claim> claims(memory);
    if (!owner.translated()) return claims;
    const auto claim = [&](const Endpoint& endpoint, Transport transport) {
        const bool full = claims.size() == kMostComponents;
        if (!full && !media.find_outside(endpoint, transport)) {
            claims.push_back({endpoint, transport});
        }
    };
    for_each_stream(bodies, [&](const sdp::Media& line, const sdp::Connection* connection) {
        for (const auto& candidate : line.candidates) {
            const bool ours = candidate.at.parsed == owner.shown.address;
            if (ours && !is_placeholder(candidate)) {
                claim({owner.shown.address, candidate.at.port}, candidate.transport);
            }
        }
        const auto protocol = line.protocol.in(text);
        if (!is(connection, owner.shown.address)) return;
        if (!can_open(line, transport_of(protocol), contains_rtp(protocol))) return;
        for_each_port(line, text, [&](Port port) {
            claim({owner.shown.address, port}, transport_of(protocol));
        });
    });
    return claims;
}

std::size_t count_components(std::span<const OwnStream> streams) {
    std::size_t count = 0;
    for (const auto& stream : streams)
        count += stream.components.size() + stream.candidates.size();
    return count;
}

void rewrite_sdp(Bodies bodies, std::string_view text, const MediaOwner& sender,
                 std::span<const OwnStream> streams, const MediaTable& media,
                 std::vector<Edit>& edits) {
    SdpRewriter rewriter(text, sender, media, edits);
    for (const auto& session : bodies) {
        rewriter.address(session.origin, Place::sdp_origin);
        rewriter.address(session.connection, Place::sdp_connection);
        for (const auto& connection : session.further_connections)
            rewriter.address(connection, Place::sdp_connection);
    }
    std::size_t index = 0;
    for_each_stream(bodies, [&](const sdp::Media& line, const sdp::Connection* connection) {
        rewriter.address(line.connection, Place::sdp_connection);
        rewriter.address(line.rtcp_connection, Place::sdp_rtcp);
        const auto& stream = streams[index++];
        rewriter.ports(line, stream);
        if (!may_follow(sender, connection, stream)) return;
        for (const auto& candidate : line.candidates)
            rewriter.candidate(candidate);
    });
}

void rewrite_remote_candidates(Bodies bodies, std::string_view text, const Party& receiver,
                               const MediaTable& media, std::vector<Edit>& edits) {
    for_each_stream(bodies, [&](const sdp::Media& line, const sdp::Connection*) {
        for (const auto& at : line.remote_candidates) {
            if (at.parsed != receiver.shown.address) continue;
            const auto key = media.find_outside({*at.parsed, at.port}, Transport::udp);
            if (!key || key->inside.address != receiver.real.address) continue;
            const auto address = key->inside.address.text();
            const auto port = std::to_string(number(key->inside.port));
            const auto place = Place::sdp_remote_candidates;
            if (at.address.in(text) != address) {
                edits.push_back({at.address, address, place, Why::receiver_inside});
            }
            if (at.port_text.in(text) != port) {
                edits.push_back({at.port_text, port, place, Why::receiver_inside});
            }
        }
    });
}

}  // namespace sipnat
