// Two TCP ends with a Stream and the kernel's sequence adjustment between them.
//
//     a.send(begin, end) ─► Stream::take ─► verdicts ─► kernel's shift ─► what b has received
//     b's acknowledgement ─► Stream::take ─► kernel's shift back ─► what a knows to be there
//
// Everything is told: which bytes a segment carries, whether it comes to the gateway, whether it comes out at the other
// end. The kernel's part is written from nf_ct_seq_adjust(), the receiver's from RFC 9293: neither knows the stream's code.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sipnat/core/stream.h"

namespace sipnat::stream_lab {

inline std::string replace_all(std::string text, std::string_view from, std::string_view to) {
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    return text;
}

/// What becomes of each message here: one word gets longer, one shorter, one stays as long as it was. For more of that,
/// each + grows by 10, and each ~ is left out.
inline std::string edited(std::string_view message) {
    auto text = replace_all(std::string(message), "10.0.0.2", "203.0.113.10");
    text = replace_all(std::move(text), "198.51.100.20", "10.9.8.7");
    text = replace_all(std::move(text), "+", "<plus-sign>");
    text = replace_all(std::move(text), "~", "");
    return replace_all(std::move(text), "inside", "Inside");
}

/// One end: what it has to say, and what it has heard.
struct End {
    SequenceNumber first{};  ///< number of its first byte
    std::string says;
    std::int64_t acknowledged = 0;  ///< of what it says, as it was told
    bool is_closed = false;         ///< its FIN was acknowledged

    std::string heard;                    ///< in order, the other end's first byte on
    std::map<std::int64_t, char> beyond;  ///< out of order
    bool heard_end = false;
    std::optional<std::int64_t> end_at{};  ///< where the FIN that came stands

    void receive(std::int64_t at, std::string_view bytes, bool fin) {
        if (fin && !end_at) end_at = at + std::ssize(bytes);
        // In order, which is most, without a step for each byte: the fuzzer's time goes here.
        if (beyond.empty() && at <= std::ssize(heard)) {
            const auto known = static_cast<std::size_t>(std::ssize(heard) - at);
            heard += bytes.substr(std::min(known, bytes.size()));
            bytes = {};
        }
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            const auto place = at + static_cast<std::int64_t>(i);
            if (place >= std::ssize(heard)) beyond.try_emplace(place, bytes[i]);
        }
        while (!beyond.empty() && beyond.begin()->first == std::ssize(heard)) {
            heard += beyond.begin()->second;
            beyond.erase(beyond.begin());
        }
        heard_end = end_at && *end_at == std::ssize(heard);
    }
};

enum class Fate : std::uint8_t { arrives, lost_before, lost_behind };

class Lab : public StreamHost {
  public:
    Lab() {
        restart_ends(static_cast<SequenceNumber>(1000), static_cast<SequenceNumber>(4000000000));
    }
    Lab(SequenceNumber first, SequenceNumber second) { restart_ends(first, second); }

    /// SYN and SYN-ACK.
    void connect() {
        for (const auto direction : {FlowDirection::original, FlowDirection::reply}) {
            TcpSegment segment;
            segment.syn = true;
            segment.sequence = from(direction).first + -1;
            pass(direction, segment);
        }
    }

    /// Bytes [begin, end) of what this direction's sender says, or others in their place; its FIN behind them. Fewer
    /// verdicts than segments are normal: see held().
    void send(FlowDirection direction, std::int64_t begin, std::int64_t end,
              Fate fate = Fate::arrives, bool fin = false,
              std::optional<std::string> bytes = std::nullopt) {
        if (fate == Fate::lost_before) return;
        const auto& sender = from(direction);
        Packet packet;
        packet.direction = direction;
        packet.at = begin;
        packet.fin = fin;
        packet.bytes = bytes ? *bytes
                             : sender.says.substr(static_cast<std::size_t>(begin),
                                                  static_cast<std::size_t>(end - begin));
        packet.fate = fate;
        const auto id = static_cast<SegmentId>(++last_id_);
        const auto& waiting = packets_.emplace(id, packet).first->second;
        TcpSegment segment;
        segment.sequence = sender.first + begin;
        segment.ack = true;
        segment.acknowledged = acknowledgement(direction);
        segment.window = window;
        segment.fin = fin;
        segment.payload = waiting.bytes;
        carry_out(stream.take(direction, segment, id, now, *this));
    }

