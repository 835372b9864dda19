// What `sipnatctl calls` shows: filled by the daemon, carried as JSON, printed by the client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sipnat::control {

/// One component of a stream: RTP and RTCP are two.
struct CallStream {
    std::string media;                ///< "audio", "video", "other"
    std::string component;            ///< "rtp", "rtcp"; "candidate" of ICE beside them
    std::string protocol;             ///< "udp", "tcp"
    std::string inside;               ///< "192.168.77.2:4000"
    std::string outside;              ///< the same, as the other side sees it
    std::vector<std::string> remote;  ///< where the other side receives; none before it said
    /// Packets of the kernel's flows; nothing where they are not counted (nf_conntrack_acct).
    std::optional<std::uint64_t> sent;      ///< from the inside
    std::optional<std::uint64_t> received;  ///< to the inside
    bool direct = false;  ///< to another inside host, past the NAT: not counted either

    bool operator==(const CallStream&) const = default;
};

struct Call {
    std::string call_id;
    std::string state;     ///< "ringing", "established"
    std::string begun_by;  ///< "inside", "outside"
    std::string inside;    ///< address of the inside party
    std::string remote;    ///< address that its signalling comes from
    std::vector<CallStream> streams;

    bool operator==(const Call&) const = default;
};

enum class OneWay : std::uint8_t {
    no,
    nothing_comes_in,  ///< only the inside party sends
    nothing_goes_out,  ///< only the other side does
};
/// Of RTP, once a second's worth of packets went one way.
[[nodiscard]] OneWay one_way(const CallStream& stream);

[[nodiscard]] std::string to_json(const std::vector<Call>& calls);
/// Nothing when it is not what to_json() wrote.
[[nodiscard]] std::optional<std::vector<Call>> parse_calls(std::string_view json);
/// A paragraph a call, or one line that says that there is none.
[[nodiscard]] std::string to_text(const std::vector<Call>& calls);

}  // namespace sipnat::control
