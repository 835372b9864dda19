// What the engine makes of a kernel that says no.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Kind = KernelAnswer::Kind;

const std::string kInvite = kAlice.request("INVITE", 1, audio("192.168.77.2", 4000));

std::string body_of(std::string_view text) {
    return std::string(text.substr(text.find("\r\n\r\n") + 4));
}

Gateway::Kernel always(Kind kind, std::string text = "") {
    return [kind, text](const Decision& decision) {
        return KernelAnswer{kind, decision.open.front().outside, text};
    };
}

/// Says no to each hole with this outside port, and yes to the others.
Gateway::Kernel taken(Port port) {
    return [port](const Decision& decision) {
        for (const auto& hole : decision.open) {
            if (hole.outside.port == port) {
                return KernelAnswer{Kind::port_taken, hole.outside, ""};
            }
        }
        return KernelAnswer{};
    };
}

/// Knows no way to this address.
Gateway::Kernel no_route_to(IpAddress remote) {
    return [remote](const Decision& decision) {
        for (const auto& hole : decision.open) {
            if (hole.remote && hole.remote->address == remote) {
                return KernelAnswer{Kind::no_route, *hole.remote, ""};
            }
        }
        return KernelAnswer{};
    };
}

class KernelSaysNo : public testing::Test {
  protected:
    void agree() {
        gateway.kernel = [](const Decision&) { return KernelAnswer{}; };
    }

    Gateway gateway;
    Line line = gateway.line();
};

// --- entry_exists -------------------------------------------------------------------------------

TEST_F(KernelSaysNo, EntryExistsDropsThePacketAndKeepsNothing) {
    line.standing = FlowStanding::first;
    gateway.kernel = always(Kind::entry_exists);
    const auto invite = line.out(kInvite);
    EXPECT_EQ(invite.decision.verdict, Verdict::drop);
    EXPECT_EQ(invite.decision.reason, Reason::entry_exists);
    EXPECT_THAT(invite.decision.edits, IsEmpty());
    EXPECT_FALSE(invite.decision.entry);
    EXPECT_EQ(gateway.engine.calls(), 0U);
    EXPECT_TRUE(gateway.engine.media().mappings().empty());
    EXPECT_FALSE(gateway.engine.next_due());
    EXPECT_EQ(gateway.engine.counters().holes_opened, 0U);

    // The retransmission comes with another outside port, and works.
    agree();
    auto again = gateway.line("192.168.77.2:5060", "203.0.113.1:1099");
    again.standing = FlowStanding::first;
    const auto second = again.out(kInvite);
    EXPECT_EQ(second.opened.size(), 2U);
    EXPECT_EQ(header_line(second.text, "Contact"), "Contact: <sip:a@203.0.113.1:1099>");
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

// --- port_taken ---------------------------------------------------------------------------------

TEST_F(KernelSaysNo, PortTakenGivesAnotherPair) {
    gateway.kernel = taken(Port{10001});
    const auto invite = line.out(kInvite);
    EXPECT_THAT(invite.opened, ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10002 any",
                                           "audio 192.168.77.2:4001=203.0.113.1:10003 any"));
    EXPECT_NE(invite.text.find("m=audio 10002 "), std::string::npos);
    EXPECT_EQ(invite.decision.reason, Reason::rewritten);
    EXPECT_EQ(gateway.kernel_calls, 2);
    EXPECT_EQ(gateway.engine.counters().holes_opened, 2U);
}

TEST_F(KernelSaysNo, ATakenPortIsTriedAgainAfterAMinute) {
    const auto other = [this](std::string_view id, int port) {
        return line.out(kAlice.with_call_id(id).request("INVITE", 1, audio("192.168.77.2", port)));
    };
    gateway.kernel = taken(Port{10000});
    (void)other("1", 4000);
    agree();
    gateway.wait(59s);
    EXPECT_THAT(other("2", 4100).opened,
                ElementsAre("audio 192.168.77.2:4100=203.0.113.1:10004 any",
                            "audio 192.168.77.2:4101=203.0.113.1:10005 any"));
    gateway.wait(1s);
    EXPECT_THAT(other("3", 4200).opened,
                ElementsAre("audio 192.168.77.2:4200=203.0.113.1:10000 any",
                            "audio 192.168.77.2:4201=203.0.113.1:10001 any"));
}

TEST_F(KernelSaysNo, ARestingPortThatWasLostIsReplacedToo) {
    const auto invite = line.out(kInvite);
    (void)line.in(answer(invite.text, 486, "b"));
    gateway.kernel = taken(Port{10000});
    const auto again =
        line.out(kAlice.with_call_id("call-2").request("INVITE", 1, audio("192.168.77.2", 4000)));
    EXPECT_EQ(again.decision.reason, Reason::rewritten);
    ASSERT_EQ(again.opened.size(), 2U);
    EXPECT_EQ(again.opened[0], "audio 192.168.77.2:4000=203.0.113.1:10002 any");
    EXPECT_EQ(gateway.kernel_calls, 2);
}

