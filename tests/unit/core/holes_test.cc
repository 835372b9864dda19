// When which holes open: offers and answers in all the places where they may stand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::string kRtp = "audio 192.168.77.2:4000=203.0.113.1:10000 ";
const std::string kRtcp = "audio 192.168.77.2:4001=203.0.113.1:10001 ";

TEST(OutgoingCall, OpensInboundAtTheOfferAndOutboundAtTheAnswer) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    EXPECT_THAT(invite.opened, ElementsAre(kRtp + "any", kRtcp + "any"));
    EXPECT_THAT(invite.closed, IsEmpty());
    EXPECT_EQ(invite.decision.flow_timeout, 3600s);

    EXPECT_THAT(line.in(answer(invite.text, 100)).opened, IsEmpty());
    EXPECT_THAT(line.in(answer(invite.text, 180, "b")).opened, IsEmpty());
    const auto ok = line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(ok.opened, ElementsAre(kRtp + "203.0.113.10:7000", kRtcp + "203.0.113.10:7001"));
    EXPECT_THAT(line.out(kAlice.with_peer_tag("b").request("ACK", 1)).opened, IsEmpty());
    EXPECT_EQ(gateway.engine.calls(), 1U);
    EXPECT_EQ(gateway.engine.counters().holes_opened, 4U);
}

TEST(OutgoingCall, HangsItsHolesOnTheSignallingFlow) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    const auto ok = line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    for (const auto* decision : {&invite.decision, &ok.decision}) {
        for (const auto& hole : decision->open) {
            EXPECT_EQ(hole.master, line.flow.original);
            EXPECT_EQ(hole.inside_sends, FlowDirection::original);
        }
    }
}

TEST(OutgoingCall, EarlyMediaOpensOutbound) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    const auto early = line.in(answer(invite.text, 183, "b", audio("203.0.113.20", 8000)));
    EXPECT_THAT(early.opened, ElementsAre(kRtp + "203.0.113.20:8000", kRtcp + "203.0.113.20:8001"));
    // The 200 repeats it, or says nothing: there is nothing new to open.
    const auto ok = line.in(answer(invite.text, 200, "b"));
    EXPECT_THAT(ok.opened, IsEmpty());
    EXPECT_THAT(ok.closed, IsEmpty());
}

TEST(OutgoingCall, DelayedOfferIsAnsweredInTheAck) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite = line.out(kAlice.request("INVITE", 1));
    EXPECT_THAT(invite.opened, IsEmpty());
    const auto ok = line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(ok.opened, IsEmpty());
    const auto ack =
        line.out(kAlice.with_peer_tag("b").request("ACK", 1, audio("192.168.77.2", 4000)));
    EXPECT_THAT(ack.opened, ElementsAre(kRtp + "any", kRtp + "203.0.113.10:7000", kRtcp + "any",
                                        kRtcp + "203.0.113.10:7001"));
}

