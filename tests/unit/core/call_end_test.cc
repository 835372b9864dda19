// What ends a call and what does not: BYE, CANCEL, failures, challenges, forks, re-INVITEs,
// strangers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

const std::string kRtp = "audio 192.168.77.2:4000=203.0.113.1:10000 ";
const std::string kRtcp = "audio 192.168.77.2:4001=203.0.113.1:10001 ";
const Talker kAliceInDialog = kAlice.with_peer_tag("b");

auto all_of_it() {
    return UnorderedElementsAre(kRtp + "any", kRtp + "203.0.113.10:7000", kRtcp + "any",
                                kRtcp + "203.0.113.10:7001");
}

class EstablishedCall : public testing::Test {
  protected:
    void SetUp() override {
        establish(line);
        EXPECT_THAT(gateway.wait(33s).close, IsEmpty());  // late forks are waited for no more
    }

    Gateway gateway;
    Line line = gateway.line();
};

// --- silence ------------------------------------------------------------------------------------

TEST_F(EstablishedCall, IsOverAfterADayWithoutSignallingAndMedia) {
    gateway.counted = 0;
    EXPECT_THAT(gateway.wait(24h - 33s - 1s).close, IsEmpty());
    const auto due = gateway.wait(1s);
    ASSERT_EQ(due.idle.size(), 1U);
    EXPECT_THAT(due.idle[0].media,
                UnorderedElementsAre(MediaFlows{Transport::udp, endpoint("192.168.77.2:4000"),
                                                endpoint("203.0.113.1:10000")},
                                     MediaFlows{Transport::udp, endpoint("192.168.77.2:4001"),
                                                endpoint("203.0.113.1:10001")}));
    EXPECT_THAT(show(due.close), all_of_it());
    EXPECT_EQ(gateway.engine.calls(), 0U);
}

TEST_F(EstablishedCall, GoesOnForAsLongAsItsMediaDoes) {
    gateway.counted = 4'000'000;
    EXPECT_THAT(gateway.wait(24h).close, IsEmpty());
    for (int look = 0; look < 3; ++look) {
        *gateway.counted += 1;
        EXPECT_THAT(gateway.wait(5min).close, IsEmpty());
    }
    EXPECT_THAT(gateway.wait(5min - 1s).idle, IsEmpty());
    EXPECT_THAT(show(gateway.wait(1s).close), all_of_it()) << "no packet since the last look";
}

TEST_F(EstablishedCall, WithoutCountersIsNeverTakenForIdle) {
    gateway.counted = std::nullopt;
    gateway.wait(24h);
    for (int look = 0; look < 5; ++look)
        EXPECT_THAT(gateway.wait(5min).close, IsEmpty());
    gateway.counted = 7;
    EXPECT_THAT(gateway.wait(5min).close, IsEmpty()) << "the first count compares with nothing";
    EXPECT_THAT(show(gateway.wait(5min).close), all_of_it());
}

TEST_F(EstablishedCall, WhatWasCountedBeforeItsLastMessageSaysNothing) {
    gateway.now += 24h;
    const auto due = gateway.engine.tick(gateway.now);
    ASSERT_EQ(due.idle.size(), 1U);
    (void)line.out(kAliceInDialog.request("INVITE", 2, audio("192.168.77.2", 4000)));
    EXPECT_THAT(gateway.engine.settle_idle({{due.idle[0].call, 0}}, gateway.now), IsEmpty());
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST_F(EstablishedCall, IsOverWhenItsPacketsCameToAnEnd) {
    gateway.counted = 100;
    EXPECT_THAT(gateway.wait(5min).close, IsEmpty());
    gateway.counted = 200;
    EXPECT_THAT(gateway.wait(5min).close, IsEmpty());
    EXPECT_THAT(gateway.wait(5min - 1s).close, IsEmpty());
    EXPECT_THAT(show(gateway.wait(1s).close), all_of_it());
}

TEST(CallWithoutMedia, IsOverAfterADayOfSilence) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("0.0.0.0", 4000)));
    (void)line.in(answer(invite.text, 200, "b", audio("0.0.0.0", 7000)));
    (void)line.out(kAliceInDialog.request("ACK", 1));
    (void)gateway.wait(24h - 1s);
    EXPECT_EQ(gateway.engine.calls(), 1U);
    (void)gateway.wait(1s);
    EXPECT_EQ(gateway.engine.calls(), 0U);
}

