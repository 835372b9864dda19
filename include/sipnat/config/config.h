// The configuration file: TOML in, validated values or all of its faults out.
//
//     /etc/sipnat/sipnat.toml:7: nat.media_ports: "9000-80000" is not LOW-HIGH with ports from 1024
//     …
//
// Every setting has a default; an empty file is a good one. Unknown settings are faults, so that a
// misspelt one is noticed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "sipnat/core/settings.h"
#include "sipnat/net/address.h"
#include "sipnat/net/network.h"

namespace sipnat::config {

/// Of nat.media_timeout and nat.hold_timeout.
inline constexpr std::chrono::seconds kShortestTimeout{30};
inline constexpr std::chrono::hours kLongestTimeout{24};
/// Of queue.receive_buffer.
inline constexpr int kSmallestBuffer = 64 << 10;
inline constexpr int kLargestBuffer = 256 << 20;

struct QueueConfiguration {
    std::uint16_t first = 5060;
    std::uint16_t count = 1;
    bool fail_open = true;
    int receive_buffer = 8 << 20;  ///< bytes

    bool operator==(const QueueConfiguration&) const = default;
};

struct Paths {
    std::string state = "/var/lib/sipnat/state";
    std::string socket = "/run/sipnat/control.sock";
    std::string ruleset = "/usr/share/sipnat/sipnat.nft";
    std::string maps_ruleset = "/usr/share/sipnat/sipnat-maps.nft";

    bool operator==(const Paths&) const = default;
};

/// How the kernel does the NAT of media: see docs/adr/0004-nft-maps.md.
enum class ModeSetting : std::uint8_t { automatic, expectations, maps };

/// One way out, for nft-map mode: hosts of `inside` that leave by `interface` appear as `address`.
struct Outside {
    std::string interface;
    IpAddress address;
    std::vector<Network> inside;
    std::vector<Network> except;  ///< traffic from and to these is left alone

    bool operator==(const Outside&) const = default;
};

/// The bits of conntrack's mark that media flows get in nft-map mode; mask 0: none.
struct MarkConfiguration {
    std::uint32_t mark = 0;
    std::uint32_t mask = 0;

    bool operator==(const MarkConfiguration&) const = default;
};

struct Configuration {
    std::vector<Port> udp_ports{Port{5060}};
    std::vector<Port> tcp_ports{Port{5060}};  ///< may be none
    bool gateway_pbx = false;  ///< a PBX on the gateway itself: its flows are looked at as well
    Settings settings;
    ModeSetting mode = ModeSetting::automatic;
    MarkConfiguration mark;
    std::vector<Outside> outside;
    QueueConfiguration queue;
    Paths paths;

    bool operator==(const Configuration&) const = default;
};

struct Fault {
    std::string file;
    int line = 0;  ///< 0: of the file as a whole, or of an environment variable
    std::string text;

    /// "file:line: text"
    [[nodiscard]] std::string message() const;
    bool operator==(const Fault&) const = default;
};

template <class T>
using Checked = tl::expected<T, std::vector<Fault>>;

/// All faults of a well-formed text, or its first syntax error. `file` is for messages only.
[[nodiscard]] Checked<Configuration> parse(const std::string& text, const std::string& file);
/// The same from a file; one that can't be read is a fault.
[[nodiscard]] Checked<Configuration> load(const std::string& file);

/// The value of an environment variable, if it is set.
using Environment = std::function<std::optional<std::string>(const char* name)>;

/// Puts SIPNAT_STATE, SIPNAT_SOCKET, SIPNAT_RULESET, SIPNAT_MAPS_RULESET, SIPNAT_QUEUE_FIRST, SIPNAT_QUEUE_COUNT and
/// SIPNAT_QUEUE_FAIL_OPEN over what the file says, for a second instance on one machine.
[[nodiscard]] Checked<Configuration> with_environment(Configuration configuration,
                                                      const Environment& environment);
/// load() and then with_environment() of this process: what a program runs with.
[[nodiscard]] Checked<Configuration> load_with_environment(const std::string& file);

}  // namespace sipnat::config
