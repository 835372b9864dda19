#include "daemon/tcp_streams.h"

#include <algorithm>
#include <iterator>

namespace sipnat::daemon {

using netfilter::FlowChange;

namespace {

class KernelSocket : public StreamKernel {
  public:
    explicit KernelSocket(netfilter::Conntrack conntrack) : conntrack_(std::move(conntrack)) {}

    Result<void> shift(const Tuple& original, const SequenceShifts& shifts,
                       const std::optional<StreamMemo>& memo) override {
        return conntrack_.shift(original, shifts, memo);
    }
    Result<FlowEntry> find(const Tuple& original) override { return conntrack_.find(original); }

  private:
    netfilter::Conntrack conntrack_;
};

/// A connection that has ended may be followed by another one; conntrack believes in that with its answer.
bool expects_first(TcpState state) {
    return state == TcpState::syn_sent || state == TcpState::time_wait || state == TcpState::close;
}

}  // namespace

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
        const auto memo =
            connection_.has_helper ? std::optional(connection_.stream.memo()) : std::nullopt;
        const auto done = streams_.kernel_->shift(original, shifts, memo);
        if (!done) {
            turn_.complain(done.error().text());
            return false;
        }
        if (connection_.shifts == SequenceShifts{} && !is_there(original, shifts)) {
            // It may be that it could not be seen.
            (void)streams_.kernel_->shift(original, connection_.shifts, memo);
            return false;
        }
        connection_.shifts = shifts;
        if (memo) connection_.stored = *memo;
        return true;
    }

    void send(const std::vector<SegmentVerdict>& verdicts) override {
        streams_.carry_out(connection_, verdicts, turn_);
        turn_.verdicts.send();
    }

    void note(StreamEvent event) override {
        ++streams_.counts_.at(static_cast<std::size_t>(event));
    }

  private:
    /// An entry that got its helper after its NAT may have no place for numbers (kernels without seqadj in
    /// nft_ct_helper_obj_eval), and ctnetlink does not say so.
    bool is_there(const Tuple& original, const SequenceShifts& shifts) {
        const auto present = streams_.kernel_->find(original);
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
    return TcpStreams(std::make_unique<KernelSocket>(*std::move(conntrack)));
}

void TcpStreams::take(const netfilter::QueuedPacket& queued, const PacketView& view,
                      const KnownFlow& flow, const Turn& turn) {
    const auto segment = read_segment(queued.packet, view);
    const auto at = find(queued, flow, segment, turn);
    auto& connection = *at;
    if (!segment.syn) open(at);
    if (segment.syn && segment.ack) connection.answer = segment.sequence;
    const auto id = static_cast<SegmentId>(++last_id_);
    connection.held.emplace(id, Held{queued.id, {queued.packet.begin(), queued.packet.end()}});
    if (connection.is_over) {
        carry_out(connection, {{id, SegmentVerdict::Kind::pass, {}}}, turn);
        return;
    }
    Host host(*this, connection, turn);
    const auto verdicts = connection.stream.take(flow.direction, segment, id, turn.now, host);
    carry_out(connection, verdicts, turn);
    // Where numbers are adjusted, what comes again goes on being looked at.
    connection.is_over = connection.stream.is_done() && connection.held.empty() &&
                         connection.shifts == SequenceShifts{} && !segment.payload.empty();
    forget_some(at, turn.verdicts);
}

void TcpStreams::open(Connections::iterator at) {
    if (at->is_open) return;
    at->is_open = true;
    streams_.splice(streams_.begin(), opening_, at);
    ++of_host_[at->flow.tuples.original.source.address];
}

/// Nobody has to see its packets any more: its helper may go, with what hangs on it. Its numbers have to be adjusted
/// for as long as the helper's queue sees them, so those of an adjusted one stay; and without the helper nobody confirms
/// its first packet (nf_confirm_cthelper).
bool TcpStreams::needs_nothing(const Connection& connection) {
    return connection.stream.is_done() && connection.held.empty() && !connection.was_edited &&
           connection.has_helper && connection.shifts == SequenceShifts{} &&
           connection.flow.standing != FlowStanding::first;
}