TEST_F(EstablishedCall, IsNoLessSilentForEntriesThatEnd) {
    gateway.counted = 200;
    EXPECT_THAT(gateway.wait(5min).close, IsEmpty());
    gateway.counted = 100;
    EXPECT_THAT(show(gateway.wait(5min).close), all_of_it());
}

TEST_F(EstablishedCall, WhoseMediaMovedIsNotIdleForWhatWasCountedBefore) {
    gateway.counted = 100;
    (void)gateway.wait(5min);
    const auto moved = line.out(kAliceInDialog.request("INVITE", 2, audio("192.168.77.2", 4100)));
    (void)line.in(answer(moved.text, 200, "b", audio("203.0.113.10", 7000)));
    gateway.counted = 0;
    for (int look = 0; look < 5; ++look)
        EXPECT_THAT(gateway.wait(5min).close, IsEmpty()) << look;
    gateway.counted = 1;
    EXPECT_THAT(gateway.wait(5min).close, IsEmpty());
    EXPECT_THAT(gateway.wait(5min).close, Not(IsEmpty()));
}

TEST_F(EstablishedCall, NeedsTheFlowThatItsMediaHangsOn) {
    const FlowTuples flow = line.flow;
    EXPECT_THAT(gateway.engine.needed(std::vector{flow}), ElementsAre(flow));
    const auto bye = line.out(kAliceInDialog.request("BYE", 2));
    (void)line.in(answer(bye.text, 200, "b"));
    (void)gateway.wait(60s);
    EXPECT_THAT(gateway.engine.needed(std::vector{flow}), IsEmpty());
}

TEST_F(EstablishedCall, HasItsTimeFromTheSettings) {
    auto settings = lab_settings();
    settings.media_timeout = 60s;
    gateway.engine.set_settings(settings);
    (void)line.out(kAliceInDialog.request("OPTIONS", 2));  // from now on
    gateway.counted = 100;
    EXPECT_THAT(gateway.wait(60s).close, IsEmpty());
    EXPECT_THAT(show(gateway.wait(60s).close), all_of_it());
}

TEST_F(EstablishedCall, OnHoldIsWaitedForLonger) {
    gateway.counted = 100;
    (void)gateway.wait(5min);
    const auto hold =
        line.out(kAliceInDialog.request("INVITE", 2, audio("192.168.77.2", 4000, "a=sendonly\n")));
    (void)line.in(answer(hold.text, 200, "b", audio("203.0.113.10", 7000, "a=recvonly\n")));
    for (int look = 0; look < 11; ++look)
        EXPECT_THAT(gateway.wait(5min).close, IsEmpty()) << look;
    EXPECT_THAT(show(gateway.wait(5min).close), all_of_it()) << "an hour";
}

TEST_F(EstablishedCall, ThatIsResumedIsNotOnHoldAnyMore) {
    gateway.counted = 100;
    (void)gateway.wait(5min);
    for (const auto* direction : {"a=inactive\n", "a=sendrecv\n"}) {
        const int cseq = direction[2] == 'i' ? 2 : 3;
        const auto offer = line.out(
            kAliceInDialog.request("INVITE", cseq, audio("192.168.77.2", 4000, direction)));
        (void)line.in(answer(offer.text, 200, "b", audio("203.0.113.10", 7000, direction)));
    }
    EXPECT_THAT(show(gateway.wait(5min).close), all_of_it());
}

// --- session timer (RFC 4028) --------------------------------------------------------------------

class TimedCall : public EstablishedCall {
  protected:
    void refresh(int cseq, std::string_view header) {
        const auto invite =
            line.out(kAliceInDialog.request("INVITE", cseq, audio("192.168.77.2", 4000)));
        auto ok = answer(invite.text, 200, "b", audio("203.0.113.10", 7000));
        ok.insert(ok.find("Content-Type"), crlf(header));
        (void)line.in(ok);
    }
};

