// Who may send media, once both sides have said where they receive (nat.media_source).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Settings with(MediaSource source) {
    Settings settings;
    settings.media_source = source;
    return settings;
}

std::vector<std::string> show(const std::vector<Admission>& admissions) {
    std::vector<std::string> shown;
    for (const auto& [before, after] : admissions) {
        EXPECT_EQ(before.inside, after.inside);
        EXPECT_EQ(before.outside, after.outside);
        shown.push_back(after.outside.text() + " " + remote_text(before) + " -> " +
                        remote_text(after));
    }
    return shown;
}

const auto kNarrowed = ElementsAre("203.0.113.1:10000 any -> 203.0.113.10:any",
                                   "203.0.113.1:10001 any -> 203.0.113.10:any");
const auto kWidened = ElementsAre("203.0.113.1:10000 203.0.113.10:any -> any",
                                  "203.0.113.1:10001 203.0.113.10:any -> any");

/// What the timers of the next `time` make due.
std::vector<std::string> admitted_within(Gateway& gateway, std::chrono::milliseconds time) {
    return show(gateway.wait(time).admit);
}

/// As the daemon does it, with what the kernel says.
std::vector<std::string> listen(Gateway& gateway, bool heard, int& asked) {
    const auto due = gateway.wait(3s);
    EXPECT_THAT(due.admit, IsEmpty());
    std::vector<LatchAnswer> answers;
    for (const auto& question : due.latch) {
        EXPECT_EQ(show(question.hole),
                  "audio 192.168.77.2:4000=203.0.113.1:10000 203.0.113.10:7000");
        answers.push_back({question, heard});
        ++asked;
    }
    return show(gateway.engine.settle_latch(answers, gateway.now));
}

class MediaSourceTest : public testing::Test {
  protected:
    explicit MediaSourceTest(MediaSource source = MediaSource::latch) : gateway(with(source)) {}

    Gateway gateway;
    Line line = gateway.line();
};

struct StrictMediaSource : MediaSourceTest {
    StrictMediaSource() : MediaSourceTest(MediaSource::strict) {}
};
struct AnyMediaSource : MediaSourceTest {
    AnyMediaSource() : MediaSourceTest(MediaSource::any) {}
};

// --- latch --------------------------------------------------------------------------------------

