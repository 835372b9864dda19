// What becomes of an SDP body, and which mappings its streams get.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string body_of(const Outcome& outcome) {
    return outcome.text.substr(outcome.text.find("\r\n\r\n") + 4);
}

struct SdpCase {
    const char* what;
    std::string before;
    std::string after;
    std::vector<std::string> opened;
};

/// What CTest calls it.
void PrintTo(const SdpCase& sdp, std::ostream* out) {
    *out << sdp.what;
}

class Offer : public testing::TestWithParam<SdpCase> {};

TEST_P(Offer, IsRewrittenAndOpensItsComponents) {
    const auto& [what, before, after, opened] = GetParam();
    Gateway gateway;
    const auto invite = gateway.line().out(kAlice.request("INVITE", 1, crlf(before)));
    EXPECT_EQ(body_of(invite), crlf(after)) << what;
    EXPECT_EQ(invite.opened, opened) << what;
    EXPECT_EQ(invite.decision.reason, Reason::rewritten);
}

constexpr const char* kHead =
    "v=0\no=- 1 1 IN IP4 192.168.77.2\ns=-\nc=IN IP4 192.168.77.2\nt=0 0\n";
constexpr const char* kHeadAfter =
    "v=0\no=- 1 1 IN IP4 203.0.113.1\ns=-\nc=IN IP4 203.0.113.1\nt=0 0\n";

SdpCase streams(const char* what, const std::string& before, const std::string& after,
                std::vector<std::string> opened) {
    return {what, kHead + before, kHeadAfter + after, std::move(opened)};
}

