// A stream that another process goes on with: it has the memo and the kernel's shifts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "sipnat/core/stream.h"
#include "stream_talk.h"

namespace sipnat::stream_lab {
namespace {

using std::chrono::milliseconds;

/// A phone's message, after invite(), that went on while nobody looked.
void miss(Connected& lab, const std::string& text) {
    auto& says = lab.from(kThere).says;
    lab.from(kBack).receive(length(says) + lab.kernel[0].after, text, false);
    says += text;
}

TEST(StreamMemo, ANewProcessGoesOnAtTheNextMessage) {
    Connected lab;
    lab.say(kThere, invite());
    lab.say(kBack, ok());
    lab.acknowledge(kThere);
    lab.acknowledge(kBack);
    lab.restart();
    lab.say(kThere, invite());
    lab.say(kBack, ok());
    EXPECT_EQ(lab.heard(kThere), edited(invite() + invite()));
    EXPECT_EQ(lab.heard(kBack), edited(ok() + ok()));
}

TEST(StreamMemo, BeforeTheFirstMessageToo) {
    Connected lab;
    lab.restart();
    lab.say(kThere, invite());
    EXPECT_EQ(lab.heard(kThere), edited(invite()));
}

TEST(StreamMemo, AMessageThatWasHeldComesAgain) {
    Connected lab;
    lab.say(kThere, info());
    lab.from(kThere).says += invite();
    lab.send(kThere, length(info()), length(info()) + 30);
    lab.restart();
    EXPECT_TRUE(lab.finish(kThere, 60));
    EXPECT_EQ(lab.heard(kThere), info() + edited(invite()));
}

TEST(StreamMemo, AMessageThatDidNotArriveIsEditedAlike) {
    Connected lab;
    lab.say(kThere, info());
    lab.acknowledge(kThere);
    lab.say(kThere, invite(), Fate::lost_behind);
    lab.restart();
    lab.send(kThere, length(info()), length(info()) + length(invite()));
    EXPECT_TRUE(lab.finish(kThere));
    EXPECT_EQ(lab.heard(kThere), info() + edited(invite()));
    EXPECT_EQ(lab.asked.size(), 3U);
    EXPECT_EQ(lab.shifts.back(), (SequenceShift{lab.from(kThere).first + length(info()), 0, 8}))
        << "as before";
}

TEST(StreamMemo, AStreamThatWentOnWithoutUsIsNotLookedAt) {
    Connected lab;
    lab.say(kThere, invite());
    lab.acknowledge(kThere);
    lab.restart();
    miss(lab, info());
    lab.acknowledge(kThere);
    lab.say(kThere, invite());
    EXPECT_TRUE(lab.finish(kThere));
    EXPECT_EQ(lab.heard(kThere), edited(invite()) + info() + invite());
    EXPECT_EQ(lab.count(StreamEvent::lost_track), 1);
}

TEST(StreamMemo, EvenIfTheReceiverSaysNothing) {
    Connected lab;
    lab.say(kThere, invite());
    lab.acknowledge(kThere);
    lab.restart();
    auto& sender = lab.from(kThere);
    miss(lab, info());
    sender.says += invite();
    const auto begin = length(invite() + info());
    lab.send(kThere, begin, length(sender.says));
    EXPECT_EQ(lab.held(), 1U);
    lab.wait(milliseconds(1000));
    lab.send(kThere, begin, length(sender.says));
    EXPECT_EQ(lab.heard(kThere), edited(invite()) + info() + invite());
}

TEST(StreamMemo, AMessageThatWentOnUnreadIsNotDamagedByALateRetransmission) {
    for (const bool shrinks : {false, true}) {
        for (std::int64_t begin = 0; begin <= length(invite()) + 30; ++begin) {
            Connected lab;
            const auto first = shrinks ? ok() : invite();
            const auto rest = length(first) + 30;
            lab.from(kThere).says = first + invite();
            lab.send(kThere, 0, rest);
            lab.wait(milliseconds(1000));
            EXPECT_EQ(lab.heard(kThere), edited(first) + invite().substr(0, 30));
            lab.acknowledge(kThere, Fate::lost_behind);
            lab.say(kBack, info());  // with which the entry learns it
            lab.restart();
            lab.send(kThere, std::min(begin, rest), rest + 20);
            EXPECT_TRUE(lab.finish(kThere, 60));
            EXPECT_EQ(lab.heard(kThere), edited(first) + invite()) << begin;
        }
    }
}

TEST(StreamMemo, AProbeThatThePredecessorLetPassIsNotSentAgain) {
    for (const bool is_told_late : {false, true}) {
        Connected lab;
        lab.from(kThere).says = "\n" + invite() + invite();
        lab.window = 0;
        lab.acknowledge(kThere);
        lab.send(kThere, 0, 1);
        lab.restart();
        if (!is_told_late) lab.acknowledge(kThere);
        lab.send(kThere, 0, 47, Fate::lost_behind);
        lab.acknowledge(kThere);
        lab.window = 500;
        lab.send(kThere, 15, length(invite()) + 20);  // lets the first segment go, and waits
        EXPECT_EQ(lab.held(), 1U);
        EXPECT_TRUE(lab.finish(kThere, 60));
        EXPECT_EQ(lab.heard(kThere), "\n" + edited(invite() + invite()));
    }
}

TEST(StreamMemo, WithoutOneNothingIsLookedAt) {
    Lab lab;
    lab.stream = Stream(StreamMemo{}, {});
    lab.from(kThere).says = invite();
    lab.send(kThere, 0, length(invite()));
    EXPECT_EQ(lab.heard(kThere), invite());
    EXPECT_TRUE(lab.asked.empty());
    EXPECT_TRUE(lab.stream.is_done());
    EXPECT_EQ(lab.count(StreamEvent::lost_track), 1);
}

TEST(StreamMemo, OfAStreamThatIsNotSipSaysSo) {
    Connected lab;
    lab.say(kThere, "GET / HTTP/1.1\r\n\r\n");
    lab.restart();
    lab.say(kThere, invite());
    EXPECT_TRUE(lab.asked.empty());
    EXPECT_EQ(lab.heard(kThere), "GET / HTTP/1.1\r\n\r\n" + invite());
}

}  // namespace
}  // namespace sipnat::stream_lab