TEST_F(TimedCall, EndsWithItsTimerUnlessMediaFlows) {
    gateway.counted = 0;
    refresh(2, "Session-Expires: 1800;refresher=uac\n");
    EXPECT_THAT(gateway.wait(1800s).close, IsEmpty());
    EXPECT_THAT(show(gateway.wait(32s).close), all_of_it());
}

TEST_F(TimedCall, GoesOnWithItsMedia) {
    gateway.counted = 1;
    refresh(2, "x: 90\n");
    for (int look = 0; look < 5; ++look) {
        *gateway.counted += 1;
        EXPECT_THAT(gateway.wait(5min).close, IsEmpty());
    }
}

TEST_F(TimedCall, IsTimedNoMoreByARefreshWithout) {
    gateway.counted = 0;
    refresh(2, "Session-Expires: 90\n");
    refresh(3, "");
    EXPECT_THAT(gateway.wait(3600s).close, IsEmpty());
}

TEST_F(EstablishedCall, NobodyAsksForCountersAfterAnUnansweredBye) {
    gateway.counted = 1;
    (void)line.out(kAliceInDialog.request("BYE", 2));
    const auto due = gateway.wait(32s);
    EXPECT_THAT(due.idle, IsEmpty());
    EXPECT_THAT(show(due.close), all_of_it());
}

TEST(EarlyMedia, OutlastsTheLongestRinging) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    (void)line.in(answer(invite.text, 183, "b", audio("203.0.113.10", 7000)));
    gateway.counted = 100;
    EXPECT_THAT(gateway.wait(10min).close, IsEmpty());
    gateway.counted = 200;
    EXPECT_THAT(gateway.wait(5min).close, IsEmpty());
    EXPECT_THAT(show(gateway.wait(5min).close), all_of_it());
}

// --- BYE ----------------------------------------------------------------------------------------

TEST_F(EstablishedCall, EndsWithTheAnswerToItsBye) {
    const auto bye = line.out(kAliceInDialog.request("BYE", 2));
    EXPECT_THAT(bye.closed, IsEmpty());
    const auto ok = line.in(answer(bye.text, 200));
    EXPECT_THAT(ok.closed, all_of_it());
    EXPECT_EQ(gateway.engine.calls(), 0U);
    EXPECT_EQ(gateway.engine.counters().holes_closed, 4U);
}

TEST_F(EstablishedCall, EndsWithTheRemoteSidesBye) {
    const auto bye = line.in(kBob.request("BYE", 1));
    EXPECT_THAT(bye.closed, IsEmpty());
    EXPECT_THAT(line.out(answer(bye.text, 200)).closed, all_of_it());
    EXPECT_EQ(gateway.engine.calls(), 0U);
}

TEST_F(EstablishedCall, EndsWhenNobodyKnowsItAnyMore) {
    for (const int status : {481, 408}) {
        Gateway other;
        const auto other_line = other.line();
        establish(other_line);
        const auto bye = other_line.out(kAliceInDialog.request("BYE", 2));
        EXPECT_THAT(other_line.in(answer(bye.text, status)).closed, all_of_it()) << status;
    }
}