INSTANTIATE_TEST_SUITE_P(
    Streams, Offer,
    testing::Values(
        streams("a pair begins even", "m=audio 4000 RTP/AVP 0\n", "m=audio 10000 RTP/AVP 0\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any",
                 "audio 192.168.77.2:4001=203.0.113.1:10001 any"}),
        streams("the phone's own port, in the range", "m=audio 20000 RTP/AVP 0\n",
                "m=audio 20000 RTP/AVP 0\n",
                {"audio 192.168.77.2:20000=203.0.113.1:20000 any",
                 "audio 192.168.77.2:20001=203.0.113.1:20001 any"}),
        streams("its own port is odd: RTCP is still the next one", "m=audio 20001 RTP/AVP 0\n",
                "m=audio 10000 RTP/AVP 0\n",
                {"audio 192.168.77.2:20001=203.0.113.1:10000 any",
                 "audio 192.168.77.2:20002=203.0.113.1:10001 any"}),
        streams("above the range", "m=audio 40000 RTP/AVP 0\n", "m=audio 10000 RTP/AVP 0\n",
                {"audio 192.168.77.2:40000=203.0.113.1:10000 any",
                 "audio 192.168.77.2:40001=203.0.113.1:10001 any"}),
        streams("its pair would leave the range", "m=audio 32768 RTP/AVP 0\n",
                "m=audio 10000 RTP/AVP 0\n",
                {"audio 192.168.77.2:32768=203.0.113.1:10000 any",
                 "audio 192.168.77.2:32769=203.0.113.1:10001 any"}),
        streams("a=rtcp elsewhere", "m=audio 4000 RTP/AVP 0\na=rtcp:4010\n",
                "m=audio 10000 RTP/AVP 0\na=rtcp:10001\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any",
                 "audio 192.168.77.2:4010=203.0.113.1:10001 any"}),
        streams("a=rtcp with an address",
                "m=audio 20000 RTP/AVP 0\na=rtcp:20010 IN IP4 192.168.77.2\n",
                "m=audio 20000 RTP/AVP 0\na=rtcp:20001 IN IP4 203.0.113.1\n",
                {"audio 192.168.77.2:20000=203.0.113.1:20000 any",
                 "audio 192.168.77.2:20010=203.0.113.1:20001 any"}),
        streams("a=rtcp that may stay",
                "m=audio 20000 RTP/AVP 0\na=rtcp:20001 IN IP4 192.168.77.2\n",
                "m=audio 20000 RTP/AVP 0\na=rtcp:20001 IN IP4 203.0.113.1\n",
                {"audio 192.168.77.2:20000=203.0.113.1:20000 any",
                 "audio 192.168.77.2:20001=203.0.113.1:20001 any"}),
        streams("a=rtcp is the neighbour", "m=audio 20001 RTP/AVP 0\na=rtcp:20002\n",
                "m=audio 10000 RTP/AVP 0\na=rtcp:10001\n",
                {"audio 192.168.77.2:20001=203.0.113.1:10000 any",
                 "audio 192.168.77.2:20002=203.0.113.1:10001 any"}),
        streams("a=rtcp of another host is not ours",
                "m=audio 4000 RTP/AVP 0\na=rtcp:4001 IN IP4 198.51.100.9\n",
                "m=audio 10000 RTP/AVP 0\na=rtcp:4001 IN IP4 198.51.100.9\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any"}),
        streams("a=rtcp under 1024 opens nothing, RTP does",
                "m=audio 4000 RTP/AVP 0\na=rtcp:9 IN IP4 0.0.0.0\n",
                "m=audio 10000 RTP/AVP 0\na=rtcp:9 IN IP4 0.0.0.0\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any"}),
        streams("a=rtcp under 1024 without an address", "m=audio 4000 RTP/AVP 0\na=rtcp:1023\n",
                "m=audio 10000 RTP/AVP 0\na=rtcp:1023\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any"}),
        streams("an offer to mux reserves both", "m=audio 4000 RTP/AVP 0\na=rtcp-mux\n",
                "m=audio 10000 RTP/AVP 0\na=rtcp-mux\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any",
                 "audio 192.168.77.2:4001=203.0.113.1:10001 any"}),
        streams("RTCP on the very port of RTP", "m=audio 4000 RTP/AVP 0\na=rtcp-mux\na=rtcp:4000\n",
                "m=audio 10000 RTP/AVP 0\na=rtcp-mux\na=rtcp:10000\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any"}),
        streams("mux only", "m=audio 4000 RTP/AVP 0\na=rtcp-mux\na=rtcp-mux-only\n",
                "m=audio 10000 RTP/AVP 0\na=rtcp-mux\na=rtcp-mux-only\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any"}),
        streams("rejected", "m=audio 0 RTP/AVP 0\n", "m=audio 0 RTP/AVP 0\n", {}),
        streams("under 1024", "m=audio 1023 RTP/AVP 0\n", "m=audio 1023 RTP/AVP 0\n", {}),
        streams("a placeholder", "m=image 9 TCP t38\na=setup:active\n",
                "m=image 9 TCP t38\na=setup:active\n", {}),
        streams("who connects is not connected to",
                "m=application 4000 TCP/BFCP *\na=setup:active\n",
                "m=application 4000 TCP/BFCP *\na=setup:active\n", {}),
        streams("over UDP who speaks first receives as well",
                "m=audio 4000 UDP/TLS/RTP/SAVPF 0\na=setup:active\na=rtcp-mux-only\na=rtcp-mux\n",
                "m=audio 10000 UDP/TLS/RTP/SAVPF 0\na=setup:active\na=rtcp-mux-only\na=rtcp-mux\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any"}),
        streams("two streams", "m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/SAVPF 96\n",
                "m=audio 10000 RTP/AVP 0\nm=video 10002 RTP/SAVPF 96\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any",
                 "audio 192.168.77.2:4001=203.0.113.1:10001 any",
                 "video 192.168.77.2:4002=203.0.113.1:10002 any",
                 "video 192.168.77.2:4003=203.0.113.1:10003 any"}),
        streams("two on one port share it", "m=audio 4000 RTP/AVP 0\nm=video 4000 RTP/AVP 96\n",
                "m=audio 10000 RTP/AVP 0\nm=video 10000 RTP/AVP 96\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any",
                 "audio 192.168.77.2:4001=203.0.113.1:10001 any"}),
        streams("RTCP that is another's RTP is not right above its own",
                "m=audio 4001 RTP/AVP 0\nm=video 4000 RTP/AVP 96\na=sendonly\n",
                "m=audio 10000 RTP/AVP 0\nm=video 10002 RTP/AVP 96\na=sendonly\na=rtcp:10000\n",
                {"video 192.168.77.2:4000=203.0.113.1:10002 any",
                 "audio 192.168.77.2:4001=203.0.113.1:10000 any",
                 "audio 192.168.77.2:4002=203.0.113.1:10001 any"}),
        streams("a=rtcp twice",
                "m=audio 4000 RTP/AVP 0\na=rtcp:4001 IN IP4 192.168.77.2\na=rtcp:4001 IN IP4 "
                "192.168.77.2\n",
                "m=audio 10000 RTP/AVP 0\na=rtcp:10001 IN IP4 203.0.113.1\na=rtcp:10001 IN IP4 "
                "203.0.113.1\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any",
                 "audio 192.168.77.2:4001=203.0.113.1:10001 any"}),
        streams("a count", "m=audio 4000/2 RTP/AVP 0\n", "m=audio 10000/2 RTP/AVP 0\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any",
                 "audio 192.168.77.2:4001=203.0.113.1:10001 any",
                 "audio 192.168.77.2:4002=203.0.113.1:10002 any",
                 "audio 192.168.77.2:4003=203.0.113.1:10003 any"}),
        streams("one that is no RTP takes one port", "m=image 4000 udptl t38\n",
                "m=image 10000 udptl t38\n", {"other 192.168.77.2:4000=203.0.113.1:10000 any"}),
        streams("no port for RTCP above the last there is", "m=audio 65535 RTP/AVP 0\n",
                "m=audio 10000 RTP/AVP 0\n", {"audio 192.168.77.2:65535=203.0.113.1:10000 any"}),
        streams("RTCP elsewhere than above the last port there is",
                "m=audio 65535 RTP/AVP 0\na=rtcp:4001\n", "m=audio 10000 RTP/AVP 0\na=rtcp:10001\n",
                {"audio 192.168.77.2:4001=203.0.113.1:10001 any",
                 "audio 192.168.77.2:65535=203.0.113.1:10000 any"}),
        streams("a count past it", "m=audio 65530/8 RTP/AVP 0\n", "m=audio 65530/8 RTP/AVP 0\n",
                {}),
        streams("blanks between the words", "m=audio  4000   RTP/AVP 0\n",
                "m=audio  10000   RTP/AVP 0\n",
                {"audio 192.168.77.2:4000=203.0.113.1:10000 any",
                 "audio 192.168.77.2:4001=203.0.113.1:10001 any"})),
    [](const auto& sdp) { return std::to_string(sdp.index); });

