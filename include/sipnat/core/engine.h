// The engine: (packet, time) → Decision. No clock, no I/O, no kernel.
//
//     Decision decision = engine.handle(packet, now);
//     while (decision.needs_kernel()) {
//         KernelAnswer answer = …create what decision.entry and decision.open ask for…;
//         decision = engine.settle(packet, answer, now);
//     }
//     …verdict with decision.edits; remove decision.close…
//
// handle() changes the state as if the kernel agreed; settle() keeps that, or puts everything back
// and decides again, with what it learnt, until there is nothing left to ask for: a message is
// either wholly rewritten with all of its holes open, or opens nothing.
//
// The same object serves the daemon, the offline tools, tests and fuzzers.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sipnat/base/time.h"
#include "sipnat/core/binding.h"
#include "sipnat/core/call.h"
#include "sipnat/core/decision.h"
#include "sipnat/core/lease.h"
#include "sipnat/core/media_table.h"
#include "sipnat/core/nat_view.h"
#include "sipnat/core/settings.h"

namespace sipnat {

/// How the packet's flow stands in conntrack.
enum class FlowStanding : std::uint8_t {
    helped,    ///< confirmed, with the helper: expectations can hang on it
    first,     ///< this packet opens it: there is no entry yet
    unhelped,  ///< confirmed without the helper (older than the daemon)
};

/// Which end of the packet's way is the gateway itself (nat.gateway_pbx); otherwise it is forwarded.
enum class GatewayEnd : std::uint8_t { none, sender, receiver };

struct Packet {
    FlowTuples flow;
    FlowDirection direction = FlowDirection::original;
    FlowStanding standing = FlowStanding::helped;
    /// Of one datagram, or one message of a stream (RFC 3261 18.3); borrowed until the decision is
    /// final.
    std::string_view payload;
    GatewayEnd gateway = GatewayEnd::none;
};

/// What the kernel made of Decision::entry and Decision::open.
struct KernelAnswer {
    enum class Kind : std::uint8_t {
        done,          ///< all of it is there
        entry_exists,  ///< the flow's entry could not be made: its reply tuple is taken (EEXIST)
        port_taken,    ///< `endpoint`, one of the outside ones, is in use by somebody else
        no_route,      ///< `endpoint`, a remote one, is not on the signalling peer's side
        flow_exists,   ///< `inside`, of signalling, has a flow to that peer already, as `endpoint`
        not_neighbours,  ///< the host of `endpoint` is behind another interface than its receiver
        refused,         ///< anything else; `text` says what
    };
    Kind kind = Kind::done;
    Endpoint endpoint;
    std::string text;
    Endpoint inside = {};
};

/// The counters that `status` shows.
struct Counters {
    std::array<std::uint64_t, kReasons> packets{};  ///< by final Reason
    std::uint64_t stricter_message = 0;  ///< libosip2 refused a message that opened something
    std::uint64_t stricter_sdp = 0;      ///< … or its SDP
    std::uint64_t short_lengths = 0;     ///< Content-Length less than the datagram's body
    std::uint64_t broken_digests = 0;    ///< auth-int over a body that was edited
    std::uint64_t unreachable_msrp = 0;  ///< a=path with an inside address, without msrp-cema
    std::uint64_t other_family = 0;      ///< media of another family than their signalling
    std::uint64_t unheard_sources = 0;   ///< media that did not come from where it was announced
    std::uint64_t refused_bindings = 0;  ///< over Settings::bindings or bindings_per_host
    std::uint64_t holes_opened = 0;
    std::uint64_t holes_closed = 0;
};

/// Where a TCP connection is, whose entry has no place for that. The daemon's: the engine knows nothing of it.
struct SavedStream {
    Tuple flow;  ///< original
    StreamMemo memo{};

    bool operator==(const SavedStream&) const = default;
};

/// What has to outlive the process, of some calls or of all: see state_file in daemon/.
struct SavedState {
    struct SavedMapping {
        MediaKey key;
        Mapping mapping;
    };
    std::vector<Call> calls;
    std::vector<SavedMapping> mappings;
    std::vector<Lease> leases = {};
    std::vector<Binding> bindings = {};
    std::vector<BindingName> ended_bindings = {};  ///< of take_changes() only
    std::vector<SavedStream> streams = {};
    std::vector<Tuple> ended_streams = {};  ///< as ended_bindings
};

class Engine {
  public:
    explicit Engine(const Settings& settings);
    Engine(Engine&&) noexcept;
    Engine& operator=(Engine&&) noexcept;
    ~Engine();

    [[nodiscard]] Decision handle(const Packet& packet, Time now);
    /// The same packet that handle() was called with last.
    [[nodiscard]] Decision settle(const Packet& packet, const KernelAnswer& answer, Time now);

    /// What time made due: call it at next_due() or later.
    [[nodiscard]] Due tick(Time now);
    /// The kernel did not agree to these of Due::admit or settle_latch(): they are as before.
    void not_admitted(const std::vector<Admission>& refused);
    /// What conntrack has heard for Due::latch; who may send from now on.
    [[nodiscard]] std::vector<Admission> settle_latch(const std::vector<LatchAnswer>& answers,
                                                      Time now);
    /// What conntrack has counted for the calls of Due::idle; holes of those that are over.
    [[nodiscard]] std::vector<Hole> settle_idle(const std::vector<IdleAnswer>& answers, Time now);
    [[nodiscard]] std::optional<Time> next_due() const;

    /// Flows that are no more, whatever they were. What hung on them moves to others, if any are known:
    /// Due::renew. What a UDP flow is needed for waits for that flow: needed().
    void note_ended(std::span<const FlowTuples> flows);
    /// Nobody knows which flows are no more: news of them was lost.
    void doubt_connections();

    /// Running calls keep what they have.
    void set_settings(const Settings& settings);
    /// Ports that others use on all addresses (port forwards), in the place of those named before.
    void exclude_ports(const std::vector<PortRange>& ranges);
    /// Endpoints of this gateway that flows of others use (conntrack's reply destinations), in the
    /// place of those named before.
    void set_foreign_endpoints(OutsideEndpoints endpoints);

    [[nodiscard]] const Counters& counters() const;
    [[nodiscard]] std::size_t calls() const;  ///< not ended ones
    [[nodiscard]] const MediaTable& media() const;
    /// Not ended ones, in no order.
    void for_each_call(const std::function<void(const Call&)>& visit) const;

    /// By flow, address of record and Contact.
    [[nodiscard]] std::vector<Binding> bindings() const;
    /// Those of these flows that a binding is reached through, or, of UDP, media hangs on.
    [[nodiscard]] std::vector<FlowTuples> needed(std::span<const FlowTuples> flows) const;

    [[nodiscard]] SavedState save() const;
    /// True when take_changes() would give something.
    [[nodiscard]] bool has_changes() const;
    /// The calls, leases and bindings that changed since this was asked last, with their mappings;
    /// ended ones too.
    [[nodiscard]] SavedState take_changes();
    /// Into an empty engine. What does not fit (a port taken twice) is left out.
    void restore(const SavedState& state);

  private:
    class Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace sipnat
