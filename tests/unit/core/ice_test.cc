// ICE through the gateway (RFC 8839): candidates follow the mapping of their stream, both ways.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string sdp(std::string_view address, const std::string& lines) {
    return crlf("v=0\no=- 1 1 IN IP4 " + std::string(address) + "\ns=-\nc=IN IP4 " +
                std::string(address) + "\nt=0 0\n" + lines);
}

std::string body_of(const Outcome& outcome) {
    return outcome.text.substr(outcome.text.find("\r\n\r\n") + 4);
}

class Ice : public testing::Test {
  protected:
    Outcome offer(const std::string& lines, std::string_view address = "192.168.77.2") {
        return line.out(kAlice.request("INVITE", 1, sdp(address, lines)));
    }

    Gateway gateway;
    Line line = gateway.line();
};

TEST_F(Ice, HostCandidatesFollowTheirComponents) {
    const auto sent = offer(
        "m=audio 4000 RTP/AVP 0\n"
        "a=rtcp:4001\n"
        "a=candidate:1 1 UDP 2130706431 192.168.77.2 4000 typ host\n"
        "a=candidate:1 2 udp 2130706430 192.168.77.2 4001 typ host generation 0\n");
    EXPECT_EQ(body_of(sent),
              sdp("203.0.113.1",
                  "m=audio 10000 RTP/AVP 0\n"
                  "a=rtcp:10001\n"
                  "a=candidate:1 1 UDP 2130706431 203.0.113.1 10000 typ host\n"
                  "a=candidate:1 2 udp 2130706430 203.0.113.1 10001 typ host generation 0\n"));
    EXPECT_THAT(sent.opened, ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 any",
                                         "audio 192.168.77.2:4001=203.0.113.1:10001 any"));
    EXPECT_EQ(sent.decision.edits.back().place, Place::sdp_candidate);
}

TEST_F(Ice, WhatIsNotTheSendersOwnStays) {
    const std::string others =
        "a=candidate:1 1 UDP 99 198.51.100.7 4000 typ srflx raddr 10.0.0.9 rport 4000\n"
        "a=candidate:2 1 UDP 99 192.168.77.9 4000 typ host\n"
        "a=candidate:3 1 UDP 99 203.0.113.99 50000 typ relay raddr 198.51.100.7 rport 4000\n"
        "a=candidate:4 1 UDP 99 3f1c7b1e-aaaa-bbbb-cccc-0123456789ab.local 4000 typ host\n"
        "a=candidate:5 1 SCTP 99 192.168.77.2 4000 typ host\n"
        "a=candidate:6 1 UDP 99 fd00::2 4000 typ host\n"
        "a=candidate:7 1 UDP 99 192.168.77.2 70000 typ host\n"
        "a=candidate:8 1 UDP 99 192.168.77.2\n";
    const auto sent = offer("m=audio 20000 RTP/AVP 0\n" + others);
    EXPECT_EQ(body_of(sent), sdp("203.0.113.1", "m=audio 20000 RTP/AVP 0\n" + others));
    EXPECT_EQ(sent.opened.size(), 2U);
}

TEST_F(Ice, ARelatedAddressOfTheSendersOwnFollowsToo) {
    const auto sent = offer(
        "m=audio 4000 RTP/AVP 0\n"
        "a=candidate:1 1 UDP 99 198.51.100.7 40000 typ srflx raddr 192.168.77.2 rport 4000\n");
    EXPECT_THAT(body_of(sent), HasSubstr("a=candidate:1 1 UDP 99 198.51.100.7 40000 typ srflx "
                                         "raddr 203.0.113.1 rport 10000\r\n"));
}

TEST_F(Ice, FurtherHostCandidatesGetMappingsOfTheirOwn) {
    const auto sent = offer(
        "m=audio 4000 RTP/AVP 0\n"
        "a=rtcp-mux\n"
        "a=rtcp-mux-only\n"
        "a=candidate:1 1 UDP 99 192.168.77.2 4000 typ host\n"
        "a=candidate:2 1 UDP 98 192.168.77.2 4444 typ host\n"
        "a=candidate:3 1 TCP 97 192.168.77.2 9 typ host tcptype active\n"
        "a=candidate:4 1 TCP 96 192.168.77.2 5000 typ host tcptype passive\n");
    EXPECT_THAT(sent.opened,
                testing::UnorderedElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 any",
                                              "audio 192.168.77.2:5000=203.0.113.1:10000 any",
                                              "audio 192.168.77.2:4444=203.0.113.1:10002 any"));
    EXPECT_EQ(std::ranges::count(sent.decision.open, Transport::tcp, &Hole::transport), 1);
    EXPECT_THAT(body_of(sent),
                HasSubstr("a=candidate:2 1 UDP 98 203.0.113.1 10002 typ host\r\n"
                          "a=candidate:3 1 TCP 97 203.0.113.1 9 typ host tcptype active\r\n"
                          "a=candidate:4 1 TCP 96 203.0.113.1 10000 typ host tcptype passive\r\n"));
}

