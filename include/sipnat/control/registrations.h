// What `sipnatctl registrations` shows: filled by the daemon, carried as JSON, printed by the client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sipnat::control {

struct Registration {
    std::string aor;               ///< "alice@example.com"
    std::string contact;           ///< "alice@192.168.77.2:5060", as the phone knows itself
    std::string inside;            ///< the phone's end of the flow that calls come in on
    std::string outside;           ///< the same, as the registrar sees it
    std::string registrar;         ///< or the outbound proxy
    std::string protocol;          ///< "udp", "tcp"
    std::uint64_t expires_in = 0;  ///< seconds
    bool stale = false;  ///< no call comes in: the outside address or port is not the phone's

    bool operator==(const Registration&) const = default;
};

[[nodiscard]] std::string to_json(const std::vector<Registration>& registrations);
/// Nothing when it is not what to_json() wrote.
[[nodiscard]] std::optional<std::vector<Registration>> parse_registrations(std::string_view json);
/// A table with a heading, or one line that says that there is none.
[[nodiscard]] std::string to_text(const std::vector<Registration>& registrations);

}  // namespace sipnat::control