TEST_F(MediaSourceTest, IsAnybodyBeforeTheAnswer) {
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    EXPECT_EQ(invite.opened.front(), "audio 192.168.77.2:4000=203.0.113.1:10000 any");
    (void)line.in(answer(invite.text, 183, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(admitted_within(gateway, 1min), IsEmpty());
}

TEST_F(MediaSourceTest, IsTheAnnouncedAddressAfterIt) {
    establish(line);
    EXPECT_THAT(admitted_within(gateway, 0s), kNarrowed);
    EXPECT_THAT(admitted_within(gateway, 0s), IsEmpty());
}

TEST_F(MediaSourceTest, IsAnybodyAgainIfNothingCame) {
    establish(line);
    EXPECT_THAT(admitted_within(gateway, 0s), kNarrowed);
    EXPECT_THAT(gateway.wait(2999ms).latch, IsEmpty());
    gateway.now -= 2999ms;
    int asked = 0;
    EXPECT_THAT(listen(gateway, false, asked), kWidened);
    EXPECT_EQ(asked, 1) << "RTCP may take longer";
    EXPECT_EQ(gateway.engine.counters().unheard_sources, 1U);
    EXPECT_THAT(admitted_within(gateway, 1min), IsEmpty());
}

TEST_F(MediaSourceTest, StaysIfSomethingCame) {
    establish(line);
    EXPECT_THAT(admitted_within(gateway, 0s), kNarrowed);
    int asked = 0;
    EXPECT_THAT(listen(gateway, true, asked), IsEmpty());
    EXPECT_EQ(asked, 1);
    EXPECT_THAT(gateway.wait(10s).latch, IsEmpty());
}

TEST_F(MediaSourceTest, IsAnybodyWhileTheyNegotiate) {
    establish(line);
    (void)admitted_within(gateway, 0s);
    const auto alice = kAlice.with_peer_tag("b");
    const auto again = line.out(alice.request("INVITE", 2, audio("192.168.77.2", 4000)));
    EXPECT_THAT(again.opened, IsEmpty());
    EXPECT_THAT(admitted_within(gateway, 0s), kWidened);
    const auto ok = line.in(answer(again.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(ok.opened, IsEmpty());
    EXPECT_THAT(admitted_within(gateway, 0s), kNarrowed);
}

TEST_F(MediaSourceTest, IsTheOldOneAgainWhenANewOneIsRefused) {
    establish(line);
    (void)admitted_within(gateway, 0s);
    const auto alice = kAlice.with_peer_tag("b");
    const auto again = line.out(alice.request("INVITE", 2, audio("192.168.77.2", 4000)));
    EXPECT_THAT(admitted_within(gateway, 0s), kWidened);
    (void)line.in(answer(again.text, 488, "b"));
    EXPECT_THAT(admitted_within(gateway, 0s), kNarrowed);
}

TEST_F(MediaSourceTest, FollowsTheRemoteParty) {
    establish(line);
    (void)admitted_within(gateway, 0s);
    const auto moved = line.in(kBob.request("INVITE", 2, audio("203.0.113.77", 7000)));
    EXPECT_THAT(admitted_within(gateway, 0s), kWidened);
    (void)line.out(answer(moved.text, 200, "a", audio("192.168.77.2", 4000), "sip:a@192.168.77.2"));
    EXPECT_THAT(admitted_within(gateway, 0s),
                ElementsAre("203.0.113.1:10000 any -> 203.0.113.77:any",
                            "203.0.113.1:10001 any -> 203.0.113.77:any"));
}

TEST_F(MediaSourceTest, WhoWasNotHeardIsNotWaitedForAgain) {
    establish(line);
    (void)admitted_within(gateway, 0s);
    int asked = 0;
    EXPECT_THAT(listen(gateway, false, asked), kWidened);
    const auto alice = kAlice.with_peer_tag("b");
    const auto again = line.out(alice.request("INVITE", 2, audio("192.168.77.2", 4000)));
    (void)line.in(answer(again.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(admitted_within(gateway, 1min), IsEmpty());
}

TEST_F(MediaSourceTest, ClosesWhatIsOpen) {
    establish(line);
    (void)admitted_within(gateway, 0s);
    const auto bye = line.out(kAlice.with_peer_tag("b").request("BYE", 2));
    EXPECT_THAT(line.in(answer(bye.text, 200)).closed,
                testing::Contains("audio 192.168.77.2:4000=203.0.113.1:10000 203.0.113.10:any"));
    EXPECT_THAT(gateway.wait(1min).latch, IsEmpty());
}

TEST_F(MediaSourceTest, OfAnEndpointInTwoCallsIsAnybody) {
    establish(line);
    EXPECT_THAT(admitted_within(gateway, 0s), kNarrowed);
    const auto other = kAlice.with_call_id("call-2");
    const auto invite = line.out(other.request("INVITE", 1, audio("192.168.77.2", 4000)));
    EXPECT_THAT(admitted_within(gateway, 0s), kWidened);
    (void)line.in(answer(invite.text, 200, "c", audio("203.0.113.10", 9000)));
    EXPECT_THAT(admitted_within(gateway, 0s), IsEmpty());
}

TEST_F(MediaSourceTest, OfTwoForksWithTwoAddressesIsAnybody) {
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    (void)line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(admitted_within(gateway, 0s), kNarrowed);
    (void)line.in(answer(invite.text, 200, "c", audio("203.0.113.11", 7000)));
    EXPECT_THAT(admitted_within(gateway, 0s), kWidened);
}

TEST_F(MediaSourceTest, OfAPrivateAddressIsAnybody) {
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    (void)line.in(answer(invite.text, 200, "b", audio("10.1.2.3", 7000)));
    EXPECT_THAT(admitted_within(gateway, 1min), IsEmpty());
}

TEST_F(MediaSourceTest, OfIceIsAnybody) {
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    (void)line.in(
        answer(invite.text, 200, "b",
               audio("203.0.113.10", 7000, "a=candidate:1 1 UDP 99 203.0.113.10 7000 typ host\n")));
    EXPECT_THAT(admitted_within(gateway, 1min), IsEmpty());
}

TEST_F(MediaSourceTest, ANewOwnerOfThePortBeginsWithAnybody) {
    establish(line);
    (void)admitted_within(gateway, 0s);
    const auto bye = line.out(kAlice.with_peer_tag("b").request("BYE", 2));
    (void)line.in(answer(bye.text, 200));
    const auto next =
        line.out(kAlice.with_call_id("call-2").request("INVITE", 1, audio("192.168.77.2", 4000)));
    EXPECT_EQ(next.opened.front(), "audio 192.168.77.2:4000=203.0.113.1:10000 any");
}

TEST_F(MediaSourceTest, ARestartKnowsWhoMaySendAndListens) {
    establish(line);
    EXPECT_THAT(admitted_within(gateway, 0s), kNarrowed);
    Gateway next(with(MediaSource::latch));
    next.engine.restore(gateway.engine.save());
    next.now = gateway.now;
    const auto* mapping = next.engine.media().find(
        {address("203.0.113.1"), Transport::udp, endpoint("192.168.77.2:4000")});
    ASSERT_NE(mapping, nullptr);
    EXPECT_EQ(mapping->from, address("203.0.113.10"));
    const auto due = next.wait(0s);
    ASSERT_EQ(due.latch.size(), 1U);
    EXPECT_THAT(show(next.engine.settle_latch({{due.latch.front(), false}}, next.now)), kWidened);
}

TEST_F(MediaSourceTest, WhatTheKernelRefusesIsAsBefore) {
    establish(line);
    const auto due = gateway.wait(0s);
    EXPECT_THAT(show(due.admit), kNarrowed);
    gateway.engine.not_admitted({due.admit.front()});
    const auto bye = line.out(kAlice.with_peer_tag("b").request("BYE", 2));
    const auto closed = line.in(answer(bye.text, 200)).closed;
    EXPECT_THAT(closed, testing::Contains("audio 192.168.77.2:4000=203.0.113.1:10000 any"));
    EXPECT_THAT(closed,
                testing::Contains("audio 192.168.77.2:4001=203.0.113.1:10001 203.0.113.10:any"));
}

// --- the others ---------------------------------------------------------------------------------

TEST_F(StrictMediaSource, WaitsForNobodyElse) {
    establish(line);
    auto due = gateway.wait(0s);
    EXPECT_THAT(show(due.admit), kNarrowed);
    ASSERT_EQ(due.evict.size(), 2U) << "nor for who came before the answer";
    EXPECT_EQ(show(due.evict.front()),
              "audio 192.168.77.2:4000=203.0.113.1:10000 203.0.113.10:any");
    due = gateway.wait(1min);
    EXPECT_THAT(due.evict, IsEmpty());
    EXPECT_THAT(due.latch, IsEmpty());
    EXPECT_THAT(due.admit, IsEmpty());
}

TEST_F(AnyMediaSource, IsNeverNarrowed) {
    establish(line);
    EXPECT_THAT(admitted_within(gateway, 1min), IsEmpty());
}

}  // namespace
}  // namespace sipnat