/// Those that were silent for longest.
void TcpStreams::forget_some(Connections::iterator present, Verdicts& verdicts) {
    if (opening_.size() > kMostOpening) erase(std::prev(opening_.end()), verdicts);
    if (!present->is_open) return;
    const auto& host = present->flow.tuples.original.source.address;
    if (of_host_.at(host) > kMostOfAHost) {
        const auto is_its = [&](const Connection& one) {
            return one.flow.tuples.original.source.address == host;
        };
        forget(std::prev(std::find_if(streams_.rbegin(), streams_.rend(), is_its).base()),
               verdicts);
    }
    while (streams_.size() > kMostStreams || kept_ > kMostBytes) {
        const auto oldest = std::prev(streams_.end());
        if (oldest == present) break;
        forget(oldest, verdicts);
    }
}

/// Its next packet finds it again, if nothing is missed until then.
void TcpStreams::forget(Connections::iterator at, Verdicts& verdicts) {
    if (!needs_nothing(*at)) ++forgotten_;
    const auto name = at->flow.tuples.original;
    const bool was_on_file = is_on_file(*at);
    const auto memo = at->stored;
    erase(at, verdicts);
    if (!was_on_file || recalled_.size() >= kMostStreams) return;
    recalled_[name] = memo;
    changes_[name] = memo;
}

/// The connection, in front of all others.
TcpStreams::Connections::iterator TcpStreams::find(const netfilter::QueuedPacket& queued,
                                                   const KnownFlow& flow, const TcpSegment& segment,
                                                   const Turn& turn) {
    const auto& name = flow.tuples.original;
    const auto known = by_flow_.find(name);
    const bool is_known = known != by_flow_.end();
    const bool is_first = flow.standing == FlowStanding::first ||
                          (segment.syn && !segment.ack && expects_first(flow.tcp_state));
    // To a SYN that was not seen. It is another one if it has another number: both may come again.
    const bool is_answer =
        segment.syn && segment.ack && flow.tcp_state == TcpState::syn_received &&
        (!is_known || (known->second->answer && *known->second->answer != segment.sequence));
    const bool is_new = is_first || is_answer;
    if (is_known) {
        if (!is_new) {
            const auto at = known->second;
            if (at->is_open) streams_.splice(streams_.begin(), streams_, at);
            at->flow = flow;
            return at;
        }
        erase(known->second, turn.verdicts);  // an earlier connection between the same ends
    }
    auto& connection = opening_.emplace_front(Connection{flow, Stream{}});
    by_flow_[name] = opening_.begin();
    connection.has_helper = queued.flow && !queued.flow->expected;
    if (is_new) {
        take_back_shifts(connection, queued, turn);
        if (recalled_.erase(name) != 0) changes_[name] = std::nullopt;
    } else {
        resume(connection, queued);
        recalled_.erase(name);
    }
    return opening_.begin();
}

/// It comes with the packet, or has to be asked for.
Result<FlowEntry> TcpStreams::entry_of(const netfilter::QueuedPacket& queued, const Tuple& flow) {
    return queued.flow ? Result<FlowEntry>(*queued.flow) : kernel_->find(flow);
}

/// An entry is used again for the next connection between its ends if the one before was reset by who did not open it
/// (nf_conntrack_tcp_packet), with all that is in it.
void TcpStreams::take_back_shifts(const Connection& connection,
                                  const netfilter::QueuedPacket& queued, const Turn& turn) {
    const auto& name = connection.flow.tuples.original;
    const auto& flow = connection.flow;
    if (flow.standing == FlowStanding::first) return;
    const auto entry = entry_of(queued, name);
    if (!entry || entry->shifts == SequenceShifts{}) return;
    const auto memo = connection.has_helper ? std::optional(StreamMemo{}) : std::nullopt;
    const auto done = kernel_->shift(name, {}, memo);
    if (!done) turn.complain(done.error().text());
}