INSTANTIATE_TEST_SUITE_P(
    Addresses, Offer,
    testing::Values(
        SdpCase{"the same c= twice",
                "v=0\no=- 1 1 IN IP4 192.168.77.2\ns=-\nc=IN IP4 192.168.77.2\nc=IN IP4 "
                "192.168.77.2\nt=0 0\nm=image 20000 udptl t38\nc=IN IP4 192.168.77.2\nc=IN IP4 "
                "192.168.77.2\n",
                "v=0\no=- 1 1 IN IP4 203.0.113.1\ns=-\nc=IN IP4 203.0.113.1\nc=IN IP4 "
                "203.0.113.1\nt=0 0\nm=image 20000 udptl t38\nc=IN IP4 203.0.113.1\nc=IN IP4 "
                "203.0.113.1\n",
                {"other 192.168.77.2:20000=203.0.113.1:20000 any"}},
        SdpCase{"c= of the stream only",
                "v=0\no=- 1 1 IN IP4 192.168.77.2\ns=-\nt=0 0\nm=audio 20000 RTP/AVP 0\nc=IN IP4 "
                "192.168.77.2\n",
                "v=0\no=- 1 1 IN IP4 203.0.113.1\ns=-\nt=0 0\nm=audio 20000 RTP/AVP 0\nc=IN IP4 "
                "203.0.113.1\n",
                {"audio 192.168.77.2:20000=203.0.113.1:20000 any",
                 "audio 192.168.77.2:20001=203.0.113.1:20001 any"}},
        SdpCase{
            "a stream with another host's c=",
            "v=0\no=- 1 1 IN IP4 192.168.77.2\ns=-\nc=IN IP4 192.168.77.2\nt=0 0\nm=audio 20000 "
            "RTP/AVP 0\nc=IN IP4 198.51.100.9\nm=video 20002 RTP/AVP 96\n",
            "v=0\no=- 1 1 IN IP4 203.0.113.1\ns=-\nc=IN IP4 203.0.113.1\nt=0 0\nm=audio 20000 "
            "RTP/AVP 0\nc=IN IP4 198.51.100.9\nm=video 20002 RTP/AVP 96\n",
            {"video 192.168.77.2:20002=203.0.113.1:20002 any",
             "video 192.168.77.2:20003=203.0.113.1:20003 any"}},
        SdpCase{
            "the session's c= is another inside host's",
            "v=0\no=- 1 1 IN IP4 192.168.77.2\ns=-\nc=IN IP4 192.168.77.3\nt=0 0\nm=audio 20000 "
            "RTP/AVP 0\n",
            "v=0\no=- 1 1 IN IP4 203.0.113.1\ns=-\nc=IN IP4 192.168.77.3\nt=0 0\nm=audio 20000 "
            "RTP/AVP 0\n",
            {}},
        SdpCase{"a name",
                "v=0\no=- 1 1 IN IP4 phone.local\ns=-\nc=IN IP4 phone.local\nt=0 0\nm=audio 4000 "
                "RTP/AVP 0\n",
                "v=0\no=- 1 1 IN IP4 phone.local\ns=-\nc=IN IP4 phone.local\nt=0 0\nm=audio 4000 "
                "RTP/AVP 0\n",
                {}},
        SdpCase{
            "on hold from the first",
            "v=0\no=- 1 1 IN IP4 192.168.77.2\ns=-\nc=IN IP4 0.0.0.0\nt=0 0\nm=audio 4000 "
            "RTP/AVP 0\n",
            "v=0\no=- 1 1 IN IP4 203.0.113.1\ns=-\nc=IN IP4 0.0.0.0\nt=0 0\nm=audio 4000 RTP/AVP "
            "0\n",
            {}},
        SdpCase{"the order of real phones, and no s=",
                "v=0\no=a b 1 1 IN IP4 192.168.77.2\nt=0 0\nc=IN IP4 192.168.77.2\nm=audio 20000 "
                "RTP/AVP 0\na=x:192.168.77.2\n",
                "v=0\no=a b 1 1 IN IP4 203.0.113.1\nt=0 0\nc=IN IP4 203.0.113.1\nm=audio 20000 "
                "RTP/AVP 0\na=x:192.168.77.2\n",
                {"audio 192.168.77.2:20000=203.0.113.1:20000 any",
                 "audio 192.168.77.2:20001=203.0.113.1:20001 any"}}),
    [](const auto& sdp) { return std::to_string(sdp.index); });

