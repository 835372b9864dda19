// Who shares a mapping, who gets which port, and when a port is free again.
#include "sipnat/core/media_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/port_pool.h"
#include "lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

const IpAddress kOutside = address("203.0.113.1");

Settings tiny(int low, int high) {
    Settings settings;
    settings.media_ports = {Port(low), Port(high)};
    return settings;
}

// --- ports --------------------------------------------------------------------------------------

TEST(PortPool, HandsOutTheLowestEvenRun) {
    PortPool pool({Port{10001}, Port{10009}});
    const auto take = [&pool](int length, std::optional<Port> wanted = {}) {
        const auto port = pool.take_run(kOutside, Transport::udp, wanted, length);
        return port ? static_cast<int>(number(*port)) : -1;
    };
    EXPECT_EQ(take(2), 10002);
    EXPECT_EQ(take(4), 10004);
    EXPECT_EQ(take(2, Port{10002}), 10008) << "taken";
    EXPECT_EQ(take(2), -1);
    EXPECT_EQ(take(1, Port{10001}), 10001) << "one alone may be odd";
    EXPECT_EQ(take(1), -1);
    EXPECT_EQ(pool.taken(), 9U);
    pool.give_back({kOutside, Port{10004}}, Transport::udp);
    EXPECT_EQ(take(2), -1) << "half a pair is none";
    pool.give_back({kOutside, Port{10005}}, Transport::udp);
    EXPECT_EQ(take(2), 10004);
    EXPECT_EQ(pool.taken(), 9U);
}

TEST(PortPool, KeepsTheWantedRunOnlyEvenInRangeAndFree) {
    PortPool pool({Port{10000}, Port{10099}});
    const auto take = [&pool](Port wanted) {
        return number(*pool.take_run(kOutside, Transport::udp, wanted, 2));
    };
    EXPECT_EQ(take(Port{10050}), 10050);
    EXPECT_EQ(take(Port{10051}), 10000) << "odd";
    EXPECT_EQ(take(Port{10050}), 10002) << "taken";
    EXPECT_EQ(take(Port{10100}), 10004) << "above";
    EXPECT_EQ(take(Port{9998}), 10006) << "below";
    EXPECT_EQ(take(Port{10098}), 10098) << "the last pair";
}

TEST(PortPool, EachAddressAndTransportHasItsOwn) {
    PortPool pool({Port{10000}, Port{10001}});
    EXPECT_TRUE(pool.take_run(kOutside, Transport::udp, {}, 2));
    EXPECT_FALSE(pool.take_run(kOutside, Transport::udp, {}, 2));
    EXPECT_TRUE(pool.take_run(kOutside, Transport::tcp, {}, 2));
    EXPECT_TRUE(pool.take_run(address("203.0.113.2"), Transport::udp, {}, 2));
}

TEST(PortPool, ANewRangeKeepsWhatIsTaken) {
    PortPool pool({Port{10000}, Port{10003}});
    ASSERT_TRUE(pool.take_run(kOutside, Transport::udp, {}, 2));
    pool.set_range({Port{9998}, Port{10003}});
    EXPECT_EQ(pool.take_run(kOutside, Transport::udp, {}, 2), Port{9998});
    EXPECT_EQ(pool.take_run(kOutside, Transport::udp, {}, 2), Port{10002});
    EXPECT_FALSE(pool.take_run(kOutside, Transport::udp, {}, 2));
}

TEST(PortPool, FillsAndEmptiesAWholeRange) {
    PortPool pool({Port{10000}, Port{32767}});
    for (int i = 0; i < 11384; ++i)
        ASSERT_EQ(pool.take_run(kOutside, Transport::udp, {}, 2), Port(10000 + 2 * i));
    EXPECT_FALSE(pool.take_run(kOutside, Transport::udp, {}, 2));
    pool.give_back({kOutside, Port{20001}}, Transport::udp);
    pool.give_back({kOutside, Port{20000}}, Transport::udp);
    EXPECT_EQ(pool.take_run(kOutside, Transport::udp, {}, 2), Port{20000});
}

// --- mappings -----------------------------------------------------------------------------------

