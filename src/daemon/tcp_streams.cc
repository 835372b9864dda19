#include "daemon/tcp_streams.h"

#include <iterator>

namespace sipnat::daemon {

using netfilter::FlowChange;

/// What a stream asks for, on behalf of one connection.
class TcpStreams::Host : public StreamHost {
  public:
    Host(TcpStreams& streams, Connection& connection, const Turn& turn)
        : streams_(streams), connection_(connection), turn_(turn) {}

    std::optional<std::string> edit(FlowDirection direction, std::string_view message) override {
        connection_.was_edited = true;
        return turn_.edit(connection_.flow, direction, message);
    }

    bool shift(FlowDirection direction, const SequenceShift& shift) override {
        // Without NAT the entry has no place for it, and ctnetlink does not say so.
        const auto& [original, reply] = connection_.flow.tuples;
        if (reply == original.reversed()) return false;
        auto shifts = connection_.shifts;
        shifts.at(static_cast<std::size_t>(direction)) = shift;
        const auto memo = connection_.stream.memo();
        const auto done = streams_.conntrack_.shift(original, shifts, memo);
        if (!done) {
            turn_.complain(done.error().text());
            return false;
        }
        if (connection_.shifts == SequenceShifts{} && !is_there(original, shifts)) return false;
        connection_.shifts = shifts;
        if (!connection_.is_expected) connection_.stored = memo;
        return true;
    }

    void send(const std::vector<SegmentVerdict>& verdicts) override {
        streams_.carry_out(connection_, verdicts, turn_);
        turn_.send_verdicts();
    }

    void note(StreamEvent event) override {
        ++streams_.counts_.at(static_cast<std::size_t>(event));
    }

  private:
    /// An entry that got its helper after its NAT may have no place for numbers (kernels without seqadj in
    /// nft_ct_helper_obj_eval), and ctnetlink does not say so.
    bool is_there(const Tuple& original, const SequenceShifts& shifts) {
        const auto present = streams_.conntrack_.find(original);
        if (present && present->shifts == shifts) return true;
        turn_.complain(present ? "adjust sequence numbers of " + original.text() +
                                     ": this kernel has no room for them in its entry"
                               : present.error().text());
        return false;
    }

