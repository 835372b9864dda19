// The daemon: one loop around the engine. Decode, decide, carry out, answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/log.h"
#include "daemon/mode.h"
#include "daemon/state_file.h"
#include "daemon/tcp_streams.h"
#include "sipnat/base/time.h"
#include "sipnat/config/config.h"
#include "sipnat/control/reload.h"
#include "sipnat/control/socket.h"
#include "sipnat/control/status.h"
#include "sipnat/core/engine.h"
#include "sipnat/net/packet.h"
#include "sipnat/netfilter/events.h"
#include "sipnat/netfilter/queue.h"

namespace sipnat::daemon {

class Daemon {
  public:
    /// Ready to run: helpers registered, queue open, table loaded, running calls restored. Each
    /// fault is one line for the admin.
    [[nodiscard]] static tl::expected<Daemon, std::vector<std::string>> start(
        const std::string& config_file, const config::Configuration& configuration);

    /// Until SIGTERM or SIGINT. Leaves table, helpers, expectations and flows as they are: calls go
    /// on without us.
    [[nodiscard]] Result<void> run();

  private:
    /// Who listens to what others change in the kernel.
    struct KernelEvents {
        netfilter::Events addresses;
        netfilter::Events ruleset;
        netfilter::Events ended_flows;
    };
    [[nodiscard]] static Result<KernelEvents> listen();

    Daemon(std::string config_file, config::Configuration configuration, ChosenMode mode,
           control::Server control, netfilter::Queue queue, Wiring wiring, KernelEvents events,
           TcpStreams streams, std::string boot);

    void restore();
    void make_flows(Time now);
    void look_for_lost_addresses(Time now);
    void heed_ended_flows(Time now);
    void heed_ruleset(Time now);
    [[nodiscard]] Result<void> load_table_again(const config::Configuration& configuration);
    void exclude_forwards();
    void learn_foreign_endpoints(Time now);
    [[nodiscard]] Result<void> serve_queue();
    void handle(const netfilter::QueuedPacket& queued, Time now);
    [[nodiscard]] QueueVerdicts stream_verdicts();
    [[nodiscard]] TcpStreams::Turn stream_turn(Verdicts& verdicts, Time now);
    [[nodiscard]] std::optional<std::string> edit(const KnownFlow& flow, FlowDirection direction,
                                                  std::string_view message, Time now);
    [[nodiscard]] Decision judge(const Packet& packet, std::uint32_t mark, Time now);
    void send_verdicts();
    void flush_verdicts();
    void expire_streams(Time now);
    void note_failure(const Packet& packet, const Decision& decision, Time now);
    [[nodiscard]] Decision decide(const Packet& packet, std::uint32_t mark, Time now);
    void answer(const netfilter::QueuedPacket& queued, const PacketView& view,
                const Decision& decision);
    void run_timers(Time now);
    void keep_up(Time now);
    void note_losses(Time now);
    [[nodiscard]] bool has_to_list() const;
    void look_through_flows();
    void admit(std::span<const Admission> admissions, Time now);
    void look_who_sends(const std::vector<LatchQuestion>& questions, Time now);
    void count_idle(Time now);
    void close_pending();
    void close(std::span<const Hole> holes);
    [[nodiscard]] SavedState all_state() const;
    void save_changes();
    void note_saved(const Result<void>& saved, Time now);
    control::Reloaded reload();
    [[nodiscard]] control::Reloaded try_reload();
    void report(Result<void> result, const char* what);
    [[nodiscard]] int poll_timeout(Time now) const;
    [[nodiscard]] std::string answer_control(std::string_view request);
    [[nodiscard]] std::string status() const;
    [[nodiscard]] std::string calls();
    [[nodiscard]] std::string stats() const;
    [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> stream_events() const;
    void add_maps_status(control::Status& status) const;

    std::string config_file_;
    config::Configuration configuration_;
    ChosenMode mode_;
    control::Server control_;
    netfilter::Queue queue_;
    Wiring wiring_;
    KernelEvents events_;
    TcpStreams streams_;
    std::string boot_;
    StateFile state_file_;
    Engine engine_;
    PacketLog packet_log_;
    Time started_;
    Time save_again_{};
    Time look_again_{};
    std::string state_fault_;  ///< why the state file is not up to date; empty: it is
    Time keep_up_again_{};
    std::vector<FlowTuples> missing_;  ///< flows of registrations that calls can't come in on
    Time make_again_{};
    Time load_again_{};           ///< not before
    bool table_changed_ = false;  ///< by somebody else
    std::vector<MediaFlows> to_sweep_;
    std::vector<Hole> to_evict_;
    std::vector<IdleQuestion> to_count_;
    Time list_again_{};
    FaultLog fault_log_;
    struct Losses {
        std::uint64_t messages = 0;  ///< that the queue had no room for
        std::uint64_t bindings = 0;  ///< over their limit
        bool operator==(const Losses&) const = default;
    };
    [[nodiscard]] Losses losses() const;
    Losses noted_;  ///< in the log
    Time note_again_{};
    std::vector<Hole> to_close_;  ///< after the verdicts of this batch
};

}  // namespace sipnat::daemon