TEST_F(Ice, APhoneThatKnowsItsOutsideIsLeftAlone) {
    const std::string lines =
        "m=audio 40000 RTP/AVP 0\n"
        "a=candidate:1 1 UDP 99 192.168.77.2 4000 typ host\n"
        "a=candidate:2 1 UDP 98 198.51.100.7 40000 typ srflx raddr 192.168.77.2 rport 4000\n";
    const auto sent = offer(lines, "198.51.100.7");
    EXPECT_EQ(body_of(sent), sdp("198.51.100.7", lines));
    EXPECT_THAT(sent.opened, IsEmpty());
}

TEST_F(Ice, APlaceholderStreamOpensItsCandidates) {
    const auto sent = offer(
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\n"
        "c=IN IP4 0.0.0.0\n"
        "a=rtcp-mux\n"
        "a=candidate:1 1 UDP 99 192.168.77.2 4000 typ host\n");
    EXPECT_THAT(sent.opened, ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 any"));
    EXPECT_THAT(body_of(sent), HasSubstr("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\n"));
    EXPECT_THAT(body_of(sent), HasSubstr(" 203.0.113.1 10000 typ host"));
}

TEST_F(Ice, TheNextOfferWithTheOutsideAddressIsTheSameStream) {
    const auto first = offer("m=audio 4000 RTP/AVP 0\n");
    (void)line.in(answer(first.text, 200, "b", audio("203.0.113.10", 7000)));
    const auto again = line.out(kAlice.with_peer_tag("b").request(
        "INVITE", 2,
        sdp("203.0.113.1",
            "m=audio 10000 RTP/AVP 0\n"
            "a=candidate:1 1 UDP 99 192.168.77.2 4000 typ host\n")));
    EXPECT_THAT(again.opened, IsEmpty());
    EXPECT_THAT(again.closed, IsEmpty());
    EXPECT_THAT(body_of(again), HasSubstr(" 203.0.113.1 10000 typ host\r\n"));
}

TEST_F(Ice, CandidatesAreNotFollowedFromAnOutsideEndpointOfNobodys) {
    const std::string stun =
        "m=audio 40000 RTP/AVP 0\na=candidate:1 1 UDP 99 192.168.77.2 4000 typ host\n";
    const auto sent = offer(stun, "203.0.113.1");
    EXPECT_EQ(body_of(sent), sdp("203.0.113.1", stun));
    EXPECT_THAT(sent.opened, IsEmpty());
}

TEST_F(Ice, TheSidesOfTheCallSpeakToEachCandidate) {
    const auto invite = offer("m=audio 4000 RTP/AVP 0\na=rtcp-mux\na=rtcp-mux-only\n");
    const auto ok =
        line.in(answer(invite.text, 200, "b",
                       sdp("203.0.113.10",
                           "m=audio 7000 RTP/AVP 0\na=rtcp-mux\n"
                           "a=candidate:1 1 UDP 99 203.0.113.10 7000 typ host\n"
                           "a=candidate:2 1 UDP 99 198.51.100.7 7002 typ srflx raddr 10.0.0.9 "
                           "rport 7002\n"
                           "a=candidate:3 1 UDP 99 10.0.0.9 7002 typ host\n"
                           "a=candidate:4 1 TCP 99 198.51.100.7 7004 typ host tcptype passive\n"
                           "a=candidate:5 2 UDP 99 198.51.100.7 7003 typ host\n"
                           "a=candidate:6 3 UDP 99 198.51.100.7 7006 typ host\n"
                           "a=candidate:7 1 UDP 99 203.0.113.1 5000 typ host\n")));
    EXPECT_THAT(ok.opened, testing::UnorderedElementsAre(
                               "audio 192.168.77.2:4000=203.0.113.1:10000 203.0.113.10:7000",
                               "audio 192.168.77.2:4000=203.0.113.1:10000 198.51.100.7:7002"))
        << "no private address but the peer's, none of ours, and no component that is not there";
    EXPECT_EQ(ok.text.find("192.168.77.2 "), std::string::npos) << "an answer's body is not ours";
}

TEST_F(Ice, TheRemoteSidesCandidatesAreCounted) {
    const auto invite = offer("m=audio 4000 RTP/AVP 0\n");
    std::string lines = "m=audio 7000 RTP/AVP 0\n";
    for (int i = 0; i < 30; ++i) {
        lines += "a=candidate:1 1 UDP 9 198.51.100." + std::to_string(i + 1) + " 7000 typ host\n";
    }
    const auto ok = line.in(answer(invite.text, 200, "b", sdp("203.0.113.10", lines)));
    EXPECT_EQ(ok.opened.size(), 2U + 8U);
}

TEST_F(Ice, RemoteCandidatesAreTheReceiversOwnAgain) {
    (void)offer("m=audio 4000 RTP/AVP 0\n");
    const auto invite = line.in(
        kBob.request("INVITE", 1,
                     sdp("203.0.113.10",
                         "m=audio 7000 RTP/AVP 0\n"
                         "a=remote-candidates:1 203.0.113.1 10000 2 203.0.113.1 10001\n"
                         "a=remote-candidates:1 203.0.113.1 10002 2 198.51.100.7 10000\n")));
    EXPECT_THAT(body_of(invite),
                HasSubstr("a=remote-candidates:1 192.168.77.2 4000 2 192.168.77.2 4001\r\n"
                          "a=remote-candidates:1 203.0.113.1 10002 2 198.51.100.7 10000\r\n"));
    const auto length = std::to_string(body_of(invite).size());
    EXPECT_EQ(header_line(invite.text, "Content-Length"), "Content-Length: " + length);
}

TEST_F(Ice, CandidatesBeyondAllMeasureMakeTheBodyMalformed) {
    std::string lines = "m=audio 4000 RTP/AVP 0\n";
    for (int i = 0; i < 65; ++i)
        lines += "a=candidate:1 1 UDP 9 192.168.77.2 " + std::to_string(5000 + i) + " typ host\n";
    EXPECT_EQ(offer(lines).decision.reason, Reason::malformed_sdp);
}

TEST_F(Ice, AsManyMappingsAsAMessageMayAskFor) {
    std::string lines = "m=audio 4000 RTP/AVP 0\n";
    for (int i = 0; i < 31; ++i)
        lines += "a=candidate:1 1 UDP 9 192.168.77.2 " + std::to_string(5000 + i) + " typ host\n";
    EXPECT_EQ(offer(lines).decision.reason, Reason::no_media_port);
    EXPECT_TRUE(gateway.engine.media().mappings().empty());
}

// --- bundled streams (RFC 8843) ------------------------------------------------------------------

TEST_F(Ice, BundledStreamsShareOnePort) {
    const auto sent = offer(
        "a=group:BUNDLE a v\n"
        "m=audio 4000 UDP/TLS/RTP/SAVPF 111\na=mid:a\na=rtcp-mux\na=rtcp-mux-only\n"
        "m=video 4000 UDP/TLS/RTP/SAVPF 96\na=mid:v\na=rtcp-mux\na=rtcp-mux-only\n"
        "m=video 0 UDP/TLS/RTP/SAVPF 97\na=mid:w\na=bundle-only\n");
    EXPECT_THAT(sent.opened, ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 any"));
    EXPECT_THAT(body_of(sent), HasSubstr("m=video 10000 UDP/TLS/RTP/SAVPF 96\r\n"));
    EXPECT_THAT(body_of(sent), HasSubstr("m=video 0 UDP/TLS/RTP/SAVPF 97\r\n"));
}

// --- several SDP parts of one body ---------------------------------------------------------------

TEST(SeveralParts, EachIsRewrittenAndOpened) {
    Gateway gateway;
    const auto parts = [](const std::string& first, const std::string& second) {
        return "--b\r\nContent-Type: application/sdp\r\n\r\n" + first +
               "\r\n--b\r\nContent-Type: text/plain\r\n\r\nc=IN IP4 192.168.77.2\r\n--b\r\n"
               "Content-Type: application/sdp\r\n\r\n" +
               second + "\r\n--b--\r\n";
    };
    auto sent = kAlice.request("INVITE", 1,
                               parts(audio("192.168.77.2", 20000), audio("192.168.77.2", 21000)));
    sent.replace(sent.find("application/sdp"), 15, "multipart/alternative;boundary=b");
    const auto invite = gateway.line().out(sent);
    EXPECT_EQ(body_of(invite), parts(audio("203.0.113.1", 20000), audio("203.0.113.1", 21000)));
    EXPECT_THAT(invite.opened, ElementsAre("audio 192.168.77.2:20000=203.0.113.1:20000 any",
                                           "audio 192.168.77.2:20001=203.0.113.1:20001 any",
                                           "audio 192.168.77.2:21000=203.0.113.1:21000 any",
                                           "audio 192.168.77.2:21001=203.0.113.1:21001 any"));
}

TEST(SeveralParts, OneThatCantBeReadLeavesAllAsTheyAre) {
    Gateway gateway;
    const auto body = "--b\r\nContent-Type: application/sdp\r\n\r\n" +
                      audio("192.168.77.2", 20000) +
                      "\r\n--b\r\nContent-Type: application/sdp\r\n\r\nm=audio\r\n--b--\r\n";
    auto sent = kAlice.request("INVITE", 1, body);
    sent.replace(sent.find("application/sdp"), 15, "multipart/alternative;boundary=b");
    const auto invite = gateway.line().out(sent);
    EXPECT_EQ(invite.decision.reason, Reason::malformed_sdp);
    EXPECT_EQ(body_of(invite), body);
    EXPECT_THAT(invite.opened, IsEmpty());
}

// --- media of other hosts ------------------------------------------------------------------------

TEST(MediaHosts, AreMappedWhenTheSettingsNameThem) {
    auto settings = lab_settings();
    settings.media_hosts = {address("192.168.77.9")};
    Gateway gateway(settings);
    const auto invite =
        gateway.line().out(kAlice.request("INVITE", 1, audio("192.168.77.9", 4000)));
    EXPECT_THAT(invite.opened, ElementsAre("audio 192.168.77.9:4000=203.0.113.1:10000 any",
                                           "audio 192.168.77.9:4001=203.0.113.1:10001 any"));
    EXPECT_EQ(body_of(invite), audio("203.0.113.1", 10000));
}

TEST(MediaHosts, AreChargedToWhoNamesThemAndOpenedForUdpOnly) {
    auto settings = lab_settings();
    settings.media_hosts = {address("192.168.77.9")};
    settings.media_per_host = 2;
    Gateway gateway(settings);
    const auto line = gateway.line();
    EXPECT_EQ(line.out(kAlice.request("INVITE", 1, audio("192.168.77.9", 4000))).opened.size(), 2U);
    EXPECT_EQ(line.out(kAlice.with_call_id("2").request("INVITE", 1, audio("192.168.77.2", 4000)))
                  .decision.reason,
              Reason::media_limit);
    const auto other = gateway.line("192.168.77.9:5060", "203.0.113.1:1025");
    EXPECT_EQ(other.out(kAlice.with_call_id("3").request("INVITE", 1, audio("192.168.77.9", 5000)))
                  .opened.size(),
              2U)
        << "the media host's own";
    gateway.engine.set_settings([&] {
        settings.media_per_host = 100;
        return settings;
    }());
    const auto tcp = line.out(kAlice.with_call_id("4").request(
        "INVITE", 1,
        sdp("192.168.77.9",
            "m=application 8080 TCP/BFCP *\na=setup:passive\n"
            "m=audio 9 RTP/AVP 0\n"
            "a=candidate:1 1 TCP 9 192.168.77.9 8081 typ host tcptype passive\n")));
    EXPECT_THAT(tcp.opened, IsEmpty());
}

TEST(MediaHosts, MayReceiveRtcpAlone) {
    auto settings = lab_settings();
    settings.media_hosts = {address("192.168.77.9")};
    Gateway gateway(settings);
    const auto sent = gateway.line().out(kAlice.request(
        "INVITE", 1,
        sdp("192.168.77.2", "m=audio 4000 RTP/AVP 0\na=rtcp:4001 IN IP4 192.168.77.9\n")));
    EXPECT_THAT(sent.opened, ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 any",
                                         "audio 192.168.77.9:4001=203.0.113.1:10001 any"));
    EXPECT_THAT(body_of(sent), HasSubstr("a=rtcp:10001 IN IP4 203.0.113.1\r\n"));
}

TEST(MediaHosts, ReceiveNoRtcpOverTcp) {
    auto settings = lab_settings();
    settings.media_hosts = {address("192.168.77.9")};
    Gateway gateway(settings);
    const auto sent = gateway.line().out(kAlice.request(
        "INVITE", 1,
        sdp("192.168.77.2",
            "m=audio 4000 TCP/RTP/AVP 0\na=setup:passive\na=rtcp:4001 IN IP4 192.168.77.9\n")));
    EXPECT_THAT(sent.opened, ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 any"));
    EXPECT_THAT(body_of(sent), HasSubstr("a=rtcp:4001 IN IP4 203.0.113.1\r\n"));
}

TEST(MediaHosts, OthersAreNobodysToOpen) {
    Gateway gateway;
    const auto invite =
        gateway.line().out(kAlice.request("INVITE", 1, audio("192.168.77.9", 4000)));
    EXPECT_THAT(invite.opened, IsEmpty());
    EXPECT_EQ(body_of(invite), audio("192.168.77.9", 4000));
}

// --- what an edit can't mend ---------------------------------------------------------------------

TEST(Msrp, ThePathStaysAndIsCounted) {
    Gateway gateway;
    const std::string lines =
        "m=message 7394 TCP/MSRP *\n"
        "a=accept-types:text/plain\n"
        "a=path:msrp://192.168.77.2:7394/2s93i9ek2a;tcp\n";
    const auto sent = gateway.line().out(kAlice.request("INVITE", 1, sdp("192.168.77.2", lines)));
    EXPECT_THAT(body_of(sent), HasSubstr("m=message 10000 TCP/MSRP *\r\n"));
    EXPECT_THAT(body_of(sent), HasSubstr("a=path:msrp://192.168.77.2:7394/2s93i9ek2a;tcp\r\n"));
    EXPECT_THAT(sent.opened, ElementsAre("other 192.168.77.2:7394=203.0.113.1:10000 any"));
    EXPECT_EQ(sent.decision.open.front().transport, Transport::tcp);
    EXPECT_EQ(gateway.engine.counters().unreachable_msrp, 1U);
}

TEST(Msrp, APeerThatLooksAtTheConnectionLineCanReachIt) {
    Gateway gateway;
    (void)gateway.line().out(
        kAlice.request("INVITE", 1,
                       sdp("192.168.77.2",
                           "m=message 7394 TCP/MSRP *\na=msrp-cema\n"
                           "a=path:msrp://192.168.77.2:7394/2s93i9ek2a;tcp\n")));
    EXPECT_EQ(gateway.engine.counters().unreachable_msrp, 0U);
}

TEST(OtherFamily, IsCountedAndGetsNothing) {
    constexpr const char* kSix = "v=0\no=- 1 1 IN IP6 fd00::2\ns=-\nc=IN IP6 fd00::2\nt=0 0\n";
    for (const auto& [lines, counted] : {
             std::pair{"m=audio 4000 RTP/AVP 0\n", 1U},
             std::pair{"m=audio 0 RTP/AVP 0\n", 0U},
             std::pair{"m=audio 4000 RTP/AVP 0\nc=IN IP6 ::\n", 0U},
         }) {
        Gateway gateway;
        const auto body = crlf(std::string(kSix) + lines);
        const auto invite = gateway.line().out(kAlice.request("INVITE", 1, body));
        EXPECT_EQ(gateway.engine.counters().other_family, counted) << lines;
        EXPECT_EQ(body_of(invite), body);
        EXPECT_THAT(invite.opened, IsEmpty());
    }
}

TEST(AuthInt, OverABodyThatIsEditedIsCounted) {
    const std::string digest =
        "Proxy-Authorization: Digest username=\"a\", realm=\"x\", nonce=\"1\", "
        "uri=\"sip:bob@203.0.113.10\", response=\"2\", qop=auth-int, nc=00000001, cnonce=\"3\"\r\n";
    for (const bool edited : {true, false}) {
        Gateway gateway;
        auto sent = kAlice.request("INVITE", 1, audio(edited ? "192.168.77.2" : "192.0.2.1", 4000));
        sent.insert(sent.find("Contact:"), digest);
        (void)gateway.line().out(sent);
        EXPECT_EQ(gateway.engine.counters().broken_digests, edited ? 1U : 0U);
    }
}

}  // namespace
}  // namespace sipnat
