// save() and restore(): calls go on in the next process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "header_lab.h"
#include "lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const Talker kAliceInDialog = kAlice.with_peer_tag("b");

/// The same phone in the next process, which took over what the first one saved.
class AfterRestart : public testing::Test {
  protected:
    void restart() {
        next.now = gateway.now + 5s;
        next.engine.restore(gateway.engine.save());
    }

    Gateway gateway;
    Gateway next;
    Line before = gateway.line();
    Line after = next.line();
};

TEST_F(AfterRestart, ACallKeepsItsPortAndItsByeClosesIt) {
    establish(before);
    restart();
    EXPECT_EQ(next.engine.calls(), 1U);
    const auto again = after.out(kAliceInDialog.request("INVITE", 2, audio("192.168.77.2", 4000)));
    EXPECT_THAT(again.opened, IsEmpty());
    EXPECT_NE(again.text.find("m=audio 10000 "), std::string::npos);
    const auto bye = after.out(kAliceInDialog.request("BYE", 3));
    EXPECT_EQ(after.in(answer(bye.text, 200)).closed.size(), 4U);
    EXPECT_EQ(next.wait(2s).sweep.size(), 2U);
    next.wait(60s);
    EXPECT_TRUE(next.engine.media().mappings().empty());
}

TEST_F(AfterRestart, ARegistrationHolds) {
    const auto sent = before.out(sip_text(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 192.168.77.2;rport;branch=z9hG4bK1\n"
        "From: <sip:alice@example.com>;tag=a\nTo: <sip:alice@example.com>\nCall-ID: r\n"
        "CSeq: 1 REGISTER\nContact: <sip:alice@192.168.77.2>;expires=600\n"));
    (void)before.in(echo(sent.text));
    ASSERT_EQ(gateway.engine.bindings().size(), 1U);
    const auto known = gateway.engine.bindings().front();
    EXPECT_EQ(known.flow, before.flow);
    const auto changes = gateway.engine.take_changes();
    EXPECT_THAT(changes.bindings, ElementsAre(known));
    EXPECT_THAT(gateway.engine.take_changes().bindings, IsEmpty());

    restart();
    EXPECT_THAT(next.engine.bindings(), ElementsAre(known));
    EXPECT_FALSE(next.engine.has_changes());
    EXPECT_THAT(next.engine.tick(next.now).keep_up, ElementsAre(before.flow.original)) << "at once";
    (void)next.wait(600s);
    EXPECT_THAT(next.engine.bindings(), IsEmpty());
    const auto ended = next.engine.take_changes();
    EXPECT_THAT(ended.ended_bindings, ElementsAre(known.name));
}

TEST_F(AfterRestart, ARingingCallIsAnswered) {
    const auto invite = before.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    restart();
    const auto ok = after.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_EQ(ok.opened.size(), 2U);
    EXPECT_EQ(header_line(ok.text, "Via").substr(0, 40),
              "Via: SIP/2.0/UDP 192.168.77.2:5060;rport");
}

TEST_F(AfterRestart, ItsPortsAreNobodyElses) {
    establish(before);
    restart();
    const auto other = next.line("192.168.77.3:5060", "203.0.113.1:1025");
    const auto invite =
        other.out(kAlice.with_call_id("2").request("INVITE", 1, audio("192.168.77.3", 4000)));
    EXPECT_THAT(invite.opened, ElementsAre("audio 192.168.77.3:4000=203.0.113.1:10002 any",
                                           "audio 192.168.77.3:4001=203.0.113.1:10003 any"));
}

TEST_F(AfterRestart, TwoCallsGoOnSharingAMapping) {
    establish(before);
    establish(before, kAlice.with_call_id("2"), 4100);
    (void)before.out(
        kAliceInDialog.with_call_id("2").request("INVITE", 2, audio("192.168.77.2", 4000)));
    restart();
    EXPECT_EQ(next.engine.calls(), 2U);
    auto bye = after.out(kAliceInDialog.request("BYE", 3));
    const auto first = after.in(answer(bye.text, 200));
    EXPECT_THAT(first.closed,
                testing::Not(testing::Contains("audio 192.168.77.2:4000=203.0.113.1:10000 any")));
    bye = after.out(kAliceInDialog.with_call_id("2").request("BYE", 3));
    EXPECT_THAT(after.in(answer(bye.text, 200)).closed,
                testing::Contains("audio 192.168.77.2:4000=203.0.113.1:10000 any"));
}