    TcpStreams& streams_;
    Connection& connection_;
    const Turn& turn_;
};

Result<TcpStreams> TcpStreams::open() {
    auto conntrack = netfilter::Conntrack::open();
    if (!conntrack) return tl::unexpected(conntrack.error());
    return TcpStreams(*std::move(conntrack));
}

void TcpStreams::take(const netfilter::QueuedPacket& queued, const PacketView& view,
                      const KnownFlow& flow, const Turn& turn) {
    const auto at = find(queued, flow, turn);
    auto& connection = *at;
    const auto id = static_cast<SegmentId>(++last_id_);
    connection.held.emplace(id, Held{queued.id, {queued.packet.begin(), queued.packet.end()}});
    Host host(*this, connection, turn);
    const auto verdicts = connection.stream.take(flow.direction, read_segment(queued.packet, view),
                                                 id, turn.now, host);
    carry_out(connection, verdicts, turn);
    if (needs_nothing(connection)) {
        erase(at, turn.queue);
    } else {
        forget_some(at, turn.queue);
    }
}

/// Nobody has to see its packets any more: its helper may go, with what hangs on it. Its numbers have to be adjusted
/// for as long as the helper's queue sees them, so those of an adjusted one stay; and without the helper nobody confirms
/// its first packet (nf_confirm_cthelper).
bool TcpStreams::needs_nothing(const Connection& connection) {
    return connection.stream.is_done() && connection.held.empty() && !connection.was_edited &&
           !connection.is_expected && connection.shifts == SequenceShifts{} &&
           connection.flow.standing != FlowStanding::first;
}

/// Those that were silent for longest.
void TcpStreams::forget_some(Connections::iterator present, netfilter::Queue& queue) {
    while (streams_.size() > kMostStreams || kept_ > kMostBytes) {
        const auto oldest = std::prev(streams_.end());
        if (oldest == present) break;
        erase(oldest, queue);
    }
}

/// The connection, in front of all others.
TcpStreams::Connections::iterator TcpStreams::find(const netfilter::QueuedPacket& queued,
                                                   const KnownFlow& flow, const Turn& turn) {
    const auto known = by_flow_.find(flow.tuples.original);
    if (known != by_flow_.end()) {
        if (!queued.first) {
            streams_.splice(streams_.begin(), streams_, known->second);
            known->second->flow = flow;
            return known->second;
        }
        erase(known->second, turn.queue);  // an earlier connection between the same ends
    }
    auto& connection = streams_.emplace_front(Connection{flow, Stream{}});
    if (!queued.first && queued.flow) {
        connection.stream = Stream(queued.flow->memo, queued.flow->shifts);
        connection.stored = queued.flow->memo;
        connection.shifts = queued.flow->shifts;
    }
    connection.is_expected = queued.flow && queued.flow->expected;
    by_flow_[flow.tuples.original] = streams_.begin();
    return streams_.begin();
}

/// A verdict that changes a packet's length changes nothing of the flow: see Queue::accept.
void TcpStreams::carry_out(Connection& connection, const std::vector<SegmentVerdict>& verdicts,
                           const Turn& turn) {
    const auto memo = connection.stream.memo();
    for (const auto& verdict : verdicts) {
        const auto held = connection.held.extract(verdict.id);
        if (held.empty()) continue;
        FlowChange change;
        if (needs_nothing(connection)) {
            change.loses_helper = true;
        } else if (memo != connection.stored && !connection.is_expected) {
            change.memo = memo;
        }
        answer(held.mapped(), verdict, change, turn);
        if (change.memo) connection.stored = memo;
    }
    note_state(connection);
}

void TcpStreams::answer(const Held& held, const SegmentVerdict& verdict, FlowChange& change,
                        const Turn& turn) {
    const auto give_up = [&](const std::string& why) {
        turn.complain(why + "; dropped");
        turn.queue.drop(held.id);
        change = {};
    };
    switch (verdict.kind) {
        case SegmentVerdict::Kind::pass:
            turn.queue.accept(held.id, change);
            break;
        case SegmentVerdict::Kind::drop:
            turn.queue.drop(held.id);
            change = {};
            break;
        case SegmentVerdict::Kind::replace: {
            const auto view = PacketView::parse(held.packet);
            if (!view) return give_up(view.error().text());
            const auto changed = with_payload(held.packet, *view, verdict.payload);
            if (!changed) return give_up(changed.error().text());
            if (changed->size() != held.packet.size()) change = {};
            turn.queue.accept(held.id, *changed, change);
            break;
        }
    }
}

void TcpStreams::note_state(Connection& connection) {
    // A held packet is kept twice, as its bytes and as the packet.
    const auto kept = 2 * connection.stream.kept_bytes() + 512 * connection.held.size();
    kept_ += kept - connection.kept;
    connection.kept = kept;
    const auto due = connection.stream.next_due();
    if (due == connection.due) return;
    const auto& name = connection.flow.tuples.original;
    if (connection.due) due_.erase({*connection.due, name});
    if (due) due_.emplace(*due, name);
    connection.due = due;
}

void TcpStreams::expire(const Turn& turn) {
    while (!due_.empty() && due_.begin()->first <= turn.now) {
        auto& connection = *by_flow_.at(due_.begin()->second);
        Host host(*this, connection, turn);
        const auto verdicts = connection.stream.expire(turn.now, host);
        carry_out(connection, verdicts, turn);
    }
}

std::optional<Time> TcpStreams::next_due() const {
    return due_.empty() ? std::nullopt : std::optional(due_.begin()->first);
}

/// What is held is sent again.
void TcpStreams::erase(Connections::iterator at, netfilter::Queue& queue) {
    for (const auto& [id, held] : at->held)
        queue.drop(held.id);
    if (at->due) due_.erase({*at->due, at->flow.tuples.original});
    kept_ -= at->kept;
    by_flow_.erase(at->flow.tuples.original);
    streams_.erase(at);
}

}  // namespace sipnat::daemon
