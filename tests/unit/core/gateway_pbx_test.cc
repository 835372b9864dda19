// A PBX on the gateway itself: what is expected for it, and which of its flows last.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

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

TEST_F(GatewayPbx, AnAnswerToAnotherPortDoesNotLastEither) {
    const auto options = kStranger.request("OPTIONS", 1);
    EXPECT_EQ(opened.out(answer(options, 404, "p")).decision.flow_timeout, kPlainUdp);
}

TEST_F(GatewayPbx, ItsOwnRegistrationLastsOnceItIsAnswered) {
    const auto request = opened.out(kPbx.request("REGISTER", 1));
    EXPECT_EQ(request.decision.flow_timeout, kPlainUdp);
    EXPECT_EQ(opened.in(answer(request.text, 200, "r")).decision.flow_timeout, kLasting);
}

TEST_F(GatewayPbx, AFlowThatMediaHangsOnLasts) {
    const auto invite = received.in(kStranger.request("INVITE", 1, provider_media()));
    const auto ok = received.out(answer(invite.text, 200, "p", pbx_media()));
    EXPECT_EQ(ok.decision.flow_timeout, kLasting);
    EXPECT_EQ(received.in("\r\n\r\n").decision.flow_timeout, kLasting)
        << "each packet sets the entry's timeout anew";
    Engine restarted{Settings{}};
    restarted.restore(gateway.engine.save());
    gateway.engine = std::move(restarted);
    EXPECT_EQ(received.in("\r\n\r\n").decision.flow_timeout, kLasting) << "after a restart too";
}

TEST_F(GatewayPbx, ForwardedFlowsLastAsEver) {
    const auto line = gateway.line();
    EXPECT_EQ(line.out(kAlice.request("REGISTER", 1)).decision.flow_timeout, kLasting);
    EXPECT_EQ(line.out("\r\n\r\n").decision.flow_timeout, kLasting);
}

}  // namespace
}  // namespace sipnat