TEST(MediaTable, CountsTheUsersOfEachHole) {
    MediaTable table((Settings()));
    const MediaKey key{kOutside, Transport::udp, endpoint("192.168.77.2:4000")};
    const HoleKey inbound{key, {}};
    ASSERT_EQ(table.map(std::span(&key, 1), ExpectClass::audio, {}), Mapped::done);
    EXPECT_TRUE(table.acquire(inbound));
    EXPECT_FALSE(table.acquire(inbound));
    EXPECT_TRUE(table.acquire({key, endpoint("9.9.9.9:7000")}));
    EXPECT_FALSE(table.release(inbound, Time(5s)));
    EXPECT_TRUE(table.release(inbound, Time(5s)));
    EXPECT_FALSE(table.find(key)->unused_since) << "the outbound hole is still there";
    EXPECT_TRUE(table.release({key, endpoint("9.9.9.9:7000")}, Time(6s)));
    EXPECT_EQ(table.find(key)->unused_since, Time(6s));
}

TEST(MediaTable, WhatNobodyAcquiredLeavesNoTrace) {
    MediaTable table(tiny(10000, 10001));
    const std::vector<MediaKey> keys{{kOutside, Transport::udp, endpoint("192.168.77.2:4000")},
                                     {kOutside, Transport::udp, endpoint("192.168.77.2:4001")}};
    for (int i = 0; i < 3; ++i) {
        ASSERT_EQ(table.map(keys, ExpectClass::audio, {}), Mapped::done);
        for (const auto& key : keys)
            table.drop_unused(key);
        EXPECT_TRUE(table.mappings().empty());
    }
    ASSERT_EQ(table.map(keys, ExpectClass::audio, {}), Mapped::done);
    ASSERT_TRUE(table.acquire({keys[0], {}}));
    table.undo({keys[0], {}});
    EXPECT_EQ(table.find(keys[0]), nullptr);
    EXPECT_FALSE(table.next_due());
}

// Without NAT an endpoint is its own outside one, which may be another's as well.
TEST(MediaTable, TheFirstOfTwoWithOneOutsideEndpointIsFoundByItWhileItIsThere) {
    MediaTable table(tiny(10000, 10001));
    const auto outside = endpoint("203.0.113.1:10000");
    const MediaKey first{kOutside, Transport::udp, endpoint("192.168.77.2:4000")};
    const MediaKey second{kOutside, Transport::udp, outside};
    for (const auto& key : {first, second})
        ASSERT_EQ(table.map(std::span(&key, 1), ExpectClass::audio, {}), Mapped::done);
    EXPECT_EQ(table.find(first)->outside, outside);
    EXPECT_EQ(table.find(second)->outside, outside);
    table.drop_unused(second);
    EXPECT_EQ(table.find_outside(outside, Transport::udp), first);
    table.drop_unused(first);
    EXPECT_EQ(table.find_outside(outside, Transport::udp), std::nullopt);
}

TEST(MediaTable, RtcpThatComesLaterStandsBesideItsRtp) {
    MediaTable table((Settings()));
    const MediaKey rtp{kOutside, Transport::udp, endpoint("192.168.77.2:4000")};
    const MediaKey rtcp{kOutside, Transport::udp, endpoint("192.168.77.2:4001")};
    ASSERT_EQ(table.map(std::span(&rtp, 1), ExpectClass::audio, {}), Mapped::done);
    ASSERT_TRUE(table.acquire({rtp, {}}));
    ASSERT_EQ(table.map(std::array{rtp, rtcp}, ExpectClass::audio, {}), Mapped::done);
    EXPECT_EQ(table.find(rtp)->outside.port, Port{10000});
    EXPECT_EQ(table.find(rtcp)->outside.port, Port{10001});
}

// --- through the engine -------------------------------------------------------------------------

class Sharing : public testing::Test {
  protected:
    /// A call of its own with this media port, up to its 200.
    Outcome call(const Line& from, const std::string& call_id, int port,
                 std::string_view host = "192.168.77.2") {
        const auto invite =
            from.out(kAlice.with_call_id(call_id).request("INVITE", 1, audio(host, port)));
        (void)from.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
        return invite;
    }
    Outcome hang_up(const Line& from, const std::string& call_id) {
        const auto bye =
            from.out(kAlice.with_call_id(call_id).with_peer_tag("b").request("BYE", 2));
        return from.in(answer(bye.text, 200));
    }

    Gateway gateway;
    Line line = gateway.line();
};

TEST_F(Sharing, OneInsideEndpointInTwoDialogsHasOneMapping) {
    const auto first = call(line, "1", 4000);
    const auto second = call(line, "2", 4000);
    EXPECT_EQ(first.opened.size(), 2U);
    EXPECT_THAT(second.opened, IsEmpty());
    EXPECT_NE(second.text.find("m=audio 10000 "), std::string::npos);
    EXPECT_EQ(gateway.engine.media().mappings().size(), 2U);
    EXPECT_THAT(hang_up(line, "1").closed, IsEmpty()) << "the other needs them";
    EXPECT_EQ(hang_up(line, "2").closed.size(), 4U);
}