TEST(OutgoingCall, WhatTheAckSaidHoldsUntilTheNextAnswer) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto talker = kAlice.with_peer_tag("b");
    const auto invite = line.out(kAlice.request("INVITE", 1));
    (void)line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    const auto ack = line.out(talker.request("ACK", 1, audio("192.168.77.2", 4000)));
    const auto again = line.out(talker.request("INVITE", 2, audio("192.168.77.2", 4100)));
    EXPECT_THAT(again.closed, IsEmpty());
    const auto ok = line.in(answer(again.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_EQ(ok.closed, ack.opened);
}

TEST(IncomingCall, OpensBothAtItsAnswer) {
    Gateway gateway;
    const auto line = gateway.line();
    auto bob = kBob;
    bob.peer_tag.clear();
    const auto invite = line.in(bob.request("INVITE", 1, audio("203.0.113.10", 7000)));
    EXPECT_THAT(invite.opened, IsEmpty());
    EXPECT_EQ(gateway.engine.calls(), 1U);
    const auto ok = line.out(answer(invite.text, 200, "p", audio("192.168.77.2", 4000)));
    EXPECT_THAT(ok.opened, ElementsAre(kRtp + "any", kRtp + "203.0.113.10:7000", kRtcp + "any",
                                       kRtcp + "203.0.113.10:7001"));
}

TEST(IncomingCall, DelayedOfferIsAnsweredInTheAck) {
    Gateway gateway;
    const auto line = gateway.line();
    auto bob = kBob;
    bob.peer_tag.clear();
    const auto invite = line.in(bob.request("INVITE", 1));
    const auto ok = line.out(answer(invite.text, 200, "p", audio("192.168.77.2", 4000)));
    EXPECT_THAT(ok.opened, ElementsAre(kRtp + "any", kRtcp + "any"));
    bob.peer_tag = "p";
    const auto ack = line.in(bob.request("ACK", 1, audio("203.0.113.10", 7000)));
    EXPECT_THAT(ack.opened, ElementsAre(kRtp + "203.0.113.10:7000", kRtcp + "203.0.113.10:7001"));
}

TEST(IncomingCall, ToAPbxBehindAPortForwardRunsTheOtherWay) {
    Gateway gateway;
    const auto line = gateway.forwarded();
    const auto invite = line.in(sip_text(
        "INVITE sip:100@203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.10;branch=z9hG4bK1\nFrom: "
        "<sip:bob@203.0.113.10>;tag=b\nTo: <sip:100@203.0.113.1>\nCall-ID: 1\nCSeq: 1 INVITE\n",
        audio("203.0.113.10", 7000)));
    const auto ok = line.out(answer(invite.text, 200, "p", audio("192.168.77.5", 20000)));
    ASSERT_THAT(ok.opened,
                ElementsAre("audio 192.168.77.5:20000=203.0.113.1:20000 any",
                            "audio 192.168.77.5:20000=203.0.113.1:20000 203.0.113.10:7000",
                            "audio 192.168.77.5:20001=203.0.113.1:20001 any",
                            "audio 192.168.77.5:20001=203.0.113.1:20001 "
                            "203.0.113.10:7001"));
    const auto inbound = to_expectation(ok.decision.open[0]);
    EXPECT_EQ(inbound.master, line.flow.original);
    EXPECT_EQ(inbound.direction, FlowDirection::original);
    const auto outbound = to_expectation(ok.decision.open[1]);
    EXPECT_EQ(outbound.direction, FlowDirection::reply);
    EXPECT_EQ(outbound.match.text(), "192.168.77.5:20000 > 203.0.113.10:7000/udp");
}

TEST(Prack, CarriesAnOfferAndItsAnswerLikeAnyOther) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    (void)line.in(answer(invite.text, 183, "b", audio("203.0.113.10", 7000)));
    const auto prack =
        line.out(kAlice.with_peer_tag("b").request("PRACK", 2, audio("192.168.77.2", 4100)));
    EXPECT_THAT(prack.opened,
                ElementsAre("audio 192.168.77.2:4100=203.0.113.1:10002 any",
                            "audio 192.168.77.2:4100=203.0.113.1:10002 203.0.113.10:7000",
                            "audio 192.168.77.2:4101=203.0.113.1:10003 any",
                            "audio 192.168.77.2:4101=203.0.113.1:10003 203.0.113.10:7001"));
    const auto ok = line.in(answer(prack.text, 200, "b", audio("203.0.113.10", 7100)));
    EXPECT_THAT(ok.opened, testing::Contains("audio 192.168.77.2:4100=203.0.113.1:10002 "
                                             "203.0.113.10:7100"));
}

TEST(Update, OfTheRemoteSideMovesTheRemoteEndpoint) {
    Gateway gateway;
    const auto line = gateway.line();
    establish(line);
    const auto update = line.in(kBob.request("UPDATE", 1, audio("203.0.113.20", 9000)));
    EXPECT_THAT(update.opened,
                ElementsAre(kRtp + "203.0.113.20:9000", kRtcp + "203.0.113.20:9001"));
    EXPECT_THAT(update.closed, IsEmpty());
    const auto ok = line.out(answer(update.text, 200, "", audio("192.168.77.2", 4000)));
    EXPECT_THAT(ok.opened, IsEmpty());
    EXPECT_THAT(ok.closed, ElementsAre(kRtp + "203.0.113.10:7000", kRtcp + "203.0.113.10:7001"));
}

TEST(Mux, TheAnswerFreesTheSecondPort) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite =
        line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000, "a=rtcp-mux\n")));
    const auto ok =
        line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000, "a=rtcp-mux\n")));
    EXPECT_THAT(ok.opened, ElementsAre(kRtp + "203.0.113.10:7000"));
    // Another fork may still answer without it; then it is free.
    EXPECT_THAT(ok.closed, IsEmpty());
    EXPECT_THAT(show(gateway.wait(32s).close), ElementsAre(kRtcp + "any"));
}

TEST(Mux, AnAnswerWithoutItKeepsBoth) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite =
        line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000, "a=rtcp-mux\n")));
    const auto ok = line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(ok.opened, ElementsAre(kRtp + "203.0.113.10:7000", kRtcp + "203.0.113.10:7001"));
    EXPECT_THAT(ok.closed, IsEmpty());
}

TEST(RemoteEndpoints, MayBeOnAnotherHostThanTheSignalling) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    const auto ok = line.in(answer(
        invite.text, 200, "b", audio("198.51.100.30", 7000, "a=rtcp:7009 IN IP4 198.51.100.31\n")));
    EXPECT_THAT(ok.opened, ElementsAre(kRtp + "198.51.100.30:7000", kRtcp + "198.51.100.31:7009"));
}

