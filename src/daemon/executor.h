// Carries decisions out in the kernel: entries, expectations, the guarded ports, the sweep.
//
// Order for one message (kernel-side reasons beside each step in executor.cc):
//
//     routes of remote parties, sockets on outside ports     nothing is changed yet
//     guard the ports, make the flow's entry, expectations    before the packet leaves
//     delete entries that media made before its expectation   "
//     verdict                                                 not here: the queue's
//     remove expectations, later sweep their flows            after it
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "sipnat/core/engine.h"
#include "sipnat/netfilter/conntrack.h"
#include "sipnat/netfilter/expectation.h"
#include "sipnat/netfilter/route.h"
#include "sipnat/netfilter/ruleset.h"

namespace sipnat::daemon {

class Executor {
  public:
    [[nodiscard]] static Result<Executor> open();

    /// A new packet: its flow's entry has not been made yet.
    void begin_packet() { entry_made_ = false; }
    /// Does what `decision` needs before its packet may leave, or none of it. `mark` is the flow's.
    /// A text beside Kind::done is a fault that the admin should read.
    [[nodiscard]] KernelAnswer open_holes(const Decision& decision, std::uint32_t mark);
    /// Removes expectations. What the kernel has removed already is no failure.
    [[nodiscard]] Result<void> close_holes(std::span<const Hole> holes);
    /// Deletes the flows that expectations of ended streams made.
    [[nodiscard]] Result<void> sweep(std::span<const MediaFlows> ended);

    /// Guards the ports of these mappings, resting ones for their rest, and no others.
    [[nodiscard]] Result<void> guard_only(const MediaTable& media);
    /// Expectations of ours in the kernel, by whichever process they were made.
    [[nodiscard]] Result<std::vector<Expectation>> expectations() { return expectations_.dump(); }
    [[nodiscard]] Result<void> remove(const Expectation& expectation) {
        return expectations_.remove(expectation);
    }
    /// Outside endpoints that translated UDP flows which no expectation made are answered at.
    [[nodiscard]] Result<std::set<Endpoint>> foreign_endpoints();
    /// What the flows of these calls' media have counted.
    [[nodiscard]] Result<std::vector<IdleAnswer>> count(std::span<const IdleQuestion> questions);

  private:
    Executor(netfilter::Conntrack conntrack, netfilter::Expectations expectations,
             netfilter::Routes routes, netfilter::MediaGuard guard);

    [[nodiscard]] KernelAnswer open_guarded(const Decision& decision, std::uint32_t mark);
    [[nodiscard]] std::optional<KernelAnswer> find_obstacle(const Decision& decision);
    [[nodiscard]] Result<bool> is_beside_the_peer(const Hole& hole);
    [[nodiscard]] std::optional<KernelAnswer> make_entry(const EntryRequest& request,
                                                         std::uint32_t mark);
    [[nodiscard]] Result<std::vector<FlowEntry>> expected_flows();
    [[nodiscard]] KernelAnswer expect(const std::vector<Hole>& holes);
    [[nodiscard]] Result<void> forget_early_media(const std::vector<Hole>& holes);

    netfilter::Conntrack conntrack_;
    netfilter::Expectations expectations_;
    netfilter::Routes routes_;
    netfilter::MediaGuard guard_;
    bool entry_made_ = false;
};

}  // namespace sipnat::daemon
