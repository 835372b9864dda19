// A PBX on the gateway itself: what is expected for it, and which of its flows last.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/gateway_flows.h"
#include "lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::optional<std::chrono::seconds> kPlainUdp;  // what the table or the kernel gives
const std::optional<std::chrono::seconds> kLasting = 3600s;

const Talker kPbx{.uri = "sip:pbx@203.0.113.1",
                  .host = "203.0.113.1:5060",
                  .peer_uri = "sip:bob@203.0.113.10",
                  .target = "sip:bob@203.0.113.10",
                  .tag = "a",
                  .peer_tag = "",
                  .call_id = "call-1"};
/// Who calls the PBX, or scans it.
const Talker kStranger{.uri = "sip:bob@203.0.113.10",
                       .host = "203.0.113.10:5060",
                       .peer_uri = "sip:pbx@203.0.113.1",
                       .target = "sip:pbx@203.0.113.1",
                       .tag = "a",
                       .peer_tag = "",
                       .call_id = "call-1"};

std::string pbx_media() {
    return audio("203.0.113.1", 20000);
}
std::string provider_media() {
    return audio("203.0.113.10", 7000);
}

class GatewayPbx : public testing::Test {
  protected:
    Gateway gateway;
    Line opened = gateway.own();
    Line received = gateway.own(FlowDirection::reply);

    void restart() {
        Engine restarted{Settings{}};
        restarted.restore(gateway.engine.save());
        gateway.engine = std::move(restarted);
    }
};

TEST_F(GatewayPbx, ItsMediaIsExpectedAndNothingIsRewritten) {
    const auto invite = opened.out(kPbx.request("INVITE", 1, pbx_media()));
    EXPECT_THAT(invite.decision.edits, IsEmpty());
    EXPECT_THAT(invite.opened, ElementsAre("audio 203.0.113.1:20000=203.0.113.1:20000 any",
                                           "audio 203.0.113.1:20001=203.0.113.1:20001 any"));
    EXPECT_FALSE(to_expectation(invite.decision.open.front()).translates);
    const auto ok = opened.in(answer(invite.text, 200, "b", provider_media()));
    EXPECT_THAT(ok.decision.edits, IsEmpty());
    EXPECT_THAT(ok.opened,
                ElementsAre("audio 203.0.113.1:20000=203.0.113.1:20000 203.0.113.10:7000",
                            "audio 203.0.113.1:20001=203.0.113.1:20001 203.0.113.10:7001"))
        << "nothing for the provider, who needs no way in";
    const auto bye = opened.out(kPbx.with_peer_tag("b").request("BYE", 2));
    EXPECT_THAT(opened.in(answer(bye.text, 200)).closed, testing::SizeIs(4));
}

TEST_F(GatewayPbx, ACallToItOpensWithItsAnswer) {
    const auto invite = received.in(kStranger.request("INVITE", 1, provider_media()));
    EXPECT_THAT(invite.opened, IsEmpty()) << "what a stranger describes opens nothing by itself";
    const auto ok = received.out(answer(invite.text, 200, "p", pbx_media()));
    EXPECT_THAT(ok.opened,
                ElementsAre("audio 203.0.113.1:20000=203.0.113.1:20000 any",
                            "audio 203.0.113.1:20000=203.0.113.1:20000 203.0.113.10:7000",
                            "audio 203.0.113.1:20001=203.0.113.1:20001 any",
                            "audio 203.0.113.1:20001=203.0.113.1:20001 203.0.113.10:7001"));
}

TEST_F(GatewayPbx, APortThatMasqueradingChangedIsRewrittenAndItsMediaKept) {
    const auto line = gateway.own(FlowDirection::original, "203.0.113.1:5060", "203.0.113.10:5060",
                                  "203.0.113.1:1024");
    const auto invite = line.out(kPbx.request("INVITE", 1, pbx_media()));
    EXPECT_EQ(header_line(invite.text, "Contact"), "Contact: <sip:a@203.0.113.1:1024>");
    EXPECT_NE(invite.text.find("m=audio 20000 "), std::string::npos) << "media is not masqueraded";
    EXPECT_THAT(invite.opened, ElementsAre("audio 203.0.113.1:20000=203.0.113.1:20000 any",
                                           "audio 203.0.113.1:20001=203.0.113.1:20001 any"));
}

