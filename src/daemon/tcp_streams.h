// SIP over TCP between the queue and core/stream: which connection a packet belongs to, packets that are held, what
// conntrack has to know.
//
// A connection's place is in its entry (the helper's private data), so that it may be forgotten here, as by the end of
// the process, and found again with its next packet. Where the kernel keeps none (nft-map mode, and entries that an
// expectation made) it is in the state file instead.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/flow_source.h"
#include "daemon/interface.h"
#include "sipnat/base/result.h"
#include "sipnat/base/time.h"
#include "sipnat/core/engine.h"
#include "sipnat/core/stream.h"
#include "sipnat/net/packet.h"
#include "sipnat/netfilter/conntrack.h"
#include "sipnat/netfilter/queue.h"

namespace sipnat::daemon {

/// What conntrack is asked and told of connections; another one in tests. As in conntrack.h.
class StreamKernel : public Interface {
  public:
    [[nodiscard]] virtual Result<void> shift(const Tuple& original, const SequenceShifts& shifts,
                                             const std::optional<StreamMemo>& memo) = 0;
    [[nodiscard]] virtual Result<FlowEntry> find(const Tuple& original) = 0;
};

/// Where verdicts go, as in queue.h; another one in tests.
class Verdicts : public Interface {
  public:
    virtual void accept(netfilter::PacketId id, const netfilter::FlowChange& change) = 0;
    virtual void accept(netfilter::PacketId id, std::span<const std::uint8_t> packet,
                        const netfilter::FlowChange& change) = 0;
    virtual void drop(netfilter::PacketId id) = 0;
    /// All that were given are in effect when this returns, and on file before.
    virtual void send() = 0;
};

/// Those of a queue; `send` sends them.
class QueueVerdicts : public Verdicts {
  public:
    QueueVerdicts(netfilter::Queue& queue, std::function<void()> send)
        : queue_(queue), send_(std::move(send)) {}

    void accept(netfilter::PacketId id, const netfilter::FlowChange& change) override {
        queue_.accept(id, change);
    }
    void accept(netfilter::PacketId id, std::span<const std::uint8_t> packet,
                const netfilter::FlowChange& change) override {
        queue_.accept(id, packet, change);
    }
    void drop(netfilter::PacketId id) override { queue_.drop(id); }
    void send() override { send_(); }

  private:
    netfilter::Queue& queue_;
    std::function<void()> send_;
};

class TcpStreams {
  public:
    /// Connections that are followed; of more the one that was silent for longest is forgotten.
    static constexpr std::size_t kMostStreams = 8192;
    /// Those that one host opened: of more its own is.
    static constexpr std::size_t kMostOfAHost = 1024;
    /// Those of which no more than the handshake was seen. They are counted by themselves, so that a scan takes the
    /// place of none that speaks.
    static constexpr std::size_t kMostOpening = 1024;
    /// Bytes that all of them keep.
    static constexpr std::size_t kMostBytes = std::size_t{128} << 20U;

    /// What one message of a flow is to be; nothing: as it is.
    using Edit = std::function<std::optional<std::string>(
        const KnownFlow& flow, FlowDirection direction, std::string_view message)>;
    using Complain = std::function<void(const std::string& text)>;

    /// For one call: where verdicts go, who edits, who hears of faults of the kernel's.
    struct Turn {
        Verdicts& verdicts;
        Edit edit;
        Complain complain;
        Time now{};
    };

    explicit TcpStreams(std::unique_ptr<StreamKernel> kernel) : kernel_(std::move(kernel)) {}
    /// With a socket of its own.
    [[nodiscard]] static Result<TcpStreams> open();

    /// A TCP packet of `flow`, with its entry. It, and what waited for it, gets its verdict now or later.
    void take(const netfilter::QueuedPacket& queued, const PacketView& view, const KnownFlow& flow,
              const Turn& turn);
    /// What time made due: call it at next_due() or later.
    void expire(const Turn& turn);
    [[nodiscard]] std::optional<Time> next_due() const;
    [[nodiscard]] bool knows(const Tuple& flow) const {
        return by_flow_.contains(flow) || recalled_.contains(flow);
    }
    /// Conntrack knows this flow (original tuple) no more.
    void note_ended(const Tuple& flow, Verdicts& verdicts);

