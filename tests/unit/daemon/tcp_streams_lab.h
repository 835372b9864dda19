// What TcpStreams is tested with: packets with their entries, a kernel, and where verdicts and the state file's lines go.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/stream_lab.h"
#include "daemon/tcp_streams.h"
#include "sipnat/net/big_endian.h"

namespace sipnat::daemon::tcp_lab {

using netfilter::FlowChange;
using netfilter::PacketId;
using stream_lab::edited;

inline constexpr auto kThere = FlowDirection::original;
inline constexpr auto kBack = FlowDirection::reply;
inline constexpr std::uint32_t kMark = 7;

/// Grows by 4.
inline const std::string kInvite =
    "INVITE sip:bob@example.com SIP/2.0\r\nContact: <sip:alice@10.0.0.2>\r\n"
    "Content-Length: 0\r\n\r\n";
/// As long afterwards.
inline const std::string kOptions =
    "OPTIONS sip:inside@example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n";
/// Not edited.
inline const std::string kInfo =
    "INFO sip:bob@example.com SIP/2.0\r\nContent-Length: 5\r\n\r\nhello";
/// SIP without an end.
inline const std::string kBroken = "INFO sip:bob@example.com SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\n";

enum class Way : std::uint8_t { held, pass, replace, drop };

struct Given {
    Way way = Way::held;
    std::string payload;
    FlowChange change;
};

struct ToldShift {
    Tuple flow;
    SequenceShifts shifts;
    std::optional<StreamMemo> memo;
};

/// Conntrack, the queue and the state file.
struct World {
    std::map<Tuple, FlowEntry> entries;
    std::map<Tuple, StreamMemo> file;
    std::map<std::uint32_t, Tuple> flow_of;  ///< by packet
    std::map<std::uint32_t, Given> given;
    std::vector<ToldShift> shifts;
    std::vector<std::string> order;
    bool refuses_shifts = false;
    bool has_room = true;
    bool loses_sight = false;  ///< after a shift no entry is found
};

struct FakeKernel : StreamKernel {
    explicit FakeKernel(World& there) : world(there) {}

    Result<void> shift(const Tuple& flow, const SequenceShifts& shifts,
                       const std::optional<StreamMemo>& memo) override {
        if (world.refuses_shifts) return fail_errno("adjust", flow.text(), EBUSY);
        world.order.emplace_back("shift");
        world.shifts.push_back({flow, shifts, memo});
        auto& entry = world.entries.at(flow);
        if (world.has_room) entry.shifts = shifts;
        if (memo) entry.memo = *memo;
        return {};
    }
    Result<FlowEntry> find(const Tuple& flow) override {
        const auto entry = world.entries.find(flow);
        const bool is_unseen = world.loses_sight && !world.shifts.empty();
        if (entry == world.entries.end() || is_unseen) {
            return fail_errno("find", flow.text(), is_unseen ? ENOBUFS : ENOENT);
        }
        return entry->second;
    }

    World& world;
};

/// As the kernel carries them out, and the daemon what is to be on file before.
struct FakeVerdicts : Verdicts {
    FakeVerdicts(World& there, TcpStreams& of) : world(there), streams(of) {}

    void accept(PacketId id, const FlowChange& change) override {
        note(id, "pass", {Way::pass, "", change});
    }
    void accept(PacketId id, std::span<const std::uint8_t> packet,
                const FlowChange& change) override {
        const auto view = PacketView::parse(packet);
        ASSERT_TRUE(view) << view.error().text();
        note(id, "replace", {Way::replace, std::string(view->payload), change});
    }
    void drop(PacketId id) override { note(id, "drop", {Way::drop, "", {}}); }
    void send() override {
        world.order.emplace_back("send");
        SavedState changes;
        streams.take_changes(changes);
        for (const auto& [flow, memo] : changes.streams)
            world.file[flow] = memo;
        for (const auto& flow : changes.ended_streams)
            world.file.erase(flow);
    }

