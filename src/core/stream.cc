#include "sipnat/core/stream.h"

#include <algorithm>
#include <span>

#include "core/stream_half.h"
#include "sipnat/net/big_endian.h"

namespace sipnat {

namespace {

using Mode = StreamHalf::Mode;

// The memo: a version, a mode for each half, and for each half two sequence numbers.
constexpr std::uint8_t kMemoVersion = 1;
constexpr std::size_t kModes = 1;
constexpr std::size_t kPlaces = 4;
constexpr std::size_t kPlaceSize = 8;

std::size_t index(FlowDirection direction) {
    return static_cast<std::size_t>(direction);
}

}  // namespace

std::string_view to_text(StreamEvent event) {
    constexpr std::array<std::string_view, kStreamEvents> kTexts{
        "not_sip", "broken", "too_long", "late", "lost_track", "refused", "over_limit"};
    return kTexts.at(static_cast<std::size_t>(event));
}

Stream::Stream() : halves_{std::make_unique<StreamHalf>(), std::make_unique<StreamHalf>()} {}

Stream::Stream(const StreamMemo& memo, const SequenceShifts& shifts) : Stream() {
    if (memo[0] != kMemoVersion) return;
    const std::span<const std::uint8_t> bytes(memo);
    for (std::size_t i = 0; i < halves_.size(); ++i) {
        const auto at = kPlaces + i * kPlaceSize;
        if (memo[kModes + i] > static_cast<std::uint8_t>(Mode::passing)) continue;
        const auto mode = static_cast<Mode>(memo[kModes + i]);
        if (mode == Mode::unknown) continue;
        halves_[i]->resume({mode, static_cast<SequenceNumber>(load_be32(bytes, at)),
                            static_cast<SequenceNumber>(load_be32(bytes, at + 4))},
                           shifts[i]);
    }
}

Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

StreamHalf& Stream::half(FlowDirection direction) {
    return *halves_[index(direction)];
}
const StreamHalf& Stream::half(FlowDirection direction) const {
    return *halves_[index(direction)];
}

std::vector<SegmentVerdict> Stream::take(FlowDirection direction, const TcpSegment& segment,
                                         SegmentId id, Time now, StreamHost& host) {
    std::vector<SegmentVerdict> verdicts;
    StreamTurn turn{direction, host, verdicts, now};
    StreamTurn back{opposite(direction), host, verdicts, now};
    auto& sent = half(direction);
    auto& received = half(back.direction);
    if (segment.rst) {
        sent.drop_held(turn);
        received.drop_held(back);
        verdicts.push_back({id, SegmentVerdict::Kind::pass, {}});
        return verdicts;
    }
    if (segment.ack) received.acknowledge(segment.acknowledged, segment.window, back);
    if (segment.syn) {
        begin(sent, segment, host);
        // The SYN that it answers was not seen, as nft-map mode has it of port forwards.
        if (segment.ack && received.mode() == Mode::unknown) received.begin(segment.acknowledged);
        verdicts.push_back({id, SegmentVerdict::Kind::pass, {}});
        return verdicts;
    }
    const bool is_unseen = sent.mode() == Mode::unknown && !segment.payload.empty();
    if (is_unseen && received.mode() == Mode::unknown) host.note(StreamEvent::lost_track);
    sent.take(segment, id, turn);
    stop_if_foreign(verdicts, host);
    return verdicts;
}

/// SYN again is a retransmission: a new connection has a stream of its own.
void Stream::begin(StreamHalf& half, const TcpSegment& segment, StreamHost& host) {
    if (half.mode() != Mode::unknown) return;
    if (segment.payload.empty()) {
        half.begin(segment.sequence + 1);
    } else {  // TCP Fast Open (RFC 7413): that data may be sent again, or not
        half.resume({Mode::passing, {}, {}}, {});
        host.note(StreamEvent::lost_track);
    }
}

/// Whoever does not begin with SIP does not speak it, and neither does who answers that.
void Stream::stop_if_foreign(std::vector<SegmentVerdict>& verdicts, StreamHost& host) {
    if (is_foreign_) return;
    is_foreign_ = std::ranges::any_of(halves_, [](const auto& half) {
        return half->mode() == Mode::forwarding && half->is_fresh();
    });
    if (!is_foreign_) return;
    for (const auto direction : {FlowDirection::original, FlowDirection::reply}) {
        StreamTurn turn{direction, host, verdicts, {}};
        half(direction).stop_reading(turn);
    }
}

std::vector<SegmentVerdict> Stream::expire(Time now, StreamHost& host) {
    std::vector<SegmentVerdict> verdicts;
    for (const auto direction : {FlowDirection::original, FlowDirection::reply}) {
        StreamTurn turn{direction, host, verdicts, now};
        half(direction).expire(turn);
    }
    return verdicts;
}

std::optional<Time> Stream::next_due() const {
    const auto one = halves_[0]->next_due();
    const auto other = halves_[1]->next_due();
    return one && other ? std::min(one, other) : (one ? one : other);
}

bool Stream::is_done() const {
    return halves_[0]->is_done() && halves_[1]->is_done();
}

StreamMemo Stream::memo() const {
    StreamMemo memo{};
    memo[0] = kMemoVersion;
    const std::span<std::uint8_t> bytes(memo);
    for (std::size_t i = 0; i < halves_.size(); ++i) {
        const auto place = halves_[i]->place();
        memo[kModes + i] = static_cast<std::uint8_t>(place.mode);
        const auto at = kPlaces + i * kPlaceSize;
        store_be32(bytes, at, static_cast<std::uint32_t>(place.oldest));
        store_be32(bytes, at + 4, static_cast<std::uint32_t>(place.boundary));
    }
    return memo;
}

std::size_t Stream::kept_bytes() const {
    return halves_[0]->kept_bytes() + halves_[1]->kept_bytes();
}
std::size_t Stream::held_segments() const {
    return halves_[0]->held_segments() + halves_[1]->held_segments();
}

}  // namespace sipnat