TEST_F(Sharing, TwoPhonesWithTheSamePortGetTwo) {
    const auto other = gateway.line("192.168.77.3:5060", "203.0.113.1:1025");
    EXPECT_THAT(call(line, "1", 20000).opened,
                ElementsAre("audio 192.168.77.2:20000=203.0.113.1:20000 any",
                            "audio 192.168.77.2:20001=203.0.113.1:20001 any"));
    EXPECT_THAT(call(other, "2", 20000, "192.168.77.3").opened,
                ElementsAre("audio 192.168.77.3:20000=203.0.113.1:10000 any",
                            "audio 192.168.77.3:20001=203.0.113.1:10001 any"));
}

TEST_F(Sharing, WithoutKeepPortsItIsAlwaysTheLowest) {
    Settings settings;
    settings.keep_ports = false;
    gateway.engine.set_settings(settings);
    EXPECT_THAT(call(line, "1", 20000).opened,
                ElementsAre("audio 192.168.77.2:20000=203.0.113.1:10000 any",
                            "audio 192.168.77.2:20001=203.0.113.1:10001 any"));
}

TEST_F(Sharing, APortThatOthersUseIsPassedOverWhileTheyDo) {
    gateway.engine.set_foreign_endpoints(
        {{Transport::udp,
          {endpoint("203.0.113.1:20001"), endpoint("203.0.113.1:10000"),
           endpoint("203.0.113.9:1")}},
         {Transport::tcp, {endpoint("203.0.113.1:10002")}}});
    EXPECT_THAT(call(line, "1", 20000).opened,
                ElementsAre("audio 192.168.77.2:20000=203.0.113.1:10002 any",
                            "audio 192.168.77.2:20001=203.0.113.1:10003 any"));
    gateway.engine.set_foreign_endpoints({{Transport::udp, {endpoint("203.0.113.1:10003")}}});
    EXPECT_THAT(call(line, "2", 20002).opened,
                ElementsAre("audio 192.168.77.2:20002=203.0.113.1:20002 any",
                            "audio 192.168.77.2:20003=203.0.113.1:20003 any"));
    EXPECT_THAT(call(line, "3", 4000).opened,
                ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 any",
                            "audio 192.168.77.2:4001=203.0.113.1:10001 any"))
        << "they gave it up";
}

// --- ports that a phone learnt through STUN ------------------------------------------------------

TEST_F(Sharing, APortThatAStunPhoneAnnouncesIsNotGivenToOthers) {
    const auto other = gateway.line("192.168.77.3:5060", "203.0.113.1:1025");
    const auto stun = call(other, "1", 10000, "203.0.113.1");
    EXPECT_THAT(stun.opened, IsEmpty());
    EXPECT_NE(stun.text.find("m=audio 10000 "), std::string::npos);
    EXPECT_THAT(call(line, "2", 10000).opened,
                ElementsAre("audio 192.168.77.2:10000=203.0.113.1:10002 any",
                            "audio 192.168.77.2:10001=203.0.113.1:10003 any"));
    gateway.wait(10min);
    EXPECT_THAT(call(line, "3", 4000).opened,
                ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 any",
                            "audio 192.168.77.2:4001=203.0.113.1:10001 any"));
}

TEST_F(Sharing, WhatAStunPhoneAnnouncesTakesNothingAway) {
    (void)call(line, "1", 4000);
    const auto other = gateway.line("192.168.77.3:5060", "203.0.113.1:1025");
    EXPECT_THAT(call(other, "2", 10000, "203.0.113.1").opened, IsEmpty());
    EXPECT_EQ(hang_up(line, "1").closed.size(), 4U);
    gateway.wait(60s);
    EXPECT_TRUE(gateway.engine.media().mappings().empty());
}

TEST_F(Sharing, APortRestsBeforeAnybodyElseGetsIt) {
    gateway.engine.set_settings(tiny(10000, 10003));
    const auto other = gateway.line("192.168.77.3:5060", "203.0.113.1:1025");
    (void)call(line, "1", 4000);
    (void)hang_up(line, "1");
    EXPECT_THAT(call(other, "2", 4000, "192.168.77.3").opened,
                ElementsAre("audio 192.168.77.3:4000=203.0.113.1:10002 any",
                            "audio 192.168.77.3:4001=203.0.113.1:10003 any"));
    gateway.wait(59999ms);
    EXPECT_EQ(call(other, "3", 4100, "192.168.77.3").decision.reason, Reason::no_media_port);
    gateway.wait(1ms);
    EXPECT_THAT(call(other, "4", 4100, "192.168.77.3").opened,
                ElementsAre("audio 192.168.77.3:4100=203.0.113.1:10000 any",
                            "audio 192.168.77.3:4101=203.0.113.1:10001 any"));
}

