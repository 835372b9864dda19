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

/// An ordinary INVITE in which `now` stands for `old`; its length is that of its body, unless that is
/// what was changed.
std::string changed(std::string_view old, std::string_view now,
                    std::string_view body = audio("192.168.77.2", 4000)) {
    const auto whole = kAlice.request("INVITE", 1, body);
    auto text = whole;
    const auto at = text.find(old);
    EXPECT_NE(at, std::string::npos) << old;
    text.replace(at, old.size(), now);
    const auto begin = text.find("\r\n\r\n") + 4;
    if (at < begin - 4) return text;
    const auto length = text.find("Content-Length: ") + 16;
    return text.replace(length, text.find("\r\n", length) - length,
                        std::to_string(text.size() - begin));
}

std::string multipart(const std::string& body, const std::string& type) {
    auto text = kAlice.request("INVITE", 1, body);
    return text.replace(text.find("application/sdp"), 15, type);
}
std::string sdp_part(int port) {
    return "--b\r\nContent-Type: application/sdp\r\n\r\n" + audio("192.168.77.2", port) + "\r\n";
}
const std::string kMixed = "multipart/mixed;boundary=b";

struct Case {
    const char* what;
    std::string text;
};

TEST(SecondOpinion, AMessageMadeToSplitTheParsersOpensNothing) {
    // libosip2 takes a bare CR for a line end; ours takes CRLF and LF.
    for (const auto& [what, text] : {
             Case{"a Contact behind a bare CR",
                  with_line("Subject: x\rContact: <sip:evil@192.168.77.9>")},
             {"a second Call-ID behind a bare CR, at which libosip2 refuses all of it",
              with_line("Subject: x\rCall-ID: another")},
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

// What two readers may take differently is malformed for us already: nobody has to be asked.
TEST(SplitMessages, OfWhichTheHeadersCantBeTrustedPassAsTheyAre) {
    for (const auto& [what, text] : {
             Case{"a second Call-ID, compact", with_line("i: another")},
             {"a second From", with_line("f: <sip:x@192.168.77.9>;tag=x")},
             {"a second To", with_line("t: <sip:x@192.168.77.9>;tag=x")},
             {"a second CSeq", with_line("CSeq: 2 INVITE")},
             {"a second Content-Type, before", with_line("c: text/plain")},
             {"a second Content-Type, behind",
              changed("Content-Length", "Content-Type: text/plain\r\nContent-Length")},
             {"a second Content-Length", with_line("l: 10")},
             {"a list of lengths", changed("Content-Length: ", "Content-Length: 10, ")},
             {"two lengths", changed("Content-Length: ", "Content-Length: 10 ")},
             {"a signed length", changed("Content-Length: ", "Content-Length: +")},
             {"a length that wraps", changed("Content-Length: ", "Content-Length: 4294967296")},
             {"no length", with_line("Content-Length:")},
             {"a CSeq that wraps", changed("CSeq: 1 ", "CSeq: 4294967297 ")},
             {"a CSeq below 0", changed("CSeq: 1 ", "CSeq: -1 ")},
             {"a CSeq with a word more", changed("1 INVITE", "1 INVITE BYE")},
             {"a CSeq in another case", changed("1 INVITE", "1 invite")},
             {"a NUL", with_line(std::string("Subject: x\0y", 12))},
             {"a start line that is folded", changed("SIP/2.0\r\nVia", "SIP/2.0\r\n Via")},
             {"a tab in the start line", changed("INVITE sip", "INVITE\tsip")},
             {"another version", changed("SIP/2.0\r\n", "SIP/02.00\r\n")},
             {"a header without colon", with_line("Contact <sip:x@192.168.77.9>")},
             {"a header without name", with_line(": <sip:x@192.168.77.9>")},
             {"a header name of eight bits", with_line("C\xf6ntact: <sip:x@192.168.77.9>")},
         }) {
        Gateway gateway;
        const auto invite = gateway.line().out(text);
        EXPECT_EQ(invite.decision.reason, Reason::malformed) << what;
        EXPECT_FALSE(invite.decision.detail.empty()) << what;
        EXPECT_EQ(invite.text, text) << what;
        EXPECT_THAT(invite.opened, IsEmpty()) << what;
        EXPECT_EQ(gateway.engine.calls(), 0U) << what;
        EXPECT_EQ(gateway.count(Reason::malformed), 1U) << what;
    }
}

TEST(SplitMessages, OfWhichTheSdpCantBeTrustedKeepTheirBody) {
    const auto with_more = [](const std::string& lines) {
        return kAlice.request("INVITE", 1, audio("192.168.77.2", 4000, lines));
    };
    const auto with_port = [](const std::string& port) { return changed("4000", port); };
    for (const auto& [what, text] : {
             Case{"the port 65536", with_port("65536")},
             {"a port that is 4000 in 16 bits", with_port("69536")},
             {"a port that is 4000 in 32 bits", with_port("4294971296")},
             {"a port of many zeros", with_port("00000000000000000004000")},
             {"a signed port", with_port("+4000")},
             {"a port below 0", with_port("-4000")},
             {"a port in hexadecimal", with_port("0xfa0")},
             {"a list of ports", with_port("4000,5000")},
             {"no port", with_port("")},
             {"a count of 0", with_port("4000/0")},
             {"a count that is 1 in 32 bits", with_port("4000/4294967297")},
             {"no count", with_port("4000/")},
             {"two counts", with_port("4000/2/3")},
             {"two addresses of one stream",
              with_more("c=IN IP4 192.168.77.2\nc=IN IP4 192.168.77.9\n")},
             {"two addresses of the session", changed("t=0 0", "c=IN IP4 192.168.77.9\r\nt=0 0")},
             {"two origins", with_more("o=- 1 1 IN IP4 192.168.77.9\n")},
             {"a second description", with_more("v=0\nm=audio 5000 RTP/AVP 0\n")},
             {"an empty line, and more behind it", with_more("\nm=audio 5000 RTP/AVP 0\n")},
             {"a blank before the type", with_more(" m=audio 5000 RTP/AVP 0\n")},
             {"a blank behind the type", with_more("m =audio 5000 RTP/AVP 0\n")},
             {"a NUL", with_more(std::string("a=x\0y\n", 7))},
             {"an encoding that it has not", with_line("Content-Encoding: gzip")},
             {"the same, compact", with_line("e: deflate")},
             {"a delimiter that is too long, within a part",
              multipart(sdp_part(4000) + "--bb\r\n" + sdp_part(5000).substr(5) + "--b--\r\n",
                        kMixed)},
         }) {
        Gateway gateway;
        const auto invite = gateway.line().out(text);
        EXPECT_EQ(invite.decision.reason, Reason::malformed_sdp) << what;
        EXPECT_FALSE(invite.decision.detail.empty()) << what;
        EXPECT_EQ(invite.text.substr(invite.text.find("\r\n\r\n")),
                  text.substr(text.find("\r\n\r\n")))
            << what;
        EXPECT_EQ(header_line(invite.text, "Contact"), "Contact: <sip:a@203.0.113.1:1024>") << what;
        EXPECT_THAT(invite.opened, IsEmpty()) << what;
        EXPECT_TRUE(gateway.engine.media().mappings().empty()) << what;
        EXPECT_EQ(gateway.count(Reason::malformed_sdp), 1U) << what;
    }
}

TEST(SplitMessages, WhereNoSdpIsForSureHaveNone) {
    for (const auto& [what, text] : {
             Case{"a part of two types", multipart("--b\r\nContent-Type: text/plain\r\n" +
                                                       sdp_part(4000).substr(5) + "--b--\r\n",
                                                   kMixed)},
             {"a part whose encoding hides it",
              multipart("--b\r\nContent-Transfer-Encoding: base64\r\n" + sdp_part(4000).substr(5) +
                            "--b--\r\n",
                        kMixed)},
             {"two boundaries",
              multipart(sdp_part(4000) + "--b--\r\n", "multipart/mixed;boundary=c;boundary=b")},
             {"another family than it says", changed("c=IN IP4", "c=IN IP6")},
             {"an address in octal", changed("c=IN IP4 192.168.77.2", "c=IN IP4 192.168.077.2")},
             {"an address of one number", changed("c=IN IP4 192.168.77.2", "c=IN IP4 3232255234")},
         }) {
        Gateway gateway;
        const auto invite = gateway.line().out(text);
        EXPECT_THAT(invite.opened, IsEmpty()) << what;
        EXPECT_TRUE(gateway.engine.media().mappings().empty()) << what;
        EXPECT_NE(invite.text.find("m=audio 4000"), std::string::npos) << what;
    }
}

/// They look like two things, and both parsers see the same one: exactly that is opened.
TEST(SplitMessages, ThatAreOneForBothParsersOpenThatOne) {
    for (const auto& [what, text] : {
             Case{"the same length twice",
                  with_line("l: " + std::to_string(audio("192.168.77.2", 4000).size()))},
             {"a tag in the name", changed("From: <", "From: \";tag=x\" <")},
             {"a tag in the URI", changed("alice@192.168.77.2>", "alice@192.168.77.2;tag=x>")},
             {"two tags", changed(";tag=a", ";tag=a;tag=b")},
             {"a URI in the name", changed("Contact: <", "Contact: \"<sip:x@192.168.77.9>, \" <")},
             {"an address in the user part", changed("sip:a@", "sip:a;x=192.168.77.9@")},
             {"two @", changed("sip:a@", "sip:a@192.168.77.9@")},
             {"two words in Call-ID", changed("call-1", "call-1 call-2")},
             {"a fold that is blank", with_line("Subject: x\r\n \t")},
             {"a bare LF, which ends a line for both", with_line("Subject: x\nX: y")},
             {"a vertical tab, which ends none",
              with_line("Subject: x\v\fContact: <sip:x@192.168.77.9>")},
             {"a port with a zero before it", changed("4000", "04000")},
             {"the same address twice",
              kAlice.request(
                  "INVITE", 1,
                  audio("192.168.77.2", 4000, "c=IN IP4 192.168.77.2\nc=IN IP4 192.168.77.2\n"))},
             {"a stream behind the last delimiter",
              multipart(sdp_part(4000) + "--b--\r\n" + sdp_part(5000) + "--b--\r\n", kMixed)},
             {"a stream before the first delimiter",
              multipart(sdp_part(5000).substr(5) + sdp_part(4000) + "--b--\r\n", kMixed)},
             {"another message behind the body",
              changed("Max-Forwards", "Max-Forwards") +
                  kAlice.with_call_id("2").request("INVITE", 1, audio("192.168.77.2", 5000))},
             {"a line of another case",
              kAlice.request("INVITE", 1, audio("192.168.77.2", 4000, "M=audio 5000 RTP/AVP 0\n"))},
         }) {
        Gateway gateway;
        const auto invite = gateway.line().out(text);
        EXPECT_THAT(invite.opened,
                    testing::ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 any",
                                         "audio 192.168.77.2:4001=203.0.113.1:10001 any"))
            << what << ": " << invite.decision.detail;
        EXPECT_EQ(invite.decision.reason, Reason::rewritten) << what;
        EXPECT_EQ(gateway.engine.calls(), 1U) << what;
    }
}

/// From outside such an answer gives the phone no way to anybody either.
TEST(SplitMessages, AsAnAnswerOpenNoWayOut) {
    const auto answered = [](const Outcome& invite, std::string_view old, std::string_view now) {
        auto body = audio("203.0.113.10", 7000);
        body.replace(body.find(old), old.size(), now);
        return answer(invite.text, 200, "b", body);
    };
    struct Answer {
        const char* what;
        std::string_view old;
        std::string_view now;
        Reason reason;
    };
    for (const auto& [what, old, now, reason] : {
             Answer{"the port 65536", "7000", "65536", Reason::malformed_sdp},
             {"a port that is 7000 in 16 bits", "7000", "72536", Reason::malformed_sdp},
             {"two addresses", "t=0 0", "c=IN IP4 198.51.100.66\r\nt=0 0", Reason::malformed_sdp},
             {"an address of two words", "c=IN IP4 203.0.113.10",
              "c=IN IP4 203.0.113.10 198.51.100.66", Reason::second_opinion},
             {"a bare CR", "t=0 0", "t=0 0\rc=IN IP4 198.51.100.66", Reason::second_opinion},
             {"a second description", "m=audio", "v=0\r\nm=audio", Reason::malformed_sdp},
         }) {
        Gateway gateway;
        const auto line = gateway.line();
        const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
        const auto sent = answered(invite, old, now);
        const auto ok = line.in(sent);
        EXPECT_EQ(ok.decision.reason, reason) << what;
        EXPECT_FALSE(ok.decision.detail.empty()) << what;
        EXPECT_THAT(ok.opened, IsEmpty()) << what;
        EXPECT_EQ(ok.text.substr(ok.text.find("\r\n\r\n")), sent.substr(sent.find("\r\n\r\n")))
            << what;
        EXPECT_EQ(gateway.count(reason), 1U) << what;
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

TEST(SecondOpinion, HeadersThatBothReadAlikeAreEditedAllTheSame) {
    for (const auto& [what, body] : {
             Case{"a stream behind a bare CR",
                  audio("192.168.77.2", 4000, "a=x\rm=audio 5000 RTP/AVP 0\n")},
             Case{"an address behind a bare CR",
                  audio("192.168.77.2", 4000, "i=x\rc=IN IP4 192.168.77.9\n")},
             Case{"a line behind a bare CR whose order libosip2 refuses",
                  audio("192.168.77.2", 4000, "a=x\rc=IN IP4 192.168.77.9\n")},
             Case{"a bare CR at which libosip2 refuses the SDP",
                  audio("192.168.77.2", 4000, "a=x\rzzz\n")},
         }) {
        SCOPED_TRACE(what);
        Gateway gateway;
        const auto line = gateway.line();
        const auto sent = kAlice.request("INVITE", 1, body);
        const auto first = line.out(sent);
        for (const auto& invite : {first, line.out(sent)}) {
            EXPECT_EQ(invite.decision.reason, Reason::second_opinion);
            EXPECT_FALSE(invite.decision.detail.empty());
            EXPECT_EQ(header_line(invite.text, "Contact"), "Contact: <sip:a@203.0.113.1:1024>");
            EXPECT_EQ(invite.text.substr(invite.text.find("\r\n\r\n") + 4), body);
            EXPECT_THAT(invite.opened, IsEmpty());
        }
        EXPECT_TRUE(gateway.engine.media().mappings().empty());
        EXPECT_EQ(gateway.count(Reason::second_opinion), 2U);
        EXPECT_EQ(line.in(answer(first.text, 486, "b")).decision.reason, Reason::rewritten);
    }
}

TEST(SecondOpinion, AMerelyStricterParserHasNoSay) {
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
    for (const int times : {900, 1100}) {
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
            const bool asked = times == 900;
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
