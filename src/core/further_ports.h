// Signalling on further ports: those that an inside party names in Contact or Via beside its packet's
// own.
//
//     REGISTER from 192.168.77.2:40000, Contact <sip:alice@192.168.77.2:5060>
//         mapping  192.168.77.2:5060 = 203.0.113.1:10000
//         holes    in for the registrar, out to it
//
// Over TCP (`;transport=tcp` in the Contact) there is no hole out: a connection that the phone opens
// from the port that it listens on, if it ever does, has a flow of its own.
//
// A Contact's holes are the call's in a call (Call::signalling). All others have a lease. What
// can't be had stays as sent: a message needs no further port to be passed.
//
//     begin → reach … lend → (kernel) → keep or undo, leave → reach …
#pragma once

#include <memory_resource>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/header_rewriter.h"
#include "core/known_endpoints.h"
#include "core/lease_book.h"
#include "core/transaction_table.h"
#include "sipnat/core/engine.h"

namespace sipnat {

/// Holes to the further ports of one message.
struct Reach {
    std::vector<HoleKey> holes;     ///< sorted
    std::vector<HoleKey> for_call;  ///< those that a call needs until its end; sorted
    bool is_new = false;            ///< a port has an outside one that it had not
};

class FurtherPorts {
  public:
    /// Both outlive it; the settings may change.
    FurtherPorts(MediaTable& media, const Settings& settings)
        : media_(media), settings_(settings), known_(media) {}

    [[nodiscard]] KnownEndpoints& known() { return known_; }

    // --- one packet ---

    /// Forgets what the kernel said of the packet before.
    void begin();
    /// Mappings and holes for `ports` of the sender's, as far as they can be had.
    [[nodiscard]] Reach reach(const Packet& packet, const Perspective& sender,
                              const std::vector<FurtherPort>& ports, Time now);
    /// Adds those of the flow's own port, if it is a mapped one: a call whose requests come there
    /// needs them, whatever becomes of the registration.
    void add_own(const Packet& packet, const Perspective& perspective, Reach& reach) const;
    /// Leases for what the message reached, but for the holes that its call has (`in_call`). Appends
    /// the holes that have to be opened; true if any lease is the message's.
    bool lend(const Perspective& sender, const Reach& reach, const std::vector<FurtherPort>& ports,
              bool in_call, Time now, std::pmr::memory_resource* scratch, std::vector<Hole>& open);
    /// Why the last of the ports that stay as sent does; nothing when none does.
    [[nodiscard]] const std::optional<Refusal>& unreached() const { return unreached_; }
    /// So that its retransmissions leave the same ones.
    void remember_left(const Perspective& sender);
    void recall_left(const Perspective& sender);

    /// A REGISTER or a subscription asks how long its Contact is to be reached, and its 2xx says; an
    /// INVITE's Via is needed until its final answer.
    void note_granted(const sip::Message& message, const NatView& view, Time now,
                      std::pmr::memory_resource* scratch);

    // --- what the kernel says to it ---

    void keep() { changes_.clear(); }
    void undo();
    /// All stay as sent from now on.
    void leave_all(const std::string& why);
    [[nodiscard]] bool leaves_all() const { return leaves_all_; }
    /// This one has a flow of its own.
    void leave(const Endpoint& inside, Transport transport) {
        left_.emplace_back(transport, inside.port);
    }

    // --- time and state ---

    /// Appends the holes of leases that are over.
    void end_due(Time now, std::vector<Hole>& closed);
    [[nodiscard]] std::optional<Time> next_due() const { return leases_.next_due(); }

    [[nodiscard]] std::vector<Lease> leases() const;
    [[nodiscard]] bool has_changes() const { return !changed_.empty(); }
    /// Those that changed since this was asked last; ended ones have no holes.
    [[nodiscard]] std::vector<Lease> take_changes();
    /// Holes without a mapping are left out, and leases without holes.
    void restore(Lease lease);

  private:
    struct Change {
        LeaseName name;
        std::optional<Lease> before;
        std::vector<HoleKey> acquired;
    };
    using LeftPort = std::pair<Transport, Port>;
    struct Left {
        Refusal why;
        std::vector<LeftPort> ports;
    };

    void leave(const MediaKey& key, Reason reason);
    /// Answers of an INVITE come where its Via says for as long as it rings, and once more.
    void note_ringing(const sip::Message& message, const NatView& view, Time now,
                      std::pmr::memory_resource* scratch);
    void add_holes(const MediaKey& key, const Party& peer, std::vector<HoleKey>& holes) const;

    MediaTable& media_;
    const Settings& settings_;
    KnownEndpoints known_;
    LeaseBook leases_;
    std::set<LeaseName> changed_;
    TransactionTable<Left> left_before_;

    // Of the packet under way.
    std::vector<Change> changes_;
    std::optional<Refusal> unreached_;
    std::vector<LeftPort> left_;  // these stay as sent, or have a flow of their own
    bool leaves_all_ = false;
    bool has_recalled_ = false;
};

}  // namespace sipnat