    /// A bare acknowledgement by who hears this direction.
    void acknowledge(FlowDirection direction, Fate fate = Fate::arrives) {
        if (fate == Fate::lost_before) return;
        const auto back = opposite(direction);
        const auto number = acknowledgement(back);
        TcpSegment segment;
        segment.sequence = from(back).first + from(back).acknowledged;
        segment.ack = true;
        segment.acknowledged = number;
        segment.window = window;
        pass(back, segment);
        if (fate != Fate::arrives) return;
        batch_.emplace_back([=, this] { hear_acknowledgement(direction, number); });
        if (!is_batching) send_batch();
    }

    void wait(std::chrono::milliseconds time) {
        now += time;
        const auto due = stream.next_due();
        if (due && *due <= now) carry_out(stream.expire(now, *this));
    }

    /// Whatever is still to come comes, in segments of `size` bytes, again and again. False: it does not.
    [[nodiscard]] bool finish(FlowDirection direction, std::int64_t size = 700) {
        is_batching = false;
        send_batch();
        auto& sender = from(direction);
        for (int round = 0; round < 400; ++round) {
            const auto end = std::ssize(sender.says);
            if (sender.acknowledged >= end) return true;
            for (auto at = sender.acknowledged; at < end; at += size)
                send(direction, at, std::min(end, at + size));
            acknowledge(direction);
            if (round > 20) wait(std::chrono::milliseconds(300));
        }
        return false;
    }

    void send_batch() {
        for (const auto& step : std::exchange(batch_, {}))
            step();
    }

    [[nodiscard]] End& from(FlowDirection direction) {
        return ends_[static_cast<std::size_t>(direction)];
    }
    /// What has arrived of this direction.
    [[nodiscard]] const std::string& heard(FlowDirection direction) {
        return from(opposite(direction)).heard;
    }
    [[nodiscard]] std::size_t held() const { return packets_.size(); }
    [[nodiscard]] int count(StreamEvent event) const {
        const auto found = events.find(event);
        return found == events.end() ? 0 : found->second;
    }
    /// As a new process does: the entry has the memo, and the kernel the shifts. What waits is dropped.
    void restart() {
        packets_.clear();
        batch_.clear();
        stream = Stream(memo, kernel);
    }
    /// All that a new process would have to send again was acknowledged, and nothing is lost on its way of what none
    /// could: the rest of a message that went on unread.
    [[nodiscard]] bool is_all_acknowledged() const {
        for (std::size_t i = 0; i < ends_.size(); ++i) {
            if (std::ssize(ends_[1 - i].heard) < sent_on_[i]) return false;
        }
        const auto bytes = [this](std::size_t at) {
            return std::vector(memo.begin() + static_cast<std::ptrdiff_t>(at),
                               memo.begin() + static_cast<std::ptrdiff_t>(at + 4));
        };
        return bytes(4) == bytes(8) && bytes(12) == bytes(16);
    }

    std::optional<std::string> edit(FlowDirection direction, std::string_view message) override {
        asked.push_back({direction, std::string(message)});
        auto text = edited(message);
        if (text == message) return std::nullopt;
        return text;
    }
    void send(const std::vector<SegmentVerdict>& verdicts) override {
        carry_out(verdicts);
        send_batch();
    }
    bool shift(FlowDirection direction, const SequenceShift& shift) override {
        if (refuses_shifts) return false;
        auto& present = kernel.at(static_cast<std::size_t>(direction));
        shifts.push_back(shift);
        present = shift;
        memo = stream.memo();
        return true;
    }
    void note(StreamEvent event) override { ++events[event]; }

    Stream stream;
    SequenceShifts kernel{};
    StreamMemo
        memo{};  ///< as the entry has it: set with shifts, and with verdicts that change no length
    std::vector<SequenceShift> shifts;
    std::vector<std::pair<FlowDirection, std::string>> asked;
    std::map<StreamEvent, int> events;
    std::vector<SegmentVerdict::Kind> given;  ///< verdicts so far
    bool refuses_shifts = false;
    bool is_batching =
        false;  ///< verdicts wait for send_batch(), and take effect as the kernel is then
    std::uint16_t window = 500;
    Time now{};