TEST_F(AfterRestart, WhatIsDueComesDue) {
    establish(before);
    (void)before.out(kAliceInDialog.request("BYE", 2));
    restart();
    EXPECT_THAT(next.wait(26s).close, IsEmpty());
    EXPECT_EQ(next.wait(1s).close.size(), 4U);
}

TEST_F(AfterRestart, EndedCallsAndRestingPortsAreForgotten) {
    const auto invite = before.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    (void)before.in(answer(invite.text, 486, "b"));
    const auto saved = gateway.engine.save();
    EXPECT_TRUE(saved.calls.empty());
    EXPECT_TRUE(saved.mappings.empty());
}

TEST_F(AfterRestart, APortThatIsGoneIsLeftOut) {
    establish(before);
    auto saved = gateway.engine.save();
    auto doubled = saved.mappings.front();
    doubled.mapping.outside = saved.mappings.back().mapping.outside;
    saved.mappings.front() = doubled;  // two mappings of one port
    next.engine.restore(saved);
    EXPECT_EQ(next.engine.calls(), 1U);
    EXPECT_EQ(next.engine.media().mappings().size(), 1U);
    const auto bye = after.out(kAliceInDialog.request("BYE", 3));
    EXPECT_EQ(after.in(answer(bye.text, 200)).closed.size(), 2U) << "those of RTCP";
}

TEST_F(AfterRestart, ARevivedMappingOfACallThatDoesNotFitIsGivenBack) {
    const auto invite = before.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    (void)before.in(answer(invite.text, 486, "b"));
    establish(before, kAlice.with_call_id("2"));
    Settings none;
    none.calls = 0;
    next.engine.set_settings(none);
    restart();
    EXPECT_EQ(next.engine.calls(), 0U);
    EXPECT_TRUE(next.engine.media().mappings().empty());
}

// Without anything saved, what a message of an old call proves is enough.
TEST_F(AfterRestart, AnUnknownCallGetsItsMediaWithItsNextOffer) {
    establish(before);
    const auto again = after.out(kAliceInDialog.request("INVITE", 2, audio("192.168.77.2", 4000)));
    EXPECT_EQ(again.opened.size(), 2U);
    const auto ok = after.in(answer(again.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_EQ(ok.opened.size(), 2U);
    const auto bye = after.in(kBob.request("BYE", 1));
    EXPECT_EQ(after.out(answer(bye.text, 200)).closed.size(), 4U);
    EXPECT_EQ(next.engine.calls(), 0U);
}

TEST(Changes, AreTheCallsThatAMessageOrTimeTouched) {
    Gateway gateway;
    const auto line = gateway.line();
    EXPECT_FALSE(gateway.engine.has_changes());
    (void)line.out(kAlice.request("OPTIONS", 1));
    EXPECT_FALSE(gateway.engine.has_changes());
    establish(line);
    EXPECT_TRUE(gateway.engine.has_changes());
    auto changes = gateway.engine.take_changes();
    ASSERT_EQ(changes.calls.size(), 1U);
    EXPECT_EQ(changes.calls[0].call_id, "call-1");
    EXPECT_EQ(changes.mappings.size(), 2U);
    EXPECT_FALSE(gateway.engine.has_changes());

    const auto bye = line.out(kAliceInDialog.request("BYE", 2));
    (void)line.in(answer(bye.text, 200));
    changes = gateway.engine.take_changes();
    ASSERT_EQ(changes.calls.size(), 1U);
    EXPECT_EQ(changes.calls[0].state, Call::State::ended);
    EXPECT_TRUE(changes.mappings.empty());
}

}  // namespace
}  // namespace sipnat
