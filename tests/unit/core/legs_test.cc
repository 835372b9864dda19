// One INVITE transaction is one call: proxies that fork to the same host or try it again, strangers
// who answer what nobody asked, and hosts that call themselves through the gateway.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "lab.h"

namespace sipnat {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

/// The same request over another way through the proxy: only the branch of its Via differs.
std::string forked(std::string text) {
    const auto at = text.find("z9hG4bK");
    return text.insert(at + 7, "fork");
}

/// Bob calls Alice: what his proxy sends to her.
std::string inbound_invite() {
    auto caller = kBob;
    caller.peer_tag.clear();
    return caller.request("INVITE", 1, audio("203.0.113.10", 7000));
}

class Legs : public testing::Test {
  protected:
    Gateway gateway;
    Line line = gateway.line();
};

TEST_F(Legs, AProxyThatTriesTheHostAgainAfterBusyHasANewCall) {
    const auto first = line.in(inbound_invite());
    (void)line.out(answer(first.text, 486, "x"));
    const auto second = line.in(forked(inbound_invite()));
    const auto ok = line.out(answer(second.text, 200, "y", audio("192.168.77.2", 4000)));
    EXPECT_THAT(ok.opened, SizeIs(4));
    EXPECT_NE(ok.text.find("m=audio 10000 "), std::string::npos);
}

TEST_F(Legs, APhoneThatAnswersBothWaysAlikeHasOneDialogWithOneEnd) {
    for (const auto& text : {inbound_invite(), forked(inbound_invite())}) {
        const auto invite = line.in(text);
        (void)line.out(answer(invite.text, 200, "y", audio("192.168.77.2", 4000)));
    }
    auto alice = kAlice.with_peer_tag("b");
    alice.tag = "y";
    const auto bye = line.out(alice.request("BYE", 2));
    const auto over = answer(bye.text, 200);
    EXPECT_THAT(line.in(over).closed, SizeIs(4));
    EXPECT_THAT(line.in(over).closed, IsEmpty());
    EXPECT_EQ(gateway.engine.calls(), 0U);
}

TEST_F(Legs, APhoneThatTriesAnotherWayAfterAFailureHasANewCall) {
    const auto text = kAlice.request("INVITE", 1, audio("192.168.77.2", 4000));
    const auto first = line.out(text);
    EXPECT_THAT(line.in(answer(first.text, 503, "x")).closed, SizeIs(2));
    EXPECT_THAT(line.out(forked(text)).opened, SizeIs(2));
}

TEST_F(Legs, OneLinesBusyLeavesTheOtherLinesMedia) {
    const auto first = line.in(inbound_invite());
    const auto second = line.in(forked(inbound_invite()));
    const auto early = line.out(answer(second.text, 183, "y", audio("192.168.77.2", 4000)));
    EXPECT_THAT(early.opened, SizeIs(4));
    EXPECT_THAT(line.out(answer(first.text, 486, "x")).closed, IsEmpty());
    const auto ok = line.out(answer(second.text, 200, "y", audio("192.168.77.2", 4000)));
    EXPECT_THAT(ok.closed, IsEmpty());
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST_F(Legs, CancelIsForTheTransactionOfItsBranch) {
    const auto first = line.in(inbound_invite());
    const auto second = line.in(forked(inbound_invite()));
    (void)line.out(answer(second.text, 183, "y", audio("192.168.77.2", 4000)));
    auto cancel = inbound_invite();
    cancel = crlf("CANCEL" + cancel.substr(6));
    for (auto at = cancel.find("1 INVITE"); at != std::string::npos; at = cancel.find("1 INVITE")) {
        cancel.replace(at, 8, "1 CANCEL");
    }
    (void)line.in(cancel);
    EXPECT_THAT(line.out(answer(first.text, 487, "x")).closed, IsEmpty());
    EXPECT_THAT(gateway.wait(33s).close, IsEmpty());
}

TEST_F(Legs, AResponseThatNobodyAskedForBeginsNothing) {
    const auto invite = kAlice.request("INVITE", 1, audio("192.168.77.2", 4000));
    const auto unasked = line.in(answer(invite, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(unasked.opened, IsEmpty());
    EXPECT_EQ(gateway.engine.calls(), 0U);
}

TEST_F(Legs, ARequestWithinAnUnknownDialogFromOutsideBeginsNothing) {
    const auto update = line.in(kBob.request("INVITE", 2, audio("203.0.113.10", 7000)));
    EXPECT_THAT(update.opened, IsEmpty());
    EXPECT_EQ(gateway.engine.calls(), 0U);
}

TEST_F(Legs, ARefusedMessageOfAnUnknownDialogIsOneCallHoweverOftenItComes) {
    gateway.kernel = [](const Decision&) {
        return KernelAnswer{KernelAnswer::Kind::refused, {}, "no"};
    };
    const auto text = kAlice.with_peer_tag("b").request("UPDATE", 2, audio("192.168.77.2", 4000));
    for (int time = 0; time < 3; ++time) {
        EXPECT_EQ(line.out(text).decision.reason, Reason::media_refused);
        EXPECT_EQ(gateway.engine.calls(), 1U);
    }
}

TEST_F(Legs, RingingLastsAsLongAsSomebodySaysSo) {
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    for (int minute = 0; minute < 20; ++minute) {
        (void)line.in(answer(invite.text, 180, "b"));
        EXPECT_THAT(gateway.wait(60s).close, IsEmpty()) << "minute " << minute;
    }
    EXPECT_THAT(gateway.wait(601s).close, SizeIs(2));
}

/// Through a port forward and masquerade: both sides of the flow are one inside host.
TEST(SelfCall, IsOneCallAndSurvivesARefusal) {
    Gateway gateway;
    const Line line{&gateway,
                    {{endpoint("192.168.77.2:5060"), endpoint("203.0.113.1:5060"), Transport::udp},
                     {endpoint("192.168.77.2:5060"), endpoint("203.0.113.1:1024"), Transport::udp}},
                    FlowDirection::original};
    gateway.kernel = [](const Decision&) {
        return KernelAnswer{KernelAnswer::Kind::refused, {}, "no"};
    };
    auto self = kAlice;
    self.tag.clear();
    const auto refused = line.out(self.request("INVITE", 1, audio("192.168.77.2", 4000)));
    EXPECT_EQ(refused.decision.reason, Reason::media_refused);
    EXPECT_TRUE(gateway.engine.media().mappings().empty());
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST(OwnSdp, WithoutAConnectionHasNoStreamWhateverItsRtcpLineNames) {
    Gateway gateway;
    const auto invite = gateway.line().out(
        kAlice.request("INVITE", 1,
                       crlf("v=0\no=- 1 1 IN IP4 192.168.77.2\ns=-\nt=0 0\nm=audio 4000 RTP/AVP 0\n"
                            "a=rtcp:4001 IN IP4 192.168.77.2\n")));
    EXPECT_THAT(invite.opened, IsEmpty());
    EXPECT_EQ(invite.text.find("192.168.77.2"), std::string::npos);
}

TEST(Names, OfMoreThan512BytesAreDroppedWhereMalformedMessagesAre) {
    auto settings = lab_settings();
    settings.on_malformed = OnMalformed::drop;
    Gateway gateway(settings);
    const auto text = kAlice.with_call_id(std::string(513, 'x')).request("OPTIONS", 1);
    EXPECT_EQ(gateway.line().out(text).decision.verdict, Verdict::drop);
}

TEST(Names, OfMoreThan512BytesAreNotRemembered) {
    for (const bool long_tag : {true, false}) {
        Gateway gateway;
        auto talker = kAlice;
        (long_tag ? talker.tag : talker.call_id) = std::string(513, 'x');
        const auto text = talker.request("INVITE", 1, audio("192.168.77.2", 4000));
        const auto invite = gateway.line().out(text);
        EXPECT_EQ(invite.decision.reason, Reason::malformed);
        EXPECT_EQ(invite.text, text);
        EXPECT_EQ(gateway.engine.calls(), 0U);
    }
}

TEST(SecondOpinionValues, AreTheSameWithBlanksAndLeadingZeros) {
    for (const auto& [what, replacement] :
         {std::pair{"CSeq: 1 INVITE", "CSeq: 0001 INVITE"},
          std::pair{"c=IN IP4 192.168.77.2", "c=IN IP4 192.168.77.2 "},
          std::pair{";tag=a", ";tag=\"a\""}}) {
        Gateway gateway;
        auto text = kAlice.request("INVITE", 1, audio("192.168.77.2", 4000));
        text.replace(text.find(what), std::string(what).size(), replacement);
        const auto length = text.size() - text.find("\r\n\r\n") - 4;
        const auto at = text.find("Content-Length: ");
        text.replace(at, text.find("\r\n", at) - at, "Content-Length: " + std::to_string(length));
        const auto invite = gateway.line().out(text);
        EXPECT_EQ(invite.decision.reason, Reason::rewritten) << replacement;
        EXPECT_THAT(invite.opened, SizeIs(2)) << replacement;
    }
}

}  // namespace
}  // namespace sipnat