// An answer from outside names any destination it likes: these get no hole.
TEST(RemoteEndpoints, OfWhichNoneMayBeReached) {
    for (const auto* host :
         {"127.0.0.1", "169.254.1.1", "224.0.0.1", "239.1.2.3", "255.255.255.255", "0.0.0.0",
          "203.0.113.1", "192.168.77.2", "192.168.77.3", "10.1.2.3", "172.16.0.1", "100.64.0.1"}) {
        Gateway gateway;
        const auto line = gateway.line();
        const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
        const auto sent = answer(invite.text, 200, "b", audio(host, 7000));
        const auto ok = line.in(sent);
        EXPECT_THAT(ok.opened, IsEmpty()) << host;
        EXPECT_THAT(ok.closed, IsEmpty()) << host;
        EXPECT_EQ(ok.text.substr(ok.text.find("\r\n\r\n")), sent.substr(sent.find("\r\n\r\n")));
    }
}

TEST(RemoteEndpoints, UnderPort1024OrRejectedGetNoHole) {
    for (const int port : {0, 9, 1023}) {
        Gateway gateway;
        const auto line = gateway.line();
        const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
        const auto ok =
            line.in(answer(invite.text, 200, "b", audio("203.0.113.10", port, "a=rtcp:1023\n")));
        EXPECT_THAT(ok.opened, IsEmpty()) << port;
    }
}

TEST(RemoteEndpoints, APrivateOneIsFineIfItIsTheSignallingPeers) {
    Gateway gateway;
    const auto line = gateway.line("192.168.77.2:5060", "172.20.0.2:1024", "172.20.0.9:5060");
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 20000)));
    const auto ok = line.in(answer(invite.text, 200, "b", audio("172.20.0.9", 7000)));
    EXPECT_EQ(ok.opened.size(), 2U);
    const auto other = line.in(answer(invite.text, 200, "c", audio("172.20.0.8", 7000)));
    EXPECT_THAT(other.opened, IsEmpty());
}

TEST(RemoteEndpoints, OfAnotherFamilyGetNoHole) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    auto body = audio("203.0.113.10", 7000);
    body.replace(body.find("c=IN IP4 203.0.113.10"), 21, "c=IN IP6 2001:db8::99");
    EXPECT_THAT(line.in(answer(invite.text, 200, "b", body)).opened, IsEmpty());
}

TEST(WithoutNat, BothSidesAreExpected) {
    Gateway gateway;
    const auto line = gateway.line("198.51.100.2:5060", "198.51.100.2:5060");
    auto alice = kAlice;
    alice.host = "198.51.100.2:5060";
    const auto invite = line.out(alice.request("INVITE", 1, audio("198.51.100.2", 4000)));
    const auto ok = line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_EQ(ok.decision.edits.size(), 0U);
    EXPECT_THAT(ok.opened, testing::IsSupersetOf(
                               {"audio 198.51.100.2:4000=198.51.100.2:4000 203.0.113.10:7000",
                                "audio 203.0.113.10:7000=203.0.113.10:7000 any",
                                "audio 203.0.113.10:7000=203.0.113.10:7000 "
                                "198.51.100.2:4000"}));
    for (const auto& hole : ok.decision.open)
        EXPECT_FALSE(to_expectation(hole).translates);
}

TEST(FirstPacket, AsksForItsEntryOnlyWhenItOpensSomething) {
    Gateway gateway;
    auto line = gateway.line();
    line.standing = FlowStanding::first;
    EXPECT_FALSE(line.out(kAlice.request("REGISTER", 1)).decision.entry);
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    ASSERT_TRUE(invite.decision.entry);
    EXPECT_EQ(*invite.decision.entry, (EntryRequest{line.flow, false}));

    line.standing = FlowStanding::unhelped;
    const auto other =
        line.out(kAlice.with_call_id("call-2").request("INVITE", 1, audio("192.168.77.2", 4100)));
    ASSERT_TRUE(other.decision.entry);
    EXPECT_TRUE(other.decision.entry->replaces);
    line.standing = FlowStanding::helped;
    EXPECT_FALSE(
        line.out(kAlice.with_call_id("call-3").request("INVITE", 1, audio("192.168.77.2", 4200)))
            .decision.entry);
}

TEST(Holes, TheCapabilitiesInAFailureOpenNothing) {
    Gateway gateway;
    const auto line = gateway.line();
    establish(line);
    const auto invite = line.in(kBob.request("INVITE", 1, audio("203.0.113.10", 7000)));
    const auto refused = line.out(answer(invite.text, 488, "a", audio("192.168.77.2", 4100)));
    EXPECT_THAT(refused.opened, testing::IsEmpty());
    EXPECT_EQ(refused.decision.reason, Reason::rewritten);
    EXPECT_THAT(refused.text, testing::Not(testing::HasSubstr("IN IP4 192.168.77.2")));
}

}  // namespace
}  // namespace sipnat
