// Two phones behind one gateway that meet at an outside server (nat.local_media).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "lab.h"

namespace sipnat {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const Talker kToBob{.uri = "sip:alice@203.0.113.10",
                    .host = "203.0.113.10:5060",
                    .peer_uri = "sip:bob@203.0.113.10",
                    .target = "sip:bob@203.0.113.1:1025",
                    .tag = "s",
                    .peer_tag = "",
                    .call_id = "leg-2"};

/// Carol, who calls the server from inside.
Talker carol_at(const std::string& address, std::string_view call_id) {
    auto carol = kAlice.with_call_id(call_id);
    carol.uri = "sip:carol@" + address;
    carol.host = address + ":5060";
    carol.tag = "c";
    return carol;
}

/// The lines of the body.
std::string sdp_of(std::string_view text) {
    return std::string(text.substr(text.find("\r\n\r\n") + 4));
}

/// As the server passes it on: it changes nothing.
class Local {
  public:
    explicit Local(Settings settings = {}, std::string alice_sdp = audio("192.168.77.2", 4000),
                   std::string bob_sdp = audio("192.168.77.3", 6000))
        : gateway(settings),
          alice(gateway.line()),
          bob(gateway.line("192.168.77.3:5060", "203.0.113.1:1025")),
          alice_sdp_(std::move(alice_sdp)),
          bob_sdp_(std::move(bob_sdp)) {}

    void ring() {
        invite = alice.out(kAlice.request("INVITE", 1, alice_sdp_));
        offer = bob.in(kToBob.request("INVITE", 1, sdp_of(invite.text)));
    }
    void talk() {
        ring();
        answered = bob.out(answer(offer.text, 200, "b", bob_sdp_, "sip:b@192.168.77.3:5060"));
        ok = alice.in(answer(invite.text, 200, "b", sdp_of(answered.text)));
        (void)alice.out(kAlice.with_peer_tag("b").request("ACK", 1));
        (void)bob.in(kToBob.with_peer_tag("b").request("ACK", 1));
    }

    Gateway gateway;
    Line alice;
    Line bob;
    Outcome invite;
    Outcome offer;     ///< what Bob reads
    Outcome answered;  ///< what the server reads
    Outcome ok;        ///< what Alice reads

