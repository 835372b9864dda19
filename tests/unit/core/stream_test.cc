// One TCP connection through a Stream, byte by byte: what arrives is what was said, with its messages edited.
#include "sipnat/core/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "stream_talk.h"

namespace sipnat::stream_lab {
namespace {

using std::chrono::milliseconds;

TEST(Stream, AMessageInOneSegmentIsEdited) {
    Connected lab;
    lab.say(kThere, invite());
    EXPECT_EQ(lab.heard(kThere), edited(invite()));
    EXPECT_EQ(lab.held(), 0U);
    EXPECT_THAT(lab.shifts, testing::ElementsAre(SequenceShift{lab.from(kThere).first, 0, 8}));
    lab.acknowledge(kThere);
    EXPECT_EQ(lab.from(kThere).acknowledged, length(invite()));
}

TEST(Stream, OneThatIsNotChangedPassesAsItCame) {
    Connected lab;
    lab.say(kThere, info());
    lab.say(kThere, "\r\n\r\n");
    EXPECT_EQ(lab.heard(kThere), info() + "\r\n\r\n");
    EXPECT_THAT(lab.given, testing::Each(SegmentVerdict::Kind::pass));
    EXPECT_TRUE(lab.shifts.empty());
}

TEST(Stream, OneOfTheSameLengthNeedsNoShift) {
    Connected lab;
    lab.say(kThere, options());
    EXPECT_EQ(lab.heard(kThere), edited(options()));
    EXPECT_TRUE(lab.shifts.empty());
}

TEST(Stream, SplitAtEveryByteItArrivesAlike) {
    const auto said = "\r\n\r\n" + invite() + info();
    const auto hears = "\r\n\r\n" + edited(invite()) + info();
    for (std::int64_t at = 1; at < length(said); ++at) {
        Connected lab;
        lab.from(kThere).says = said;
        lab.send(kThere, 0, at);
        lab.send(kThere, at, length(said));
        EXPECT_EQ(lab.heard(kThere), hears) << at;
        EXPECT_EQ(lab.asked.size(), 2U) << at;
        EXPECT_LE(lab.shifts.size(), 1U) << at;
        lab.acknowledge(kThere);
        EXPECT_EQ(lab.from(kThere).acknowledged, length(said)) << at;
    }
}

TEST(Stream, ByteByByteItIsHeldUntilItIsWhole) {
    Connected lab;
    lab.from(kThere).says = invite();
    const auto last = length(invite()) - 1;
    for (std::int64_t at = 0; at < last; ++at)
        lab.send(kThere, at, at + 1);
    EXPECT_EQ(lab.heard(kThere), "");
    EXPECT_EQ(lab.held(), static_cast<std::size_t>(last));
    lab.send(kThere, last, last + 1);
    EXPECT_EQ(lab.heard(kThere), edited(invite()));
}

TEST(Stream, ManyMessagesInASegmentTakeOneShift) {
    Connected lab;
    lab.say(kThere, invite() + ok() + options() + invite());
    EXPECT_EQ(lab.heard(kThere), edited(invite() + ok() + options() + invite()));
    EXPECT_EQ(lab.shifts.size(), 1U);
}

TEST(Stream, ASecondChangeWaitsForTheAcknowledgementOfTheFirst) {
    Connected lab;
    lab.say(kThere, invite());
    lab.say(kThere, info());
    EXPECT_EQ(lab.heard(kThere), edited(invite()) + info())
        << "what does not change waits for nothing";
    lab.say(kThere, invite());
    lab.say(kThere, info());
    EXPECT_EQ(lab.held(), 2U);
    EXPECT_EQ(lab.asked.size(), 4U);
    lab.acknowledge(kThere);
    EXPECT_EQ(lab.heard(kThere), edited(invite() + info() + invite() + info()));
    EXPECT_EQ(lab.shifts.size(), 2U);
    EXPECT_EQ(lab.shifts.back().before, 8);
    EXPECT_TRUE(lab.finish(kThere));
}

TEST(Stream, RetransmissionsReadTheSameInWhateverPieces) {
    const auto said = info() + invite() + ok();
    const auto hears = edited(said);
    for (std::int64_t begin = 0; begin < length(said); begin += 7) {
        for (std::int64_t end = begin + 1; end <= length(said); end += 11) {
            Connected lab;
            lab.say(kThere, said, Fate::lost_behind);
            EXPECT_EQ(lab.heard(kThere), "");
            lab.send(kThere, begin, end);
            EXPECT_TRUE(lab.finish(kThere, 50));
            EXPECT_EQ(lab.heard(kThere), hears) << begin << " to " << end;
            EXPECT_EQ(lab.asked.size(), 3U);
        }
    }
}

TEST(Stream, ARetransmissionLeavesBeforeTheNumbersMove) {
    Connected lab;
    lab.say(kThere, invite());
    lab.say(kThere, invite());  // waits
    lab.is_batching = true;
    lab.send(kThere, 0, length(invite()));
    lab.acknowledge(kThere);  // lets the second one go
    EXPECT_EQ(lab.shifts.size(), 2U);
    lab.send_batch();
    EXPECT_EQ(lab.heard(kThere), edited(invite() + invite()));
    EXPECT_TRUE(lab.finish(kThere));
}

TEST(Stream, OtherBytesInARetransmissionAreNotSeen) {
    Connected lab;
    const auto said = invite() + info();
    lab.say(kThere, said, Fate::lost_behind);
    lab.send(kThere, 0, length(said), Fate::arrives, false,
             std::string(static_cast<std::size_t>(length(said)), 'x'));
    EXPECT_EQ(lab.heard(kThere), edited(said));
}

TEST(Stream, WhatWasAcknowledgedComesAgainAsLongAsItBecame) {
    Connected lab;
    lab.say(kThere, ok());
    lab.acknowledge(kThere, Fate::lost_behind);
    lab.send(kThere, 0, length(ok()));
    EXPECT_EQ(lab.heard(kThere), edited(ok()));
}

TEST(Stream, OverlappingSegmentsHaveTheBytesThatCameFirst) {
    Connected lab;
    lab.from(kThere).says = invite();
    lab.send(kThere, 0, 40);
    lab.send(kThere, 20, 60, Fate::arrives, false,
             std::string(20, 'x') + lab.from(kThere).says.substr(40, 20));
    lab.send(kThere, 50, length(invite()));
    EXPECT_EQ(lab.heard(kThere), edited(invite()));
}

TEST(Stream, GrowthHasRoomInAnOverlappingSegment) {
    Connected lab;
    const auto end = length(invite());
    lab.from(kThere).says = invite();
    lab.send(kThere, end - 10, end, Fate::lost_behind, true);
    lab.send(kThere, 0, end);
    EXPECT_TRUE(lab.finish(kThere));
    EXPECT_EQ(lab.heard(kThere), edited(invite()));
}

TEST(Stream, ItShrinksByMoreThanASegmentHolds) {
    Connected lab;
    lab.from(kThere).says = ok() + invite().substr(0, 60);
    lab.send(kThere, 0, 1);
    lab.send(kThere, 1, length(ok()) + 60);
    EXPECT_EQ(lab.heard(kThere), "");
    EXPECT_TRUE(lab.finish(kThere));
    EXPECT_EQ(lab.heard(kThere), edited(ok()) + invite().substr(0, 60));
    EXPECT_EQ(lab.count(StreamEvent::lost_track), 0);
}

TEST(Stream, ItShrinksByMoreThanAnySegmentHolds) {
    const auto said = "INFO sip:bob@example.com SIP/2.0\r\nl: 100\r\n\r\n" + std::string(100, '~');
    for (std::int64_t size = 1; size <= length(said); ++size) {
        Connected lab;
        lab.from(kThere).says = said;
        lab.send(kThere, 0, 1);
        EXPECT_TRUE(lab.finish(kThere, size)) << size;
        EXPECT_EQ(lab.heard(kThere), edited(said));
        EXPECT_EQ(lab.count(StreamEvent::late), 0);
    }
}

TEST(Stream, ItShrinksByMoreThanOfItComesAgain) {
    Connected lab;
    lab.say(kThere, ok());
    lab.say(kThere, ok());
    lab.wait(milliseconds(1000));
    lab.acknowledge(kThere);
    lab.send(kThere, length(ok()), length(ok()) + 1);
    EXPECT_EQ(lab.shifts.size(), 2U);
    EXPECT_TRUE(lab.finish(kThere));
    EXPECT_EQ(lab.heard(kThere), edited(ok() + ok()));
}

TEST(Stream, ASegmentBehindAGapWaits) {
    Connected lab;
    const auto said = info() + invite() + info();
    lab.from(kThere).says = said;
    lab.send(kThere, 30, 70);
    lab.send(kThere, 100, length(said));
    lab.send(kThere, 70, 100);
    EXPECT_EQ(lab.held(), 3U);
    lab.send(kThere, 0, 30);
    EXPECT_EQ(lab.heard(kThere), edited(said));
    EXPECT_EQ(lab.held(), 0U);
}

TEST(Stream, OneBehindAGapIsDroppedAfterASecond) {
    Connected lab;
    lab.from(kThere).says = invite();
    lab.send(kThere, 30, 70);
    lab.wait(milliseconds(999));
    EXPECT_EQ(lab.held(), 1U);
    lab.wait(milliseconds(1));
    EXPECT_EQ(lab.held(), 0U);
    EXPECT_TRUE(lab.finish(kThere));
    EXPECT_EQ(lab.heard(kThere), edited(invite()));
}

TEST(Stream, AnUnfinishedMessageGoesOnAsItIsAfterASecond) {
    Connected lab;
    lab.from(kThere).says = invite() + invite();
    lab.send(kThere, 0, 50);
    lab.wait(milliseconds(1000));
    EXPECT_EQ(lab.heard(kThere), invite().substr(0, 50));
    EXPECT_EQ(lab.count(StreamEvent::late), 1);
    // Its end is still found.
    lab.send(kThere, 50, 80);
    EXPECT_EQ(lab.heard(kThere), invite().substr(0, 80));
    lab.send(kThere, 80, length(invite()) + 10);
    lab.send(kThere, length(invite()) + 10, 2 * length(invite()));
    EXPECT_EQ(lab.heard(kThere), invite() + edited(invite()));
}

TEST(Stream, WhatWaitsForAnAcknowledgementIsDroppedAfterASecond) {
    Connected lab;
    lab.say(kThere, invite());
    lab.say(kThere, invite());
    lab.wait(milliseconds(1000));
    EXPECT_EQ(lab.held(), 0U);
    EXPECT_EQ(lab.heard(kThere), edited(invite()));
    EXPECT_EQ(lab.count(StreamEvent::late), 0);
    EXPECT_TRUE(lab.finish(kThere));
    EXPECT_EQ(lab.heard(kThere), edited(invite() + invite()));
    EXPECT_EQ(lab.asked.size(), 2U);
}

TEST(Stream, ALongMessageGoesOnAsItIs) {
    Connected lab;
    const auto body = std::string(70000, 'b');
    const auto said = "MESSAGE sip:10.0.0.2 SIP/2.0\r\nl: 70000\r\n\r\n" + body + invite();
    lab.from(kThere).says = said;
    EXPECT_TRUE(lab.finish(kThere, 1400));
    EXPECT_EQ(lab.heard(kThere),
              "MESSAGE sip:10.0.0.2 SIP/2.0\r\nl: 70000\r\n\r\n" + body + edited(invite()));
    EXPECT_EQ(lab.count(StreamEvent::too_long), 1);
}

TEST(Stream, WhatDoesNotBeginAsSipIsNeverLookedAt) {
    Connected lab;
    lab.say(kThere, "POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\n");
    lab.say(kThere, invite());
    lab.say(kBack, ok());
    EXPECT_EQ(lab.heard(kThere), "POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\n" + invite());
    EXPECT_EQ(lab.heard(kBack), ok());
    EXPECT_TRUE(lab.asked.empty());
    EXPECT_TRUE(lab.stream.is_done());
    EXPECT_EQ(lab.count(StreamEvent::not_sip), 1);
}

TEST(Stream, AnAnswerThatIsNotSipEndsIt) {
    Connected lab;
    lab.say(kThere, invite());
    lab.acknowledge(kThere);
    lab.say(kBack, "220 mail.example.com ESMTP\r\n");
    lab.say(kThere, invite());
    EXPECT_EQ(lab.heard(kThere), edited(invite()) + invite());
    EXPECT_EQ(lab.asked.size(), 1U);
}

TEST(Stream, TlsPassesUntouched) {
    Connected lab;
    lab.say(kThere, std::string("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", 10));
    lab.say(kBack, invite());
    EXPECT_EQ(lab.heard(kBack), invite());
    EXPECT_TRUE(lab.stream.is_done());
}

TEST(Stream, BehindAMessageWithoutAnEndNothingIsLookedAt) {
    Connected lab;
    const std::string broken = "INVITE sip:10.0.0.2 SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\n";
    lab.say(kThere, invite() + broken + invite());
    lab.say(kThere, invite());
    EXPECT_EQ(lab.heard(kThere), edited(invite()) + broken + invite() + invite());
    EXPECT_EQ(lab.count(StreamEvent::broken), 1);
    lab.say(kBack, ok());
    EXPECT_EQ(lab.heard(kBack), edited(ok())) << "the other direction is another matter";
}

TEST(Stream, AnEndWithDataHeldLetsItGoAsItIs) {
    Connected lab;
    auto& sender = lab.from(kThere);
    sender.says = invite() + invite().substr(0, 30);
    lab.send(kThere, 0, length(sender.says));
    EXPECT_EQ(lab.held(), 1U);
    lab.send(kThere, length(sender.says), length(sender.says), Fate::arrives, true);
    EXPECT_EQ(lab.heard(kThere), edited(invite()) + invite().substr(0, 30));
    EXPECT_TRUE(lab.from(kBack).heard_end);
    lab.acknowledge(kThere);
    EXPECT_TRUE(sender.is_closed);
}

TEST(Stream, AnEndBehindAMessageInOneSegment) {
    Connected lab;
    lab.from(kThere).says = invite();
    lab.send(kThere, 0, length(invite()), Fate::lost_behind, true);
    lab.send(kThere, 0, length(invite()), Fate::arrives, true);
    EXPECT_EQ(lab.heard(kThere), edited(invite()));
    EXPECT_TRUE(lab.from(kBack).heard_end);
}

TEST(Stream, BothEndsCloseAtOnce) {
    Connected lab;
    lab.say(kThere, invite());
    lab.say(kBack, ok());
    for (const auto direction : {kThere, kBack}) {
        const auto end = length(lab.from(direction).says);
        lab.send(direction, end, end, Fate::lost_behind, true);
        lab.send(direction, end, end, Fate::arrives, true);
    }
    EXPECT_TRUE(lab.from(kThere).heard_end);
    EXPECT_TRUE(lab.from(kBack).heard_end);
    EXPECT_EQ(lab.heard(kThere), edited(invite()));
    EXPECT_EQ(lab.heard(kBack), edited(ok()));
    EXPECT_EQ(lab.count(StreamEvent::lost_track), 0);
}

TEST(Stream, AResetDropsWhatIsHeld) {
    Connected lab;
    lab.from(kThere).says = invite();
    lab.send(kThere, 0, 30);
    TcpSegment reset;
    reset.rst = true;
    const auto verdicts = lab.stream.take(kBack, reset, static_cast<SegmentId>(999), lab.now, lab);
    ASSERT_EQ(verdicts.size(), 2U);
    EXPECT_EQ(verdicts[0].kind, SegmentVerdict::Kind::drop);
    EXPECT_EQ(verdicts[1].kind, SegmentVerdict::Kind::pass);
}

TEST(Stream, AProbeOfAClosedWindowPasses) {
    for (const bool is_taken : {false, true}) {
        Connected lab;
        lab.from(kThere).says = invite();
        lab.window = 0;
        lab.acknowledge(kThere);
        lab.send(kThere, 0, 1, is_taken ? Fate::arrives : Fate::lost_behind);
        EXPECT_EQ(lab.held(), 0U);
        lab.window = 500;
        lab.acknowledge(kThere);
        EXPECT_EQ(lab.from(kThere).acknowledged, is_taken ? 1 : 0);
        lab.send(kThere, is_taken ? 1 : 0, length(invite()));
        EXPECT_EQ(lab.heard(kThere), edited(invite()));
        EXPECT_TRUE(lab.finish(kThere));
    }
}

TEST(Stream, AProbeIsTakenWhileItsMessageIsHeld) {
    Connected lab;
    lab.from(kThere).says = invite();
    lab.window = 0;
    lab.acknowledge(kThere);
    lab.send(kThere, 0, 1);
    lab.window = 500;
    lab.send(kThere, 0, 6, Fate::lost_behind);  // before it is known that the probe was taken
    lab.acknowledge(kThere);
    EXPECT_EQ(lab.from(kThere).acknowledged, 1);
    EXPECT_TRUE(lab.finish(kThere, 60));
    EXPECT_EQ(lab.heard(kThere), edited(invite()));
}

TEST(Stream, AProbeBehindWhatWaitsIsNone) {
    Connected lab;
    lab.say(kThere, invite());
    lab.say(kThere, invite());
    lab.wait(milliseconds(1000));
    TcpSegment closing;  // the window, from before the first message came
    closing.sequence = lab.from(kBack).first;
    closing.ack = true;
    closing.acknowledged = lab.from(kThere).first;
    (void)lab.stream.take(kBack, closing, static_cast<SegmentId>(999), lab.now, lab);
    lab.say(kThere, "\n");
    EXPECT_TRUE(lab.finish(kThere));
    EXPECT_EQ(lab.heard(kThere), edited(invite() + invite()) + "\n");
}

TEST(Stream, WhereTheKernelRefusesNothingIsLost) {
    Connected lab;
    lab.refuses_shifts = true;
    lab.say(kThere, info());
    lab.say(kThere, invite());
    EXPECT_EQ(lab.count(StreamEvent::refused), 1);
    EXPECT_TRUE(lab.finish(kThere));
    EXPECT_EQ(lab.heard(kThere), info() + invite());
}

TEST(Stream, NumbersWrap) {
    Connected lab(static_cast<SequenceNumber>(0xfffffff0), static_cast<SequenceNumber>(0x7fffffff));
    for (int i = 0; i < 20; ++i) {
        lab.say(kThere, invite());
        lab.acknowledge(kThere);
        lab.say(kBack, ok());
        lab.acknowledge(kBack);
    }
    EXPECT_EQ(lab.from(kThere).acknowledged, 20 * length(invite()));
    EXPECT_EQ(lab.from(kBack).acknowledged, 20 * length(ok()));
    EXPECT_EQ(lab.heard(kThere), edited(lab.from(kThere).says));
    EXPECT_EQ(lab.heard(kBack), edited(lab.from(kBack).says));
}

TEST(Stream, AnAcknowledgementOfWhatNobodySentIsPassedOver) {
    Connected lab;
    lab.say(kThere, invite());
    TcpSegment made_up;
    made_up.sequence = lab.from(kBack).first;
    made_up.ack = true;
    made_up.acknowledged = lab.from(kThere).first + 100000;
    made_up.window = 500;
    (void)lab.stream.take(kBack, made_up, static_cast<SegmentId>(999), lab.now, lab);
    lab.acknowledge(kThere);
    lab.say(kThere, invite());
    EXPECT_EQ(lab.heard(kThere), edited(invite() + invite()));
    EXPECT_EQ(lab.count(StreamEvent::lost_track), 0);
}

TEST(Stream, WhatPassedBesideTheQueueEndsTheReading) {
    Connected lab;
    lab.say(kThere, invite());
    lab.acknowledge(kThere);
    auto& sender = lab.from(kThere);
    sender.says += info() + invite();
    lab.from(kBack).receive(length(invite()) + lab.kernel[0].after, info(), false);
    lab.acknowledge(kThere);
    const auto begin = length(invite() + info());
    lab.send(kThere, begin, length(sender.says));
    lab.wait(milliseconds(1000));
    lab.send(kThere, begin, length(sender.says));
    EXPECT_EQ(lab.heard(kThere), edited(invite()) + info() + invite());
    EXPECT_EQ(lab.count(StreamEvent::lost_track), 1);
}

TEST(Stream, UrgentDataEndsTheReading) {
    Connected lab;
    lab.from(kThere).says = invite();
    TcpSegment urgent;
    urgent.sequence = lab.from(kThere).first;
    urgent.urgent = true;
    urgent.payload = lab.from(kThere).says;
    const auto verdicts =
        lab.stream.take(kThere, urgent, static_cast<SegmentId>(999), lab.now, lab);
    ASSERT_EQ(verdicts.size(), 1U);
    EXPECT_EQ(verdicts[0].kind, SegmentVerdict::Kind::pass);
    EXPECT_TRUE(lab.asked.empty());
    EXPECT_EQ(lab.count(StreamEvent::broken), 1);
}

// --- limits ---------------------------------------------------------------------------------------

TEST(Stream, HoldsSoManySegmentsAndNotMore) {
    Connected lab;
    lab.from(kThere).says = invite(std::string(2000, 'b'));
    for (std::int64_t at = 0; at <= static_cast<std::int64_t>(kMostHeldSegments); ++at)
        lab.send(kThere, at, at + 1);
    EXPECT_EQ(lab.held(), kMostHeldSegments);
    EXPECT_EQ(lab.count(StreamEvent::over_limit), 1);
}

TEST(Stream, HoldsSoManyBytesBehindAGapAndNotMore) {
    Connected lab;
    lab.from(kThere).says = std::string(kMostEarlyBytes + 2000, 'x');
    for (std::int64_t at = 1; at < static_cast<std::int64_t>(kMostEarlyBytes + 1000); at += 1000)
        lab.send(kThere, at, at + 1000);
    EXPECT_LE(lab.stream.kept_bytes(), kMostEarlyBytes);
    EXPECT_GT(lab.count(StreamEvent::over_limit), 0);
}

TEST(Stream, KeepsSoMuchThatIsNotAcknowledgedAndNotMore) {
    Connected lab;
    for (std::size_t bytes = 0; bytes < 2 * kMostUnacknowledged; bytes += 8000)
        lab.say(kThere, std::string(8000, '\n'));
    EXPECT_LE(lab.stream.kept_bytes(), kMostUnacknowledged + kMostEarlyBytes);
    EXPECT_GT(lab.count(StreamEvent::over_limit), 0);
    EXPECT_TRUE(lab.finish(kThere, 8000));
    EXPECT_EQ(lab.heard(kThere).size(), lab.from(kThere).says.size());
}

}  // namespace
}  // namespace sipnat::stream_lab