// --- Content-Length -----------------------------------------------------------------------------

TEST(ContentLength, FollowsTheBody) {
    Gateway gateway;
    const auto body = audio("192.168.77.2", 4000);
    const auto sent = kAlice.request("INVITE", 1, body);
    const auto invite = gateway.line().out(sent);
    // Two addresses lose a letter each, the port gains one.
    EXPECT_EQ(header_line(invite.text, "Content-Length"),
              "Content-Length: " + std::to_string(body.size() - 1));
}

TEST(ContentLength, StaysWhenOnlyHeadersChanged) {
    Gateway gateway;
    const auto sent = sip_text(
        "MESSAGE sip:x@203.0.113.10 SIP/2.0\nVia: SIP/2.0/UDP 192.168.77.2;branch=z\nFrom: "
        "<sip:a@192.168.77.2>;tag=1\nTo: <sip:x@203.0.113.10>\nCall-ID: 1\nCSeq: 1 MESSAGE\n",
        "c=IN IP4 192.168.77.2\r\n", "text/plain");
    const auto message = gateway.line().out(sent);
    EXPECT_EQ(body_of(message), "c=IN IP4 192.168.77.2\r\n");
    for (const auto& edit : message.decision.edits)
        EXPECT_NE(edit.place, Place::content_length);
}

