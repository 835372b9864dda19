// One direction of a TCP connection. Positions count bytes from its beginning:
//
//     as sent       0 ────── released_ ───── text_.end() ────── next_ ····· early segments
//                   │ gone on    │ decided, held │ held, undecided │ a gap before them
//
// What is decided is in text_, until it is acknowledged. One step of the kernel's does for all messages that go on
// together, and one segment takes all that they grow by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/edited_text.h"
#include "sipnat/core/stream.h"
#include "sipnat/sip/framing.h"

namespace sipnat {

/// In which direction, for whom, and where verdicts go.
struct StreamTurn {
    FlowDirection direction{};
    StreamHost& host;
    std::vector<SegmentVerdict>& verdicts;
    Time now{};
};

class StreamHalf {
  public:
    /// How much of it is understood.
    enum class Mode : std::uint8_t {
        unknown,     ///< no byte of it was seen, and no memo says anything: all passes
        reading,     ///< messages are found and edited
        forwarding,  ///< nothing new is looked at; what was edited is still sent again
        passing,     ///< it went on without us: all passes
    };

    /// Where it stands, as a memo says it.
    struct Place {
        Mode mode = Mode::unknown;
        SequenceNumber oldest{};  ///< the first message that may have to be sent again begins here
        SequenceNumber boundary{};  ///< the first message that was not decided begins here
    };

    [[nodiscard]] Mode mode() const { return mode_; }
    /// No message was found in it yet.
    [[nodiscard]] bool is_fresh() const { return is_fresh_; }
    /// The first byte has this number.
    void begin(SequenceNumber first);
    void resume(const Place& place, const SequenceShift& shift);
    [[nodiscard]] Place place() const;

    /// A segment of this direction, without SYN or RST.
    void take(const TcpSegment& segment, SegmentId id, StreamTurn& turn);
    /// What the receiver of this direction says: it has all before `number`, as edited.
    void acknowledge(SequenceNumber number, std::uint16_t window, StreamTurn& turn);
    void expire(StreamTurn& turn);
    [[nodiscard]] std::optional<Time> next_due() const;
    /// Nothing that comes from now on is looked at.
    void stop_reading(StreamTurn& turn);
    /// The connection was reset: what is held is sent again or never.
    void drop_held(StreamTurn& turn);

    /// Nothing of it has to be seen any more.
    [[nodiscard]] bool is_done() const;
    [[nodiscard]] std::size_t kept_bytes() const;
    [[nodiscard]] std::size_t held_segments() const { return held_.size() + early_.size(); }

  private:
    using Position = EditedText::Position;
    struct Segment {
        Position begin = 0;
        Position end = 0;
        bool fin = false;
        SegmentId id{};
        std::string bytes;
        Time since{};
    };
    struct Probe {
        Position at = 0;
        char byte = 0;
    };

    [[nodiscard]] Position position_of(SequenceNumber number) const;
    [[nodiscard]] SequenceNumber number_of(Position position) const { return base_ + position; }

    [[nodiscard]] bool settle_resumption(Position begin, StreamTurn& turn);
    void pass_by_kernel(const TcpSegment& segment, SegmentId id, StreamTurn& turn);
    void take_known(Segment segment, StreamTurn& turn);
    void take_new(Segment segment, StreamTurn& turn);
    void take_early(Segment segment, StreamTurn& turn);
    void append(const Segment& segment);
    void hold(Segment segment, StreamTurn& turn);
    void decide(StreamTurn& turn);
    [[nodiscard]] bool decide_one(StreamTurn& turn);
    void go_on_unread(std::size_t length);
    void put(std::size_t length, std::string_view text);
    void release(StreamTurn& turn);
    void release_up_to(Position limit, StreamTurn& turn);
    [[nodiscard]] std::vector<Position> ends_of_held() const;
    [[nodiscard]] bool shift(const EditedText::Step& step, StreamTurn& turn);
    void send(const Segment& segment, Position end, StreamTurn& turn);
    void take_probed_byte();
    void lose_track(StreamTurn& turn);

    Mode mode_ = Mode::unknown;
    bool is_fresh_ = true;
    SequenceNumber base_{};
    /// The memo's boundary; until the first segment tells which place it is.
    std::optional<Position> resumes_at_;
    bool is_ahead_ = false;     ///< its receiver says that it has more than we sent on
    bool is_unproven_ = false;  ///< nothing has come since that follows what the memo knows

    SequenceShift kernel_{};  ///< as the kernel has it
    EditedText text_;         ///< with kernel_ as its step

    Position next_ = 0;      ///< the first byte that has not come
    Position released_ = 0;  ///< all before it have been sent on

    sip::Framer framer_;
    std::string message_;     ///< what has come of the message under way
    std::size_t read_ = 0;    ///< bytes of it that are decided, while others are being
    std::size_t unread_ = 0;  ///< bytes of message_ that have gone on as they were
    std::size_t skip_ = 0;    ///< bytes to come of one that is too long

    bool is_window_closed_ = false;
    std::optional<Probe> probe_;  ///< sent on, and not decided, to probe a closed window

    std::deque<Segment> held_;           ///< ascending; not before released_
    std::map<Position, Segment> early_;  ///< beyond next_
    std::size_t early_bytes_ = 0;
};

}  // namespace sipnat
