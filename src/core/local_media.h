// Two inside parties that meet at an outside server: the SDP that each gets names the other's media by
// their outside endpoints, which are ours (nat.local_media).
//
//     phone A  c=192.168.77.2 m=4000   ──►  gateway  c=203.0.113.1 m=20000  ──►  server
//     phone B  c=192.168.77.2 m=4000   ◄──  gateway  c=203.0.113.1 m=20000  ◄──
//
// Direct, B is told where A is; hairpin, it keeps the outside endpoint. A stream counts as local by the
// address and the RTP and RTCP port of mappings of one inside host; with a=rtcp-mux the second may be
// nobody's any more. UDP only.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/bodies.h"
#include "sipnat/core/decision.h"
#include "sipnat/core/media_table.h"
#include "sipnat/core/settings.h"

namespace sipnat {

/// What an m= line is to the NAT.
struct LocalStream {
    Way way = Way::nat;  ///< nat: somebody's outside
    IpAddress host;      ///< of an inside party's
    /// The line can say where the host is: it has a c= of its own, or shares one with streams of the
    /// same host only.
    bool can_be_direct = false;

    bool operator==(const LocalStream&) const = default;
};

/// One entry for each m= line, in order, in the place of what `streams` held: hairpin where it is local.
void read_local_streams(Bodies bodies, std::string_view text, const MediaTable& media,
                        std::vector<LocalStream>& streams);

/// Both are in one group of nat.local_networks.
[[nodiscard]] bool share_networks(const Settings& settings, const IpAddress& one,
                                  const IpAddress& other);

/// Whose outside UDP endpoint of media this is, inside; nothing if it is nobody's.
[[nodiscard]] std::optional<Endpoint> inside_of(const Endpoint& outside, const MediaTable& media);

/// Appends the edits that tell the receiver where the hosts of direct streams are. `streams` may be none.
void rewrite_local_streams(Bodies bodies, std::string_view text,
                           std::span<const LocalStream> streams, const MediaTable& media,
                           std::vector<Edit>& edits);

}  // namespace sipnat
