// What `sipnatctl media` shows: filled by the daemon, carried as JSON, printed by the client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sipnat::control {

/// An inside endpoint that has an outside port.
struct MediaMapping {
    std::string outside;              ///< "203.0.113.1:10000"
    std::string inside;               ///< "192.168.77.2:4000"
    std::string protocol;             ///< "udp", "tcp"
    std::string media;                ///< "audio", "video", "other", "signalling"
    std::string state;                ///< "open", "resting": its last hole is closed
    std::vector<std::string> remote;  ///< who may come in, and where it may go: "any", an endpoint
    std::string signalling;           ///< the flow that it hangs on

    bool operator==(const MediaMapping&) const = default;
};

[[nodiscard]] std::string to_json(const std::vector<MediaMapping>& mappings);
/// Nothing when it is not what to_json() wrote.
[[nodiscard]] std::optional<std::vector<MediaMapping>> parse_media(std::string_view json);
/// A table with a heading, or one line that says that there is none.
[[nodiscard]] std::string to_text(const std::vector<MediaMapping>& mappings);

}  // namespace sipnat::control
