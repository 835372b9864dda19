// From SDP to streams and back to edits: which lines of a body name the sender's own media, and
// what they read with its outside ports.
#pragma once

#include <memory_resource>
#include <span>
#include <string_view>
#include <vector>

#include "core/bodies.h"
#include "core/local_media.h"
#include "core/sdp_streams.h"
#include "sipnat/core/call.h"
#include "sipnat/core/decision.h"
#include "sipnat/core/media_table.h"
#include "sipnat/core/nat_view.h"
#include "sipnat/sdp/session.h"

namespace sipnat {

/// What may stand in the SDP of one inside party: its own address, and those of further hosts whose
/// media it announces (nat.media_hosts; NATed parties only).
class MediaOwner {
  public:
    MediaOwner(const Party& party, std::span<const IpAddress> media_hosts)
        : party_(&party), media_hosts_(media_hosts) {}

    [[nodiscard]] const Party& party() const { return *party_; }
    [[nodiscard]] bool has(const std::optional<IpAddress>& address) const;
    /// A further host is opened for media only, which is UDP.
    [[nodiscard]] bool may_open(const IpAddress& address, Transport transport) const;

  private:
    const Party* party_;
    std::span<const IpAddress> media_hosts_;  // of the settings
};

/// What `owner` receives at, by its own SDP: only its own addresses count, ports from 1024 up, and
/// the outside endpoints that `media` gave it already (an ICE phone announces those in its next
/// offer). One entry for each m= line, in order, in the place of what `streams` held.
void read_own_streams(Bodies bodies, std::string_view text, const MediaOwner& owner,
                      const MediaTable& media, std::vector<OwnStream>& streams);

/// Where `peer` receives, in the place of what `streams` held. Endpoints that no hole may lead to
/// have port 0: not a unicast address, loopback, link-local, our own side of the NAT, ports under
/// 1024, and private addresses other than that which the signalling comes from. `local` tells which
/// of them are another inside party's.
void read_remote_streams(Bodies bodies, std::string_view text, const Party& peer,
                         const Party& inside, std::span<const LocalStream> local,
                         const MediaTable& media, std::vector<RemoteStream>& streams);

struct Claim {
    Endpoint endpoint;
    Transport transport = Transport::udp;
};

/// Outside endpoints of the NAT that `owner` names as its own though no mapping leads there: it
/// learnt them through STUN, and they are masquerade's.
[[nodiscard]] std::pmr::vector<Claim> read_claims(Bodies bodies, std::string_view text,
                                                  const Party& owner, const MediaTable& media,
                                                  std::pmr::memory_resource* memory);

[[nodiscard]] std::size_t count_components(std::span<const OwnStream> streams);

/// Appends the edits of what the sender says of itself. Ports of streams without a mapping stay.
void rewrite_sdp(Bodies bodies, std::string_view text, const MediaOwner& sender,
                 std::span<const OwnStream> streams, const MediaTable& media,
                 std::vector<Edit>& edits);

/// Appends the edits of what the sender says of the receiver: a=remote-candidates, which have to be
/// the receiver's own candidates again.
void rewrite_remote_candidates(Bodies bodies, std::string_view text, const Party& receiver,
                               const MediaTable& media, std::vector<Edit>& edits);

}  // namespace sipnat
