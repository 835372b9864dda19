// What `sipnatctl status` shows: filled by the daemon, carried as JSON, printed by the client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sipnat::control {

struct Status {
    std::string version;
    std::string mode;                   ///< "expectations", "maps"
    std::string mode_why;               ///< what the probe found
    std::vector<std::string> notes;     ///< what this mode does not do
    std::vector<std::string> outside;   ///< of maps: interface, address, inside networks
    std::string table;                  ///< "inet sipnat"
    std::vector<std::string> warnings;  ///< for the admin: what is wrong or dangerous right now
    std::vector<std::uint16_t> udp_ports;
    std::vector<std::uint16_t> tcp_ports;  ///< none: TCP is not looked at
    std::uint64_t tcp_streams = 0;         ///< connections that are followed
    std::vector<std::pair<std::string, std::uint64_t>> tcp_events;
    bool gateway_pbx = false;  ///< SIP of the gateway itself is looked at as well
    std::string queues;        ///< "5060" or "5060-5063"
    std::string media_ports;
    bool table_loaded = false;
    std::optional<unsigned> expect_max;
    std::uint64_t uptime = 0;  ///< seconds
    std::uint64_t calls = 0;
    std::uint64_t signalling_mappings = 0;  ///< of maps: phones' endpoints with an outside port
    std::uint64_t media_mappings = 0;       ///< inside endpoints with an outside port
    std::uint64_t holes_opened = 0;
    std::uint64_t holes_closed = 0;
    std::uint64_t queue_overruns = 0;
    std::uint64_t refused_verdicts = 0;
    std::uint64_t stricter_message = 0;
    std::uint64_t stricter_sdp = 0;
    std::uint64_t short_lengths = 0;
    std::uint64_t broken_digests = 0;
    std::uint64_t unreachable_msrp = 0;
    std::uint64_t other_family = 0;
    std::uint64_t registrations_over_limits = 0;
    std::vector<std::pair<std::string, std::uint64_t>> packets;  ///< by reason

    bool operator==(const Status&) const = default;
};

[[nodiscard]] std::string to_json(const Status& status);
/// Nothing when it is not what to_json() wrote.
[[nodiscard]] std::optional<Status> parse_status(std::string_view json);
/// A few aligned lines.
[[nodiscard]] std::string to_text(const Status& status);

}  // namespace sipnat::control
