#include "core/stream_half.h"

#include <algorithm>
#include <utility>

namespace sipnat {

namespace {

using Kind = SegmentVerdict::Kind;

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
    text_ = EditedText({kernel_.position - base_, kernel_.before, kernel_.after});
    return true;
}

StreamHalf::Place StreamHalf::place() const {
    Place place{mode_, base_, base_};
    if (resumes_at_) {
        place.boundary = base_ + *resumes_at_;
        return place;
    }
    const auto begin = text_.end() - static_cast<Position>(unread_);
    place.boundary = number_of(skip_ > 0 ? text_.end() + static_cast<Position>(skip_) : begin);
    const auto oldest = text_.oldest_message();
    place.oldest = oldest ? number_of(*oldest) : place.boundary;
    // Of a message that went on as far as it had come, nobody but this process knows the end.
    if (unread_ > 0 && skip_ == 0) place.mode = Mode::passing;
    return place;
}

StreamHalf::Position StreamHalf::position_of(SequenceNumber number) const {
    return next_ + (number - number_of(next_));
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
    if (is_probe && message_.empty() && released_ == next_ && held_.empty() && !segment.fin) {
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
    } else if (text_.edited(segment.begin) < text_.edited(released_) && !segment.fin) {
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
    if (text_.size() + message_.size() + segment.bytes.size() > kMostUnacknowledged ||
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
    text_.append(length, text, unread_ == 0 && skip_ == 0);
}

// --- sending on ---------------------------------------------------------------------------------

void StreamHalf::release(StreamTurn& turn) {
    for (;;) {
        const auto& changes = text_.changes();
        release_up_to(changes.empty() ? text_.end() : changes.front().begin, turn);
        if (changes.empty()) return;
        const auto batch = text_.next_batch(ends_of_held());
        if (!batch) return;
        const bool is_shift = batch->step.after != kernel_.after;
        if (is_shift && (!text_.may_step() || !shift(batch->step, turn))) return;
        text_.take_step(*batch);
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

/// Of those that follow what was sent on, and before them that: by us, or as a probe by our predecessor, and its sender
/// was told that it came.
std::vector<StreamHalf::Position> StreamHalf::ends_of_held() const {
    std::vector<Position> ends{std::max(released_, text_.acknowledged())};
    for (const auto& segment : held_) {
        if (segment.begin > ends.back()) break;
        if (segment.end > ends.back()) ends.push_back(segment.end);
    }
    return ends;
}

/// False if it can't be done.
bool StreamHalf::shift(const EditedText::Step& step, StreamTurn& turn) {
    const SequenceShift shift{number_of(step.at), kernel_.after,
                              static_cast<std::int32_t>(step.after)};
    // 2 GB of growth; or no packet could bring more than is added, and none would be acknowledged
    if (shift.after != step.after || step.after - step.before >= kLongestPayload) {
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
    return true;
}

/// `segment` as far as `end`, with what there is to send between its ends.
void StreamHalf::send(const Segment& segment, Position end, StreamTurn& turn) {
    auto bytes = text_.send({segment.begin, segment.bytes, segment.fin}, end);
    if (!bytes) {
        drop(segment.id, turn);
    } else if (*bytes == segment.bytes) {
        pass(segment.id, turn);
    } else {
        turn.verdicts.push_back({segment.id, Kind::replace, *std::move(bytes)});
    }
}

void StreamHalf::acknowledge(SequenceNumber number, std::uint16_t window, StreamTurn& turn) {
    is_window_closed_ = window == 0;
    if (mode_ == Mode::unknown || mode_ == Mode::passing || resumes_at_) return;
    const auto acked = text_.sent() + (number - (base_ + text_.sent()));
    if (probe_ && acked > text_.edited(probe_->at)) take_probed_byte();
    if (acked > text_.sent() + 1) {  // one more than all is its FIN
        // Either that was sent on past us, or somebody made it up: a gap that stays will tell.
        is_ahead_ = true;
        if (!is_unproven_) return;
        turn.host.note(StreamEvent::lost_track);
        lose_track(turn);
        return;
    }
    if (text_.acknowledge(acked)) release(turn);
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
        text_.note_sent(released_);
    }
}

// --- endings ------------------------------------------------------------------------------------

void StreamHalf::expire(StreamTurn& turn) {
    const auto is_over = [&](const Segment& segment) {
        return segment.since + kLongestHold <= turn.now;
    };
    const bool is_late = std::ranges::any_of(held_, [&](const Segment& segment) {
        return segment.end > text_.end() && is_over(segment);
    });
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
    unread_ = skip_ = 0;
    next_ = released_;
    text_.give_up(released_);
}

bool StreamHalf::is_done() const {
    switch (mode_) {
        case Mode::reading:
            return false;
        case Mode::forwarding:
            return (text_.empty() || is_fresh_) && held_.empty() && early_.empty() &&
                   text_.changes().empty();
        case Mode::unknown:
        case Mode::passing:
            break;
    }
    return true;
}

std::size_t StreamHalf::kept_bytes() const {
    std::size_t bytes = message_.size() + text_.kept_bytes() + early_bytes_;
    for (const auto& segment : held_)
        bytes += segment.bytes.size();
    return bytes;
}

}  // namespace sipnat
