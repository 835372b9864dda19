// A message that two parsers read differently opens nothing.
#include "core/second_opinion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "lab.h"

namespace sipnat {
namespace {

using testing::IsEmpty;

std::string with_line(std::string_view line, std::string_view body = audio("192.168.77.2", 4000)) {
    auto text = kAlice.request("INVITE", 1, body);
    return text.insert(text.find("Max-Forwards"), std::string(line) + "\r\n");
}

TEST(SecondOpinion, AMessageMadeToSplitTheParsersOpensNothing) {
    struct Case {
        const char* what;
        std::string text;
    };
    // libosip2 takes a bare CR for a line end; ours takes CRLF and LF.
    for (const auto& [what, text] : {
             Case{"a Contact behind a bare CR",
                  with_line("Subject: x\rContact: <sip:evil@192.168.77.9>")},
             Case{"a stream behind a bare CR",
                  kAlice.request("INVITE", 1,
                                 audio("192.168.77.2", 4000, "a=x\rm=audio 5000 RTP/AVP 0\n"))},
             Case{"an address behind a bare CR",
                  kAlice.request("INVITE", 1,
                                 audio("192.168.77.2", 4000, "i=x\rc=IN IP4 192.168.77.9\n"))},
             {"a second Call-ID behind a bare CR, at which libosip2 refuses all of it",
              with_line("Subject: x\rCall-ID: another")},
             {"a line behind a bare CR whose order libosip2 refuses",
              kAlice.request("INVITE", 1,
                             audio("192.168.77.2", 4000, "a=x\rc=IN IP4 192.168.77.9\n"))},
         }) {
        Gateway gateway;
        const auto invite = gateway.line().out(text);
        EXPECT_EQ(invite.decision.reason, Reason::second_opinion) << what;
        EXPECT_EQ(invite.decision.verdict, Verdict::accept) << what;
        EXPECT_FALSE(invite.decision.detail.empty()) << what;
        EXPECT_EQ(invite.text, text) << what;
        EXPECT_THAT(invite.opened, IsEmpty()) << what;
        EXPECT_EQ(gateway.engine.calls(), 0U) << what;
        EXPECT_TRUE(gateway.engine.media().mappings().empty()) << what;
        EXPECT_EQ(gateway.count(Reason::second_opinion), 1U);
    }
}

TEST(SecondOpinion, ALaterMessageLikeThatChangesNothingThatHolds) {
    Gateway gateway;
    const auto line = gateway.line();
    establish(line);
    const auto trick = line.in(
        kBob.request("INVITE", 1, audio("203.0.113.20", 9000, "i=x\rc=IN IP4 203.0.113.66\n")));
    EXPECT_EQ(trick.decision.reason, Reason::second_opinion);
    EXPECT_THAT(trick.opened, IsEmpty());
    EXPECT_THAT(trick.closed, IsEmpty());
    const auto bye = line.out(kAlice.with_peer_tag("b").request("BYE", 2));
    EXPECT_EQ(line.in(answer(bye.text, 200)).closed.size(), 4U);
}

TEST(SecondOpinion, AMerelyStricterParserHasNoSay) {
    struct Case {
        const char* what;
        std::string body;
    };
    constexpr const char* kOrigin = "v=0\no=- 1 1 IN IP4 192.168.77.2\n";
    for (const auto& [what, body] : {
             Case{"c= after t=", std::string(kOrigin) +
                                     "s=-\nt=0 0\nc=IN IP4 192.168.77.2\nm=audio 4000 RTP/AVP 0\n"},
             Case{"no t=",
                  std::string(kOrigin) + "s=-\nc=IN IP4 192.168.77.2\nm=audio 4000 RTP/AVP 0\n"},
         }) {
        Gateway gateway;
        const auto invite = gateway.line().out(kAlice.request("INVITE", 1, crlf(body)));
        EXPECT_EQ(invite.decision.reason, Reason::rewritten) << what;
        EXPECT_EQ(invite.opened.size(), 2U) << what;
        EXPECT_EQ(gateway.engine.counters().stricter_sdp, 1U) << what;
        EXPECT_EQ(gateway.engine.counters().stricter_message, 0U) << what;
    }
}

TEST(SecondOpinion, IsAskedOnlyWhenSomethingOpens) {
    Gateway gateway;
    const auto line = gateway.line();
    auto text = kAlice.request("OPTIONS", 1);
    text.insert(text.find("Max-Forwards"), "Subject: x\rContact: <sip:evil@192.168.77.9>\r\n");
    EXPECT_EQ(line.out(text).decision.reason, Reason::rewritten);
}

// libosip2 would take a second over 64 kB of these.
TEST(SecondOpinion, IsNotAskedAboutEndlessLists) {
    const auto repeated = [](std::string_view piece, int times) {
        std::string text;
        for (int i = 0; i < times; ++i)
            text += piece;
        return text;
    };
    const auto body = [](const std::string& more) { return audio("192.168.77.2", 4000, more); };
    for (const int times : {1500, 2100}) {
        for (const auto& text : {
                 with_line("Allow: INVITE" + repeated(",A", times)),
                 with_line("Accept: text/plain" + repeated(";a=b", times)),
                 with_line("X: <sip:a@b?a=b" + repeated("&a=b", times) + ">"),
                 kAlice.request("INVITE", 1, body(repeated("a=b\n", times))),
                 kAlice.request("INVITE", 1,
                                body("m=video 0 RTP/AVP" + repeated(" 96", times) + "\n")),
             }) {
            Gateway gateway;
            const auto invite = gateway.line().out(text);
            const bool asked = times == 1500;
            EXPECT_EQ(invite.decision.reason, asked ? Reason::rewritten : Reason::second_opinion);
            EXPECT_EQ(invite.opened.size(), asked ? 2U : 0U);
        }
    }
}

TEST(SecondOpinion, TwoParsersAgreeOnOrdinaryMessages) {
    const auto agree = [](const std::string& text) {
        const ExactText exact(text);
        const auto message = sip::Message::parse(exact.view()).value();
        const auto session = sdp::parse(exact.view(), message.body()).value();
        const auto opinion = second_opinion(message, {&session, 1});
        EXPECT_FALSE(opinion.message_refused);
        EXPECT_FALSE(opinion.sdp_refused);
        EXPECT_EQ(opinion.difference.value_or(""), "");
    };
    agree(with_line("X: y"));
    agree(with_line("m: \"A, <b>\" <sip:a@192.168.77.2:5062;ob>;expires=60"));
    agree(with_line("X: folded\r\n here"));
    agree(with_line("X: y",
                    audio("192.168.77.2", 4000,
                          "c=IN IP4 192.168.77.3\na=rtcp:9000\nm=video 4002/2 RTP/AVP 96\n")));
    agree(kAlice.with_peer_tag("b").with_call_id("a-b_c%d").request("ACK", 77,
                                                                    audio("192.168.77.2", 4)));
}

TEST(SecondOpinion, NamesTheFieldThatDiffers) {
    const auto text = with_line("Subject: x\rContact: <sip:evil@192.168.77.9>");
    const auto message = sip::Message::parse(text).value();
    const auto opinion = second_opinion(message, {});
    ASSERT_TRUE(opinion.difference);
    EXPECT_THAT(*opinion.difference, testing::StartsWith("Contact host"));
}

}  // namespace
}  // namespace sipnat