TEST_F(EstablishedCall, GoesOnWhenASubscriptionBesideItIsUnknown) {
    for (const auto* method : {"NOTIFY", "SUBSCRIBE", "REFER"}) {
        const auto request = line.in(kBob.request(method, 1));
        EXPECT_THAT(line.out(answer(request.text, 481)).closed, IsEmpty()) << method;
    }
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST_F(EstablishedCall, GoesOnWhenItsByeIsRefused) {
    for (const int status : {401, 407, 403}) {
        const auto bye = line.out(kAliceInDialog.request("BYE", 2));
        EXPECT_THAT(line.in(answer(bye.text, status)).closed, IsEmpty()) << status;
        EXPECT_THAT(gateway.wait(60s).close, IsEmpty()) << status;
        EXPECT_EQ(gateway.engine.calls(), 1U);
    }
    const auto bye = line.out(kAliceInDialog.request("BYE", 3));
    EXPECT_THAT(line.in(answer(bye.text, 200)).closed, all_of_it());
}

TEST_F(EstablishedCall, EndsWhenItsByeStaysUnanswered) {
    (void)line.out(kAliceInDialog.request("BYE", 2));
    EXPECT_EQ(gateway.engine.next_due(), gateway.now + 32s);
    EXPECT_THAT(gateway.wait(31999ms).close, IsEmpty());
    EXPECT_THAT(show(gateway.wait(1ms).close), all_of_it());
    EXPECT_EQ(gateway.engine.calls(), 0U);
}

TEST_F(EstablishedCall, GoesOnForHoursAndEndsAfterADayOfSilence) {
    EXPECT_THAT(gateway.wait(23h).close, IsEmpty());
    (void)line.out(kAliceInDialog.request("INFO", 2));
    EXPECT_THAT(gateway.wait(23h).close, IsEmpty());
    EXPECT_THAT(show(gateway.wait(1h).close), all_of_it());
}

TEST_F(EstablishedCall, EndsWhenARequestInItFindsNoDialog) {
    const auto info = line.out(kAliceInDialog.request("INFO", 2));
    EXPECT_THAT(line.in(answer(info.text, 481)).closed, all_of_it());
}

// --- CANCEL and failures ------------------------------------------------------------------------

class RingingCall : public testing::Test {
  protected:
    RingingCall() : invite(line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)))) {
        (void)line.in(answer(invite.text, 180, "b"));
    }

    Gateway gateway;
    Line line = gateway.line();
    Outcome invite;
};

TEST_F(RingingCall, EndsWithThe487OfItsCancel) {
    const auto cancel = line.out(kAlice.request("CANCEL", 1));
    EXPECT_THAT(line.in(answer(cancel.text, 200, "b")).closed, IsEmpty());
    EXPECT_THAT(line.in(answer(invite.text, 487, "b")).closed,
                ElementsAre(kRtp + "any", kRtcp + "any"));
    EXPECT_EQ(gateway.engine.calls(), 0U);
}

TEST_F(RingingCall, EndsAfterItsCancelEvenIfNothingComes) {
    (void)line.out(kAlice.request("CANCEL", 1));
    EXPECT_THAT(gateway.wait(31s).close, IsEmpty());
    EXPECT_EQ(gateway.wait(1s).close.size(), 2U);
}

TEST_F(RingingCall, GoesOnWhenTheAnswerCrossesItsCancel) {
    const auto cancel = line.out(kAlice.request("CANCEL", 1));
    const auto ok = line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_EQ(ok.opened.size(), 2U);
    (void)line.in(answer(cancel.text, 481, "b"));
    EXPECT_THAT(gateway.wait(120s).close, IsEmpty());
    const auto bye = line.out(kAliceInDialog.request("BYE", 2));
    EXPECT_THAT(line.in(answer(bye.text, 200)).closed, all_of_it());
}

TEST_F(RingingCall, EndsWithAFinalFailure) {
    for (const int status : {300, 404, 486, 488, 500, 603}) {
        Gateway other;
        const auto other_line = other.line();
        const auto request =
            other_line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
        EXPECT_EQ(other_line.in(answer(request.text, status, "b")).closed.size(), 2U) << status;
        EXPECT_EQ(other.engine.calls(), 0U);
    }
}

TEST_F(RingingCall, EndsWhenNobodyAnswersAtAll) {
    EXPECT_THAT(gateway.wait(9min).close, IsEmpty());
    EXPECT_EQ(gateway.wait(1min).close.size(), 2U);
}

TEST(IncomingRingingCall, EndsWithItsCancel) {
    Gateway gateway;
    const auto line = gateway.line();
    auto bob = kBob;
    bob.peer_tag.clear();
    const auto invite = line.in(bob.request("INVITE", 1, audio("203.0.113.10", 7000)));
    const auto early = line.out(answer(invite.text, 183, "p", audio("192.168.77.2", 4000)));
    EXPECT_EQ(early.opened.size(), 4U);
    const auto cancel = line.in(bob.request("CANCEL", 1));
    (void)line.out(answer(cancel.text, 200, "p"));
    EXPECT_EQ(line.out(answer(invite.text, 487, "p")).closed.size(), 4U);
}

// --- challenges ---------------------------------------------------------------------------------

