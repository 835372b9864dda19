#include "core/stream_half.h"

#include <algorithm>
#include <utility>

namespace sipnat {

namespace {

using Kind = SegmentVerdict::Kind;

/// Messages whose ends are remembered one by one; of more the oldest is.
constexpr std::size_t kMostPieces = 64;

std::int64_t room_of(std::int64_t length) {
    return std::min(std::max(length + kMostGrowth, kLengthThatFits),
                    std::max(length, kLongestPayload));
}

void pass(SegmentId id, StreamTurn& turn) {
    turn.verdicts.push_back({id, Kind::pass, {}});
}

void drop(SegmentId id, StreamTurn& turn) {
    turn.verdicts.push_back({id, Kind::drop, {}});
}

}  // namespace

// --- places -------------------------------------------------------------------------------------

void StreamHalf::begin(SequenceNumber first) {
    *this = {};
    mode_ = Mode::reading;
    base_ = first;
}

void StreamHalf::resume(const Place& place, const SequenceShift& shift) {
    *this = {};
    mode_ = place.mode;
    is_fresh_ = false;
    is_unproven_ = true;
    base_ = place.oldest;
    resumes_at_ = place.boundary - place.oldest;
    kernel_ = shift;
}

/// The predecessor had decided a message that the receiver may not have: if its sender sends that again, all of
/// it, it is read again; if not, it was received, or its sender sends pieces of it, which pass. False if it is too
/// late for either.
bool StreamHalf::settle_resumption(Position begin, StreamTurn& turn) {
    const auto boundary = *std::exchange(resumes_at_, std::nullopt);
    const auto shifted_at = static_cast<Position>(kernel_.position - base_);
    if (begin == 0 && boundary > 0) {
        if (shifted_at >= 0 && kernel_.before != kernel_.after) {
            // The message decides anew by how much.
            const SequenceShift none{number_of(0), kernel_.before, kernel_.before};
            if (!turn.host.shift(turn.direction, none)) return false;
            kernel_ = none;
        }
    } else {
        base_ = base_ + boundary;
    }
    shifted_at_ = static_cast<Position>(kernel_.position - base_);
    total_ = edited(0);
    out_begin_ = acked_ = sent_ = shift_acked_at_ = total_;
    return true;
}

StreamHalf::Place StreamHalf::place() const {
    Place place{mode_, base_, base_};
    if (resumes_at_) {
        place.boundary = base_ + *resumes_at_;
        return place;
    }
    const auto begin = decided_ - static_cast<Position>(unread_);
    place.boundary = number_of(skip_ > 0 ? decided_ + static_cast<Position>(skip_) : begin);
    const bool is_known = !pieces_.empty() && pieces_.front().begins_message;
    place.oldest = is_known ? number_of(pieces_.front().begin) : place.boundary;
    // Of a message that went on as far as it had come, nobody but this process knows the end.
    if (unread_ > 0 && skip_ == 0) place.mode = Mode::passing;
    return place;
}

StreamHalf::Position StreamHalf::position_of(SequenceNumber number) const {
    return next_ + (number - number_of(next_));
}

StreamHalf::Position StreamHalf::edited(Position position) const {
    return position + (position <= shifted_at_ ? kernel_.before : kernel_.after);
}

// --- segments -----------------------------------------------------------------------------------

void StreamHalf::take(const TcpSegment& segment, SegmentId id, StreamTurn& turn) {
    if (mode_ == Mode::passing) {
        pass_by_kernel(segment, id, turn);
        return;
    }
    if (mode_ == Mode::unknown || (segment.payload.empty() && !segment.fin)) {
        pass(id, turn);
        return;
    }
    auto begin = position_of(segment.sequence);
    if (resumes_at_) {
        if (!settle_resumption(begin, turn)) {
            lose_track(turn);
            pass(id, turn);
            return;
        }
        begin = position_of(segment.sequence);
    }
    const auto end = begin + static_cast<Position>(segment.payload.size());
    // A probe of a closed window (RFC 9293 3.8.6.1): it comes again when there is room, and has to be answered
    // meanwhile. Should it be taken after all: that byte is the first of a message, which is never edited.
    const bool is_probe = is_window_closed_ && begin == next_ && end - begin == 1;
    if (is_probe && message_.empty() && held_.empty() && !segment.fin) {
        const Probe probe{begin, segment.payload.front()};
        if (probe_ && probe_->at == begin && probe_->byte != probe.byte) {
            drop(id, turn);
        } else {
            probe_ = probe;
            pass(id, turn);
        }
        return;
    }
    // What is urgent is taken out of the stream by some receivers and left in it by others (RFC 6093).
    if (segment.urgent && begin <= next_ && end > next_ && mode_ == Mode::reading) {
        turn.host.note(StreamEvent::broken);
        stop_reading(turn);
    }
    Segment taken{begin, end, segment.fin, id, std::string(segment.payload), turn.now};
    const bool is_known = end < next_ || (end == next_ && begin < end && !segment.fin);
    if (is_known) {
        take_known(std::move(taken), turn);
    } else if (begin > next_) {
        take_early(std::move(taken), turn);
    } else {
        take_new(std::move(taken), turn);
    }
}

/// What the kernel's step goes through the receiver has, and its sender does not know it yet. As it is it would bring
/// the bytes behind the step to a wrong place: without them it will be told, and they come again.
void StreamHalf::pass_by_kernel(const TcpSegment& segment, SegmentId id, StreamTurn& turn) {
    const auto size = std::ssize(segment.payload);
    const auto before = kernel_.position - segment.sequence;
    if (kernel_.before == kernel_.after || before < 0 || before >= size) {
        pass(id, turn);
    } else if (segment.fin) {
        drop(id, turn);
    } else {
        turn.verdicts.push_back(
            {id, Kind::replace,
             std::string(segment.payload.substr(0, static_cast<std::size_t>(before)))});
    }
}

/// All of it has come before.
void StreamHalf::take_known(Segment segment, StreamTurn& turn) {
    if (segment.end <= released_) {
        send(segment, segment.end, turn);
    } else if (edited(segment.begin) < edited(released_) && !segment.fin) {
        send(segment, released_, turn);  // the rest waits, here or with its sender
    } else {
        hold(std::move(segment), turn);
        release(turn);
    }
}

void StreamHalf::take_early(Segment segment, StreamTurn& turn) {
    const auto size = segment.bytes.size();
    const bool is_far = segment.end - next_ > static_cast<Position>(2 * kMostUnacknowledged);
    if (is_far || early_.size() >= kMostHeldSegments || early_bytes_ + size > kMostEarlyBytes) {
        turn.host.note(StreamEvent::over_limit);
        drop(segment.id, turn);
        return;
    }
    const auto id = segment.id;
    const auto begin = segment.begin;
    const auto there = early_.find(begin);
    if (there != early_.end() && there->second.end >= segment.end) {
        drop(id, turn);
        return;
    }
    if (there != early_.end()) {
        drop(there->second.id, turn);
        early_bytes_ -= there->second.bytes.size();
        early_.erase(there);
    }
    early_bytes_ += size;
    early_.emplace(begin, std::move(segment));
}

void StreamHalf::take_new(Segment segment, StreamTurn& turn) {
    if (out_.size() + message_.size() + segment.bytes.size() > kMostUnacknowledged ||
        held_.size() >= kMostHeldSegments) {
        turn.host.note(StreamEvent::over_limit);
        drop(segment.id, turn);
        return;
    }
    append(segment);
    bool is_last = segment.fin;
    hold(std::move(segment), turn);
    while (!early_.empty() && early_.begin()->first <= next_) {
        auto node = early_.extract(early_.begin());
        early_bytes_ -= node.mapped().bytes.size();
        append(node.mapped());
        is_last = is_last || node.mapped().fin;
        hold(std::move(node.mapped()), turn);
    }
    decide(turn);
    if (is_last) go_on_unread(message_.size() - unread_);  // nothing will complete it
    release(turn);
}

/// What is new of it.
void StreamHalf::append(const Segment& segment) {
    is_unproven_ = is_ahead_ = false;
    if (segment.end <= next_) return;
    message_.append(segment.bytes, static_cast<std::size_t>(next_ - segment.begin));
    next_ = segment.end;
}

/// In its place, unless one is there already that brings all of it.
void StreamHalf::hold(Segment segment, StreamTurn& turn) {
    const auto brings_it = [&](const Segment& other) {
        return other.begin <= segment.begin && other.end >= segment.end &&
               (other.fin || !segment.fin);
    };
    if (std::ranges::any_of(held_, brings_it)) {
        drop(segment.id, turn);
        return;
    }
    if (held_.size() >= kMostHeldSegments) {
        turn.host.note(StreamEvent::over_limit);
        drop(segment.id, turn);
        return;
    }
    const auto place = std::ranges::upper_bound(held_, segment.begin, std::less{}, &Segment::begin);
    held_.insert(place, std::move(segment));
}

// --- messages -----------------------------------------------------------------------------------

void StreamHalf::decide(StreamTurn& turn) {
    while (decide_one(turn)) {
    }
    message_.erase(0, std::exchange(read_, 0));
    if (message_.empty()) std::string().swap(message_);
}

/// False when there is nothing left that could be decided.
bool StreamHalf::decide_one(StreamTurn& turn) {
    const auto rest = std::string_view(message_).substr(read_);
    const auto waiting = rest.size() - unread_;
    if (waiting == 0) return false;
    if (skip_ > 0 || mode_ == Mode::forwarding) {
        const auto length = mode_ == Mode::forwarding ? waiting : std::min(skip_, waiting);
        skip_ -= std::min(skip_, length);
        put(length, rest.substr(unread_, length));
        read_ += std::exchange(unread_, 0) + length;
        return true;
    }
    using Found = sip::Frame::Kind;
    const auto frame = framer_.next(rest);
    switch (frame.kind) {
        case Found::incomplete:
            if (unread_ > 0) go_on_unread(waiting);
            return false;
        case Found::not_sip:
        case Found::broken:
            is_fresh_ = is_fresh_ && frame.kind == Found::not_sip;
            turn.host.note(is_fresh_ ? StreamEvent::not_sip : StreamEvent::broken);
            mode_ = Mode::forwarding;
            return true;
        case Found::too_long:
            turn.host.note(StreamEvent::too_long);
            is_fresh_ = false;
            skip_ = frame.length - unread_;
            return true;
        case Found::blank:
        case Found::message:
            break;
    }
    const auto text = rest.substr(0, frame.length);
    if (unread_ > 0 || frame.kind == Found::blank) {
        put(frame.length - unread_, text.substr(unread_));
    } else {
        is_fresh_ = false;
        const auto changed = turn.host.edit(turn.direction, text);
        put(frame.length, changed ? std::string_view(*changed) : text);
    }
    read_ += frame.length;
    unread_ = 0;
    return true;
}

/// The next bytes of the message under way go on as they are; its end is still looked for.
void StreamHalf::go_on_unread(std::size_t length) {
    if (length == 0) return;
    put(length, std::string_view(message_).substr(read_ + unread_, length));
    unread_ += length;
}

/// The next `length` bytes become `text`.
void StreamHalf::put(std::size_t length, std::string_view text) {
    const auto more = static_cast<std::int64_t>(text.size()) - static_cast<std::int64_t>(length);
    const auto begin = decided_;
    out_.append(text);
    decided_ += static_cast<Position>(length);
    total_ += more;
    if (more != 0) changes_.push_back({begin, total_});
    const bool goes_on = unread_ > 0 || skip_ > 0;
    if (pieces_.empty() || (!goes_on && pieces_.size() < kMostPieces)) {
        pieces_.push_back({begin, decided_ + total_, !goes_on});
    } else {
        pieces_.back().end = decided_ + total_;
    }
}

// --- sending on ---------------------------------------------------------------------------------

void StreamHalf::release(StreamTurn& turn) {
    for (;;) {
        release_up_to(changes_.empty() ? decided_ : changes_.front().begin, turn);
        const auto batch = next_batch();
        if (!batch) return;
        if (batch->total != kernel_.after) {
            if (acked_ < shift_acked_at_) return;
            if (!shift_for(*batch, turn)) return;
        }
        changes_.erase(changes_.begin(),
                       changes_.begin() + static_cast<std::ptrdiff_t>(batch->changes));
    }
}

/// In order, as far as they follow each other.
void StreamHalf::release_up_to(Position limit, StreamTurn& turn) {
    while (!held_.empty() && held_.front().begin <= released_ && held_.front().end <= limit) {
        const auto segment = std::move(held_.front());
        held_.pop_front();
        if (segment.end < released_ ||
            (segment.end == released_ && !segment.fin && segment.begin < segment.end)) {
            drop(segment.id, turn);
            continue;
        }
        released_ = segment.end;
        send(segment, segment.end, turn);
    }
}

/// As many messages as there is room for what they grow by, and one at least: those of the first segment, if it brings
/// more of them.
std::optional<StreamHalf::Batch> StreamHalf::next_batch() const {
    std::optional<Batch> most;
    Batch batch;
    batch.end = released_;
    auto segment = held_.begin();
    for (const auto& change : changes_) {
        const bool is_last = ++batch.changes == changes_.size();
        const auto limit = is_last ? decided_ : changes_[batch.changes].begin;
        for (; segment != held_.end() && segment->begin <= batch.end && segment->end <= limit;
             ++segment) {
            const Range brought{batch.end, std::max(batch.end, segment->end)};
            if (brought.length() == 0) continue;
            const bool is_first = batch.end == released_;
            if (is_first || brought.length() < batch.shortest.length()) batch.shortest = brought;
            if (is_first || brought.length() > batch.longest.length()) batch.longest = brought;
            batch.end = brought.end;
        }
        if (batch.end <= std::max(change.begin, released_)) continue;  // nothing of it is here
        batch.total = change.total;
        const auto length = batch.shortest.length();
        if (!most || length + batch.total - kernel_.after <= room_of(length)) most = batch;
    }
    return most;
}

/// All of the change is put into one segment: growth where there is most room, shrinking where there is most to
/// shrink, or into as many from the first on as it takes: something has to be left behind the step, or its
/// acknowledgement would be taken for one of what is before. False if it can't be done.
bool StreamHalf::shift_for(const Batch& batch, StreamTurn& turn) {
    const auto more = batch.total - kernel_.after;
    const auto shrunk = batch.longest.length() > -more ? batch.longest.begin : released_;
    const auto step = more > 0 ? batch.shortest.begin : shrunk;
    const SequenceShift shift{number_of(step), kernel_.after,
                              static_cast<std::int32_t>(batch.total)};
    // 2 GB of growth; or no packet could bring more than is added, and none would be acknowledged
    if (shift.after != batch.total || more >= kLongestPayload) {
        turn.host.note(StreamEvent::refused);
        lose_track(turn);
        return false;
    }
    turn.host.send(std::exchange(turn.verdicts, {}));
    if (!turn.host.shift(turn.direction, shift)) {
        turn.host.note(StreamEvent::refused);
        lose_track(turn);
        return false;
    }
    kernel_ = shift;
    shifted_at_ = step;
    shift_acked_at_ = edited(batch.end);
    return true;
}

/// `segment` as far as `end`, with what there is to send between its ends.
void StreamHalf::send(const Segment& segment, Position end, StreamTurn& turn) {
    const auto first = edited(segment.begin);
    const auto last = fitting_end(segment, first, edited(end));
    if (last - first > std::max(std::ssize(segment.bytes), kLongestPayload)) {
        drop(segment.id, turn);  // it has a FIN: without that it can go on
        return;
    }
    sent_ = std::max(sent_, last);
    auto bytes = content(segment, first, last);
    if (bytes == segment.bytes) {
        pass(segment.id, turn);
    } else {
        turn.verdicts.push_back({segment.id, Kind::replace, std::move(bytes)});
    }
}

/// As edited, of what is to be sent from `begin` to `end`. What is cut off its sender sends again, if it is told that
/// more came than it knows of: by the kernel, which takes all that was added from what was acknowledged.
StreamHalf::Position StreamHalf::fitting_end(const Segment& segment, Position begin,
                                             Position end) const {
    const auto room = room_of(std::ssize(segment.bytes));
    if (end - begin <= room || segment.fin) return end;  // without its end FIN would come too early
    if (begin + room > shifted_at_ + kernel_.after) return begin + room;
    if (segment.begin < shifted_at_) return shifted_at_ + kernel_.before;
    return std::min(end, begin + kLongestPayload);
}

/// What is before out_ the receiver has: anything will do, but as much as there is room for.
std::string StreamHalf::content(const Segment& segment, Position begin, Position end) const {
    std::string bytes;
    if (end <= begin) return bytes;
    const auto known = std::clamp(out_begin_, begin, end);
    bytes = segment.bytes.substr(0, static_cast<std::size_t>(known - begin));
    bytes.resize(static_cast<std::size_t>(known - begin), '\0');
    // (A byte that probed a window may have been acknowledged before it is there.)
    if (known == end || known - out_begin_ >= std::ssize(out_)) return bytes;
    bytes.append(out_, static_cast<std::size_t>(known - out_begin_),
                 static_cast<std::size_t>(end - known));
    return bytes;
}

void StreamHalf::acknowledge(SequenceNumber number, std::uint16_t window, StreamTurn& turn) {
    is_window_closed_ = window == 0;
    if (mode_ == Mode::unknown || mode_ == Mode::passing || resumes_at_) return;
    const auto acked = sent_ + (number - (base_ + sent_));
    if (probe_ && acked > edited(probe_->at)) take_probed_byte();
    if (acked > sent_ + 1) {  // one more than all is its FIN
        // Either that was sent on past us, or somebody made it up: a gap that stays will tell.
        is_ahead_ = true;
        if (!is_unproven_) return;
        turn.host.note(StreamEvent::lost_track);
        lose_track(turn);
        return;
    }
    if (acked <= acked_) return;
    acked_ = acked;
    forget_acknowledged();
    release(turn);
}

/// It has gone on, and the message that it begins will say so, too.
void StreamHalf::take_probed_byte() {
    const auto [at, byte] = *std::exchange(probe_, std::nullopt);
    if (next_ == at) {
        message_.push_back(byte);
        ++next_;
    }
    if (released_ == at) {
        ++released_;
        sent_ = std::max(sent_, edited(released_));
    }
}

void StreamHalf::forget_acknowledged() {
    const auto size = std::min(acked_ - out_begin_, static_cast<Position>(out_.size()));
    out_.erase(0, static_cast<std::size_t>(size));
    if (out_.empty()) std::string().swap(out_);
    out_begin_ += size;
    while (!pieces_.empty() && pieces_.front().end <= acked_)
        pieces_.pop_front();
}

// --- endings ------------------------------------------------------------------------------------

void StreamHalf::expire(StreamTurn& turn) {
    const auto is_over = [&](const Segment& segment) {
        return segment.since + kLongestHold <= turn.now;
    };
    const bool is_late = std::ranges::any_of(
        held_, [&](const Segment& segment) { return segment.end > decided_ && is_over(segment); });
    if (is_late) {
        turn.host.note(StreamEvent::late);
        go_on_unread(message_.size() - unread_);
        release(turn);
    }
    std::erase_if(held_, [&](const Segment& segment) {
        if (!is_over(segment)) return false;
        drop(segment.id, turn);
        return true;
    });
    const auto dropped = std::erase_if(early_, [&](const auto& entry) {
        const auto& segment = entry.second;
        if (!is_over(segment)) return false;
        early_bytes_ -= segment.bytes.size();
        drop(segment.id, turn);
        return true;
    });
    // What is missing was sent on while nobody looked.
    if (dropped > 0 && (is_unproven_ || is_ahead_)) {
        turn.host.note(StreamEvent::lost_track);
        lose_track(turn);
    }
}

std::optional<Time> StreamHalf::next_due() const {
    std::optional<Time> due;
    const auto note = [&due](const Segment& segment) {
        const auto end = segment.since + kLongestHold;
        due = due ? std::min(*due, end) : end;
    };
    std::ranges::for_each(held_, note);
    for (const auto& [begin, segment] : early_)
        note(segment);
    return due;
}

void StreamHalf::stop_reading(StreamTurn& turn) {
    if (mode_ == Mode::unknown || resumes_at_) mode_ = Mode::passing;
    if (mode_ != Mode::reading) return;
    mode_ = Mode::forwarding;
    decide(turn);
    release(turn);
}

void StreamHalf::drop_held(StreamTurn& turn) {
    for (const auto& segment : held_)
        drop(segment.id, turn);
    held_.clear();
    for (const auto& [begin, segment] : early_)
        drop(segment.id, turn);
    early_.clear();
    early_bytes_ = 0;
}

/// The kernel's numbers stand for what was sent on so far; all that comes passes by them. What is held comes again.
void StreamHalf::lose_track(StreamTurn& turn) {
    drop_held(turn);
    mode_ = Mode::passing;
    message_.clear();
    out_.clear();
    pieces_.clear();
    changes_.clear();
    unread_ = skip_ = 0;
    decided_ = next_ = released_;
}

bool StreamHalf::is_done() const {
    switch (mode_) {
        case Mode::reading:
            return false;
        case Mode::forwarding:
            return (out_.empty() || is_fresh_) && held_.empty() && early_.empty() &&
                   changes_.empty();
        case Mode::unknown:
        case Mode::passing:
            break;
    }
    return true;
}

std::size_t StreamHalf::kept_bytes() const {
    std::size_t bytes =
        message_.size() + out_.size() + early_bytes_ + changes_.size() * sizeof(Change);
    for (const auto& segment : held_)
        bytes += segment.bytes.size();
    return bytes;
}

}  // namespace sipnat
