// Which of the two modes: expectations where the kernel has all that they need, else nft's maps.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daemon/flow_source.h"
#include "daemon/media_gate.h"
#include "daemon/signalling_map.h"
#include "sipnat/config/config.h"
#include "sipnat/netfilter/probe.h"

namespace sipnat::daemon {

enum class Mode : std::uint8_t { expectations, maps };
/// "expectations", "maps"
[[nodiscard]] std::string_view to_text(Mode mode);

struct ChosenMode {
    Mode mode = Mode::expectations;
    std::string why;

    bool operator==(const ChosenMode&) const = default;
};

/// One text for each thing that the kernel lacks, with its remedy; or the mode. `probe` is not
/// looked at when the setting is `maps`.
[[nodiscard]] tl::expected<ChosenMode, std::vector<std::string>> choose_mode(
    const config::Configuration& configuration, const netfilter::Probe& probe);

/// What a mode is made of.
struct Wiring {
    std::unique_ptr<FlowSource> flows;
    std::unique_ptr<MediaGate> gate;
    std::shared_ptr<SignallingMap> signalling;  ///< of maps only
};
/// After the table was loaded.
[[nodiscard]] Result<Wiring> wire(Mode mode, const config::Configuration& configuration);

}  // namespace sipnat::daemon