  private:
    std::string alice_sdp_;
    std::string bob_sdp_;
};

Settings hairpin() {
    auto settings = lab_settings();
    settings.local_media = LocalMedia::hairpin;
    return settings;
}

Gateway::Kernel none_are_neighbours(int& asked) {
    return [&asked](const Decision& decision) {
        if (decision.neighbours.empty()) return KernelAnswer{};
        ++asked;
        return KernelAnswer{
            KernelAnswer::Kind::not_neighbours, {decision.neighbours.front().host, Port{}}, ""};
    };
}

// --- direct -------------------------------------------------------------------------------------

TEST(LocalMedia, EachIsToldWhereTheOtherIsInside) {
    Local call;
    call.talk();
    EXPECT_EQ(sdp_of(call.offer.text),
              crlf("v=0\no=- 1 1 IN IP4 203.0.113.1\ns=-\nc=IN IP4 192.168.77.2\nt=0 0\n"
                   "m=audio 4000 RTP/AVP 0\n"));
    EXPECT_EQ(sdp_of(call.answered.text),
              crlf("v=0\no=- 1 1 IN IP4 203.0.113.1\ns=-\nc=IN IP4 203.0.113.1\nt=0 0\n"
                   "m=audio 10002 RTP/AVP 0\n"));
    EXPECT_EQ(sdp_of(call.ok.text),
              crlf("v=0\no=- 1 1 IN IP4 203.0.113.1\ns=-\nc=IN IP4 192.168.77.3\nt=0 0\n"
                   "m=audio 6000 RTP/AVP 0\n"));
    for (const auto& edit : call.ok.decision.edits) {
        const bool is_media = edit.place == Place::sdp_connection || edit.place == Place::sdp_media;
        EXPECT_EQ(edit.why == Why::local_media, is_media);
    }
}

TEST(LocalMedia, ThePairIsExpectedAsItIs) {
    Local call;
    call.talk();
    EXPECT_THAT(call.answered.opened,
                ElementsAre("audio 192.168.77.3:6000=203.0.113.1:10002 any",
                            "audio 192.168.77.3:6000=192.168.77.3:6000 192.168.77.2:4000",
                            "audio 192.168.77.3:6001=203.0.113.1:10003 any",
                            "audio 192.168.77.3:6001=192.168.77.3:6001 192.168.77.2:4001"));
    EXPECT_THAT(call.ok.opened,
                ElementsAre("audio 192.168.77.2:4000=192.168.77.2:4000 192.168.77.3:6000",
                            "audio 192.168.77.2:4001=192.168.77.2:4001 192.168.77.3:6001"));
    for (const auto& hole : call.ok.decision.open) {
        EXPECT_EQ(hole.way, Way::direct);
        EXPECT_FALSE(to_expectation(hole).translates);
    }
}

TEST(LocalMedia, TheKernelIsAskedWhetherTheyAreNeighbours) {
    Local call;
    std::vector<Neighbours> asked;
    call.gateway.kernel = [&](const Decision& decision) {
        asked.insert(asked.end(), decision.neighbours.begin(), decision.neighbours.end());
        return KernelAnswer{};
    };
    call.talk();
    EXPECT_THAT(asked, ElementsAre(Neighbours{address("192.168.77.3"), address("192.168.77.2")},
                                   Neighbours{address("192.168.77.2"), address("192.168.77.3")}));
}

TEST(LocalMedia, TheKernelIsAskedAboutFewHostsOfOneMessage) {
    Local call;
    std::size_t most = 0;
    std::set<IpAddress> asked;
    call.gateway.kernel = [&](const Decision& decision) {
        most = std::max(most, decision.neighbours.size());
        for (const auto& hosts : decision.neighbours)
            asked.insert(hosts.host);
        if (decision.neighbours.empty()) return KernelAnswer{};
        return KernelAnswer{
            KernelAnswer::Kind::not_neighbours, {decision.neighbours.front().host, Port{}}, ""};
    };
    auto sdp = crlf("v=0\no=- 1 1 IN IP4 203.0.113.10\ns=-\nt=0 0\n");
    for (int host = 1; host <= 20; ++host) {
        const auto address = "10.0.0." + std::to_string(host);
        const auto line =
            call.gateway.line(address + ":5060", "203.0.113.1:" + std::to_string(2000 + host));
        const auto id = "call " + std::to_string(host);
        (void)line.out(carol_at(address, id).request("INVITE", 1, audio(address, 4000)));
        sdp +=
            "m=audio " + std::to_string(9998 + 2 * host) + " RTP/AVP 0\r\nc=IN IP4 203.0.113.1\r\n";
    }
    const auto offer = call.bob.in(kToBob.request("INVITE", 1, sdp));
    EXPECT_EQ(sdp_of(offer.text), sdp);
    EXPECT_EQ(most, 8U);
    EXPECT_EQ(asked.size(), 8U);
}

TEST(LocalMedia, ARetransmissionReadsTheSame) {
    Local call;
    call.talk();
    const auto again =
        call.alice.in(answer(call.invite.text, 200, "b", sdp_of(call.answered.text)));
    EXPECT_EQ(again.text, call.ok.text);
    EXPECT_THAT(again.opened, IsEmpty());
}

TEST(LocalMedia, OneGroupOfNetworksNeedsNoQuestion) {
    auto settings = lab_settings();
    settings.local_networks = {{*Network::parse("192.168.77.0/30"), *Network::parse("10.0.0.0/8")},
                               {*Network::parse("192.168.0.0/16")}};
    Local call(settings);
    int asked = 0;
    call.gateway.kernel = none_are_neighbours(asked);
    call.talk();
    EXPECT_EQ(asked, 0);
    EXPECT_THAT(call.offer.text, HasSubstr("c=IN IP4 192.168.77.2"));
}

TEST(LocalMedia, OfTwoGroupsTheKernelDecides) {
    auto settings = lab_settings();
    settings.local_networks = {{*Network::parse("192.168.77.2")},
                               {*Network::parse("192.168.77.3")}};
    Local call(settings);
    int asked = 0;
    call.gateway.kernel = none_are_neighbours(asked);
    call.talk();
    EXPECT_GT(asked, 0);
    EXPECT_THAT(call.offer.text, HasSubstr("c=IN IP4 203.0.113.1"));
}

TEST(LocalMedia, RtcpOnAPortOfItsOwn) {
    Local call({}, audio("192.168.77.2", 4000, "a=rtcp:4100\n"),
               audio("192.168.77.3", 6000, "a=rtcp:6009 IN IP4 192.168.77.3\n"));
    call.talk();
    // Outside they are neighbours, inside not.
    EXPECT_THAT(sdp_of(call.offer.text), HasSubstr("m=audio 4000 RTP/AVP 0\r\na=rtcp:4100\r\n"));
    EXPECT_THAT(sdp_of(call.ok.text),
                HasSubstr("m=audio 6000 RTP/AVP 0\r\na=rtcp:6009 IN IP4 192.168.77.3\r\n"));
    EXPECT_THAT(call.ok.opened,
                Contains("audio 192.168.77.2:4100=192.168.77.2:4100 192.168.77.3:6009"));
}

TEST(LocalMedia, RtcpThatTheServerLeftOutIsNamedIfItIsNotBeside) {
    Local call({}, audio("192.168.77.2", 4000, "a=rtcp:4100\n"));
    call.ring();
    auto sdp = sdp_of(call.invite.text);
    const auto line = sdp.find("a=rtcp:10001\r\n");
    ASSERT_NE(line, std::string::npos) << sdp;
    sdp.erase(line, 14);
    const auto offer = call.bob.in(kToBob.with_call_id("leg-3").request("INVITE", 1, sdp));
    EXPECT_THAT(sdp_of(offer.text), HasSubstr("m=audio 4000 RTP/AVP 0\r\na=rtcp:4100\r\n"));
}

TEST(LocalMedia, CandidatesFollow) {
    Local call({}, audio("192.168.77.2", 4000,
                         "a=candidate:1 1 UDP 99 192.168.77.2 4000 typ host\n"
                         "a=candidate:1 2 UDP 98 192.168.77.2 4001 typ host\n"
                         "a=candidate:2 1 UDP 97 198.51.100.9 5000 typ relay raddr 192.168.77.2 "
                         "rport 4000\n"));
    call.ring();
    EXPECT_THAT(call.invite.text, HasSubstr("203.0.113.1 10000 typ host"));
    EXPECT_THAT(call.offer.text, HasSubstr("a=candidate:1 1 UDP 99 192.168.77.2 4000 typ host"));
    EXPECT_THAT(call.offer.text, HasSubstr("a=candidate:1 2 UDP 98 192.168.77.2 4001 typ host"));
    EXPECT_THAT(call.offer.text,
                HasSubstr("198.51.100.9 5000 typ relay raddr 192.168.77.2 rport 4000"));
}

TEST(LocalMedia, AServerThatAnchorsTheMediaLater) {
    Local call;
    call.talk();
    auto from_server = kToBob.with_peer_tag("b");
    const auto moved = call.bob.in(from_server.request("INVITE", 2, audio("203.0.113.10", 7000)));
    const auto done = call.bob.out(
        answer(moved.text, 200, "b", audio("192.168.77.3", 6000), "sip:b@192.168.77.3:5060"));
    EXPECT_EQ(sdp_of(done.text), sdp_of(call.answered.text));
    EXPECT_THAT(moved.opened,
                ElementsAre("audio 192.168.77.3:6000=203.0.113.1:10002 203.0.113.10:7000",
                            "audio 192.168.77.3:6001=203.0.113.1:10003 203.0.113.10:7001"));
    EXPECT_THAT(done.closed,
                ElementsAre("audio 192.168.77.3:6000=192.168.77.3:6000 192.168.77.2:4000",
                            "audio 192.168.77.3:6001=192.168.77.3:6001 192.168.77.2:4001"));
}

TEST(LocalMedia, AnotherPhonePicksUp) {
    Local call;
    call.talk();
    // Carol's own call to the server; its SDP comes to Alice in a re-INVITE.
    const auto carol = call.gateway.line("192.168.77.4:5060", "203.0.113.1:1026");
    const auto caller = carol_at("192.168.77.4", "pickup");
    const auto pickup = carol.out(caller.request("INVITE", 1, audio("192.168.77.4", 8000)));
    const auto moved = call.alice.in(kBob.request("INVITE", 2, sdp_of(pickup.text)));
    EXPECT_THAT(sdp_of(moved.text), HasSubstr("c=IN IP4 192.168.77.4"));
    EXPECT_THAT(sdp_of(moved.text), HasSubstr("m=audio 8000 "));
    const auto done = call.alice.out(
        answer(moved.text, 200, "a", audio("192.168.77.2", 4000), "sip:a@192.168.77.2"));
    const auto ok = carol.in(answer(pickup.text, 200, "x", sdp_of(done.text)));
    EXPECT_THAT(sdp_of(ok.text), HasSubstr("c=IN IP4 192.168.77.2"));
    EXPECT_THAT(sdp_of(ok.text), HasSubstr("m=audio 4000 "));
}

TEST(LocalMedia, ACallThatNobodyCountsIsNotOverInSilence) {
    Local call;
    call.gateway.counted = 50;  // before it was direct, say
    call.talk();
    (void)call.gateway.wait(21s);
    for (int minutes = 0; minutes < 60; minutes += 5)
        EXPECT_THAT(call.gateway.wait(5min).close, IsEmpty());
    EXPECT_EQ(call.gateway.engine.calls(), 2U);
}

// --- hairpin ------------------------------------------------------------------------------------

TEST(LocalMedia, HairpinKeepsTheOutsideEndpoints) {
    Local call(hairpin());
    int asked = 0;
    call.gateway.kernel = none_are_neighbours(asked);
    call.talk();
    EXPECT_EQ(asked, 0);
    EXPECT_EQ(sdp_of(call.offer.text), sdp_of(call.invite.text));
    EXPECT_EQ(sdp_of(call.ok.text), sdp_of(call.answered.text));
    EXPECT_THAT(call.ok.opened,
                ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 203.0.113.1:10002",
                            "audio 192.168.77.2:4001=203.0.113.1:10001 203.0.113.1:10003"));
    EXPECT_EQ(call.ok.decision.open.front().way, Way::hairpin);
}

