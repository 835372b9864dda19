#include "core/edited_text.h"

#include <algorithm>

#include "sipnat/core/stream.h"

namespace sipnat {

namespace {

/// Messages whose ends are remembered one by one; of more the oldest is.
constexpr std::size_t kMostPieces = 64;

struct Range {
    EditedText::Position begin = 0;
    EditedText::Position end = 0;
    [[nodiscard]] std::int64_t length() const { return end - begin; }
};

/// What a segment that came with `length` bytes may grow to.
std::int64_t room_of(std::int64_t length) {
    return std::min(std::max(length + kMostGrowth, kLengthThatFits),
                    std::max(length, kLongestPayload));
}

}  // namespace

EditedText::EditedText(const Step& step) : step_(step) {
    total_ = edited(0);
    text_begin_ = acked_ = sent_ = step_acked_at_ = total_;
}

EditedText::Position EditedText::edited(Position position) const {
    return position + (position <= step_.at ? step_.before : step_.after);
}

void EditedText::append(std::size_t length, std::string_view text, bool begins_message) {
    const auto more = static_cast<std::int64_t>(text.size()) - static_cast<std::int64_t>(length);
    const auto begin = end_;
    text_.append(text);
    end_ += static_cast<Position>(length);
    total_ += more;
    if (more != 0) changes_.push_back({begin, total_});
    if (pieces_.empty() || (begins_message && pieces_.size() < kMostPieces)) {
        pieces_.push_back({begin, end_ + total_, begins_message});
    } else {
        pieces_.back().end = end_ + total_;
    }
}

std::optional<EditedText::Position> EditedText::oldest_message() const {
    if (pieces_.empty() || !pieces_.front().begins_message) return std::nullopt;
    return pieces_.front().begin;
}

/// All of the change is put into one segment: growth where there is most room, shrinking where there is most to
/// shrink, or into as many from the first on as it takes: something has to be left behind the step, or its
/// acknowledgement would be taken for one of what is before.
std::optional<EditedText::Batch> EditedText::next_batch(const std::vector<Position>& ends) const {
    std::optional<Batch> most;
    std::size_t count = 0;
    auto end = ends.begin();
    Range shortest;
    Range longest;
    for (const auto& change : changes_) {
        const auto limit = ++count == changes_.size() ? end_ : changes_[count].begin;
        for (; end + 1 != ends.end() && end[1] <= limit; ++end) {
            const Range brought{end[0], end[1]};
            const bool is_first = end == ends.begin();
            if (is_first || brought.length() < shortest.length()) shortest = brought;
            if (is_first || brought.length() > longest.length()) longest = brought;
        }
        if (end == ends.begin() || *end <= change.begin) continue;  // nothing of it is here
        const auto more = change.total - step_.after;
        if (most && shortest.length() + more > room_of(shortest.length())) continue;
        const auto shrunk = longest.length() > -more ? longest.begin : ends.front();
        most = {count, {more > 0 ? shortest.begin : shrunk, step_.after, change.total}, *end};
    }
    return most;
}

void EditedText::take_step(const Batch& batch) {
    if (batch.step.after != step_.after) {
        step_ = batch.step;
        step_acked_at_ = edited(batch.end);
    }
    changes_.erase(changes_.begin(), changes_.begin() + static_cast<std::ptrdiff_t>(batch.changes));
}

std::optional<std::string> EditedText::send(const Carrier& carrier, Position end) {
    const auto first = edited(carrier.begin);
    const auto last = fitting_end(carrier, first, edited(end));
    // (It has a FIN: without that it can go on.)
    if (last - first > std::max<Position>(std::ssize(carrier.bytes), kLongestPayload))
        return std::nullopt;
    sent_ = std::max(sent_, last);
    return content(carrier.bytes, first, last);
}

/// As edited, of what is to be sent from `begin` to `end`. What is cut off its sender sends again, if it is told that
/// more came than it knows of: by the kernel, which takes all that was added from what was acknowledged.
EditedText::Position EditedText::fitting_end(const Carrier& carrier, Position begin,
                                             Position end) const {
    const auto room = room_of(std::ssize(carrier.bytes));
    if (end - begin <= room || carrier.fin) return end;  // without its end FIN would come too early
    if (begin + room > step_.at + step_.after) return begin + room;
    // Who has more than is before the step, and less than is added, cannot say even that: a byte that probed a window
    // was taken.
    const bool is_between = acked_ > step_.at + step_.before && acked_ <= step_.at + step_.after;
    if (carrier.begin < step_.at && !is_between) return step_.at + step_.before;
    return std::min(end, begin + kLongestPayload);
}

/// What is before the text the receiver has: anything will do, but as much as there is room for.
std::string EditedText::content(std::string_view bytes, Position begin, Position end) const {
    std::string content;
    if (end <= begin) return content;
    const auto known = std::clamp(text_begin_, begin, end);
    content = bytes.substr(0, static_cast<std::size_t>(known - begin));
    content.resize(static_cast<std::size_t>(known - begin), '\0');
    // (A byte that probed a window may have been acknowledged before it is there.)
    if (known == end || known - text_begin_ >= std::ssize(text_)) return content;
    content.append(text_, static_cast<std::size_t>(known - text_begin_),
                   static_cast<std::size_t>(end - known));
    return content;
}

void EditedText::note_sent(Position end) {
    sent_ = std::max(sent_, edited(end));
}

bool EditedText::acknowledge(Position acked) {
    if (acked <= acked_) return false;
    acked_ = acked;
    const auto size = std::min<Position>(acked_ - text_begin_, std::ssize(text_));
    text_.erase(0, static_cast<std::size_t>(size));
    if (text_.empty()) std::string().swap(text_);
    text_begin_ += size;
    while (!pieces_.empty() && pieces_.front().end <= acked_)
        pieces_.pop_front();
    return true;
}

EditedText::Position EditedText::acknowledged() const {
    return acked_ - (acked_ - step_.before > step_.at ? step_.after : step_.before);
}

void EditedText::give_up(Position end) {
    text_.clear();
    pieces_.clear();
    changes_.clear();
    end_ = end;
}

std::size_t EditedText::kept_bytes() const {
    return text_.size() + changes_.size() * sizeof(Change);
}

}  // namespace sipnat