    void note(PacketId id, const std::string& what, const Given& given) {
        world.order.push_back(what + " " + std::to_string(id.number));
        EXPECT_TRUE(world.given.emplace(id.number, given).second) << "second verdict";
        auto& entry = world.entries.at(world.flow_of.at(id.number));
        if (given.change.memo) entry.memo = *given.change.memo;
        if (given.change.loses_helper) entry.helper.clear();
    }

    World& world;
    TcpStreams& streams;
};

/// Where a connection's place can be.
enum class Kind : std::uint8_t { helped, expected, mapped };

struct Line {
    FlowTuples flow;
    Kind kind = Kind::helped;
    std::array<SequenceNumber, 2> next{SequenceNumber{1000}, SequenceNumber{4000000000}};
    std::array<SequenceNumber, 2> acknowledged = next;  ///< by the other end, as it heard them
};

/// IPv4 and TCP without options.
inline std::vector<std::uint8_t> packet_of(const Tuple& tuple, const TcpSegment& segment) {
    std::vector<std::uint8_t> packet(40);
    packet[0] = 0x45;
    packet[8] = 64;
    packet[9] = static_cast<std::uint8_t>(Transport::tcp);
    store_be16(packet, 2, 40 + segment.payload.size());
    std::ranges::copy(tuple.source.address.bytes(), packet.begin() + 12);
    std::ranges::copy(tuple.destination.address.bytes(), packet.begin() + 16);
    store_be16(packet, 20, number(tuple.source.port));
    store_be16(packet, 22, number(tuple.destination.port));
    store_be32(packet, 24, static_cast<std::uint32_t>(segment.sequence));
    store_be32(packet, 28, static_cast<std::uint32_t>(segment.acknowledged));
    packet[32] = 0x50;
    packet[33] = static_cast<std::uint8_t>((segment.syn ? 0x02 : 0) | (segment.ack ? 0x10 : 0));
    store_be16(packet, 34, segment.window);
    packet.insert(packet.end(), segment.payload.begin(), segment.payload.end());
    return packet;
}

class TcpStreamsLab : public testing::Test {
  protected:
    Line line(Kind kind = Kind::helped, const std::string& source = "192.168.77.2:40000") {
        const auto phone = Endpoint::parse(source).value();
        const auto server = Endpoint::parse("203.0.113.9:5060").value();
        const Endpoint outside{IpAddress::parse("203.0.113.1").value(), phone.port};
        Line made;
        made.kind = kind;
        made.flow = {{phone, server, Transport::tcp}, {server, outside, Transport::tcp}};
        FlowEntry entry;
        entry.tuples = made.flow;
        if (kind != Kind::mapped) entry.helper = "sipnat";
        entry.expected = kind == Kind::expected;
        world.entries[made.flow.original] = entry;
        return made;
    }
    Line connected(Kind kind = Kind::helped, const std::string& source = "192.168.77.2:40000") {
        auto made = line(kind, source);
        connect(made);
        return made;
    }
    /// SYN and SYN-ACK.
    /// With a message that grew, and is acknowledged.
    Line edited_once(Kind kind) {
        auto made = connected(kind);
        say(made, kThere, kInvite);
        acknowledge(made, kThere);
        return made;
    }
    void connect(Line& line) {
        ask(line);
        answer(line);
        say_early(line, kThere, "");
    }
    std::uint32_t ask(Line& line, FlowStanding standing = FlowStanding::first,
                      TcpState state = TcpState::none) {
        TcpSegment segment;
        segment.syn = true;
        segment.sequence = line.next[0] + -1;
        return take(line, kThere, segment, standing, state);
    }
    std::uint32_t answer(Line& line, TcpState state = TcpState::syn_received) {
        TcpSegment segment;
        segment.syn = segment.ack = true;
        segment.sequence = line.next[1] + -1;
        segment.acknowledged = line.next[0];
        return take(line, kBack, segment, FlowStanding::helped, state);
    }
    /// `ahead` bytes before its turn, which it does not take.
    std::uint32_t say_early(const Line& line, FlowDirection direction, std::string_view text,
                            std::int64_t ahead = 0) {
        TcpSegment segment;
        segment.sequence = line.next.at(index(direction)) + ahead;
        segment.ack = true;
        segment.acknowledged = line.acknowledged.at(index(opposite(direction)));
        segment.window = 500;
        segment.payload = text;
        return take(line, direction, segment);
    }
    /// The packet's number; verdict() says what became of it.
    std::uint32_t say(Line& line, FlowDirection direction, std::string_view text) {
        const auto id = say_early(line, direction, text);
        auto& next = line.next.at(index(direction));
        next = next + std::ssize(text);
        return id;
    }
    /// What was said last.
    std::uint32_t say_again(Line& line, FlowDirection direction, std::string_view text) {
        return say_early(line, direction, text, -std::ssize(text));
    }
    /// All that was said in this direction, by who hears it.
    std::uint32_t acknowledge(Line& line, FlowDirection direction) {
        const auto& shifts = world.entries.at(line.flow.original).shifts;
        line.acknowledged.at(index(direction)) =
            line.next.at(index(direction)) + shifts.at(index(direction)).after;
        return say(line, opposite(direction), "");
    }
    std::uint32_t take(const Line& line, FlowDirection direction, const TcpSegment& segment,
                       FlowStanding standing = FlowStanding::helped,
                       TcpState state = TcpState::none) {
        const auto packet =
            packet_of(direction == kThere ? line.flow.original : line.flow.reply, segment);
        netfilter::QueuedPacket queued;
        queued.id.number = ++last_id_;
        queued.packet = packet;
        queued.direction = direction;
        queued.first = standing == FlowStanding::first;
        if (line.kind != Kind::mapped) queued.flow = world.entries.at(line.flow.original);
        world.flow_of[last_id_] = line.flow.original;
        const auto view = PacketView::parse(packet).value();
        streams.take(queued, view,
                     KnownFlow{line.flow, direction, standing, kMark, GatewayEnd::none, state},
                     turn());
        return last_id_;
    }
    TcpStreams::Turn turn() {
        return {verdicts,
                [this](const KnownFlow& flow, FlowDirection direction, std::string_view text) {
                    EXPECT_EQ(flow.mark, kMark);
                    asked.emplace_back(direction, text);
                    return edit(text);
                },
                [this](const std::string& text) { complaints.push_back(text); }, now};
    }