TEST(LocalMedia, ThoseThatAreNoNeighboursHairpin) {
    Local call;
    int asked = 0;
    call.gateway.kernel = none_are_neighbours(asked);
    call.talk();
    EXPECT_EQ(asked, 2);
    EXPECT_EQ(sdp_of(call.offer.text), sdp_of(call.invite.text));
    EXPECT_EQ(sdp_of(call.ok.text), sdp_of(call.answered.text));
    EXPECT_THAT(call.ok.opened,
                Contains("audio 192.168.77.2:4000=203.0.113.1:10000 203.0.113.1:10002"));
}

TEST(LocalMedia, TwoHairpinsToOneAddressShareTheirWay) {
    Local call(hairpin());
    call.ring();
    const auto fork = [&](std::string_view inside, std::string_view outside, int port,
                          std::string_view tag) {
        const auto line = call.gateway.line(inside, outside);
        const auto host = std::string(inside.substr(0, inside.find(':')));
        const auto offer = line.in(kToBob.with_call_id("leg-" + std::string(tag))
                                       .request("INVITE", 1, sdp_of(call.invite.text)));
        const auto ringing = line.out(answer(offer.text, 183, tag, audio(host, port)));
        return call.alice.in(answer(call.invite.text, 183, tag, sdp_of(ringing.text)));
    };
    const auto first = fork("192.168.77.3:5060", "203.0.113.1:1025", 6000, "b");
    EXPECT_FALSE(first.decision.open.at(0).shares_port);
    const auto second = fork("192.168.77.4:5060", "203.0.113.1:1026", 8000, "c");
    EXPECT_TRUE(second.decision.open.at(0).shares_port);
}