TEST_F(Sharing, ARestingPortRevivesForItsOwnEndpoint) {
    (void)call(line, "1", 4000);
    (void)hang_up(line, "1");
    gateway.wait(50s);
    const auto again = call(line, "2", 4000);
    EXPECT_THAT(again.opened, ElementsAre("audio 192.168.77.2:4000=203.0.113.1:10000 any",
                                          "audio 192.168.77.2:4001=203.0.113.1:10001 any"));
    // The rest of the first is over, the second goes on.
    gateway.wait(50s);
    const auto other = gateway.line("192.168.77.3:5060", "203.0.113.1:1025");
    EXPECT_THAT(call(other, "3", 4000, "192.168.77.3").opened,
                ElementsAre("audio 192.168.77.3:4000=203.0.113.1:10002 any",
                            "audio 192.168.77.3:4001=203.0.113.1:10003 any"));
    EXPECT_EQ(hang_up(line, "2").closed.size(), 4U);
}

TEST_F(Sharing, TheRestBeginsWithTheLastEnd) {
    (void)call(line, "1", 4000);
    (void)hang_up(line, "1");
    gateway.wait(50s);
    (void)call(line, "2", 4000);
    (void)hang_up(line, "2");
    gateway.wait(59s);
    EXPECT_EQ(gateway.engine.media().mappings().size(), 2U);
    gateway.wait(1s);
    EXPECT_TRUE(gateway.engine.media().mappings().empty());
}

TEST_F(Sharing, ARevivedMappingHangsOnTheFlowThatNeedsIt) {
    (void)call(line, "1", 4000);
    (void)hang_up(line, "1");
    const auto moved = gateway.line("192.168.77.2:5062", "203.0.113.1:1040");
    const auto again = call(moved, "2", 4000);
    ASSERT_EQ(again.decision.open.size(), 2U);
    EXPECT_EQ(again.decision.open[0].master, moved.flow.original);
}

TEST_F(Sharing, FlowsAreSweptAfterTheGraceOnce) {
    (void)call(line, "1", 4000);
    (void)hang_up(line, "1");
    EXPECT_EQ(gateway.engine.next_due(), gateway.now + 2s);
    EXPECT_THAT(gateway.wait(1999ms).sweep, IsEmpty());
    EXPECT_THAT(gateway.wait(1ms).sweep,
                UnorderedElementsAre(MediaFlows{Transport::udp, endpoint("192.168.77.2:4000"),
                                                endpoint("203.0.113.1:10000")},
                                     MediaFlows{Transport::udp, endpoint("192.168.77.2:4001"),
                                                endpoint("203.0.113.1:10001")}));
    EXPECT_THAT(gateway.wait(10s).sweep, IsEmpty());
}

TEST_F(Sharing, FlowsOfARevivedMappingAreNotSwept) {
    (void)call(line, "1", 4000);
    (void)hang_up(line, "1");
    gateway.wait(1s);
    (void)call(line, "2", 4000);
    EXPECT_THAT(gateway.wait(10s).sweep, IsEmpty());
}

TEST_F(Sharing, NothingIsLeftWhenAllIsOver) {
    (void)call(line, "1", 4000);
    (void)hang_up(line, "1");
    gateway.wait(61s);
    EXPECT_TRUE(gateway.engine.media().mappings().empty());
    EXPECT_FALSE(gateway.engine.next_due());
}

TEST_F(Sharing, RtcpOnRtpsOwnPortCostsNoPort) {
    gateway.engine.set_settings(tiny(10000, 10001));
    for (int i = 0; i < 3; ++i) {
        const auto id = std::to_string(i);
        const auto invite = line.out(kAlice.with_call_id(id).request(
            "INVITE", 1,
            audio("192.168.77.2", 4000 + 2 * i,
                  "a=rtcp:" + std::to_string(4000 + 2 * i) + "\na=rtcp-mux\n")));
        EXPECT_EQ(invite.opened.size(), 1U) << i;
        (void)line.in(answer(invite.text, 486, "b"));
        gateway.wait(61s);
    }
    EXPECT_EQ(call(line, "9", 4000).opened.size(), 2U) << "both ports are there again";
}

}  // namespace
}  // namespace sipnat
