// Messages of a stream that grow: which of them go on together, and what becomes of a segment that gets too long.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sipnat/core/stream.h"
#include "stream_talk.h"

namespace sipnat::stream_lab {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kFullSegment = 1300;

/// Grows by 10 for each + and shrinks by 1 for each ~, in a message of `size` bytes.
std::string changing(std::int64_t pluses, std::int64_t tildes = 0,
                     std::int64_t size = kFullSegment) {
    const auto head =
        "INFO sip:bob@example.com SIP/2.0\r\nContent-Length: " + std::to_string(size - 100) +
        "\r\nX: ";
    auto body = std::string(static_cast<std::size_t>(pluses), '+') +
                std::string(static_cast<std::size_t>(tildes), '~');
    body.resize(static_cast<std::size_t>(size - 100), 'b');
    const auto filling = 100 - length(head) - 4;
    return head + std::string(static_cast<std::size_t>(filling), 'x') + "\r\n\r\n" + body;
}

TEST(StreamGrowth, WhatHasNoRoomWaitsForTheAcknowledgement) {
    static_assert(kMostGrowth == 140);
    Connected lab;
    lab.from(kThere).says = changing(0);
    lab.send(kThere, 0, 700);
    for (const int pluses : {7, 7, 7, 14, 15})
        lab.say(kThere, changing(pluses));
    lab.send(kThere, 700, kFullSegment);  // brings all of them at once
    EXPECT_EQ(lab.heard(kThere), changing(0) + edited(changing(7) + changing(7)));
    EXPECT_EQ(lab.held(), 3U);
    for (const int pluses : {7, 14, 15}) {
        lab.acknowledge(kThere);
        EXPECT_EQ(lab.longest, 1440U);
        EXPECT_EQ(lab.shifts.back().after - lab.shifts.back().before, 10 * pluses);
    }
    EXPECT_EQ(lab.held(), 0U);
    EXPECT_EQ(lab.asked.size(), 6U);
    EXPECT_EQ(lab.heard(kThere).size(), edited(lab.from(kThere).says).size() - 10)
        << "the end of the last one, which alone had more than there is room for";
    EXPECT_TRUE(lab.finish(kThere));
    EXPECT_EQ(lab.heard(kThere), edited(lab.from(kThere).says));
}

/// All of these at once, each in a segment of its own.
void say_at_once(Connected& lab, const std::vector<std::string>& messages,
                 Fate fate = Fate::arrives) {
    auto at = length(lab.from(kThere).says);
    for (const auto& message : messages)
        lab.from(kThere).says += message;
    const auto first = at;
    for (const auto& message : messages) {
        if (at > first) lab.send(kThere, at, at + length(message), fate);
        at += length(message);
    }
    lab.send(kThere, first, first + length(messages.front()), fate);
}

TEST(StreamGrowth, ShortSegmentsHaveRoomForMore) {
    Connected lab;
    const auto message = changing(20, 0, 400);
    say_at_once(lab, {message, message, message, message, message, message});
    EXPECT_EQ(lab.heard(kThere), edited(message + message + message + message + message))
        << "400 and 5 times 200 are 1400";
    EXPECT_EQ(lab.held(), 1U);
    lab.acknowledge(kThere);
    EXPECT_EQ(lab.heard(kThere), edited(lab.from(kThere).says));
    EXPECT_EQ(lab.shifts.size(), 2U);
}

TEST(StreamGrowth, IsWhatIsLeftOfItBesideShrinking) {
    struct Case {
        std::vector<std::string> messages;
        std::size_t held;
    };
    const std::vector<Case> cases{
        {{changing(10), changing(10), changing(0, 100)}, 0},
        {{changing(0, 100), changing(10), changing(10)}, 0},
        {{changing(10), changing(0, 50), changing(10)}, 1},
        {{changing(10), changing(10), changing(0, 50)}, 2},
        {{changing(10), changing(0, 100), changing(14), changing(1)}, 1},
        {{changing(10), changing(0, 100), changing(0), changing(20), changing(10)}, 1},
    };
    for (const auto& [messages, held] : cases) {
        Connected lab;
        say_at_once(lab, messages);
        EXPECT_EQ(lab.held(), held) << &messages - &cases.front().messages;
        lab.acknowledge(kThere);
        lab.acknowledge(kThere);
        EXPECT_LE(lab.longest, 1440U);
        EXPECT_TRUE(lab.finish(kThere));
        EXPECT_EQ(lab.heard(kThere), edited(lab.from(kThere).says));
        EXPECT_EQ(lab.asked.size(), messages.size());
    }
}

TEST(StreamGrowth, WhatDidNotArriveComesAgainWhileTheRestWaits) {
    Connected lab;
    say_at_once(lab, {changing(10), changing(10), changing(0, 20)}, Fate::lost_behind);
    EXPECT_EQ(lab.held(), 2U);
    lab.send(kThere, 100, 900);  // in whatever pieces
    lab.send(kThere, kFullSegment, 2 * kFullSegment);
    EXPECT_EQ(lab.held(), 2U);
    lab.send(kThere, 0, kFullSegment + 100);
    EXPECT_EQ(lab.heard(kThere), edited(changing(10)));
    lab.acknowledge(kThere);
    EXPECT_EQ(lab.held(), 0U);
    EXPECT_TRUE(lab.finish(kThere));
    EXPECT_EQ(lab.heard(kThere), edited(lab.from(kThere).says));
    EXPECT_EQ(lab.asked.size(), 3U);
}

TEST(StreamGrowth, WhatWaitedForASecondComesAgain) {
    Connected lab;
    say_at_once(lab, {changing(10), changing(10), changing(10), changing(0)});
    lab.wait(milliseconds(1000));
    EXPECT_EQ(lab.held(), 0U);
    EXPECT_EQ(lab.heard(kThere), edited(changing(10)));
    EXPECT_EQ(lab.count(StreamEvent::late), 0);
    lab.acknowledge(kThere);
    lab.send(kThere, 2 * kFullSegment, 3 * kFullSegment);
    EXPECT_EQ(lab.held(), 1U) << "behind one that has not come again";
    lab.send(kThere, kFullSegment, 2 * kFullSegment);
    EXPECT_EQ(lab.heard(kThere), edited(changing(10) + changing(10)));
    EXPECT_TRUE(lab.finish(kThere, kFullSegment));
    EXPECT_EQ(lab.heard(kThere), edited(lab.from(kThere).says));
    EXPECT_LE(lab.longest, 1440U);
    EXPECT_EQ(lab.asked.size(), 4U);
}

TEST(StreamGrowth, OfWhatHasNotComeAgainWaits) {
    Connected lab;
    const auto message = changing(10, 0, 400);
    lab.say(kThere, changing(10));
    lab.say(kThere, message);
    lab.say(kThere, message);
    lab.wait(milliseconds(1000));
    lab.acknowledge(kThere);
    lab.send(kThere, kFullSegment, kFullSegment + 400);
    EXPECT_EQ(lab.shifts.back(), (SequenceShift{lab.from(kThere).first + kFullSegment, 100, 200}))
        << "for that one alone, although another would have room";
    EXPECT_TRUE(lab.finish(kThere, kFullSegment));
    EXPECT_EQ(lab.heard(kThere), edited(lab.from(kThere).says));
}

TEST(StreamGrowth, OfMessagesInOneSegmentGoesOnAsFarAsThereIsRoom) {
    Connected lab;
    const auto said = changing(10, 0, 650) + changing(10, 0, 650);
    lab.say(kThere, said);
    EXPECT_EQ(lab.heard(kThere), edited(said).substr(0, 1440));
    lab.say(kThere, changing(1));
    EXPECT_EQ(lab.held(), 1U);
    lab.acknowledge(kThere);
    EXPECT_EQ(lab.from(kThere).acknowledged, 1240) << "the kernel takes off all of the growth";
    EXPECT_EQ(lab.held(), 1U) << "until all of it was acknowledged";
    EXPECT_TRUE(lab.finish(kThere, kFullSegment));
    EXPECT_EQ(lab.heard(kThere), edited(said + changing(1)));
}

TEST(StreamGrowth, OfOneMessageGoesOnAsFarAsThereIsRoom) {
    for (const std::int64_t pluses : {1, 14, 15, 60, 90, 100, 125, 126, 127, 140, 400}) {
        for (const std::int64_t size : {600, 1200, 1300}) {
            for (const std::int64_t before : {0, 1, 500}) {
                Connected lab;
                const auto message = changing(pluses, 0, size);
                lab.say(kThere, std::string(static_cast<std::size_t>(before), '\n'));
                lab.acknowledge(kThere, Fate::lost_behind);
                lab.say(kThere, message, Fate::lost_behind);
                lab.send(kThere, 0, std::min(kFullSegment, before + size));
                EXPECT_TRUE(lab.finish(kThere, kFullSegment));
                EXPECT_EQ(lab.heard(kThere), edited(lab.from(kThere).says));
                // Growth that a segment has no room for leaves it no way to say so.
                if (pluses >= 126) continue;
                EXPECT_LE(lab.longest, 1440U) << pluses << " " << size << " " << before;
            }
        }
    }
}

TEST(StreamGrowth, SegmentsThatComeAgainAsOneGoOnAsFarAsThereIsRoom) {
    Connected lab;
    const auto message = changing(7, 0, 325);
    say_at_once(lab, {message, message, message, message}, Fate::lost_behind);
    EXPECT_EQ(lab.shifts.size(), 1U);
    lab.send(kThere, 0, kFullSegment);
    EXPECT_EQ(lab.longest, 1440U);
    EXPECT_TRUE(lab.finish(kThere, kFullSegment));
    EXPECT_EQ(lab.longest, 1440U);
    EXPECT_EQ(lab.heard(kThere), edited(lab.from(kThere).says));
}

TEST(StreamGrowth, OfWhatBeganWithAProbeThatWasTaken) {
    Connected lab;
    lab.from(kThere).says = "\r\n" + changing(150, 0, 1318);  // the first segment grows
    lab.window = 0;
    lab.send(kThere, 0, 1);
    lab.acknowledge(kThere, Fate::lost_behind);
    lab.send(kThere, 1, 2);
    EXPECT_EQ(lab.held(), 0U);
    lab.window = 500;
    EXPECT_TRUE(lab.finish(kThere, 60));
    EXPECT_EQ(lab.heard(kThere), edited(lab.from(kThere).says));
}

TEST(StreamGrowth, BehindTheLastSegmentIsItsEnd) {
    Connected lab;
    lab.from(kThere).says = changing(15);
    lab.send(kThere, 0, kFullSegment, Fate::arrives, true);
    EXPECT_EQ(lab.heard(kThere), edited(changing(15))) << "without that, it would be too early";
    EXPECT_TRUE(lab.from(kBack).heard_end);
}

TEST(StreamGrowth, NeverExceedsWhatAPacketHolds) {
    for (const std::int64_t size : {64000, 65390, 65400, 65401, 65480}) {
        Connected lab;
        const auto message = changing(200, 0, size);
        lab.say(kThere, message, Fate::lost_behind);
        lab.say(kThere, changing(1));
        lab.send(kThere, 0, size);
        EXPECT_TRUE(lab.finish(kThere, size));
        EXPECT_LE(lab.longest, static_cast<std::size_t>(std::max(size, kLongestPayload)));
        EXPECT_TRUE(lab.heard(kThere) == edited(message + changing(1))) << size;
    }
}

TEST(StreamGrowth, BeforeAnEndThatHasNoRoomInAPacketIsDropped) {
    Connected lab;
    lab.from(kThere).says = changing(200, 0, 64000);
    lab.send(kThere, 0, 64000, Fate::arrives, true);
    EXPECT_THAT(lab.given, testing::Contains(SegmentVerdict::Kind::drop));
    lab.send(kThere, 0, 60000);
    lab.send(kThere, 60000, 64000, Fate::arrives, true);
    EXPECT_TRUE(lab.finish(kThere, kFullSegment));
    EXPECT_TRUE(lab.from(kBack).heard_end);
    EXPECT_TRUE(lab.heard(kThere) == edited(lab.from(kThere).says));
}

TEST(StreamGrowth, OfMoreThanAPacketHoldsEndsTheEditing) {
    Connected lab;
    lab.say(kThere, changing(6539, 0, 7000));
    EXPECT_TRUE(lab.finish(kThere, kFullSegment));
    lab.say(kThere, changing(6540, 0, 7000));
    EXPECT_EQ(lab.count(StreamEvent::refused), 1);
    EXPECT_TRUE(lab.finish(kThere, kFullSegment));
    EXPECT_TRUE(lab.heard(kThere) == edited(changing(6539, 0, 7000)) + changing(6540, 0, 7000));
    EXPECT_LE(lab.longest, static_cast<std::size_t>(kLongestPayload));
}

TEST(StreamGrowth, ThatWaitsIsCounted) {
    Connected lab;
    lab.say(kThere, invite());
    const auto kept = lab.stream.kept_bytes();
    lab.say(kThere, invite() + invite());
    EXPECT_GE(lab.stream.kept_bytes(), kept + 4 * invite().size());
}

}  // namespace
}  // namespace sipnat::stream_lab
