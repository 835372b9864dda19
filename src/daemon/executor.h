// Expectations mode: carries decisions out in the kernel with entries, expectations, guarded ports.
//
// Order for one message (kernel-side reasons beside each step in executor.cc):
//
//     routes of remote parties, sockets on outside ports     nothing is changed yet
//     guard the ports, make the flow's entry, expectations    before the packet leaves
//     delete entries that media made before its expectation   "
//     verdict                                                 not here: the queue's
//     remove expectations, later sweep their flows            after it
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "daemon/media_gate.h"
#include "sipnat/netfilter/conntrack.h"
#include "sipnat/netfilter/expectation.h"
#include "sipnat/netfilter/nat_maps.h"
#include "sipnat/netfilter/route.h"
#include "sipnat/netfilter/ruleset.h"

namespace sipnat::daemon {

/// The outside endpoints that the table gives the helper on, by transport.
struct SignallingSets {
    netfilter::EndpointSet udp;
    netfilter::EndpointSet tcp;
};

class Executor : public MediaGate {
  public:
    [[nodiscard]] static Result<Executor> open();

    void begin_packet() override { entry_made_ = false; }
    [[nodiscard]] KernelAnswer open_holes(const Decision& decision, std::uint32_t mark) override;
    [[nodiscard]] Result<void> close_holes(std::span<const Hole> holes) override;
    [[nodiscard]] std::vector<Refused> admit(std::span<const Admission> admissions) override;
    [[nodiscard]] Result<void> evict(std::span<const Hole> holes) override;
    [[nodiscard]] Result<bool> has_heard(const Hole& hole) override;
    [[nodiscard]] Result<void> sweep(std::span<const MediaFlows> ended) override;
    [[nodiscard]] Result<MediaCounts> count(std::span<const MediaFlows> media) override;
    [[nodiscard]] std::vector<Error> take_over(const MediaTable& media,
                                               Knowledge knowledge) override;
    [[nodiscard]] Result<void> put_again(const MediaTable& media) override;
    [[nodiscard]] Result<OutsideEndpoints> foreign_endpoints(const MediaTable& media) override;
    [[nodiscard]] Result<void> renew(const MediaTable& media,
                                     const std::set<Tuple>& masters) override;
    /// Expectations end after a day, and with the flow that they hang on. Those of signalling are
    /// needed for as long as a phone is registered.
    [[nodiscard]] Result<void> keep_up(const MediaTable& media, Time now) override;

  private:
    Executor(netfilter::Conntrack conntrack, netfilter::Expectations expectations,
             netfilter::Routes routes, netfilter::MediaGuard guard, SignallingSets signalling,
             netfilter::NatMaps hairpin);

    [[nodiscard]] KernelAnswer open_guarded(const Decision& decision, std::uint32_t mark);
    [[nodiscard]] std::optional<KernelAnswer> make_entry(const EntryRequest& request,
                                                         std::uint32_t mark);
    [[nodiscard]] KernelAnswer expect(std::span<const Hole> all);
    [[nodiscard]] Result<void> update_signalling(std::span<const Hole> holes, bool are_open);
    [[nodiscard]] Result<void> forget_early_media(const std::vector<Hole>& holes);
    [[nodiscard]] Result<void> renew_if(const MediaTable& media,
                                        const std::function<bool(const Mapping&)>& condition);
    [[nodiscard]] Result<std::vector<Expectation>> unknown_expectations(const MediaTable& media);

    netfilter::Conntrack conntrack_;
    netfilter::Expectations expectations_;
    netfilter::Routes routes_;
    netfilter::MediaGuard guard_;
    SignallingSets signalling_;
    netfilter::NatMaps hairpin_;
    bool entry_made_ = false;
    Knowledge knowledge_ = Knowledge::some_calls;
};

}  // namespace sipnat::daemon