TEST(ContentLength, StaysWhenTheBodyKeepsItsLength) {
    Gateway gateway;
    const auto line = gateway.line("192.168.77.2:5060", "203.0.113.11:1024");
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 20000)));
    for (const auto& edit : invite.decision.edits)
        EXPECT_NE(edit.place, Place::content_length);
    EXPECT_EQ(invite.opened.size(), 2U);
}

TEST(ContentLength, CompactAndRepeated) {
    Gateway gateway;
    const auto body = audio("192.168.77.2", 4000);
    auto sent = kAlice.request("INVITE", 1, body);
    const auto length = std::to_string(body.size());
    const auto at = sent.find("Content-Length: " + length);
    sent.replace(at, std::string("Content-Length: " + length).size(),
                 "l : " + length + "\r\nCONTENT-LENGTH: " + length);
    const auto invite = gateway.line().out(sent);
    const auto changed = std::to_string(body.size() - 1);
    EXPECT_THAT(invite.text,
                HasSubstr("l : " + changed + "\r\nCONTENT-LENGTH: " + changed + "\r\n"));
}

TEST(ContentLength, WithoutOneTheBodyIsAllThatFollows) {
    Gateway gateway;
    const auto body = audio("192.168.77.2", 20000);
    auto sent = kAlice.request("INVITE", 1, body);
    const auto at = sent.find("Content-Length");
    sent.erase(at, sent.find("\r\n", at) + 2 - at);
    const auto invite = gateway.line().out(sent);
    EXPECT_EQ(body_of(invite), audio("203.0.113.1", 20000));
    EXPECT_EQ(invite.text.find("Content-Length"), std::string::npos);
    EXPECT_EQ(invite.opened.size(), 2U);
}

TEST(ContentLength, WhatFollowsTheBodyIsNobodys) {
    Gateway gateway;
    const auto sent =
        kAlice.request("INVITE", 1, audio("192.168.77.2", 20000)) + "m=audio 21000 RTP/AVP 0\r\n";
    const auto invite = gateway.line().out(sent);
    EXPECT_EQ(body_of(invite), audio("203.0.113.1", 20000) + "m=audio 21000 RTP/AVP 0\r\n");
    EXPECT_EQ(invite.decision.beyond_body, 25U);
    EXPECT_EQ(gateway.engine.counters().short_lengths, 1U);
    EXPECT_EQ(invite.opened.size(), 2U);
}

// --- other bodies -------------------------------------------------------------------------------

TEST(Multipart, OnlyItsSdpIsRewritten) {
    Gateway gateway;
    const auto parts = [](const std::string& sdp) {
        return "--b\r\nContent-Type: text/plain\r\n\r\nc=IN IP4 192.168.77.2\r\n--b\r\n"
               "Content-Type: application/sdp\r\n\r\n" +
               sdp + "\r\n--b--\r\n";
    };
    auto sent = kAlice.request("INVITE", 1, parts(audio("192.168.77.2", 20000)));
    sent.replace(sent.find("application/sdp"), 15, "multipart/mixed;boundary=b");
    const auto invite = gateway.line().out(sent);
    EXPECT_EQ(body_of(invite), parts(audio("203.0.113.1", 20000)));
    EXPECT_THAT(invite.opened, ElementsAre("audio 192.168.77.2:20000=203.0.113.1:20000 any",
                                           "audio 192.168.77.2:20001=203.0.113.1:20001 any"));
}

TEST(Multipart, APartsOwnLengthFollows) {
    Gateway gateway;
    const auto parts = [](const std::string& sdp, const std::string& length) {
        return "--b\r\nContent-Type: application/sdp\r\nContent-Length: " + length + "\r\n\r\n" +
               sdp + "\r\n--b--\r\n";
    };
    const auto inside = audio("192.168.77.2", 20000);
    const auto outside = audio("203.0.113.1", 20000);
    for (const auto& [before, after] :
         {std::pair{std::to_string(inside.size()), std::to_string(outside.size())},
          std::pair{std::string("unknown"), std::string("unknown")},
          std::pair{std::string("9"), std::string("9")}}) {
        auto sent = kAlice.request("INVITE", 1, parts(inside, before));
        sent.replace(sent.find("application/sdp"), 15, "multipart/mixed;boundary=b");
        EXPECT_EQ(body_of(gateway.line().out(sent)), parts(outside, after));
    }
}