TEST(Challenge, KeepsThePortsForTheRetry) {
    for (const int status : {401, 407}) {
        Gateway gateway;
        const auto line = gateway.line();
        const auto first = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
        EXPECT_THAT(line.in(answer(first.text, status, "x")).closed, IsEmpty());
        (void)line.out(kAlice.with_peer_tag("x").request("ACK", 1));
        gateway.wait(31s);
        const auto second = line.out(kAlice.request("INVITE", 2, audio("192.168.77.2", 4000)));
        EXPECT_THAT(second.opened, IsEmpty());
        EXPECT_NE(second.text.find("m=audio 10000 "), std::string::npos);
        gateway.wait(31s);
        EXPECT_EQ(gateway.engine.calls(), 1U);
        const auto ok = line.in(answer(second.text, 200, "b", audio("203.0.113.10", 7000)));
        EXPECT_THAT(ok.opened,
                    ElementsAre(kRtp + "203.0.113.10:7000", kRtcp + "203.0.113.10:7001"));
        EXPECT_THAT(gateway.wait(60s).close, IsEmpty());
    }
}

TEST(Challenge, EndsTheCallIfNobodyRetries) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto first = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    (void)line.in(answer(first.text, 407, "x"));
    EXPECT_THAT(gateway.wait(31999ms).close, IsEmpty());
    EXPECT_THAT(show(gateway.wait(1ms).close), ElementsAre(kRtp + "any", kRtcp + "any"));
    // A late one has its ports again: they rest for nobody else.
    const auto second = line.out(kAlice.request("INVITE", 2, audio("192.168.77.2", 4000)));
    EXPECT_THAT(second.opened, ElementsAre(kRtp + "any", kRtcp + "any"));
}

// --- re-INVITE ----------------------------------------------------------------------------------