    /// Of a state file: those whose flows are no more are left out.
    void restore(std::span<const SavedStream> streams);
    /// News of what ended were lost: places on file whose flows are no more are forgotten.
    void prune();
    /// Adds all that has to be on file.
    void save(SavedState& state) const;
    [[nodiscard]] bool has_changes() const { return !changes_.empty(); }
    /// Adds what has changed since this was asked last.
    void take_changes(SavedState& state);

    [[nodiscard]] std::size_t size() const { return by_flow_.size(); }
    /// Connections that were over a limit. What is held of them was dropped.
    [[nodiscard]] std::uint64_t forgotten() const { return forgotten_; }
    [[nodiscard]] std::uint64_t count(StreamEvent event) const {
        return counts_.at(static_cast<std::size_t>(event));
    }

  private:
    struct Held {
        netfilter::PacketId id;
        std::vector<std::uint8_t> packet;
    };
    struct Connection {
        KnownFlow flow;
        Stream stream;
        SequenceShifts shifts{};
        StreamMemo stored{};  ///< as the entry, or the state file, has it
        /// Its entry takes a memo, and loses its helper if it is told to: not one that an expectation made
        /// (ctnetlink_change_helper), and none without a helper.
        bool has_helper = false;
        bool was_edited = false;                 ///< expectations may hang on it
        bool is_open = false;                    ///< more than the handshake was seen
        bool is_over = false;                    ///< nothing is looked at any more
        std::optional<SequenceNumber> answer{};  ///< of the SYN that answered the first one
        std::map<SegmentId, Held> held{};
        std::size_t kept = 0;
        std::optional<Time> due{};
    };
    using Connections = std::list<Connection>;
    class Host;

    [[nodiscard]] Connections::iterator find(const netfilter::QueuedPacket& queued,
                                             const KnownFlow& flow, const TcpSegment& segment,
                                             const Turn& turn);
    void open(Connections::iterator at);
    void take_back_shifts(const Connection& connection, const netfilter::QueuedPacket& queued,
                          const Turn& turn);
    void resume(Connection& connection, const netfilter::QueuedPacket& queued);
    [[nodiscard]] Result<FlowEntry> entry_of(const netfilter::QueuedPacket& queued,
                                             const Tuple& flow);
    [[nodiscard]] static bool is_on_file(const Connection& connection) {
        return !connection.has_helper && connection.stored != StreamMemo{};
    }
    void carry_out(Connection& connection, const std::vector<SegmentVerdict>& verdicts,
                   const Turn& turn);
    void answer(const Held& held, const SegmentVerdict& verdict, netfilter::FlowChange& change,
                const Turn& turn);
    void note_state(Connection& connection);
    [[nodiscard]] static bool needs_nothing(const Connection& connection);
    void forget_some(Connections::iterator present, Verdicts& verdicts);
    void forget(Connections::iterator at, Verdicts& verdicts);
    void erase(Connections::iterator at, Verdicts& verdicts);

    std::unique_ptr<StreamKernel> kernel_;
    Connections streams_;  // open ones; the one that spoke last in front
    Connections opening_;  // the newest in front
    std::unordered_map<Tuple, Connections::iterator> by_flow_;
    std::set<std::pair<Time, Tuple>> due_;
    std::unordered_map<IpAddress, std::size_t> of_host_;
    std::unordered_map<Tuple, StreamMemo> recalled_;  // on file, of those that are not followed now
    std::map<Tuple, std::optional<StreamMemo>> changes_;  // nothing: off the file
    std::size_t kept_ = 0;
    std::uint64_t forgotten_ = 0;
    std::uint64_t last_id_ = 0;
    std::array<std::uint64_t, kStreamEvents> counts_{};
};

}  // namespace sipnat::daemon