TEST(LocalMedia, AKernelThatDoesNotSayLeavesTheSdpAsSent) {
    Local call;
    call.gateway.kernel = [](const Decision& decision) {
        if (decision.neighbours.empty()) return KernelAnswer{};
        return KernelAnswer{KernelAnswer::Kind::refused, {}, "no answer"};
    };
    call.ring();
    EXPECT_EQ(sdp_of(call.offer.text), sdp_of(call.invite.text));
    EXPECT_EQ(call.offer.decision.reason, Reason::media_refused);
    EXPECT_EQ(call.offer.decision.detail, "no answer");
}

// --- neither ------------------------------------------------------------------------------------

TEST(LocalMedia, RtcpHasToBeTheSameHosts) {
    Local call;
    call.ring();
    auto sdp = sdp_of(call.invite.text) + "a=rtcp:12345\r\n";
    const auto offer = call.bob.in(kToBob.with_call_id("leg-3").request("INVITE", 1, sdp));
    EXPECT_EQ(sdp_of(offer.text), sdp);
}

TEST(LocalMedia, AlsoWhereItMayBeMuxed) {
    Local call;
    call.ring();
    const auto carol = call.gateway.line("10.0.0.4:5060", "203.0.113.1:1026");
    const auto caller = carol_at("10.0.0.4", "other");
    const auto other = carol.out(caller.request("INVITE", 1, audio("10.0.0.4", 8000)));
    ASSERT_EQ(other.opened.front(), "audio 10.0.0.4:8000=203.0.113.1:10002 any");
    const auto sdp = sdp_of(call.invite.text) + "a=rtcp-mux\r\na=rtcp:10002\r\n";
    const auto offer = call.bob.in(kToBob.with_call_id("leg-3").request("INVITE", 1, sdp));
    EXPECT_EQ(sdp_of(offer.text), sdp);
    const auto ok = call.bob.out(
        answer(offer.text, 200, "b", audio("192.168.77.3", 6000), "sip:b@192.168.77.3:5060"));
    EXPECT_THAT(ok.opened, ElementsAre("audio 192.168.77.3:6000=203.0.113.1:10004 any",
                                       "audio 192.168.77.3:6001=203.0.113.1:10005 any"));
}