TEST(Multipart, SoDoThoseOfThePartsAroundIt) {
    Gateway gateway;
    const auto part = [](std::string_view type, const std::string& text) {
        return "Content-Type: " + std::string(type) +
               "\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
    };
    const auto parts = [&](const std::string& sdp) {
        const auto inner = "--c\r\n" + part("application/sdp", sdp) + "\r\n--c--\r\n";
        return "--b\r\n" + part("multipart/alternative;boundary=c", inner) + "\r\n--b--\r\n";
    };
    auto sent = kAlice.request("INVITE", 1, parts(audio("192.168.77.2", 20000)));
    sent.replace(sent.find("application/sdp"), 15, "multipart/mixed;boundary=b");
    EXPECT_EQ(body_of(gateway.line().out(sent)), parts(audio("203.0.113.1", 20000)));
}

TEST(Multipart, SignedPartsStay) {
    Gateway gateway;
    const auto body = "--b\r\nContent-Type: application/sdp\r\n\r\n" +
                      audio("192.168.77.2", 20000) + "\r\n--b--\r\n";
    auto sent = kAlice.request("INVITE", 1, body);
    sent.replace(sent.find("application/sdp"), 15, "multipart/signed;boundary=b");
    const auto invite = gateway.line().out(sent);
    EXPECT_EQ(body_of(invite), body);
    EXPECT_THAT(invite.opened, IsEmpty());
}

TEST(MalformedSdp, LeavesTheBodyAndOpensNothing) {
    struct Case {
        const char* what;
        std::string body;
    };
    for (const auto& [what, body] : {
             Case{"no v=", "o=- 1 1 IN IP4 192.168.77.2\r\n"},
             Case{"no line", audio("192.168.77.2", 4000) + "garbage\r\n"},
             Case{"port", audio("192.168.77.2", 99999)},
             Case{"NUL", audio("192.168.77.2", 4000) + std::string("a=\0x\r\n", 6)},
             Case{"two c=",
                  audio("192.168.77.2", 4000, "c=IN IP4 192.168.77.2\nc=IN IP4 9.9.9.9\n")},
             Case{"two o=", audio("192.168.77.2", 4000, "o=- 1 1 IN IP4 192.168.77.2\n")},
         }) {
        Gateway gateway;
        const auto invite = gateway.line().out(kAlice.request("INVITE", 1, body));
        EXPECT_EQ(invite.decision.reason, Reason::malformed_sdp) << what;
        EXPECT_FALSE(invite.decision.detail.empty());
        EXPECT_EQ(body_of(invite), body) << what;
        EXPECT_EQ(header_line(invite.text, "Contact"), "Contact: <sip:a@203.0.113.1:1024>") << what;
        EXPECT_THAT(invite.opened, IsEmpty()) << what;
        EXPECT_TRUE(gateway.engine.media().mappings().empty());
    }
}

// Bodies of methods that negotiate nothing get their addresses, and no holes.
TEST(Negotiation, OtherMethodsOpenNothing) {
    Gateway gateway;
    const auto line = gateway.line();
    for (const auto* method : {"OPTIONS", "MESSAGE", "INFO", "REGISTER", "BYE"}) {
        const auto sent = line.out(kAlice.request(method, 1, audio("192.168.77.2", 4000)));
        EXPECT_THAT(sent.opened, IsEmpty()) << method;
    }
    EXPECT_EQ(gateway.engine.calls(), 0U);
    EXPECT_TRUE(gateway.engine.media().mappings().empty());
}

TEST(IncomingSdp, StaysAsItIs) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    const auto body = audio("203.0.113.10", 7000, "a=x:203.0.113.1:1024\n");
    EXPECT_EQ(body_of(line.in(answer(invite.text, 200, "b", body))), body);
}

}  // namespace
}  // namespace sipnat
