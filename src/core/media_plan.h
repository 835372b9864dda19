// From SDP to streams and back to edits: which lines of a body name the sender's own media, and
// what they read with its outside ports.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "sipnat/core/call.h"
#include "sipnat/core/decision.h"
#include "sipnat/core/media_table.h"
#include "sipnat/core/nat_view.h"
#include "sipnat/sdp/session.h"

namespace sipnat {

/// No SDP of a real phone asks for more; one that does gets no media.
inline constexpr std::size_t kMostComponents = 32;

/// What `owner` receives at, by its own SDP: only its own address counts, ports from 1024 up, and
/// the outside endpoints that `media` gave it already (an ICE phone announces those in its next
/// offer). One entry for each m= line, in order.
[[nodiscard]] std::vector<OwnStream> read_own_streams(const sdp::Session& session,
                                                      std::string_view text, const Party& owner,
                                                      const MediaTable& media);

/// Where `peer` receives. Endpoints that no hole may lead to have port 0: not a unicast address,
/// loopback, link-local, our own side of the NAT, ports under 1024, and private addresses other
/// than that which the signalling comes from.
[[nodiscard]] std::vector<RemoteStream> read_remote_streams(const sdp::Session& session,
                                                            std::string_view text,
                                                            const Party& peer, const Party& inside);

struct Claim {
    Endpoint endpoint;
    Transport transport = Transport::udp;
};

/// Outside endpoints of the NAT that `owner` names as its own though no mapping leads there: it
/// learnt them through STUN, and they are masquerade's.
[[nodiscard]] std::vector<Claim> read_claims(const sdp::Session& session, std::string_view text,
                                             const Party& owner, const MediaTable& media);

[[nodiscard]] std::size_t count_components(const std::vector<OwnStream>& streams);

/// Appends the edits of one body. Ports of streams without a mapping stay.
void rewrite_sdp(const sdp::Session& session, std::string_view text, const Party& owner,
                 std::span<const OwnStream> streams, const MediaTable& media,
                 std::vector<Edit>& edits);

}  // namespace sipnat
