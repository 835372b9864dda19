#include "daemon/mode.h"

#include <fmt/format.h>

#include "daemon/clock.h"
#include "daemon/executor.h"
#include "daemon/map_flows.h"
#include "daemon/map_gate.h"

namespace sipnat::daemon {

namespace {

std::vector<std::string> faults_of(const netfilter::Probe& probe) {
    std::vector<std::string> faults;
    for (const auto& piece : probe.missing) {
        faults.push_back(
            fmt::format("missing: {}: {} (remedy: {})", piece.what, piece.why, piece.remedy));
    }
    return faults;
}

std::string list_missing(const netfilter::Probe& probe) {
    std::string text;
    for (const auto& piece : probe.missing)
        text += (text.empty() ? "" : ", ") + piece.what;
    return text;
}

Result<Wiring> wire_maps(const config::Configuration& configuration) {
    auto signalling = std::make_shared<SignallingMap>();
    auto maps = netfilter::NatMaps::open();
    if (!maps) return tl::unexpected(maps.error());
    const auto contacts = maps->list(netfilter::NatSet::contacts);
    if (!contacts) return tl::unexpected(contacts.error());
    signalling->restore(
        *contacts,
        [&](const IpAddress& address) -> std::optional<std::string> {
            const auto* way = find_outside(configuration.outside, address);
            return way == nullptr ? std::nullopt : std::optional(way->interface);
        },
        now_by_clock());
    auto kernel = open_flow_kernel();
    if (!kernel) return tl::unexpected(kernel.error());
    auto gate = MapGate::open(configuration.outside, signalling);
    if (!gate) return tl::unexpected(gate.error());
    return Wiring{
        std::make_unique<MapFlows>(configuration.outside, configuration.settings.media_ports,
                                   configuration.udp_ports, *std::move(kernel), signalling),
        *std::move(gate), signalling};
}

}  // namespace

std::string_view to_text(Mode mode) {
    return mode == Mode::expectations ? "expectations" : "maps";
}

tl::expected<ChosenMode, std::vector<std::string>> choose_mode(
    const config::Configuration& configuration, const netfilter::Probe& probe) {
    using config::ModeSetting;
    if (configuration.mode == ModeSetting::maps) {
        return ChosenMode{Mode::maps, "nat.mode says so"};
    }
    if (probe.complete()) {
        return ChosenMode{Mode::expectations,
                          "this kernel has user-space helpers, conntrack glue and nf_nat_sip"};
    }
    auto faults = faults_of(probe);
    if (configuration.mode == ModeSetting::expectations) return tl::unexpected(std::move(faults));
    if (!configuration.outside.empty()) {
        return ChosenMode{Mode::maps, "this kernel lacks " + list_missing(probe)};
    }
    faults.emplace_back(
        "or do without them, in nft-map mode (remedy: an [[outside]] in the settings)");
    return tl::unexpected(std::move(faults));
}

Result<Wiring> wire(Mode mode, const config::Configuration& configuration) {
    if (mode == Mode::maps) return wire_maps(configuration);
    auto executor = Executor::open();
    if (!executor) return tl::unexpected(executor.error());
    auto flows = QueueFlows::open();
    if (!flows) return tl::unexpected(flows.error());
    return Wiring{*std::move(flows), std::make_unique<Executor>(*std::move(executor)), nullptr};
}

}  // namespace sipnat::daemon
