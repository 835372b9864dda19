// The index of one SDP body (RFC 8866): where the addresses and ports of its streams stand.
//
//     o=- 1 1 IN IP4 192.168.77.2        origin
//     c=IN IP4 192.168.77.2              connection
//     m=audio 4000/2 RTP/AVP 0           media[0].port, .count, .protocol
//     c=IN IP4 192.168.77.9              media[0].connection
//     a=rtcp:4001 IN IP4 192.168.77.2    media[0].rtcp_port, .rtcp_connection
//     a=candidate:1 1 UDP 99 192.168.77.2 4000 typ host     media[0].candidates
//
// Spans point into the whole message, not into the body. The order of lines is not checked: real
// phones send c= after t= and b= after a=.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <string_view>
#include <vector>

#include "sipnat/base/result.h"
#include "sipnat/base/span.h"
#include "sipnat/net/address.h"

namespace sipnat::sdp {

/// "IN IP4 192.0.2.1[/ttl]" of an o=, c= or a=rtcp line.
struct Connection {
    Span address;                     ///< without a /ttl suffix; empty: the line can't be read
    std::optional<IpAddress> parsed;  ///< none: a name, or not an address of the family it claims
};

enum class Direction : std::uint8_t { sendrecv, sendonly, recvonly, inactive };
enum class Setup : std::uint8_t { none, active, passive, actpass, holdconn };

/// An address and a port of ICE, as two words of a line.
struct Location {
    Span address;
    std::optional<IpAddress> parsed;  ///< none: a name (".local", RFC 8839 5.1)
    Span port_text;
    Port port{};
};

/// One a=candidate line (RFC 8839 5.1).
struct Candidate {
    std::uint16_t component = 1;  ///< 1 is RTP, 2 is RTCP
    Transport transport = Transport::udp;
    bool active = false;  ///< TCP that only opens connections (RFC 6544 4.5)
    bool host = false;    ///< "typ host"
    Location at;
    std::optional<Location> related;  ///< raddr and rport
};

struct Media {
    explicit Media(std::pmr::memory_resource* memory)
        : further_rtcp_ports(memory), candidates(memory), remote_candidates(memory) {}

    Span kind;  ///< "audio"
    Span port_text;
    Port port{};              ///< 0: rejected or removed
    std::uint16_t count = 1;  ///< of m=audio 4000/2
    Span protocol;            ///< "RTP/AVP"
    std::optional<Connection> connection;
    std::optional<Span> rtcp_port_text;
    Port rtcp_port{};
    std::optional<Connection> rtcp_connection;
    std::pmr::vector<Span> further_rtcp_ports;  ///< of lines that say the same once more
    bool rtcp_mux = false;
    bool rtcp_mux_only = false;  ///< RFC 8858
    std::pmr::vector<Candidate> candidates;
    std::pmr::vector<Location> remote_candidates;  ///< a=remote-candidates (RFC 8839 5.2)
    bool has_path = false;                         ///< a=path: MSRP (RFC 4975 8.1)
    bool msrp_cema = false;                        ///< RFC 6714 4
    Direction direction = Direction::sendrecv;
    Setup setup = Setup::none;
    std::size_t end = 0;  ///< of its last line, without the line end: further attributes go there
};

/// More m= lines than this make a body malformed.
inline constexpr std::size_t kMostMedia = 64;
/// … and so do more candidates of one stream.
inline constexpr std::size_t kMostCandidates = 64;

struct Session {
    explicit Session(std::pmr::memory_resource* memory)
        : media(memory), further_connections(memory) {}

    std::optional<Connection> origin;
    std::optional<Connection> connection;
    Direction direction = Direction::sendrecv;
    std::pmr::vector<Media> media;
    /// Of any level, behind its first: the same address once more, or layers of multicast.
    std::pmr::vector<Connection> further_connections;

    /// The address that stream `index` is received at: its own c= or the session's; none if neither
    /// is there.
    [[nodiscard]] const Connection* connection_of(std::size_t index) const;
};

/// Reads the body at `where`. Fails, with the line number as the error's object ("line 4"), when
/// there is no "v=" first line, a line is not "x=…" (empty lines may follow the last), there is a
/// NUL byte, an m= line can't be read (a port over 65535 or a count of 0 too), a level has two c=
/// lines with different addresses (RFC 8866 5.7 allows several for the multicast layers of one
/// stream only), there are two o= lines or two different a=rtcp of one stream, over kMostMedia
/// streams, or over kMostCandidates of one.
///
/// A c= that can't be read is kept, without an address: it hides the session's all the same. An
/// unreadable o=, a=rtcp or candidate counts as absent. In o= the last three fields count, since user
/// names with blanks are not rare.
///
/// The index lies in `memory`, which has to outlive it.
[[nodiscard]] Result<Session> parse(
    std::string_view text, Span where,
    std::pmr::memory_resource* memory = std::pmr::get_default_resource());

}  // namespace sipnat::sdp