// --- no_route -----------------------------------------------------------------------------------

TEST_F(KernelSaysNo, NoRouteLeavesTheOutboundHoleOut) {
    gateway.kernel = no_route_to(address("198.51.100.30"));
    const auto invite = line.out(kInvite);
    const auto ok = line.in(answer(invite.text, 200, "b", audio("198.51.100.30", 7000)));
    EXPECT_THAT(ok.opened, IsEmpty());
    EXPECT_THAT(ok.closed, IsEmpty()) << "the inbound ones stay";
    EXPECT_EQ(ok.decision.verdict, Verdict::accept);
    EXPECT_NE(ok.decision.reason, Reason::media_refused);
    EXPECT_EQ(gateway.engine.calls(), 1U);
    EXPECT_EQ(gateway.kernel_calls, 1);
}

TEST_F(KernelSaysNo, NoRouteToAnOfferThatCameBefore) {
    gateway.kernel = no_route_to(address("198.51.100.30"));
    auto bob = kBob;
    bob.peer_tag.clear();
    const auto invite = line.in(bob.request("INVITE", 1, audio("198.51.100.30", 7000)));
    const auto ok = line.out(answer(invite.text, 200, "p", audio("192.168.77.2", 4000)));
    EXPECT_THAT(ok.opened, ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 any",
                                       "audio 192.168.77.2:4001=203.0.113.1:10001 any"));
    EXPECT_EQ(ok.decision.reason, Reason::rewritten);
    EXPECT_EQ(gateway.kernel_calls, 2);
    // It is not asked for again with each message.
    gateway.kernel_calls = 0;
    EXPECT_THAT(line.out(answer(invite.text, 200, "p", audio("192.168.77.2", 4000))).opened,
                IsEmpty());
    EXPECT_EQ(gateway.kernel_calls, 0);
}

