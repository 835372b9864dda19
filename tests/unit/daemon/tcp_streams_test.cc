// SIP over TCP between queue and stream: packets with their entries in; verdicts, shifts and the state file's lines out.
//
//     say(line, …) ─► TcpStreams::take ─► World::given, World::entries, World::file, and in which order
#include "daemon/tcp_streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daemon/tcp_streams_lab.h"

namespace sipnat::daemon {
namespace {

using namespace std::chrono_literals;
using namespace tcp_lab;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::Pair;
using testing::SizeIs;

class TcpStreamsTest : public TcpStreamsLab {};

// --- messages -----------------------------------------------------------------------------------

TEST_F(TcpStreamsTest, AMessageThatGrowsLeavesAfterItsShiftAndAllElseBefore) {
    auto phone = connected();
    const auto first = phone.next[0];
    world.order.clear();
    const auto invite = say_early(phone, kThere, kInvite, std::ssize(kInfo));
    EXPECT_EQ(verdict(invite).way, Way::held);
    const auto info = say(phone, kThere, kInfo);
    EXPECT_THAT(world.order, ElementsAre("pass " + std::to_string(info), "send", "shift",
                                         "replace " + std::to_string(invite)));
    EXPECT_EQ(verdict(invite).payload, edited(kInvite));
    EXPECT_THAT(asked, ElementsAre(Pair(kThere, kInfo), Pair(kThere, kInvite)));
    const SequenceShift grown{first + std::ssize(kInfo), 0, 4};
    ASSERT_THAT(world.shifts, SizeIs(1));
    EXPECT_EQ(world.shifts[0].flow, phone.flow.original);
    EXPECT_EQ(world.shifts[0].shifts, (SequenceShifts{grown, {}}));
    EXPECT_TRUE(world.shifts[0].memo);
}

TEST_F(TcpStreamsTest, AVerdictThatChangesALengthChangesNothingOfTheFlow) {
    auto phone = connected();
    const auto change = verdict(say(phone, kThere, kInvite)).change;
    EXPECT_FALSE(change.memo);
    EXPECT_FALSE(change.loses_helper);
    EXPECT_FALSE(verdict(say(phone, kThere, "")).change.memo) << "its shift took it along";

    EXPECT_EQ(verdict(say(phone, kThere, kInvite)).way, Way::held) << "for the acknowledgement";
    const auto again = verdict(say_early(phone, kThere, kInvite, -2 * std::ssize(kInvite)));
    EXPECT_EQ(again.payload, edited(kInvite));
    EXPECT_FALSE(again.change.memo) << "although one more is decided";
    const auto memo = verdict(say(phone, kThere, "")).change.memo;
    EXPECT_TRUE(memo) << "the next packet has room for it";
}

TEST_F(TcpStreamsTest, OneThatIsDroppedTakesNoPlaceAlong) {
    auto phone = connected();
    say(phone, kThere, kInvite);
    const auto waits = say(phone, kThere, kInvite);
    now += kLongestHold;
    streams.expire(turn());
    EXPECT_EQ(verdict(waits).way, Way::drop);
    const auto memo = verdict(say_early(phone, kThere, "")).change.memo;
    EXPECT_TRUE(memo) << "the next packet does";
}

TEST_F(TcpStreamsTest, AShiftLeavesTheOtherDirectionsInPlace) {
    auto phone = connected();
    const SequenceShift there{phone.next[0], 0, 4};
    const SequenceShift back{phone.next[1], 0, 4};
    say(phone, kThere, kInvite);
    say(phone, kBack, kInvite);
    ASSERT_THAT(world.shifts, SizeIs(2));
    EXPECT_EQ(world.shifts[1].shifts, (SequenceShifts{there, back}));
}

TEST_F(TcpStreamsTest, OneThatStaysAsLongTakesItsPlaceAlong) {
    auto phone = connected();
    const auto before = world.entries.at(phone.flow.original).memo;
    EXPECT_NE(before, StreamMemo{});
    const auto given = verdict(say(phone, kThere, kOptions));
    EXPECT_EQ(given.way, Way::replace);
    EXPECT_EQ(given.payload, edited(kOptions));
    ASSERT_TRUE(given.change.memo);
    EXPECT_NE(*given.change.memo, before);
    EXPECT_THAT(world.shifts, IsEmpty());
    EXPECT_FALSE(verdict(say_again(phone, kThere, kOptions)).change.memo) << "nothing new";
}

TEST_F(TcpStreamsTest, OneThatIsNotEditedPassesAsItCame) {
    auto phone = connected();
    EXPECT_EQ(verdict(say(phone, kThere, kInfo)).way, Way::pass);
    EXPECT_EQ(verdict(say(phone, kBack, kInfo)).way, Way::pass);
    EXPECT_THAT(asked, ElementsAre(Pair(kThere, kInfo), Pair(kBack, kInfo)));
    EXPECT_FALSE(streams.has_changes()) << "its entry remembers it";
    EXPECT_THAT(saved(), IsEmpty());
}

TEST_F(TcpStreamsTest, OneThatWouldFitNoPacketPassesAsItCameAndIsCounted) {
    auto phone = connected();
    edit = [](std::string_view) { return std::string(70000, 'x'); };
    EXPECT_EQ(verdict(say(phone, kThere, kInfo)).way, Way::drop);
    EXPECT_EQ(verdict(say_again(phone, kThere, kInfo)).way, Way::pass);
    EXPECT_EQ(streams.count(StreamEvent::refused), 1U);
    EXPECT_THAT(world.shifts, IsEmpty());
}

TEST_F(TcpStreamsTest, AnUnfinishedMessageGoesOnWhenItIsDue) {
    auto phone = connected();
    EXPECT_FALSE(streams.next_due());
    const auto part = say(phone, kThere, kInvite.substr(0, 30));
    EXPECT_EQ(streams.next_due(), now + kLongestHold);
    now += kLongestHold - 1ms;
    streams.expire(turn());
    EXPECT_EQ(verdict(part).way, Way::held);
    now += 1ms;
    streams.expire(turn());
    EXPECT_EQ(verdict(part).way, Way::pass);
    EXPECT_EQ(streams.count(StreamEvent::late), 1U);
    EXPECT_FALSE(streams.next_due());
    EXPECT_EQ(verdict(say(phone, kThere, kInvite.substr(30))).way, Way::pass);
    EXPECT_EQ(verdict(say(phone, kThere, kInvite)).payload, edited(kInvite));
}

// --- where the kernel does not adjust -----------------------------------------------------------

TEST_F(TcpStreamsTest, WithoutNatNoShiftIsAskedFor) {
    auto phone = line();
    phone.flow.reply = phone.flow.original.reversed();
    connect(phone);
    EXPECT_EQ(verdict(say(phone, kThere, kInvite)).way, Way::drop) << "to come again";
    EXPECT_EQ(verdict(say_again(phone, kThere, kInvite)).way, Way::pass);
    EXPECT_THAT(world.shifts, IsEmpty());
    EXPECT_EQ(streams.count(StreamEvent::refused), 1U);
    EXPECT_THAT(complaints, IsEmpty());
}

TEST_F(TcpStreamsTest, WhatTheKernelSaysIsTold) {
    auto phone = connected();
    world.refuses_shifts = true;
    say(phone, kThere, kInvite);
    EXPECT_EQ(verdict(say_again(phone, kThere, kInvite)).way, Way::pass);
    EXPECT_THAT(complaints,
                ElementsAre("adjust " + phone.flow.original.text() + ": " + errno_text(EBUSY)));
    EXPECT_EQ(streams.count(StreamEvent::refused), 1U);
}

TEST_F(TcpStreamsTest, AnEntryWithoutRoomIsTold) {
    for (const auto kind : {Kind::helped, Kind::expected, Kind::mapped}) {
        complaints.clear();
        auto phone = connected(kind);
        world.has_room = false;
        say(phone, kThere, kInvite);
        EXPECT_EQ(verdict(say_again(phone, kThere, kInvite)).way, Way::pass);
        EXPECT_THAT(complaints,
                    ElementsAre("adjust sequence numbers of " + phone.flow.original.text() +
                                ": this kernel has no room for them in its entry"));
    }
    EXPECT_EQ(streams.count(StreamEvent::refused), 3U);
}

// --- places -------------------------------------------------------------------------------------

TEST_F(TcpStreamsTest, WhereNoEntryKeepsItThePlaceIsOnFileBeforeItIsInEffect) {
    for (const auto kind : {Kind::expected, Kind::mapped}) {
        auto phone = connected(kind);
        const auto& name = phone.flow.original;
        verdicts.send();
        ASSERT_TRUE(world.file.contains(name));
        const auto before = world.file.at(name);
        world.shifts.clear();
        say_early(phone, kThere, kInvite, std::ssize(kInfo));
        say(phone, kThere, kInfo);
        EXPECT_NE(world.file.at(name), before) << "what was sent for the sake of the shift";
        phone.next[0] = phone.next[0] + std::ssize(kInvite);
        ASSERT_THAT(world.shifts, SizeIs(1));
        EXPECT_FALSE(world.shifts[0].memo);
        acknowledge(phone, kThere);
        say(phone, kBack, kOptions);
        EXPECT_TRUE(streams.has_changes());
        verdicts.send();
        EXPECT_FALSE(streams.has_changes());
        EXPECT_EQ(saved(), world.file);
        EXPECT_EQ(world.entries.at(name).memo, StreamMemo{});
    }
    for (const auto& [id, given] : world.given)
        EXPECT_FALSE(given.change.memo || given.change.loses_helper) << id;
}

TEST_F(TcpStreamsTest, ChangesAreGivenOnce) {
    connected(Kind::mapped);
    SavedState state;
    streams.take_changes(state);
    streams.take_changes(state);
    EXPECT_THAT(state.streams, SizeIs(1));
    EXPECT_THAT(saved(), SizeIs(1)) << "a whole file has it";
}

TEST_F(TcpStreamsTest, AnotherProcessGoesOnAtTheNextMessage) {
    for (const auto kind : {Kind::helped, Kind::expected, Kind::mapped}) {
        auto phone = edited_once(kind);
        const auto file = saved();
        restart();
        EXPECT_EQ(streams.size(), 0U);
        EXPECT_EQ(saved(), file);
        world.shifts.clear();
        const auto at = phone.next[0];
        EXPECT_EQ(verdict(say(phone, kThere, kInvite)).payload, edited(kInvite));
        ASSERT_THAT(world.shifts, SizeIs(1));
        EXPECT_EQ(world.shifts[0].shifts[0], (SequenceShift{at, 4, 8}));
        EXPECT_EQ(world.shifts[0].memo.has_value(), kind == Kind::helped);
    }
    EXPECT_EQ(streams.count(StreamEvent::lost_track), 0U);
}

TEST_F(TcpStreamsTest, OneOnFileWhoseFlowIsGoneIsLeftOut) {
    const auto gone = connected(Kind::mapped);
    const auto there = connected(Kind::mapped, "192.168.77.3:40000");
    verdicts.send();
    world.entries.erase(gone.flow.original);
    restart();
    EXPECT_THAT(saved(), ElementsAre(Key(there.flow.original)));
}

TEST_F(TcpStreamsTest, OneThatEndedIsTakenOffTheFileAndWhatIsHeldIsDropped) {
    for (const auto kind : {Kind::helped, Kind::expected, Kind::mapped}) {
        auto phone = connected(kind);
        const auto part = say(phone, kThere, kInvite.substr(0, 30));
        verdicts.send();
        streams.note_ended(phone.flow.original, verdicts);
        EXPECT_EQ(verdict(part).way, Way::drop);
        EXPECT_EQ(streams.size(), 0U);
        EXPECT_FALSE(streams.next_due());
        SavedState changes;
        streams.take_changes(changes);
        EXPECT_THAT(changes.streams, IsEmpty());
        EXPECT_THAT(changes.ended_streams, SizeIs(kind == Kind::helped ? 0 : 1));
        EXPECT_THAT(saved(), IsEmpty());
    }
}

TEST_F(TcpStreamsTest, OneThatEndsBeforeItIsSeenAgainIsTakenOffTheFile) {
    const auto phone = connected(Kind::mapped);
    restart();
    streams.note_ended(phone.flow.original, verdicts);
    verdicts.send();
    EXPECT_THAT(world.file, IsEmpty());
    EXPECT_THAT(saved(), IsEmpty());
}

TEST_F(TcpStreamsTest, AFirstPacketBeginsAnew) {
    for (const auto kind : {Kind::helped, Kind::expected, Kind::mapped}) {
        auto phone = edited_once(kind);
        const auto part = say(phone, kThere, kInvite.substr(0, 30));
        auto next = line(kind);
        next.next = next.acknowledged = {SequenceNumber{70000}, SequenceNumber{80000}};
        world.shifts.clear();
        connect(next);
        EXPECT_EQ(verdict(part).way, Way::drop);
        EXPECT_EQ(streams.size(), 1U);
        verdicts.send();
        EXPECT_EQ(world.file, saved());
        EXPECT_EQ(verdict(say(next, kThere, kInvite)).payload, edited(kInvite));
        ASSERT_THAT(world.shifts, SizeIs(1));
        EXPECT_EQ(world.shifts[0].shifts[0], (SequenceShift{SequenceNumber{70000}, 0, 4}));
        streams.note_ended(next.flow.original, verdicts);
    }
}

TEST_F(TcpStreamsTest, AFirstPacketBeginsAnewWhateverIsOnFile) {
    connected(Kind::mapped);
    restart();
    auto next = line(Kind::mapped);
    next.next = next.acknowledged = {SequenceNumber{70000}, SequenceNumber{80000}};
    connect(next);
    EXPECT_EQ(verdict(say(next, kThere, kInvite)).payload, edited(kInvite));
    verdicts.send();
    EXPECT_EQ(world.file, saved());
}

TEST_F(TcpStreamsTest, AnEntryThatIsUsedAgainAdjustsNothingOfTheConnectionBefore) {
    for (const auto kind : {Kind::helped, Kind::expected, Kind::mapped}) {
        auto phone = edited_once(kind);
        auto next = phone;
        next.next = next.acknowledged = {SequenceNumber{70000}, SequenceNumber{80000}};
        world.shifts.clear();
        ask(next, FlowStanding::helped, TcpState::close);
        ASSERT_THAT(world.shifts, SizeIs(1));
        EXPECT_EQ(world.shifts[0].shifts, SequenceShifts{});
        EXPECT_EQ(world.shifts[0].memo.has_value(), kind == Kind::helped);
        answer(next);
        say_early(next, kThere, "");
        EXPECT_EQ(verdict(say(next, kThere, kInvite)).payload, edited(kInvite));
        EXPECT_EQ(world.shifts.back().shifts[0], (SequenceShift{SequenceNumber{70000}, 0, 4}));
        streams.note_ended(next.flow.original, verdicts);
    }
}

TEST_F(TcpStreamsTest, AnAnswerToAFirstPacketThatWasNotSeenBeginsAnew) {
    auto phone = line(Kind::mapped);
    for (const auto first : {1000U, 70000U}) {
        phone.next = phone.acknowledged = {SequenceNumber{first}, SequenceNumber{first + 1000}};
        answer(phone);
        answer(phone);  // again
        EXPECT_EQ(verdict(say(phone, kThere, kInvite)).payload, edited(kInvite)) << first;
        acknowledge(phone, kThere);
    }
    EXPECT_EQ(streams.size(), 1U);
}

TEST_F(TcpStreamsTest, WhoeverForgesAFirstPacketBeginsNothing) {
    auto phone = connected();
    auto forged = phone;
    forged.next = {SequenceNumber{5}, SequenceNumber{5}};
    const auto established = static_cast<TcpState>(3);
    ask(forged, FlowStanding::helped, established);
    answer(forged, established);
    EXPECT_EQ(verdict(say(phone, kThere, kInvite)).payload, edited(kInvite));
}

TEST_F(TcpStreamsTest, AScanTakesThePlaceOfNoneThatSpeaks) {
    auto phone = connected(Kind::mapped);
    for (std::size_t i = 0; i < TcpStreams::kMostOpening + 10; ++i) {
        auto one = line(Kind::mapped, "10.1." + std::to_string(i / 250) + "." +
                                          std::to_string(i % 250 + 1) + ":40000");
        answer(one);
    }
    EXPECT_EQ(streams.size(), TcpStreams::kMostOpening + 1);
    EXPECT_EQ(streams.forgotten(), 0U);
    verdicts.send();
    EXPECT_THAT(world.file, ElementsAre(Key(phone.flow.original))) << "none of them is on file";
    EXPECT_EQ(verdict(say(phone, kThere, kInvite)).payload, edited(kInvite));
}

TEST_F(TcpStreamsTest, OneThatIsNotSipIsNotLookedAtAgain) {
    auto phone = connected(Kind::mapped);
    say(phone, kThere, "GET / HTTP/1.1\r\n\r\n");
    verdicts.send();
    const auto on_file = world.file;
    for (int i = 0; i < 500; ++i)
        EXPECT_EQ(verdict(say(phone, kThere, std::string(1000, 'x'))).way, Way::pass);
    verdicts.send();
    EXPECT_EQ(world.file, on_file);
    EXPECT_EQ(streams.count(StreamEvent::over_limit), 0U);
}

TEST_F(TcpStreamsTest, OneWhoseNumbersAreAdjustedIsLookedAtForWhatComesAgain) {
    auto phone = edited_once(Kind::mapped);
    world.refuses_shifts = true;
    say(phone, kBack, kInvite);
    say(phone, kThere, kInvite);
    EXPECT_EQ(verdict(say_again(phone, kThere, kInvite)).way, Way::pass) << "given up, both ways";
    const auto late = verdict(say_early(phone, kThere, kInvite, -2 * std::ssize(kInvite)));
    EXPECT_EQ(late.way, Way::replace) << "it goes through the step";
    EXPECT_EQ(late.payload, "");
}

TEST_F(TcpStreamsTest, WhereNewsWereLostPlacesOfFlowsThatAreGoneAreForgotten) {
    const auto gone = connected(Kind::mapped);
    const auto there = connected(Kind::mapped, "192.168.77.3:40000");
    restart();
    world.entries.erase(gone.flow.original);
    streams.prune();
    verdicts.send();
    EXPECT_THAT(world.file, ElementsAre(Key(there.flow.original)));
    EXPECT_EQ(world.file, saved());
}

// --- helpers that are not needed ----------------------------------------------------------------

TEST_F(TcpStreamsTest, OneThatIsNotSipLosesItsHelper) {
    auto phone = connected();
    const auto given = verdict(say(phone, kThere, "GET / HTTP/1.1\r\n\r\n"));
    EXPECT_EQ(given.way, Way::pass);
    EXPECT_TRUE(given.change.loses_helper);
    EXPECT_FALSE(given.change.memo);
    EXPECT_EQ(streams.count(StreamEvent::not_sip), 1U);
}

TEST_F(TcpStreamsTest, OneThatNobodyCouldReadLosesItsHelperOnceAllHasArrived) {
    auto phone = connected();
    EXPECT_TRUE(verdict(end_reading(phone)).change.loses_helper);
    EXPECT_THAT(asked, IsEmpty());
}

TEST_F(TcpStreamsTest, AfterAMessageItKeepsIt) {
    auto phone = connected();
    say(phone, kThere, kOptions);
    EXPECT_FALSE(verdict(end_reading(phone)).change.loses_helper) << "expectations may hang on it";
    EXPECT_EQ(streams.size(), 1U);
}

TEST_F(TcpStreamsTest, OneWhoseNumbersAreAdjustedKeepsIt) {
    auto phone = connected();
    say(phone, kThere, kInvite);
    acknowledge(phone, kThere);
    restart();
    EXPECT_FALSE(verdict(end_reading(phone)).change.loses_helper);
    EXPECT_EQ(streams.size(), 1U);
}

TEST_F(TcpStreamsTest, WithoutAHelperOfItsOwnItStays) {
    for (const auto kind : {Kind::expected, Kind::mapped}) {
        auto phone = connected(kind);
        EXPECT_FALSE(verdict(end_reading(phone)).change.loses_helper);
        EXPECT_EQ(streams.size(), 1U);
        EXPECT_THAT(saved(), SizeIs(1));
        streams.note_ended(phone.flow.original, verdicts);
    }
}

TEST_F(TcpStreamsTest, ItsFirstPacketDoesNotLoseIt) {
    auto phone = line();
    TcpSegment fast_open;
    fast_open.syn = true;
    fast_open.sequence = phone.next[0] + -1;
    fast_open.payload = kInvite;
    EXPECT_FALSE(verdict(take(phone, kThere, fast_open, FlowStanding::first)).change.loses_helper);
    EXPECT_EQ(streams.size(), 1U);
    EXPECT_TRUE(verdict(acknowledge(phone, kBack)).change.loses_helper) << "the one behind it does";
}

// --- limits -------------------------------------------------------------------------------------

TEST_F(TcpStreamsTest, OfTooManyTheOneThatWasSilentForLongestIsForgotten) {
    auto speaks = connected(Kind::helped, "192.168.80.1:5060");
    auto silent = connected(Kind::helped, "192.168.80.2:5060");
    const auto part = say(silent, kThere, kInvite.substr(0, 30));
    for (int i = 1; streams.size() < TcpStreams::kMostStreams - TcpStreams::kMostOfAHost; ++i)
        fill_host("192.168.77." + std::to_string(i));
    for (std::size_t i = streams.size(); i < TcpStreams::kMostStreams; ++i)
        connected(Kind::helped, "192.168.79.1:" + std::to_string(10000 + i));
    const auto other = say(speaks, kThere, kInvite.substr(0, 30));
    EXPECT_EQ(streams.size(), TcpStreams::kMostStreams);
    EXPECT_EQ(streams.forgotten(), 0U);
    EXPECT_EQ(verdict(part).way, Way::held);
    connected(Kind::helped, "192.168.79.1:9999");
    connected(Kind::helped, "192.168.79.1:9998");
    EXPECT_EQ(streams.size(), TcpStreams::kMostStreams);
    EXPECT_EQ(streams.forgotten(), 2U);
    EXPECT_EQ(verdict(part).way, Way::drop);
    EXPECT_EQ(verdict(other).way, Way::held) << "it has spoken since";
    EXPECT_EQ(streams.next_due(), now + kLongestHold);
}

TEST_F(TcpStreamsTest, OfTooManyOfAHostItsOwnIsForgotten) {
    auto other = connected(Kind::helped, "192.168.77.9:40000");
    const auto others = say(other, kThere, kInvite.substr(0, 30));
    auto silent = connected(Kind::helped, "192.168.77.2:40000");
    const auto part = say(silent, kThere, kInvite.substr(0, 30));
    fill_host("192.168.77.2");
    EXPECT_EQ(streams.forgotten(), 1U);
    EXPECT_EQ(streams.size(), TcpStreams::kMostOfAHost + 1);
    EXPECT_EQ(verdict(part).way, Way::drop);
    EXPECT_EQ(verdict(others).way, Way::held);

    streams.note_ended(line(Kind::helped, "192.168.77.2:10000").flow.original, verdicts);
    connected(Kind::helped, "192.168.77.2:10000");
    EXPECT_EQ(streams.forgotten(), 1U) << "one that ended counts no more";
}

TEST_F(TcpStreamsTest, OneThatNeedsNothingIsForgottenAndDoesNotCount) {
    auto phone = connected();
    say(phone, kThere, "GET / HTTP/1.1\r\n\r\n");
    fill_host("192.168.77.2");
    EXPECT_EQ(streams.size(), TcpStreams::kMostOfAHost);
    EXPECT_EQ(streams.forgotten(), 0U);
}

TEST_F(TcpStreamsTest, OfTooManyBytesTheOneThatWasSilentForLongestIsForgotten) {
    const std::string text(65000, 'x');
    std::vector<std::uint32_t> held;
    std::vector<Line> lines;
    const auto fill = [&] {
        auto& one = lines.emplace_back(
            connected(Kind::helped, "192.168.77.2:" + std::to_string(10000 + lines.size())));
        held.push_back(say_early(one, kThere, text, 1));
        held.push_back(say_early(one, kThere, text, 1 + std::ssize(text)));
    };
    while (streams.forgotten() == 0 && lines.size() < TcpStreams::kMostOfAHost)
        fill();
    EXPECT_EQ(streams.forgotten(), 1U);
    EXPECT_GT(lines.size(), TcpStreams::kMostBytes / (6 * text.size()));
    EXPECT_LT(lines.size(), TcpStreams::kMostBytes / (2 * text.size()));
    EXPECT_EQ(verdict(held[0]).way, Way::drop);
    EXPECT_EQ(verdict(held[1]).way, Way::drop);
    EXPECT_EQ(verdict(held[2]).way, Way::held);

    for (std::size_t i = 1; i <= 10; ++i)
        streams.note_ended(lines[i].flow.original, verdicts);
    for (int i = 0; i < 10; ++i)
        fill();
    EXPECT_EQ(streams.forgotten(), 1U) << "those that ended keep nothing";
}

TEST_F(TcpStreamsTest, AForgottenOneIsFoundAgainWithItsNextPacket) {
    for (const auto kind : {Kind::helped, Kind::expected, Kind::mapped}) {
        auto phone = edited_once(kind);
        const auto part = say_early(phone, kThere, kInvite.substr(0, 30));
        fill_host("192.168.77.2");
        EXPECT_EQ(verdict(part).way, Way::drop);
        verdicts.send();
        EXPECT_EQ(saved(), world.file);
        EXPECT_THAT(world.file, SizeIs(kind == Kind::helped ? 0 : 1));
        world.shifts.clear();
        EXPECT_EQ(verdict(say(phone, kThere, kInvite)).payload, edited(kInvite));
        ASSERT_THAT(world.shifts, SizeIs(1));
        EXPECT_EQ(world.shifts[0].shifts[0].before, 4);
        EXPECT_EQ(streams.count(StreamEvent::lost_track), 0U);
        streams.note_ended(phone.flow.original, verdicts);
        verdicts.send();
        EXPECT_THAT(world.file, IsEmpty());
    }
}

TEST_F(TcpStreamsTest, AForgottenOneThatEndsIsTakenOffTheFile) {
    const auto phone = connected(Kind::mapped);
    fill_host("192.168.77.2");
    EXPECT_EQ(streams.forgotten(), 1U);
    verdicts.send();
    EXPECT_THAT(world.file, ElementsAre(Key(phone.flow.original)));
    streams.note_ended(phone.flow.original, verdicts);
    verdicts.send();
    EXPECT_THAT(world.file, IsEmpty());
    EXPECT_THAT(saved(), IsEmpty());
}

TEST_F(TcpStreamsTest, OfThoseThatAreNotFollowedSoManyStayOnFileAndNotMore) {
    for (std::size_t i = 0; i < TcpStreams::kMostStreams; ++i)
        world.file[line(Kind::mapped, "192.168.78.1:" + std::to_string(i)).flow.original] = {1};
    restart();
    const auto phone = connected(Kind::mapped);
    verdicts.send();
    EXPECT_TRUE(world.file.contains(phone.flow.original));
    fill_host("192.168.77.2");
    EXPECT_EQ(streams.forgotten(), 1U);
    verdicts.send();
    EXPECT_FALSE(world.file.contains(phone.flow.original));
    EXPECT_THAT(saved(), SizeIs(TcpStreams::kMostStreams));
}

// --- what others have queued or made meanwhile --------------------------------------------------

TEST_F(TcpStreamsTest, APacketQueuedBeforeItsFlowLostTheHelperPasses) {
    auto phone = connected();
    const auto as_queued = world.entries.at(phone.flow.original);
    EXPECT_TRUE(verdict(say(phone, kThere, "POST / HTTP/1.1\r\n")).change.loses_helper);
    world.entries.at(phone.flow.original) = as_queued;  // it came in the same batch
    EXPECT_EQ(verdict(say(phone, kThere, "Content-Length: 0\r\n\r\n")).way, Way::pass);
}

TEST_F(TcpStreamsTest, OneThatWasEditedByAnotherProcessKeepsItsHelper) {
    auto phone = connected();
    say(phone, kThere, kOptions);
    acknowledge(phone, kThere);
    restart();
    EXPECT_FALSE(verdict(end_reading(phone)).change.loses_helper) << "expectations may hang on it";
}

TEST_F(TcpStreamsTest, AShiftThatCannotBeLookedUpDoesNotStayBehind) {
    auto phone = connected();
    world.loses_sight = true;
    say(phone, kThere, kInvite);
    const auto given = verdict(say_again(phone, kThere, kInvite));
    EXPECT_EQ(given.way == Way::replace, world.entries.at(phone.flow.original).shifts[0].after == 4)
        << "bytes and numbers belong together";
}

}  // namespace
}  // namespace sipnat::daemon
