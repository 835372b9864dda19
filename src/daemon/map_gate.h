// nft-map mode: media through timeout maps of the daemon's own table (nft/sipnat-maps.nft).
//
// An inbound hole is an element in `in`, in `out`, and so on, and the guard of its outside port, made
// in one transaction. Whoever speaks first, they give the same translation, so a hole towards a
// remote end needs nothing of its own, but that what ran ahead of it is forgotten.
#pragma once

#include <memory>
#include <vector>

#include "daemon/media_gate.h"
#include "daemon/signalling_map.h"
#include "sipnat/config/config.h"
#include "sipnat/netfilter/conntrack.h"
#include "sipnat/netfilter/nat_maps.h"
#include "sipnat/netfilter/route.h"

namespace sipnat::daemon {

/// Elements of media live so long in the kernel if nobody removes them, above the longest silence
/// of a call.
inline constexpr std::chrono::hours kMediaElementLife{36};
static_assert(kMediaElementLife > kLongestSilence);

/// The elements of an inbound hole; on `interface` its outside address is.
[[nodiscard]] std::vector<netfilter::NatElement> media_elements(const Endpoint& inside,
                                                                const Endpoint& outside,
                                                                const std::string& interface);
/// The guard of its port, while it is open or, with a lifetime, while it rests.
[[nodiscard]] netfilter::NatElement media_guard(const Endpoint& outside);
[[nodiscard]] netfilter::NatElement resting_guard(const Endpoint& outside);

class MapGate : public MediaGate {
  public:
    [[nodiscard]] static Result<std::unique_ptr<MapGate>> open(
        std::vector<config::Outside> outside, std::shared_ptr<SignallingMap> signalling);

    [[nodiscard]] KernelAnswer open_holes(const Decision& decision, std::uint32_t mark) override;
    [[nodiscard]] Result<void> close_holes(std::span<const Hole> holes) override;
    [[nodiscard]] Result<void> sweep(std::span<const MediaFlows> ended) override;
    [[nodiscard]] Result<std::vector<IdleAnswer>> count(
        std::span<const IdleQuestion> questions) override;
    [[nodiscard]] std::vector<Error> take_over(const MediaTable& media,
                                               Knowledge knowledge) override;
    [[nodiscard]] Result<std::set<Endpoint>> foreign_endpoints(const MediaTable& media) override;
    [[nodiscard]] Result<void> put_again(const MediaTable& media) override;
    [[nodiscard]] Result<void> keep_up(const MediaTable& media, Time now) override;

  private:
    MapGate(std::vector<config::Outside> outside, std::shared_ptr<SignallingMap> signalling,
            netfilter::Conntrack conntrack, netfilter::Routes routes, netfilter::NatMaps maps);

    [[nodiscard]] std::vector<netfilter::NatElement> all(const MediaTable& media) const;
    [[nodiscard]] Result<void> forget_early_media(const std::vector<Hole>& holes);

    std::vector<config::Outside> outside_;
    std::shared_ptr<SignallingMap> signalling_;
    netfilter::Conntrack conntrack_;
    netfilter::Routes routes_;
    netfilter::NatMaps maps_;
    std::set<Endpoint> left_;  ///< outside endpoints of calls that perhaps are up, and unknown
    std::optional<Time> put_;
};

}  // namespace sipnat::daemon
