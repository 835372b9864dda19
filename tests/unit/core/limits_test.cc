// Everything that strangers can grow has an end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <random>
#include <string>
#include <utility>

#include "core/bounded_table.h"
#include "core/call_book.h"
#include "core/media_plan.h"
#include "lab.h"

namespace sipnat {
namespace {

using testing::IsEmpty;

Outcome invite(const Line& line, int call, std::string_view host = "192.168.77.2") {
    return line.out(kAlice.with_call_id("call-" + std::to_string(call))
                        .request("INVITE", 1, audio(host, 4000 + 2 * call)));
}

// --- media ports --------------------------------------------------------------------------------

TEST(MediaLimit, OfOneHostLeavesTheOthersAlone) {
    auto settings = lab_settings();
    settings.media_per_host = 4;
    Gateway gateway(settings);
    const auto line = gateway.line();
    const auto first = invite(line, 1);
    EXPECT_EQ(invite(line, 2).opened.size(), 2U);
    const auto third = invite(line, 3);
    EXPECT_EQ(third.decision.reason, Reason::media_limit);
    EXPECT_EQ(third.decision.verdict, Verdict::accept);
    EXPECT_THAT(third.opened, IsEmpty());
    EXPECT_EQ(header_line(third.text, "Contact"), "Contact: <sip:a@203.0.113.1:1024>");
    EXPECT_NE(third.text.find("c=IN IP4 192.168.77.2"), std::string::npos);

    const auto other = gateway.line("192.168.77.3:5060", "203.0.113.1:1025");
    EXPECT_EQ(invite(other, 4, "192.168.77.3").opened.size(), 2U);

    // A port that rests is still the host's.
    (void)line.in(answer(first.text, 486, "b"));
    EXPECT_EQ(invite(line, 5).decision.reason, Reason::media_limit);
    gateway.wait(60s);
    EXPECT_EQ(invite(line, 6).opened.size(), 2U);
}

TEST(MediaLimit, OfAllHosts) {
    auto settings = lab_settings();
    settings.media = 4;
    Gateway gateway(settings);
    for (int i = 0; i < 4; ++i) {
        const auto host = "192.168.77." + std::to_string(10 + i);
        const auto line = gateway.line(host + ":5060", "203.0.113.1:" + std::to_string(1024 + i));
        const auto sent = invite(line, i, host);
        EXPECT_EQ(sent.decision.reason, i < 2 ? Reason::rewritten : Reason::media_limit);
    }
    EXPECT_EQ(gateway.engine.media().mappings().size(), 4U);
}

TEST(MediaLimit, ManyStreamsOfOneMessageAreAllOrNothing) {
    auto settings = lab_settings();
    settings.media_per_host = 3;
    Gateway gateway(settings);
    const auto line = gateway.line();
    const auto both = audio("192.168.77.2", 4000) + "m=video 4002 RTP/AVP 96\r\n";
    const auto sent = line.out(kAlice.request("INVITE", 1, both));
    EXPECT_EQ(sent.decision.reason, Reason::media_limit);
    EXPECT_TRUE(gateway.engine.media().mappings().empty());
    EXPECT_EQ(invite(line, 2).opened.size(), 2U);
}

TEST(MediaLimit, CountsPortsThatAPhoneOnlyClaims) {
    auto settings = lab_settings();
    settings.media_per_host = 3;
    Gateway gateway(settings);
    const auto line = gateway.line();
    for (int call = 0; call < 4; ++call)
        (void)line.out(kAlice.with_call_id("claim " + std::to_string(call))
                           .request("INVITE", 1, audio("203.0.113.1", 10000 + 2 * call)));
    const auto other = gateway.line("192.168.77.3:5060", "203.0.113.1:1025");
    EXPECT_THAT(invite(other, 9, "192.168.77.3").opened,
                testing::ElementsAre("audio 192.168.77.3:4018=203.0.113.1:10004 any",
                                     "audio 192.168.77.3:4019=203.0.113.1:10005 any"))
        << "three ports are kept, the fourth is over the quota";
    EXPECT_EQ(invite(line, 10).decision.reason, Reason::media_limit);
    gateway.wait(10min);
    EXPECT_EQ(invite(line, 11).opened.size(), 2U);
}

// --- calls --------------------------------------------------------------------------------------

TEST(CallLimit, OfOneHostLeavesTheOthersAlone) {
    auto settings = lab_settings();
    settings.calls_per_host = 2;
    Gateway gateway(settings);
    const auto line = gateway.line();
    const auto first = invite(line, 1);
    EXPECT_EQ(invite(line, 2).opened.size(), 2U);
    const auto third = invite(line, 3);
    EXPECT_EQ(third.decision.reason, Reason::call_limit);
    EXPECT_EQ(third.decision.verdict, Verdict::accept);
    EXPECT_THAT(third.opened, IsEmpty());
    EXPECT_EQ(header_line(third.text, "Contact"), "Contact: <sip:a@203.0.113.1:1024>");
    EXPECT_NE(third.text.find("c=IN IP4 192.168.77.2"), std::string::npos);

    const auto other = gateway.line("192.168.77.3:5060", "203.0.113.1:1025");
    EXPECT_EQ(invite(other, 4, "192.168.77.3").opened.size(), 2U);

    // Room comes back with the end of a call; it is remembered for its retransmissions first.
    (void)line.in(answer(first.text, 486, "b"));
    EXPECT_EQ(invite(line, 5).decision.reason, Reason::call_limit);
    gateway.wait(32s);
    EXPECT_EQ(invite(line, 6).opened.size(), 2U);
}

TEST(CallLimit, OfAllHosts) {
    auto settings = lab_settings();
    settings.calls = 2;
    Gateway gateway(settings);
    for (int i = 0; i < 4; ++i) {
        const auto host = "192.168.77." + std::to_string(10 + i);
        const auto line = gateway.line(host + ":5060", "203.0.113.1:" + std::to_string(1024 + i));
        const auto sent = invite(line, i, host);
        EXPECT_EQ(sent.decision.reason, i < 2 ? Reason::rewritten : Reason::call_limit);
    }
    EXPECT_EQ(gateway.engine.calls(), 2U);
}

TEST(CallLimit, ACallFromOutsideIsChargedToItsSender) {
    auto settings = lab_settings();
    settings.calls_per_host = 1;
    Gateway gateway(settings);
    const auto line = gateway.line();
    auto bob = kBob;
    bob.peer_tag.clear();
    (void)line.in(bob.request("INVITE", 1, audio("203.0.113.10", 7000)));
    const auto second =
        line.in(bob.with_call_id("2").request("INVITE", 1, audio("203.0.113.10", 7000)));
    EXPECT_EQ(gateway.engine.calls(), 1U);
    EXPECT_EQ(second.decision.reason, Reason::call_limit) << "shown, and forwarded as ever";
    EXPECT_EQ(second.decision.verdict, Verdict::accept);
    EXPECT_THAT(second.text, testing::StartsWith("INVITE sip:a@192.168.77.2:5060 "));
    EXPECT_EQ(invite(line, 3).opened.size(), 2U) << "the phone has its own account";
}

TEST(MediaLimit, MorePortsThanAMessageMayHaveAreRefusedAtOnce) {
    for (const auto* count : {"17", "300", "25000"}) {
        Gateway gateway;
        const auto body = crlf(
            "v=0\no=- 1 1 IN IP4 192.168.77.2\ns=-\nc=IN IP4 192.168.77.2\nt=0 0\nm=audio 4000/" +
            std::string(count) + " RTP/AVP 0\n");
        const auto sent = gateway.line().out(kAlice.request("INVITE", 1, body));
        EXPECT_EQ(sent.decision.reason, Reason::no_media_port) << count;
        EXPECT_THAT(sent.opened, testing::IsEmpty()) << count;
        EXPECT_TRUE(sent.text.ends_with(body)) << count;
    }
}

TEST(CallLimit, StrangersGetHalfOfAllAtMost) {
    auto settings = lab_settings();
    settings.calls = 4;
    Gateway gateway(settings);
    auto stranger = kBob;
    stranger.peer_tag.clear();
    for (int i = 0; i < 6; ++i) {
        const auto line = gateway.line("192.168.77.2:5060", "203.0.113.1:1024",
                                       "198.51.100." + std::to_string(i + 1) + ":5060");
        (void)line.in(stranger.with_call_id(std::to_string(i)).request("INVITE", 1));
    }
    EXPECT_EQ(gateway.engine.calls(), 2U);
    const auto line = gateway.line();
    EXPECT_EQ(invite(line, 7).opened.size(), 2U);
    EXPECT_EQ(invite(line, 8).opened.size(), 2U);
    EXPECT_EQ(invite(line, 9).decision.reason, Reason::call_limit);
}

// Without NAT both sides look alike: whoever sends may be the stranger.
TEST(CallLimit, WhoeverSendsWithoutNatIsAStranger) {
    auto settings = lab_settings();
    settings.calls = 8;
    Gateway gateway(settings);
    for (int i = 1; i <= 6; ++i) {
        const auto host = "198.51.100." + std::to_string(i);
        auto caller = kAlice.with_call_id(host);
        const auto line = gateway.line(host + ":5060", host + ":5060", "203.0.114.5:5060");
        (void)line.out(caller.request("INVITE", 1, audio(host, 4000)));
        caller.peer_tag = "b";
        (void)line.out(caller.with_call_id("x" + host).request("INVITE", 1, audio(host, 4000)));
    }
    EXPECT_EQ(gateway.engine.calls(), 4U);
    (void)gateway.wait(33s);
    EXPECT_EQ(gateway.engine.calls(), 0U);
}

TEST(CallLimit, AStrangersCallThatNobodyAnswersIsForgottenSoon) {
    Gateway gateway;
    const auto line = gateway.line();
    auto stranger = kBob;
    stranger.peer_tag.clear();
    const auto first = line.in(stranger.request("INVITE", 1, audio("203.0.113.10", 7000)));
    (void)line.in(stranger.with_call_id("2").request("INVITE", 1, audio("203.0.113.10", 7000)));
    (void)line.out(answer(first.text, 180, "p"));
    gateway.wait(32s);
    EXPECT_EQ(gateway.engine.calls(), 1U) << "the one that rings";
    gateway.wait(8min);
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST(CallLimit, ACallSpeaksToSoManyRemoteEndpointsFirst) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto sent = invite(line, 1);
    std::size_t outbound = 0;
    for (int fork = 0; fork < 20; ++fork) {
        std::string lines;
        for (int i = 0; i < 8; ++i) {
            lines += "a=candidate:1 1 UDP 9 198.51.100." + std::to_string(10 * fork + i + 1) +
                     " 7000 typ host\n";
        }
        const auto early = line.in(answer(sent.text, 183, "fork" + std::to_string(fork),
                                          audio("203.0.113.10", 7000 + 2 * fork, lines)));
        outbound += early.opened.size() - early.closed.size();
        EXPECT_LE(outbound, kMostOutboundHoles);
    }
    EXPECT_EQ(outbound, kMostOutboundHoles);
}

TEST(CallLimit, SpamOfEndedCallsIsForgotten) {
    Gateway gateway;
    const auto line = gateway.line();
    for (int i = 0; i < 600; ++i) {
        const auto sent =
            line.out(kAlice.with_call_id("s" + std::to_string(i)).request("INVITE", 1));
        (void)line.in(answer(sent.text, 486, "b"));
        gateway.wait(100ms);
    }
    EXPECT_EQ(gateway.engine.calls(), 0U);
    gateway.wait(32s);
    EXPECT_FALSE(gateway.engine.next_due()) << "no timer is left of them";
}

// --- one call -----------------------------------------------------------------------------------

TEST(DialogLimit, FurtherForksGetNoHoles) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto sent = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
    std::size_t opened = 0;
    for (int fork = 0; fork < 100; ++fork) {
        opened += line.in(answer(sent.text, 183, "t" + std::to_string(fork),
                                 audio("203.0.113.10", 7000 + 2 * fork)))
                      .opened.size();
    }
    EXPECT_EQ(opened, 2 * (kMostDialogs - 1)) << "the root is one of them";
    EXPECT_EQ(line.in(answer(sent.text, 486, "x")).closed.size(), opened + 2);
}

TEST(PendingLimit, OldOffersGiveWay) {
    Gateway gateway;
    const auto line = gateway.line();
    establish(line);
    std::size_t open = 4;
    for (int i = 0; i < 50; ++i) {
        const auto update =
            line.in(kBob.request("UPDATE", 10 + i, audio("203.0.113.10", 8000 + 2 * i)));
        open += update.opened.size();
        open -= update.closed.size();
        EXPECT_LE(open, 4 + 2 * kMostPending);
    }
}

TEST(ComponentLimit, AnSdpThatAsksForMoreGetsNone) {
    const auto streams = [](std::size_t count) {
        std::string more;
        for (std::size_t i = 1; i < count; ++i)
            more += "m=audio " + std::to_string(4000 + 2 * i) + " RTP/AVP 0\n";
        return audio("192.168.77.2", 4000, more);
    };
    Gateway gateway;
    const auto line = gateway.line();
    EXPECT_EQ(line.out(kAlice.request("INVITE", 1, streams(kMostComponents / 2))).opened.size(),
              kMostComponents);
    const auto sent =
        kAlice.with_call_id("2").request("INVITE", 1, streams(kMostComponents / 2 + 1));
    const auto more = line.out(sent);
    EXPECT_THAT(more.opened, IsEmpty());
    EXPECT_EQ(more.decision.reason, Reason::no_media_port);
    EXPECT_EQ(more.text.substr(more.text.find("\r\n\r\n")), sent.substr(sent.find("\r\n\r\n")));
}

// --- tables -------------------------------------------------------------------------------------

TEST(BoundedTable, ForgetsWhatWasUnusedForLongest) {
    BoundedTable<int, int> table(3);
    for (int i = 1; i <= 3; ++i)
        table.put(i) = i * 10;
    ASSERT_NE(table.find(1), nullptr);
    table.put(4) = 40;
    EXPECT_EQ(table.find(2), nullptr);
    EXPECT_EQ(*table.find(1), 10);
    table.put(3) = 33;
    table.put(5) = 50;
    EXPECT_EQ(*table.find(3), 33);
    EXPECT_EQ(table.find(4), nullptr);
    EXPECT_EQ(table.size(), 3U);
}

TEST(BoundedTable, StaysAtItsCapacity) {
    BoundedTable<std::string, std::string> table(100);
    for (int i = 0; i < 10000; ++i)
        table.put(std::to_string(i)) = "x";
    EXPECT_EQ(table.size(), 100U);
}

TEST(BoundedTable, IsAListInTheOrderOfUse) {
    constexpr std::size_t kMost = 200;
    BoundedTable<int, int> table(kMost);
    std::list<std::pair<int, int>> list;  // the one used last first
    std::minstd_rand random(1);
    for (int step = 0; step < 50000; ++step) {
        const int key = static_cast<int>(random() % 300);
        const auto known = std::ranges::find(list, key, &std::pair<int, int>::first);
        if (known != list.end()) list.splice(list.begin(), list, known);
        if (step % 3 == 0) {
            const int* value = table.find(key);
            ASSERT_EQ(value != nullptr, known != list.end()) << step;
            if (value == nullptr) continue;
            ASSERT_EQ(*value, list.front().second) << step;
            continue;
        }
        if (known == list.end()) list.emplace_front(key, 0);
        if (list.size() > kMost) list.pop_back();
        table.put(key) = list.front().second = step;
    }
    EXPECT_EQ(table.size(), kMost);
}

TEST(BoundedTable, ForgetsWhatIsOverBeforeItIsFull) {
    BoundedTable<int, int> table(100);
    const auto is_over = [](int value) { return value < 10; };
    for (int i = 0; i < 20; ++i)
        table.put(i, is_over) = i;
    EXPECT_EQ(table.size(), 10U);  // each that was over made room for the next
    EXPECT_EQ(table.find(9), nullptr);
    ASSERT_NE(table.find(10), nullptr);
}

TEST(BoundedTable, KeepsAFewOfTheKeysThatHashAlike) {
    struct Alike {
        std::size_t operator()(int) const { return 7; }
    };
    BoundedTable<int, int, Alike> table(100);
    for (int i = 0; i < 1000; ++i) {
        table.put(i) = i;
        ASSERT_NE(table.find(i), nullptr);
        ASSERT_EQ(*table.find(i), i);
    }
    EXPECT_EQ(table.size(), 16U);
}

// What a phone wrote is forgotten at last; the canonical text serves then.
TEST(Spelling, IsForgottenUnderAFloodAndNothingBreaks) {
    Gateway gateway;
    const auto line = gateway.line();
    auto alice = kAlice;
    alice.host = "192.168.77.2";
    const auto first = line.out(alice.request("OPTIONS", 1));
    EXPECT_EQ(header_line(line.in(answer(first.text, 200)).text, "Via"),
              "Via: SIP/2.0/UDP 192.168.77.2;rport;branch=z9hG4bKcall-1a1");
    for (int i = 2; i < 16500; ++i)
        (void)line.out(alice.request("OPTIONS", i));
    EXPECT_EQ(header_line(line.in(answer(first.text, 200)).text, "Via"),
              "Via: SIP/2.0/UDP 192.168.77.2:5060;rport;branch=z9hG4bKcall-1a1");
}

TEST(Spelling, OverlongNamesAreNotRemembered) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto alice = kAlice.with_call_id(std::string(2000, 'x'));
    const auto sent = line.out(alice.request("OPTIONS", 1));
    EXPECT_EQ(header_line(line.in(answer(sent.text, 200)).text, "From"),
              "From: <sip:alice@192.168.77.2>;tag=a");
}

}  // namespace
}  // namespace sipnat