TEST_F(GatewayPbx, ThatSendsFromItsInsideAddressIsTranslatedLikeAPhone) {
    const auto line = gateway.own(FlowDirection::original, "192.168.77.1:5060", "203.0.113.10:5060",
                                  "203.0.113.1:5060");
    const auto invite = line.out(kPbx.request("INVITE", 1, audio("192.168.77.1", 20000)));
    EXPECT_THAT(invite.opened, ElementsAre("audio 192.168.77.1:20000=203.0.113.1:20000 any",
                                           "audio 192.168.77.1:20001=203.0.113.1:20001 any"));
}

TEST_F(GatewayPbx, AnInsideAddressThatLeavesUntranslatedIsLeftAsItIs) {
    const auto invite = opened.out(kPbx.request("INVITE", 1, audio("192.168.77.1", 20000)));
    EXPECT_THAT(invite.decision.edits, IsEmpty());
    EXPECT_THAT(invite.opened, IsEmpty());
}

// --- what lasts ---------------------------------------------------------------------------------

TEST_F(GatewayPbx, AScanNeverLasts) {
    const auto options = received.in(kStranger.request("OPTIONS", 1));
    EXPECT_EQ(options.decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(received.out(answer(options.text, 200, "p")).decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(received.in("\r\n\r\n").decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(received.in("OPTIONS nonsense").decision.flow_timeout, kPlainUdp);
    // It offers media, and is refused.
    const auto invite = received.in(kStranger.request("INVITE", 2, provider_media()));
    EXPECT_EQ(invite.decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(received.out(answer(invite.text, 401, "p")).decision.flow_timeout, kPlainUdp);
}

TEST_F(GatewayPbx, AnUnansweredOfferDoesNotLastAfterARestartEither) {
    (void)received.in(kStranger.request("INVITE", 1, provider_media()));
    restart();
    EXPECT_EQ(received.in("\r\n\r\n").decision.flow_timeout, kPlainUdp);
}

TEST_F(GatewayPbx, AnAnswerToAnotherPortDoesNotLastWhateverComesBack) {
    const auto options = kStranger.request("OPTIONS", 1);
    EXPECT_EQ(opened.out(answer(options, 404, "p")).decision.flow_timeout, kPlainUdp);
    for (const std::string_view text : {"x", "\r\n\r\n", "OPTIONS nonsense"}) {
        EXPECT_EQ(opened.in(text).decision.flow_timeout, kPlainUdp) << text;
    }
    EXPECT_EQ(opened.in(options).decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(opened.in(answer(options, 200, "s")).decision.flow_timeout, kPlainUdp);
    const auto never_sent = kPbx.request("REGISTER", 1);
    EXPECT_EQ(opened.in(answer(never_sent, 200, "s")).decision.flow_timeout, kPlainUdp);
}

TEST_F(GatewayPbx, ItsOwnRegistrationLastsOnceItIsAccepted) {
    const auto first = opened.out(kPbx.request("REGISTER", 1));
    EXPECT_EQ(first.decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(opened.in(answer(first.text, 100)).decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(opened.in(answer(first.text, 401, "r")).decision.flow_timeout, kPlainUdp);
    const auto second = opened.out(kPbx.request("REGISTER", 2));
    EXPECT_EQ(second.decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(opened.in(answer(second.text, 200, "r")).decision.flow_timeout, kLasting);
    EXPECT_EQ(opened.out("\r\n\r\n").decision.flow_timeout, kLasting)
        << "each packet sets the entry's timeout anew";
    EXPECT_EQ(opened.in(kStranger.request("OPTIONS", 1)).decision.flow_timeout, kLasting);
}

TEST_F(GatewayPbx, SeveralAccountsRegisterAtOnce) {
    const auto one = opened.out(kPbx.with_call_id("one").request("REGISTER", 1));
    const auto other = opened.out(kPbx.with_call_id("other").request("REGISTER", 1));
    EXPECT_EQ(opened.in(answer(one.text, 200, "r")).decision.flow_timeout, kLasting);
    EXPECT_EQ(opened.in(answer(other.text, 403, "r")).decision.flow_timeout, kLasting);
}

TEST_F(GatewayPbx, ARegistrationOnAFlowThatItsPeerOpenedLastsToo) {
    const auto request = received.out(kPbx.request("REGISTER", 1));
    EXPECT_EQ(received.in(answer(request.text, 200, "r")).decision.flow_timeout, kLasting);
}

TEST_F(GatewayPbx, OnlyMessagesOfTheVeryFlowMakeARegistration) {
    const auto request = opened.out(kPbx.request("REGISTER", 1));
    const auto elsewhere =
        gateway.own(FlowDirection::original, "203.0.113.1:5060", "203.0.113.10:5083");
    EXPECT_EQ(elsewhere.in(answer(request.text, 200, "s")).decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(received.in(answer(request.text, 200, "s")).decision.flow_timeout, kPlainUdp);
    const auto another = kPbx.request("REGISTER", 9);
    EXPECT_EQ(opened.in(answer(another, 200, "s")).decision.flow_timeout, kPlainUdp)
        << "an answer to a request that was not sent";
}

TEST_F(GatewayPbx, APhonesRegistrationAtItDoesNotLast) {
    const auto request = received.in(kStranger.request("REGISTER", 1));
    EXPECT_EQ(received.out(answer(request.text, 200, "p")).decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(received.in(answer(request.text, 200, "p")).decision.flow_timeout, kPlainUdp)
        << "nor when it answers itself";
}

TEST_F(GatewayPbx, ARegistrationLastsAgainWithItsNextAnswerAfterARestart) {
    (void)opened.in(answer(opened.out(kPbx.request("REGISTER", 1)).text, 200, "r"));
    restart();
    const auto again = opened.out(kPbx.request("REGISTER", 2));
    EXPECT_EQ(again.decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(opened.in(answer(again.text, 200, "r")).decision.flow_timeout, kLasting);
}

TEST_F(GatewayPbx, RegistersThatWaitForAnAnswerAreBounded) {
    const auto first = opened.out(kPbx.request("REGISTER", 1));
    const auto second = opened.out(kPbx.request("REGISTER", 2));
    const int most = GatewayFlows::kMostRegisters;
    for (int n = 3; n < most + 2; ++n)
        (void)opened.out(kPbx.request("REGISTER", n));
    EXPECT_EQ(opened.in(answer(first.text, 200, "r")).decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(opened.in(answer(second.text, 200, "r")).decision.flow_timeout, kLasting);
}

/// Each from its own port, and over to the next address where those end.
Line nth_provider(Gateway& gateway, int n) {
    return gateway.own(
        FlowDirection::original, "203.0.113.1:5060",
        "198.51.100." + std::to_string(n / 1000 + 1) + ":" + std::to_string(n % 1000 + 1024));
}

TEST_F(GatewayPbx, RegisteredFlowsAreBounded) {
    const int most = GatewayFlows::kMostFlows;
    for (int n = 0; n <= most; ++n) {
        const auto line = nth_provider(gateway, n);
        (void)line.in(answer(line.out(kPbx.request("REGISTER", 1)).text, 200, "r"));
    }
    EXPECT_EQ(nth_provider(gateway, 0).in("\r\n\r\n").decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(nth_provider(gateway, 1).in("\r\n\r\n").decision.flow_timeout, kLasting);
}

TEST_F(GatewayPbx, AFlowThatMediaHangsOnLasts) {
    const auto invite = received.in(kStranger.request("INVITE", 1, provider_media()));
    const auto ok = received.out(answer(invite.text, 200, "p", pbx_media()));
    EXPECT_EQ(ok.decision.flow_timeout, kLasting);
    EXPECT_EQ(received.in("\r\n\r\n").decision.flow_timeout, kLasting)
        << "each packet sets the entry's timeout anew";
    restart();
    EXPECT_EQ(received.in("\r\n\r\n").decision.flow_timeout, kLasting) << "after a restart too";
}

TEST_F(GatewayPbx, ForwardedFlowsLastAsEver) {
    const auto line = gateway.line();
    EXPECT_EQ(line.out(kAlice.request("REGISTER", 1)).decision.flow_timeout, kLasting);
    EXPECT_EQ(line.out("\r\n\r\n").decision.flow_timeout, kLasting);
}

}  // namespace
}  // namespace sipnat