    /// Both ends say what cannot be read on, and hear it.
    std::uint32_t end_reading(Line& line) {
        say(line, kThere, kBroken);
        say(line, kBack, kBroken);
        acknowledge(line, kThere);
        return acknowledge(line, kBack);
    }
    /// Another process, which has the file.
    void restart() {
        verdicts.send();
        streams = TcpStreams(std::make_unique<FakeKernel>(world));
        std::vector<SavedStream> file;
        for (const auto& [flow, memo] : world.file)
            file.push_back({flow, memo});
        streams.restore(file);
    }
    /// As many as one host may have, each of which spoke after those before.
    void fill_host(const std::string& host) {
        for (std::size_t i = 0; i < TcpStreams::kMostOfAHost; ++i)
            connected(Kind::helped, host + ":" + std::to_string(10000 + i));
    }

    [[nodiscard]] Given verdict(std::uint32_t id) const {
        const auto found = world.given.find(id);
        return found == world.given.end() ? Given{} : found->second;
    }
    [[nodiscard]] std::map<Tuple, StreamMemo> saved() const {
        SavedState state;
        streams.save(state);
        std::map<Tuple, StreamMemo> all;
        for (const auto& [flow, memo] : state.streams)
            EXPECT_TRUE(all.emplace(flow, memo).second) << "twice";
        return all;
    }
    [[nodiscard]] static std::size_t index(FlowDirection direction) {
        return static_cast<std::size_t>(direction);
    }

    World world;
    TcpStreams streams{std::make_unique<FakeKernel>(world)};
    FakeVerdicts verdicts{world, streams};
    Time now{std::chrono::hours(1)};
    std::vector<std::pair<FlowDirection, std::string>> asked;
    std::vector<std::string> complaints;
    std::function<std::optional<std::string>(std::string_view)> edit =
        [](std::string_view text) -> std::optional<std::string> {
        if (edited(text) == text) return std::nullopt;
        return edited(text);
    };

  private:
    std::uint32_t last_id_ = 0;
};

}  // namespace sipnat::daemon::tcp_lab
