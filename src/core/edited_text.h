// What one direction of a TCP connection becomes: the text that its receiver has not acknowledged, and where its bytes
// stand.
//
//     as sent       0 ───── step.at ──────────────────────────────── end()     decided up to there
//                   │ + before  │ + after
//     as edited     0 ─ acked ──┴─ the text, kept until it is acknowledged
//
// A position counts bytes from the direction's beginning. As sent, it becomes one as edited by the step, which is the
// kernel's: there is one, so what is decided may stand further on than that says, by changes() that the kernel does
// not know yet. Which bytes of the text a segment carries is a matter of its two ends as edited, whatever they cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sipnat {

class EditedText {
  public:
    using Position = std::int64_t;

    /// `before` is added up to and with `at`, and `after` behind it.
    struct Step {
        Position at = 0;
        std::int64_t before = 0;
        std::int64_t after = 0;
    };
    /// A message that changed its length.
    struct Change {
        Position begin = 0;      ///< as sent
        std::int64_t total = 0;  ///< by how much its end is further on as edited
    };
    /// Messages that go on together.
    struct Batch {
        std::size_t changes = 0;  ///< so many of changes(), the first ones
        Step step;                ///< that they need; none, if it adds what the present one does
        Position end = 0;         ///< as sent, of what goes on of them now
    };
    /// A segment, as it came.
    struct Carrier {
        Position begin = 0;
        std::string_view bytes;
        bool fin = false;
    };

    EditedText() = default;
    /// Of a stream that goes on, with all before it acknowledged.
    explicit EditedText(const Step& step);

    [[nodiscard]] Position edited(Position position) const;

    /// The next `length` bytes become `text`.
    void append(std::size_t length, std::string_view text, bool begins_message);
    /// As sent: all before it are decided.
    [[nodiscard]] Position end() const { return end_; }
    /// Begin of the first message that is not acknowledged. Nothing: there is none, or only its end is known.
    [[nodiscard]] std::optional<Position> oldest_message() const;

    [[nodiscard]] const std::deque<Change>& changes() const { return changes_; }
    /// As many messages as a segment has room for what they grow by, and at least those of the first segment. `ends`,
    /// as sent: where what was not sent on begins, and where the segments end that bring it, ascending. Nothing: they
    /// bring nothing of a message that changed.
    [[nodiscard]] std::optional<Batch> next_batch(const std::vector<Position>& ends) const;
    /// Until all that was sent with one step is acknowledged, no other may take its place.
    [[nodiscard]] bool may_step() const { return acked_ >= step_acked_at_; }
    /// The kernel has its step.
    void take_step(const Batch& batch);

    /// What goes on of a segment up to `end`, if that fits into one: else as much as can be told to its sender, who
    /// sends the rest again. Nothing: it cannot go on.
    [[nodiscard]] std::optional<std::string> send(const Carrier& carrier, Position end);
    /// So much went on by itself, as sent.
    void note_sent(Position end);
    /// As edited: the furthest that was sent on.
    [[nodiscard]] Position sent() const { return sent_; }
    /// As edited. False if that is nothing new.
    bool acknowledge(Position acked);
    /// As sent, as the kernel tells it to the sender.
    [[nodiscard]] Position acknowledged() const;

    /// From `end` on, as sent, it is not our text.
    void give_up(Position end);
    /// No byte is kept.
    [[nodiscard]] bool empty() const { return text_.empty(); }
    [[nodiscard]] std::size_t size() const { return text_.size(); }
    /// Its memory.
    [[nodiscard]] std::size_t kept_bytes() const;

  private:
    struct Piece {
        Position begin = 0;  ///< as sent
        Position end = 0;    ///< as edited
        bool begins_message = true;
    };

    [[nodiscard]] Position fitting_end(const Carrier& carrier, Position begin, Position end) const;
    [[nodiscard]] std::string content(std::string_view bytes, Position begin, Position end) const;

    Step step_;
    Position step_acked_at_ = 0;  ///< as edited

    Position end_ = 0;            ///< as sent
    std::int64_t total_ = 0;      ///< by how much it is further on as edited
    std::deque<Change> changes_;  ///< those that step_ does not know

    std::string text_;          ///< not acknowledged
    Position text_begin_ = 0;   ///< as edited
    Position sent_ = 0;         ///< as edited
    Position acked_ = 0;        ///< as edited
    std::deque<Piece> pieces_;  ///< messages that are not acknowledged
};

}  // namespace sipnat