TEST(LocalMedia, MuxedMediaNeedsNoRtcp) {
    Local call;
    call.ring();
    (void)call.alice.in(
        answer(call.invite.text, 200, "b", audio("203.0.113.10", 7000, "a=rtcp-mux\n")));
    const auto sdp = audio("203.0.113.1", 10000, "a=rtcp-mux\na=rtcp:10000\n");
    const auto offer = call.bob.in(kToBob.with_call_id("leg-3").request("INVITE", 1, sdp));
    EXPECT_THAT(sdp_of(offer.text), HasSubstr("c=IN IP4 192.168.77.2"));
    EXPECT_THAT(sdp_of(offer.text),
                HasSubstr("m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\na=rtcp:4000"));
}

TEST(LocalMedia, AStreamOfSomebodyElseBesideItKeepsThemTogether) {
    Local call;
    call.ring();
    const auto sdp = sdp_of(call.invite.text) + "m=video 22222 RTP/AVP 96\r\n";
    const auto offer = call.bob.in(kToBob.with_call_id("leg-3").request("INVITE", 1, sdp));
    EXPECT_EQ(sdp_of(offer.text), sdp);
}

TEST(LocalMedia, ARejectedStreamBesideItDoesNotMatter) {
    Local call;
    call.ring();
    const auto sdp = sdp_of(call.invite.text) + "m=video 0 RTP/AVP 96\r\n";
    const auto offer = call.bob.in(kToBob.with_call_id("leg-3").request("INVITE", 1, sdp));
    EXPECT_THAT(offer.text, HasSubstr("c=IN IP4 192.168.77.2"));
    EXPECT_THAT(offer.text, HasSubstr("m=video 0 RTP/AVP 96"));
}

TEST(LocalMedia, ThePortsOfACallThatIsOverAreNobodys) {
    Local call;
    call.ring();
    (void)call.alice.in(answer(call.invite.text, 486, "b"));
    const auto sdp = sdp_of(call.invite.text);
    const auto again = call.bob.in(kToBob.request("INVITE", 1, sdp));
    EXPECT_EQ(again.text, call.offer.text) << "a retransmission, while they rest";
    (void)call.gateway.wait(60s);
    const auto offer = call.bob.in(kToBob.with_call_id("leg-3").request("INVITE", 1, sdp));
    EXPECT_EQ(sdp_of(offer.text), sdp);
}

TEST(LocalMedia, WhoComesThroughNoNatIsToldNothing) {
    Local call;
    call.ring();
    const auto routed = call.gateway.line("198.51.100.7:5060", "198.51.100.7:5060");
    const auto offer =
        routed.in(kToBob.with_call_id("leg-3").request("INVITE", 1, sdp_of(call.invite.text)));
    EXPECT_THAT(offer.text, Not(HasSubstr("192.168.77.2")));
}

}  // namespace
}  // namespace sipnat
