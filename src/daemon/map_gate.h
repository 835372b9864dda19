// nft-map mode: media through timeout maps of the daemon's own table (nft/sipnat-maps.nft).
//
// An inbound hole is an element in `in`, in `out`, and so on, and the guard of its outside port, made
// in one transaction. Whoever speaks first, they give the same translation, so a hole towards a
// remote end needs nothing of its own, but that what ran ahead of it is forgotten.
//
// For media the maps hold UDP only. A TCP hole (MSRP, BFCP, a TCP candidate) is not opened, and no reason to
// refuse its call: the other streams work, and ports of TCP are another space than those of UDP. Signalling over
// TCP has maps of its own for connections to a phone's listening port; there is nothing to be guarded beside that.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "daemon/interface.h"
#include "daemon/media_gate.h"
#include "daemon/signalling_map.h"
#include "sipnat/config/config.h"
#include "sipnat/core/kernel.h"
#include "sipnat/netfilter/nat_maps.h"

namespace sipnat::daemon {

/// Elements of media live so long in the kernel if nobody removes them, above the longest silence
/// of a call.
inline constexpr std::chrono::hours kMediaElementLife{36};
static_assert(kMediaElementLife > kLongestSilence);

/// The elements of an inbound hole for media; on `interface` its outside address is. The first is the
/// one that lets packets in: `from`, or anybody.
[[nodiscard]] std::vector<netfilter::NatElement> media_elements(
    const Endpoint& inside, const Endpoint& outside, const std::string& interface,
    const std::optional<IpAddress>& from = std::nullopt);
/// The same for signalling.
[[nodiscard]] std::vector<netfilter::NatElement> signalling_elements(const Hole& hole,
                                                                     const std::string& interface);
/// The guard of its port, while it is open or, with a lifetime, while it rests.
[[nodiscard]] netfilter::NatElement media_guard(const Endpoint& outside);
/// Connections that came in there are looked at. It stays when the port is closed, for as long as it lives, since they
/// may be up: alone it lets nobody in.
[[nodiscard]] netfilter::NatElement queued_endpoint(const Endpoint& outside);
[[nodiscard]] netfilter::NatElement resting_guard(const Endpoint& outside);

/// What the kernel is asked and told; another one in tests. As in kernel_checks.h and nat_maps.h.
class GateKernel : public Interface {
  public:
    [[nodiscard]] virtual std::optional<KernelAnswer> find_obstacle(const Decision& decision) = 0;
    [[nodiscard]] virtual Result<void> remove_if(
        const Tuple& tuple, const std::function<bool(const FlowEntry&)>& condition) = 0;
    [[nodiscard]] virtual Result<void> delete_flows(std::span<const MediaFlows> ended) = 0;
    [[nodiscard]] virtual Result<void> evict(std::span<const Hole> holes) = 0;
    [[nodiscard]] virtual Result<MediaCounts> count_packets(std::span<const MediaFlows> media) = 0;
    [[nodiscard]] virtual Result<OutsideEndpoints> reply_destinations(const MediaTable& media) = 0;
    [[nodiscard]] virtual Result<bool> has_heard(const Hole& hole) = 0;
    [[nodiscard]] virtual Result<void> update(const netfilter::NatChanges& changes) = 0;
    [[nodiscard]] virtual Result<std::vector<netfilter::NatElement>> list(
        netfilter::NatSet set) = 0;
};

class MapGate : public MediaGate {
  public:
    MapGate(std::vector<config::Outside> outside, std::shared_ptr<SignallingMap> signalling,
            std::unique_ptr<GateKernel> kernel);
    /// With sockets of its own.
    [[nodiscard]] static Result<std::unique_ptr<MapGate>> open(
        std::vector<config::Outside> outside, std::shared_ptr<SignallingMap> signalling);

    [[nodiscard]] KernelAnswer open_holes(const Decision& decision, std::uint32_t mark) override;
    [[nodiscard]] Result<void> close_holes(std::span<const Hole> holes) override;
    [[nodiscard]] std::vector<Refused> admit(std::span<const Admission> admissions) override;
    [[nodiscard]] Result<void> evict(std::span<const Hole> holes) override;
    [[nodiscard]] Result<bool> has_heard(const Hole& hole) override;
    [[nodiscard]] Result<void> sweep(std::span<const MediaFlows> ended) override;
    [[nodiscard]] Result<MediaCounts> count(std::span<const MediaFlows> media) override;
    [[nodiscard]] std::vector<Error> take_over(const MediaTable& media,
                                               Knowledge knowledge) override;
    [[nodiscard]] Result<OutsideEndpoints> foreign_endpoints(const MediaTable& media) override;
    [[nodiscard]] Result<void> put_again(const MediaTable& media) override;
    [[nodiscard]] Result<void> keep_up(const MediaTable& media, Time now) override;

  private:
    [[nodiscard]] std::optional<KernelAnswer> find_signalling(const Hole& hole) const;
    [[nodiscard]] KernelAnswer add_elements(const netfilter::NatChanges& changes,
                                            const std::vector<Hole>& holes);
    [[nodiscard]] Result<std::vector<netfilter::NatElement>> stale_elements(
        const std::vector<Hole>& holes);
    [[nodiscard]] std::vector<netfilter::NatElement> all(const MediaTable& media) const;
    [[nodiscard]] Result<void> replace(const std::vector<netfilter::NatElement>& wanted);
    [[nodiscard]] Result<void> put(std::span<const netfilter::NatElement> elements);
    [[nodiscard]] Result<void> forget_early_media(const std::vector<Hole>& holes);

    std::vector<config::Outside> outside_;
    std::shared_ptr<SignallingMap> signalling_;
    std::unique_ptr<GateKernel> kernel_;
    std::optional<Time> put_;
};

}  // namespace sipnat::daemon
