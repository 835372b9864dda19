// SIP over TCP between the queue and core/stream: which connection a packet belongs to, packets that are held, what
// conntrack has to know.
//
// A connection's place is in its entry (the helper's private data), so that it may be forgotten here, as by the end of
// the process, and found again with its next packet.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/flow_source.h"
#include "sipnat/base/result.h"
#include "sipnat/base/time.h"
#include "sipnat/core/stream.h"
#include "sipnat/net/packet.h"
#include "sipnat/netfilter/conntrack.h"
#include "sipnat/netfilter/queue.h"

namespace sipnat::daemon {

class TcpStreams {
  public:
    /// Connections that are followed; of more the one that was silent for longest is forgotten.
    static constexpr std::size_t kMostStreams = 8192;
    /// Bytes that all of them keep.
    static constexpr std::size_t kMostBytes = std::size_t{128} << 20U;

    /// What one message of a flow is to be; nothing: as it is.
    using Edit = std::function<std::optional<std::string>(
        const KnownFlow& flow, FlowDirection direction, std::string_view message)>;
    using Complain = std::function<void(const std::string& text)>;

    /// For one call: where verdicts go, who edits, who hears of faults of the kernel's.
    struct Turn {
        netfilter::Queue& queue;
        std::function<void()> send_verdicts;  ///< all that the queue was given
        Edit edit;
        Complain complain;
        Time now{};
    };

    [[nodiscard]] static Result<TcpStreams> open();

    /// A TCP packet of `flow`, with its entry. It, and what waited for it, gets its verdict now or later.
    void take(const netfilter::QueuedPacket& queued, const PacketView& view, const KnownFlow& flow,
              const Turn& turn);
    /// What time made due: call it at next_due() or later.
    void expire(const Turn& turn);
    [[nodiscard]] std::optional<Time> next_due() const;

    [[nodiscard]] std::size_t size() const { return streams_.size(); }
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
        StreamMemo stored{};  ///< as the entry has it
        /// Its entry takes no memo, and keeps its helper (ctnetlink_change_helper).
        bool is_expected = false;
        bool was_edited = false;  ///< expectations may hang on it
        std::map<SegmentId, Held> held{};
        std::size_t kept = 0;
        std::optional<Time> due{};
    };
    using Connections = std::list<Connection>;
    class Host;

    explicit TcpStreams(netfilter::Conntrack conntrack) : conntrack_(std::move(conntrack)) {}

    [[nodiscard]] Connections::iterator find(const netfilter::QueuedPacket& queued,
                                             const KnownFlow& flow, const Turn& turn);
    void carry_out(Connection& connection, const std::vector<SegmentVerdict>& verdicts,
                   const Turn& turn);
    void answer(const Held& held, const SegmentVerdict& verdict, netfilter::FlowChange& change,
                const Turn& turn);
    void note_state(Connection& connection);
    [[nodiscard]] static bool needs_nothing(const Connection& connection);
    void forget_some(Connections::iterator present, netfilter::Queue& queue);
    void erase(Connections::iterator at, netfilter::Queue& queue);

    netfilter::Conntrack conntrack_;
    Connections streams_;  // the one that spoke last in front
    std::unordered_map<Tuple, Connections::iterator> by_flow_;
    std::set<std::pair<Time, Tuple>> due_;
    std::size_t kept_ = 0;
    std::uint64_t last_id_ = 0;
    std::array<std::uint64_t, kStreamEvents> counts_{};
};

}  // namespace sipnat::daemon