TEST_F(EstablishedCall, ReInviteThatAnnouncesTheOutsideEndpointIsThatSameStream) {
    const auto text = kAliceInDialog.request("INVITE", 2, audio("203.0.113.1", 10000));
    const auto again = line.out(text);
    EXPECT_THAT(again.opened, IsEmpty());
    EXPECT_NE(again.text.find("m=audio 10000 "), std::string::npos);
    const auto ok = line.in(answer(again.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(ok.closed, IsEmpty());
    EXPECT_THAT(gateway.wait(40s).close, IsEmpty());
    const auto bye = line.out(kAliceInDialog.request("BYE", 3));
    EXPECT_THAT(line.in(answer(bye.text, 200)).closed, all_of_it());
}

TEST_F(EstablishedCall, AnotherHostThatAnnouncesItsOutsideEndpointGetsNothing) {
    const auto stranger = gateway.line("192.168.77.3:5060", "203.0.113.1:1025");
    const auto invite = stranger.out(kAlice.request("INVITE", 1, audio("203.0.113.1", 10000)));
    EXPECT_THAT(invite.opened, IsEmpty());
}

TEST_F(EstablishedCall, ReInviteWithTheSamePortChangesNothing) {
    const auto again = line.out(kAliceInDialog.request("INVITE", 2, audio("192.168.77.2", 4000)));
    EXPECT_THAT(again.opened, IsEmpty());
    EXPECT_NE(again.text.find("m=audio 10000 "), std::string::npos);
    const auto ok = line.in(answer(again.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(ok.opened, IsEmpty());
    EXPECT_THAT(ok.closed, IsEmpty());
}

TEST_F(EstablishedCall, ReInviteWithANewPortOpensItAndClosesTheOldOne) {
    const auto again = line.out(kAliceInDialog.request("INVITE", 2, audio("192.168.77.2", 4100)));
    EXPECT_THAT(again.opened,
                testing::IsSupersetOf({"audio 192.168.77.2:4100=203.0.113.1:10002 any",
                                       "audio 192.168.77.2:4101=203.0.113.1:10003 any"}));
    EXPECT_THAT(again.closed, IsEmpty());
    const auto ok = line.in(answer(again.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(ok.closed, all_of_it());
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST_F(EstablishedCall, FailedReInviteRestoresWhatWas) {
    int cseq = 1;
    for (const int status : {488, 491, 500, 401}) {
        const auto again =
            line.out(kAliceInDialog.request("INVITE", ++cseq, audio("192.168.77.2", 4100)));
        EXPECT_FALSE(again.opened.empty()) << status;
        const auto failed = line.in(answer(again.text, status, "b"));
        EXPECT_EQ(failed.closed, again.opened) << status;
        EXPECT_EQ(gateway.engine.calls(), 1U) << status;
    }
    const auto bye = line.out(kAliceInDialog.request("BYE", 9));
    EXPECT_THAT(line.in(answer(bye.text, 200)).closed, all_of_it());
}

TEST_F(EstablishedCall, FailedReInviteOfTheRemoteSideRestoresToo) {
    // The same CSeq number as hers: each side counts for itself.
    const auto again = line.in(kBob.request("INVITE", 1, audio("203.0.113.20", 9000)));
    EXPECT_EQ(again.opened.size(), 2U);
    const auto failed = line.out(answer(again.text, 486));
    EXPECT_EQ(failed.closed, again.opened);
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST_F(EstablishedCall, ReInviteThatFindsNoDialogEndsIt) {
    const auto again = line.out(kAliceInDialog.request("INVITE", 2, audio("192.168.77.2", 4000)));
    EXPECT_THAT(line.in(answer(again.text, 481, "b")).closed, all_of_it());
    EXPECT_EQ(gateway.engine.calls(), 0U);
}

TEST_F(EstablishedCall, HoldWithoutAnAddressKeepsTheMapping) {
    const auto hold = line.out(kAliceInDialog.request(
        "INVITE", 2,
        crlf("v=0\no=- 1 2 IN IP4 192.168.77.2\ns=-\nc=IN IP4 0.0.0.0\nt=0 0\nm=audio 4000 RTP/AVP "
             "0\na=sendonly\n")));
    EXPECT_THAT(hold.opened, IsEmpty());
    EXPECT_NE(hold.text.find("c=IN IP4 0.0.0.0"), std::string::npos);
    EXPECT_NE(hold.text.find("m=audio 10000 "), std::string::npos);
    const auto ok = line.in(answer(hold.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(ok.closed, IsEmpty());
    const auto resume = line.out(kAliceInDialog.request("INVITE", 3, audio("192.168.77.2", 4000)));
    EXPECT_THAT(resume.opened, IsEmpty());
    EXPECT_NE(resume.text.find("m=audio 10000 "), std::string::npos);
}

TEST_F(EstablishedCall, AStreamWithPort0Ends) {
    const auto again = line.out(kAliceInDialog.request("INVITE", 2, audio("192.168.77.2", 0)));
    EXPECT_THAT(again.closed, IsEmpty());
    const auto ok = line.in(answer(again.text, 200, "b", audio("203.0.113.10", 0)));
    EXPECT_THAT(ok.closed, all_of_it());
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

// --- forks --------------------------------------------------------------------------------------

TEST_F(RingingCall, EachForkHasItsOwnRemoteSide) {
    const auto b = line.in(answer(invite.text, 183, "b", audio("203.0.113.20", 7000)));
    EXPECT_THAT(b.opened, ElementsAre(kRtp + "203.0.113.20:7000", kRtcp + "203.0.113.20:7001"));
    const auto c = line.in(answer(invite.text, 183, "c", audio("203.0.113.30", 8000)));
    EXPECT_THAT(c.opened, ElementsAre(kRtp + "203.0.113.30:8000", kRtcp + "203.0.113.30:8001"));
    EXPECT_THAT(c.closed, IsEmpty());
    // The winner's answer takes the loser's remote side away, and no more.
    const auto ok = line.in(answer(invite.text, 200, "c", audio("203.0.113.30", 8000)));
    EXPECT_THAT(ok.opened, IsEmpty());
    EXPECT_EQ(ok.closed, b.opened);
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST_F(RingingCall, ALateAnswerOfAnotherForkIsADialogOfItsOwn) {
    (void)line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    const auto late = line.in(answer(invite.text, 200, "c", audio("203.0.113.30", 8000)));
    EXPECT_THAT(late.opened, ElementsAre(kRtp + "203.0.113.30:8000", kRtcp + "203.0.113.30:8001"));
    // The phone ends it: the other one goes on with its holes.
    const auto bye = line.out(kAlice.with_peer_tag("c").request("BYE", 2));
    const auto ended = line.in(answer(bye.text, 200));
    EXPECT_EQ(ended.closed, late.opened);
    EXPECT_EQ(gateway.engine.calls(), 1U);
    gateway.wait(60s);
    const auto last = line.out(kAliceInDialog.request("BYE", 3));
    EXPECT_THAT(line.in(answer(last.text, 200)).closed, all_of_it());
    EXPECT_EQ(gateway.engine.calls(), 0U);
}

TEST_F(RingingCall, ALosersFailureAfterTheAnswerEndsNothing) {
    (void)line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(line.in(answer(invite.text, 487, "c")).closed, IsEmpty());
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

// --- retransmissions ----------------------------------------------------------------------------

TEST(Retransmission, GivesTheSameBytes) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto sent = kAlice.request("INVITE", 1, audio("192.168.77.2", 4000));
    const auto invite = line.out(sent);
    auto again = line.out(sent);
    EXPECT_EQ(again.text, invite.text);
    EXPECT_THAT(again.opened, IsEmpty());

    const auto response = answer(invite.text, 200, "b", audio("203.0.113.10", 7000));
    const auto ok = line.in(response);
    again = line.in(response);
    EXPECT_EQ(again.text, ok.text);
    EXPECT_THAT(again.opened, IsEmpty());
    EXPECT_THAT(again.closed, IsEmpty());
    EXPECT_EQ(line.out(sent).text, invite.text);
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST(Retransmission, AfterTheEndGivesTheSameBytesAndOpensNothing) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto sent = kAlice.request("INVITE", 1, audio("192.168.77.2", 4000));
    const auto invite = line.out(sent);
    const auto busy = line.in(answer(invite.text, 486, "b"));
    EXPECT_EQ(busy.closed.size(), 2U);
    gateway.wait(20s);
    const auto again = line.out(sent);
    EXPECT_EQ(again.text, invite.text);
    EXPECT_THAT(again.opened, IsEmpty());
    EXPECT_EQ(gateway.engine.calls(), 0U);
    // The phone's next attempt is a call again.
    const auto next = line.out(kAlice.request("INVITE", 2, audio("192.168.77.2", 4000)));
    EXPECT_THAT(next.opened, ElementsAre(kRtp + "any", kRtcp + "any"));
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST(Retransmission, OfAnAnsweringPhonesResponse) {
    Gateway gateway;
    const auto line = gateway.line();
    auto bob = kBob;
    bob.peer_tag.clear();
    const auto invite = line.in(bob.request("INVITE", 1, audio("203.0.113.10", 7000)));
    const auto sent = answer(invite.text, 200, "p", audio("192.168.77.2", 4000));
    const auto ok = line.out(sent);
    const auto again = line.out(sent);
    EXPECT_EQ(again.text, ok.text);
    EXPECT_THAT(again.opened, IsEmpty());
    bob.peer_tag = "p";
    const auto bye = line.in(bob.request("BYE", 2));
    EXPECT_EQ(line.out(answer(bye.text, 200)).closed.size(), 4U);
    const auto late = line.out(sent);
    EXPECT_EQ(late.text, ok.text);
    EXPECT_THAT(late.opened, IsEmpty());
}

// --- one Call-ID, two calls ---------------------------------------------------------------------

// Alice calls Carol of the same LAN through an outside proxy: Call-ID, tags and CSeq are the same
// on both legs.
class TwoLegs : public testing::Test {
  protected:
    TwoLegs() : invite(alice.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 20000)))) {
        // The proxy sends on what it got, with its own Via on top.
        auto forwarded = invite.text;
        forwarded.replace(0, forwarded.find("\r\n"),
                          "INVITE sip:carol@203.0.113.1:1025 SIP/2.0\r\nVia: SIP/2.0/UDP "
                          "203.0.113.10:5060;branch=z9hG4bKproxy");
        second = carol.in(forwarded);
    }

    Gateway gateway;
    Line alice = gateway.line();
    Line carol = gateway.line("192.168.77.3:5060", "203.0.113.1:1025");
    Outcome invite;
    Outcome second;
};

TEST_F(TwoLegs, AreTwoCalls) {
    EXPECT_EQ(gateway.engine.calls(), 2U);
    const auto ok = carol.out(
        answer(second.text, 200, "c", audio("192.168.77.3", 20000), "sip:c@192.168.77.3"));
    // Her own port is Alice's already.
    EXPECT_THAT(ok.opened,
                ElementsAre("audio 192.168.77.3:20000=203.0.113.1:10000 any",
                            "audio 192.168.77.3:20000=192.168.77.3:20000 192.168.77.2:20000",
                            "audio 192.168.77.3:20001=203.0.113.1:10001 any",
                            "audio 192.168.77.3:20001=192.168.77.3:20001 192.168.77.2:20001"));
    auto response = answer(invite.text, 200, "c", audio("203.0.113.10", 10000));
    (void)alice.in(response);
    EXPECT_EQ(gateway.engine.calls(), 2U);
    // Each leg ends for itself.
    const auto bye = alice.out(kAlice.with_peer_tag("c").request("BYE", 2));
    EXPECT_EQ(alice.in(answer(bye.text, 200)).closed.size(), 4U);
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST_F(TwoLegs, CancelOfOneDoesNotTouchTheOther) {
    auto proxy = kAlice;
    proxy.host = "203.0.113.10:5060";
    proxy.target = "sip:carol@203.0.113.1:1025";
    const auto early = carol.out(
        answer(second.text, 183, "c", audio("192.168.77.3", 21000), "sip:c@192.168.77.3"));
    EXPECT_EQ(early.opened.size(), 4U);
    (void)carol.in(proxy.request("CANCEL", 1));
    const auto ended = carol.out(answer(second.text, 487, "c", {}, "sip:c@192.168.77.3"));
    EXPECT_EQ(ended.closed, early.opened);
    EXPECT_EQ(gateway.engine.calls(), 1U);
    EXPECT_THAT(gateway.wait(60s).close, IsEmpty());
}

// --- strangers ----------------------------------------------------------------------------------

TEST_F(EstablishedCall, AStrangersMessagesChangeNothing) {
    const auto stranger =
        gateway.line("192.168.77.2:5060", "203.0.113.1:1024", "203.0.113.66:5060");
    const auto other_phone = gateway.line("192.168.77.9:5060", "203.0.113.1:1030");
    auto wrong_tag = kBob;
    wrong_tag.peer_tag = "x";
    auto wrong_own_tag = kBob;
    wrong_own_tag.tag = "x";
    const Outcome byes[] = {
        stranger.in(kBob.request("BYE", 1)), line.in(wrong_tag.request("BYE", 1)),
        line.in(wrong_own_tag.request("BYE", 1)), other_phone.out(kAliceInDialog.request("BYE", 2)),
        line.in(kBob.with_call_id("call-2").request("BYE", 1))};
    EXPECT_THAT(stranger.out(answer(byes[0].text, 200)).closed, IsEmpty());
    for (const auto& bye : {byes[1], byes[2], byes[4]})
        EXPECT_THAT(line.out(answer(bye.text, 200)).closed, IsEmpty());
    EXPECT_THAT(other_phone.in(answer(byes[3].text, 200)).closed, IsEmpty());
    EXPECT_THAT(gateway.wait(60s).close, IsEmpty());
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST_F(EstablishedCall, SdpInOtherMethodsNegotiatesNothing) {
    for (const auto* method : {"INFO", "OPTIONS", "MESSAGE", "BYE"}) {
        const auto sent = line.out(kAliceInDialog.request(method, 2, audio("192.168.77.2", 4100)));
        EXPECT_THAT(sent.opened, IsEmpty()) << method;
        const auto refused = line.in(answer(sent.text, 403, "", audio("203.0.113.20", 9000)));
        EXPECT_THAT(refused.opened, IsEmpty()) << method;
        EXPECT_THAT(refused.closed, IsEmpty()) << method;
    }
}

TEST_F(EstablishedCall, ItsSourcePortMayChange) {
    // Another flow of the same two hosts: the phone's NAT binding was lost and made anew.
    const auto moved = gateway.line("192.168.77.2:5062", "203.0.113.1:1040");
    const auto bye = moved.out(kAliceInDialog.request("BYE", 2));
    EXPECT_THAT(moved.in(answer(bye.text, 200)).closed, all_of_it());
}

}  // namespace
}  // namespace sipnat