TEST_F(KernelSaysNo, NoRouteOfRtcpOnlyLeavesRtp) {
    gateway.kernel = no_route_to(address("198.51.100.31"));
    const auto invite = line.out(kInvite);
    const auto ok = line.in(answer(
        invite.text, 200, "b", audio("198.51.100.30", 7000, "a=rtcp:7001 IN IP4 198.51.100.31\n")));
    EXPECT_THAT(ok.opened,
                ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 198.51.100.30:7000"));
}

// --- refused ------------------------------------------------------------------------------------

TEST_F(KernelSaysNo, RefusedEditsHeadersAndLeavesTheBody) {
    gateway.kernel = always(Kind::refused, "Too many open files");
    const auto invite = line.out(kInvite);
    EXPECT_EQ(invite.decision.reason, Reason::media_refused);
    EXPECT_EQ(invite.decision.detail, "Too many open files");
    EXPECT_EQ(invite.decision.verdict, Verdict::accept);
    EXPECT_THAT(invite.opened, IsEmpty());
    EXPECT_EQ(body_of(invite.text), body_of(kInvite));
    EXPECT_EQ(header_line(invite.text, "Contact"), "Contact: <sip:a@203.0.113.1:1024>");
    EXPECT_TRUE(gateway.engine.media().mappings().empty());
    EXPECT_EQ(gateway.engine.calls(), 1U) << "its BYE still has to be followed";
    EXPECT_EQ(gateway.count(Reason::media_refused), 1U);

    // The decision sticks to the transaction, although the kernel would agree now.
    agree();
    const auto again = line.out(kInvite);
    EXPECT_EQ(again.text, invite.text);
    EXPECT_EQ(again.decision.reason, Reason::media_refused);
    EXPECT_THAT(again.opened, IsEmpty());
    (void)line.in(answer(invite.text, 407, "x"));
    EXPECT_EQ(line.out(kAlice.request("INVITE", 2, audio("192.168.77.2", 4000))).opened.size(), 2U);
}

TEST_F(KernelSaysNo, ARefusedOfferIsNotTheOtherSidesOfTheSameNumber) {
    gateway.kernel = always(Kind::refused, "no");
    const auto invite = line.out(kInvite);
    agree();
    (void)line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    const auto again = line.in(kBob.request("INVITE", 1, audio("203.0.113.10", 7000)));
    EXPECT_EQ(again.decision.reason, Reason::rewritten);
    const auto ok = line.out(answer(again.text, 200, "", audio("192.168.77.2", 4000)));
    EXPECT_EQ(ok.opened.size(), 4U);
}

TEST_F(KernelSaysNo, RefusedInAnEstablishedCallKeepsWhatItHas) {
    establish(line);
    gateway.kernel = always(Kind::refused, "no");
    const auto again =
        line.out(kAlice.with_peer_tag("b").request("INVITE", 2, audio("192.168.77.2", 4100)));
    EXPECT_EQ(again.decision.reason, Reason::media_refused);
    EXPECT_THAT(again.closed, IsEmpty());
    agree();
    (void)line.in(answer(again.text, 488, "b"));
    const auto bye = line.out(kAlice.with_peer_tag("b").request("BYE", 3));
    EXPECT_EQ(line.in(answer(bye.text, 200)).closed.size(), 4U);
}

TEST_F(KernelSaysNo, WithoutMediaTheAdminMayWantNoEditsOrNoPacket) {
    for (const auto on_no_media : {OnNoMedia::unchanged, OnNoMedia::drop}) {
        auto settings = lab_settings();
        settings.on_no_media = on_no_media;
        Gateway strict(settings);
        strict.kernel = always(Kind::refused, "no");
        const auto invite = strict.line().out(kInvite);
        EXPECT_EQ(invite.decision.reason, Reason::media_refused);
        if (on_no_media == OnNoMedia::unchanged) {
            EXPECT_EQ(invite.text, kInvite);
            EXPECT_EQ(invite.decision.verdict, Verdict::accept);
        } else {
            EXPECT_EQ(invite.decision.verdict, Verdict::drop);
        }
    }
}

// --- never endless ------------------------------------------------------------------------------

TEST_F(KernelSaysNo, NoAnswerMakesItAskForEver) {
    for (const auto kind : {Kind::port_taken, Kind::no_route, Kind::refused}) {
        Gateway stubborn;
        stubborn.kernel = always(kind, "no");
        const auto here = stubborn.line();
        const auto invite = here.out(kInvite);
        EXPECT_LE(stubborn.kernel_calls, 40);
        EXPECT_EQ(invite.decision.reason, Reason::media_refused);
        EXPECT_EQ(body_of(invite.text), body_of(kInvite));
        EXPECT_THAT(invite.opened, IsEmpty());
        EXPECT_TRUE(stubborn.engine.media().mappings().empty());
        // Neither does an incoming call.
        auto bob = kBob.with_call_id("in");
        bob.peer_tag.clear();
        const auto offered = here.in(bob.request("INVITE", 1, audio("203.0.113.10", 7000)));
        (void)here.out(answer(offered.text, 200, "p", audio("192.168.77.2", 4000)));
        EXPECT_LE(stubborn.kernel_calls, 40);
    }
}

TEST_F(KernelSaysNo, AfterManyTakenPortsTheBlockedOnesComeBack) {
    gateway.kernel = always(Kind::port_taken);
    (void)line.out(kInvite);
    agree();
    gateway.wait(60s);
    EXPECT_THAT(
        line.out(kAlice.with_call_id("2").request("INVITE", 1, audio("192.168.77.2", 4100))).opened,
        ElementsAre("audio 192.168.77.2:4100=203.0.113.1:10000 any",
                    "audio 192.168.77.2:4101=203.0.113.1:10001 any"));
}

// --- no port left -------------------------------------------------------------------------------

TEST(RangeExhausted, EditsHeadersSticksAndRecovers) {
    auto settings = lab_settings();
    settings.media_ports = {Port{10000}, Port{10001}};
    Gateway gateway(settings);
    const auto line = gateway.line();
    const auto first = line.out(kInvite);
    EXPECT_EQ(first.opened.size(), 2U);

    const auto sent =
        kAlice.with_call_id("call-2").request("INVITE", 1, audio("192.168.77.2", 4100));
    const auto second = line.out(sent);
    EXPECT_EQ(second.decision.reason, Reason::no_media_port);
    EXPECT_EQ(body_of(second.text), body_of(sent));
    EXPECT_NE(second.text, sent) << "the headers are edited";
    EXPECT_THAT(second.opened, IsEmpty());
    EXPECT_EQ(gateway.engine.media().mappings().size(), 2U);

    (void)line.in(answer(first.text, 486, "b"));
    gateway.wait(61s);
    EXPECT_EQ(line.out(sent).text, second.text) << "it sticks to the transaction";
    const auto third =
        line.out(kAlice.with_call_id("call-3").request("INVITE", 1, audio("192.168.77.2", 4200)));
    EXPECT_EQ(third.opened.size(), 2U);
}

TEST(RangeExhausted, AMessageOpensAllOfItsStreamsOrNone) {
    auto settings = lab_settings();
    settings.media_ports = {Port{10000}, Port{10003}};
    Gateway gateway(settings);
    const auto line = gateway.line();
    const auto sent = kAlice.request(
        "INVITE", 1,
        audio("192.168.77.2", 4000, "m=video 4002 RTP/AVP 96\nm=video 4004 RTP/AVP 96\n"));
    const auto invite = line.out(sent);
    EXPECT_EQ(invite.decision.reason, Reason::no_media_port);
    EXPECT_THAT(invite.opened, IsEmpty());
    EXPECT_EQ(body_of(invite.text), body_of(sent));
    EXPECT_TRUE(gateway.engine.media().mappings().empty());
    const auto two = line.out(kAlice.with_call_id("2").request(
        "INVITE", 1, audio("192.168.77.2", 4000, "m=video 4002 RTP/AVP 96\n")));
    EXPECT_EQ(two.opened.size(), 4U);
}

}  // namespace
}  // namespace sipnat