/// One that was followed before, by this process or another.
void TcpStreams::resume(Connection& connection, const netfilter::QueuedPacket& queued) {
    const auto& name = connection.flow.tuples.original;
    auto entry = entry_of(queued, name);
    if (!entry) return;
    if (!connection.has_helper) {
        const auto recalled = recalled_.find(name);
        entry->memo = recalled == recalled_.end() ? StreamMemo{} : recalled->second;
    }
    connection.stream = Stream(entry->memo, entry->shifts);
    connection.stored = entry->memo;
    connection.shifts = entry->shifts;
    connection.was_edited = entry->memo != StreamMemo{};  // nobody knows
}

void TcpStreams::note_ended(const Tuple& flow, Verdicts& verdicts) {
    const auto known = by_flow_.find(flow);
    if (known != by_flow_.end()) erase(known->second, verdicts);
    if (recalled_.erase(flow) != 0) changes_[flow] = std::nullopt;
}

void TcpStreams::restore(std::span<const SavedStream> streams) {
    for (const auto& [flow, memo] : streams) {
        if (kernel_->find(flow)) recalled_[flow] = memo;
    }
}

void TcpStreams::prune() {
    std::erase_if(recalled_, [this](const auto& place) {
        const bool is_gone = !kernel_->find(place.first);
        if (is_gone) changes_[place.first] = std::nullopt;
        return is_gone;
    });
}

void TcpStreams::save(SavedState& state) const {
    for (const auto& [flow, memo] : recalled_)
        state.streams.push_back({flow, memo});
    for (const auto& one : streams_) {
        if (is_on_file(one)) state.streams.push_back({one.flow.tuples.original, one.stored});
    }
}

void TcpStreams::take_changes(SavedState& state) {
    for (const auto& [flow, memo] : std::exchange(changes_, {})) {
        if (memo) {
            state.streams.push_back({flow, *memo});
        } else {
            state.ended_streams.push_back(flow);
        }
    }
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
        } else if (memo != connection.stored && connection.has_helper) {
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
        turn.verdicts.drop(held.id);
        change = {};
    };
    switch (verdict.kind) {
        case SegmentVerdict::Kind::pass:
            turn.verdicts.accept(held.id, change);
            break;
        case SegmentVerdict::Kind::drop:
            turn.verdicts.drop(held.id);
            change = {};
            break;
        case SegmentVerdict::Kind::replace: {
            const auto view = PacketView::parse(held.packet);
            if (!view) return give_up(view.error().text());
            const auto changed = with_payload(held.packet, *view, verdict.payload);
            if (!changed) return give_up(changed.error().text());
            if (changed->size() != held.packet.size()) change = {};
            turn.verdicts.accept(held.id, *changed, change);
            break;
        }
    }
}

void TcpStreams::note_state(Connection& connection) {
    const bool has_place = !connection.has_helper && connection.is_open && !connection.is_over;
    if (const auto memo = connection.stream.memo(); has_place && memo != connection.stored) {
        connection.stored = memo;
        changes_[connection.flow.tuples.original] = memo;
    }
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
void TcpStreams::erase(Connections::iterator at, Verdicts& verdicts) {
    const auto name = at->flow.tuples.original;
    for (const auto& [id, held] : at->held)
        verdicts.drop(held.id);
    if (at->due) due_.erase({*at->due, name});
    if (is_on_file(*at)) changes_[name] = std::nullopt;
    kept_ -= at->kept;
    by_flow_.erase(name);
    if (!at->is_open) {
        opening_.erase(at);
        return;
    }
    const auto host = of_host_.find(name.source.address);
    if (--host->second == 0) of_host_.erase(host);
    streams_.erase(at);
}

}  // namespace sipnat::daemon