  private:
    struct Packet {
        FlowDirection direction{};
        std::int64_t at = 0;
        std::string bytes;
        bool fin = false;
        Fate fate = Fate::arrives;
    };

    void restart_ends(SequenceNumber first, SequenceNumber second) {
        ends_[0].first = first;
        ends_[1].first = second;
    }

    /// What the sender of this direction acknowledges of the other, in the numbers of the text that it hears.
    [[nodiscard]] SequenceNumber acknowledgement(FlowDirection direction) {
        const auto& end = from(direction);
        return from(opposite(direction)).first + std::ssize(end.heard) + (end.heard_end ? 1 : 0);
    }

    void pass(FlowDirection direction, const TcpSegment& segment) {
        const auto id = static_cast<SegmentId>(++last_id_);
        packets_.emplace(id, Packet{direction, 0, "", false, Fate::lost_behind});
        carry_out(stream.take(direction, segment, id, now, *this));
    }

    /// nf_ct_seq_adjust(): after() compares in circles.
    [[nodiscard]] std::int64_t adjusted(FlowDirection direction, std::int64_t at) {
        const auto& shift = kernel.at(static_cast<std::size_t>(direction));
        const auto number = from(direction).first + at;
        return at + (number - shift.position > 0 ? shift.after : shift.before);
    }

    void hear_acknowledgement(FlowDirection direction, SequenceNumber number) {
        const auto& shift = kernel.at(static_cast<std::size_t>(direction));
        auto& sender = from(direction);
        const auto is_behind = (number + -shift.before) - shift.position > 0;
        const auto as_sent = number + -(is_behind ? shift.after : shift.before);
        const auto acknowledged = as_sent - sender.first;
        sender.is_closed = sender.is_closed || acknowledged > std::ssize(sender.says);
        sender.acknowledged =
            std::clamp<std::int64_t>(acknowledged, sender.acknowledged, std::ssize(sender.says));
    }

    void carry_out(const std::vector<SegmentVerdict>& verdicts) {
        for (const auto& verdict : verdicts) {
            given.push_back(verdict.kind);
            auto waiting = packets_.extract(verdict.id);
            if (waiting.empty()) {
                ++unknown_verdicts;
                continue;
            }
            if (verdict.kind != SegmentVerdict::Kind::drop) note_sent(waiting.mapped(), verdict);
            batch_.emplace_back([this, verdict, packet = std::move(waiting.mapped())] {
                deliver(packet, verdict);
            });
        }
        if (!is_batching) send_batch();
    }

    [[nodiscard]] static const std::string& payload(const Packet& packet,
                                                    const SegmentVerdict& verdict) {
        return verdict.kind == SegmentVerdict::Kind::replace ? verdict.payload : packet.bytes;
    }

    void note_sent(const Packet& packet, const SegmentVerdict& verdict) {
        const auto size = std::ssize(payload(packet, verdict));
        if (size == std::ssize(packet.bytes)) memo = stream.memo();
        auto& end = sent_on_.at(static_cast<std::size_t>(packet.direction));
        if (size > 0) end = std::max(end, adjusted(packet.direction, packet.at) + size);
    }

    void deliver(const Packet& packet, const SegmentVerdict& verdict) {
        if (verdict.kind == SegmentVerdict::Kind::drop) return;
        const auto& bytes = payload(packet, verdict);
        longest = std::max(longest, bytes.size());
        if (packet.fate != Fate::arrives) return;
        from(opposite(packet.direction))
            .receive(adjusted(packet.direction, packet.at), bytes, packet.fin);
    }

  public:
    std::size_t longest = 0;   ///< payload that came out
    int unknown_verdicts = 0;  ///< of segments that had one already, or never were

  private:
    std::array<End, 2> ends_;
    std::array<std::int64_t, 2> sent_on_{};  ///< of each direction, as edited: up to there
    std::map<SegmentId, Packet> packets_;    ///< without a verdict
    std::vector<std::function<void()>> batch_;
    std::uint64_t last_id_ = 0;
};

}  // namespace sipnat::stream_lab
