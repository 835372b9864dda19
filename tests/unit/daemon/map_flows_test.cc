// nft-map mode: from a packet's two endpoints, and what conntrack has, to its flow.
#include "daemon/map_flows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "daemon/fake_maps.h"

namespace sipnat::daemon {
namespace {

using namespace std::chrono_literals;
using netfilter::NatChanges;
using netfilter::NatElement;
using netfilter::NatSet;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Time kNow{1h};

IpAddress address(const char* text) {
    return IpAddress::parse(text).value();
}
Endpoint endpoint(const char* text) {
    return Endpoint::parse(text).value();
}
Tuple tuple(const char* source, const char* destination) {
    return {endpoint(source), endpoint(destination), Transport::udp};
}
config::Outside way(const char* interface, const char* outside, const char* inside,
                    const char* except = nullptr) {
    config::Outside made{interface, address(outside), {Network::parse(inside).value()}, {}};
    if (except != nullptr) made.except.push_back(Network::parse(except).value());
    return made;
}

struct FakeKernel : FlowKernel {
    std::vector<FlowEntry> entries;
    std::set<Endpoint> bound;
    std::map<std::string, std::vector<IpAddress>> routes;  ///< by interface
    std::vector<Tuple> forgotten;
    std::vector<FlowEntry> made_anew;
    std::vector<NatChanges> updates;
    FakeMaps maps;
    bool broken = false;

    Result<std::optional<FlowEntry>> find(const Tuple& wanted) override {
        for (const auto& entry : entries) {
            if (entry.tuples.original == wanted || entry.tuples.reply == wanted) return entry;
        }
        return std::nullopt;
    }
    Result<void> forget_plain(const Tuple& wanted) override {
        forgotten.push_back(wanted);
        return {};
    }
    Result<void> make_anew(const FlowEntry& entry) override {
        if (broken) return fail("create conntrack entry", "", "no room", ENOMEM);
        made_anew.push_back(entry);
        return {};
    }
    Result<bool> leaves_by(const IpAddress& to, const std::string& interface) override {
        return std::ranges::count(routes[interface], to) > 0;
    }
    Result<bool> is_bound(const Endpoint& wanted) override { return bound.contains(wanted); }
    Result<void> update(const NatChanges& changes) override {
        if (broken) return fail("update nft maps", "inet sipnat_maps", "gone", ENOENT);
        auto done = maps.update(changes);
        if (done) updates.push_back(changes);
        return done;
    }
};

class MapFlowsTest : public testing::Test {
  protected:
    explicit MapFlowsTest(std::vector<config::Outside> ways = {way("wan0", "203.0.113.1",
                                                                   "192.168.0.0/16",
                                                                   "192.168.9.0/24")})
        : kernel(new FakeKernel),
          map(std::make_shared<SignallingMap>()),
          flows(std::move(ways), {Port{10000}, Port{10100}}, {Port{5060}, Port{5070}},
                std::unique_ptr<FlowKernel>(kernel), map) {
        kernel->routes["wan0"] = {address("203.0.113.10"), address("203.0.113.11")};
    }

    FoundFlow find(const char* source, const char* destination) {
        return flows.find(tuple(source, destination), media, kNow);
    }
    static FlowTuples tuples(const char* source, const char* destination, const char* back_source,
                             const char* back_destination) {
        return {tuple(source, destination), tuple(back_source, back_destination)};
    }

    FakeKernel* kernel;  // of flows
    std::shared_ptr<SignallingMap> map;
    MediaTable media{Settings{}};
    MapFlows flows;
};

constexpr const char* kPhone = "192.168.77.2:5060";
constexpr const char* kServer = "203.0.113.10:5060";

TEST_F(MapFlowsTest, APhonesFirstPacketGetsItsOwnPort) {
    const auto found = find(kPhone, kServer);
    ASSERT_TRUE(found.flow) << found.fault;
    EXPECT_EQ(found.flow->tuples, tuples(kPhone, kServer, kServer, "203.0.113.1:5060"));
    EXPECT_EQ(found.flow->direction, FlowDirection::original);
    EXPECT_EQ(found.flow->standing, FlowStanding::helped);
    ASSERT_EQ(kernel->updates.size(), 1U) << "before the packet goes on";
    const auto& add = kernel->updates[0].add;
    ASSERT_EQ(add.size(), 3U);
    EXPECT_EQ(add[0].set, NatSet::contacts);
    EXPECT_EQ(add[0].address, address("203.0.113.10"));
    EXPECT_EQ(add[0].target, endpoint(kPhone));
    EXPECT_EQ(add[1].set, NatSet::out);
    EXPECT_EQ(add[1].interface, "wan0");
    EXPECT_EQ(add[1].target, endpoint("203.0.113.1:5060"));
    EXPECT_EQ(add[2].set, NatSet::signalling);
}

TEST_F(MapFlowsTest, TwoPhonesWithOneSourcePortGetTwo) {
    EXPECT_EQ(find(kPhone, kServer).flow->tuples.reply.destination, endpoint("203.0.113.1:5060"));
    EXPECT_EQ(find("192.168.77.3:5060", kServer).flow->tuples.reply.destination,
              endpoint("203.0.113.1:10100"));
    EXPECT_EQ(find(kPhone, kServer).flow->tuples.reply.destination, endpoint("203.0.113.1:5060"));
    EXPECT_EQ(kernel->updates.size(), 2U) << "a retransmission changes nothing";
}

TEST_F(MapFlowsTest, ACallThatCameBeforeThePhoneDoesNotTakeItsPort) {
    const auto plain =
        tuples(kServer, "203.0.113.1:5060", "203.0.113.1:5060", kServer);  // after a reboot, say
    kernel->entries.push_back({plain, 0, 0, 0, "", {}});
    EXPECT_EQ(find(kPhone, kServer).flow->tuples.reply.destination, endpoint("203.0.113.1:5060"));
    EXPECT_THAT(kernel->forgotten, testing::ElementsAre(plain.original));
}

TEST_F(MapFlowsTest, APhoneHasOnePortForAllServers) {
    (void)find(kPhone, kServer);
    const auto other = find(kPhone, "203.0.113.11:5060");
    EXPECT_EQ(other.flow->tuples.reply, tuple("203.0.113.11:5060", "203.0.113.1:5060"));
    EXPECT_EQ(map->size(), 1U);
    EXPECT_EQ(kernel->updates.size(), 2U) << "the second server may answer as well";
}

TEST_F(MapFlowsTest, PortsOfOthersAreLeftToThem) {
    kernel->bound = {endpoint("203.0.113.1:5060")};  // a PBX here
    ASSERT_TRUE(flows.set_forwards({{{Port{10100}, Port{10100}}, "a rule"}}));
    kernel->entries.push_back({tuples("203.0.113.1:10099", kServer, kServer,  // the gateway's own
                                      "203.0.113.1:10099"),
                               0,
                               0,
                               0,
                               "",
                               {}});
    const MediaKey key{address("203.0.113.1"), Transport::udp, endpoint("192.168.77.9:10098")};
    ASSERT_EQ(media.map(std::span(&key, 1), ExpectClass::audio, {}), Mapped::done);
    ASSERT_TRUE(media.find_outside(endpoint("203.0.113.1:10098"), Transport::udp));
    EXPECT_EQ(find(kPhone, kServer).flow->tuples.reply.destination, endpoint("203.0.113.1:10097"));
}

TEST_F(MapFlowsTest, WhatMatchesNoEntryIsUntouched) {
    EXPECT_FALSE(find("10.0.0.2:5060", kServer).flow) << "no inside network";
    EXPECT_FALSE(find(kPhone, "198.51.100.1:5060").flow) << "leaves by another interface";
    EXPECT_FALSE(find("192.168.9.2:5060", kServer).flow) << "an exception";
    EXPECT_FALSE(find("203.0.113.10:5060", "203.0.113.1:5060").flow) << "to the gateway itself";
    EXPECT_THAT(kernel->updates, IsEmpty());
    EXPECT_EQ(map->size(), 0U);
}

TEST_F(MapFlowsTest, ExceptionsHoldForTheRemoteSideToo) {
    kernel->routes["wan0"].push_back(address("192.168.9.7"));
    EXPECT_FALSE(find(kPhone, "192.168.9.7:5060").flow);
}

// --- TCP ----------------------------------------------------------------------------------------

class MapConnections : public MapFlowsTest {
  protected:
    static Tuple tcp(const char* source, const char* destination) {
        return {endpoint(source), endpoint(destination), Transport::tcp};
    }
    static TcpSegment segment(bool syn, bool ack) {
        TcpSegment made;
        made.syn = syn;
        made.ack = ack;
        return made;
    }
    void know(const Tuple& original, const Tuple& reply, TcpState state) {
        FlowEntry entry;
        entry.tuples = {original, reply};
        entry.mark = 7;
        entry.tcp_state = state;
        kernel->entries = {entry};
    }

    const TcpSegment kSyn = segment(true, false);
    const TcpSegment kAnswer = segment(true, true);
    const TcpSegment kLater = segment(false, true);
    const Tuple kThere = tcp("192.168.77.2:40000", kServer);
    const Tuple kBack = tcp(kServer, "203.0.113.1:40000");
};

TEST_F(MapConnections, AFirstPacketIsPassedOnAndKept) {
    const auto found = flows.find_connection(kThere, kSyn);
    ASSERT_TRUE(found.flow);
    EXPECT_EQ(found.flow->tuples.original, kThere);
    EXPECT_EQ(found.flow->standing, FlowStanding::first);
    EXPECT_THAT(kernel->made_anew, IsEmpty());
    EXPECT_EQ(map->size(), 0U);
    EXPECT_FALSE(flows.find_connection(kThere, kAnswer).flow) << "of a flow that nobody knows";
    EXPECT_FALSE(flows.find_connection(kThere, kLater).flow);
}

TEST_F(MapConnections, TheAnswerMakesTheEntryAnewWhileNothingWasSent) {
    know(kThere, kBack, TcpState::syn_received);
    const auto found = flows.find_connection(kBack, kAnswer);
    ASSERT_TRUE(found.flow);
    EXPECT_EQ(found.flow->tuples, (FlowTuples{kThere, kBack}));
    EXPECT_EQ(found.flow->direction, FlowDirection::reply);
    EXPECT_EQ(found.flow->standing, FlowStanding::helped);
    EXPECT_EQ(found.flow->mark, 7U);
    EXPECT_EQ(kernel->made_anew, kernel->entries);

    kernel->made_anew.clear();
    EXPECT_TRUE(flows.find_connection(kThere, kSyn).flow) << "again";
    EXPECT_TRUE(flows.find_connection(kThere, kLater).flow);
    know(kThere, kBack, static_cast<TcpState>(3));
    EXPECT_TRUE(flows.find_connection(kBack, kAnswer).flow)
        << "established: its numbers may be adjusted";
    EXPECT_EQ(flows.find_connection(kThere, kLater).flow->direction, FlowDirection::original);
    EXPECT_THAT(kernel->made_anew, IsEmpty());
}

TEST_F(MapConnections, OneWhoseNumbersAreAdjustedAlreadyIsNotMadeAnew) {
    know(kThere, kBack, TcpState::syn_received);
    kernel->entries[0].shifts[0].after = -5;
    EXPECT_TRUE(flows.find_connection(kBack, kAnswer).flow);
    EXPECT_THAT(kernel->made_anew, IsEmpty());
}

TEST_F(MapConnections, OneThroughAPortForwardToo) {
    const auto there = tcp("203.0.113.11:40000", "203.0.113.1:5060");
    know(there, tcp("192.168.77.2:5062", "203.0.113.11:40000"), TcpState::syn_received);
    EXPECT_TRUE(
        flows.find_connection(tcp("192.168.77.2:5062", "203.0.113.11:40000"), kAnswer).flow);
    EXPECT_EQ(kernel->made_anew.size(), 1U);
}

TEST_F(MapConnections, OthersAreUntouched) {
    know(kThere, kThere.reversed(), TcpState::syn_received);
    EXPECT_FALSE(flows.find_connection(kThere.reversed(), kAnswer).flow) << "not translated";
    know(kThere, tcp(kServer, "198.51.100.1:40000"), TcpState::syn_received);
    EXPECT_FALSE(flows.find_connection(tcp(kServer, "198.51.100.1:40000"), kAnswer).flow)
        << "by another address";
    know(tcp("192.168.9.2:40000", kServer), kBack, TcpState::syn_received);
    EXPECT_FALSE(flows.find_connection(kBack, kAnswer).flow) << "an exception";
    EXPECT_THAT(kernel->made_anew, IsEmpty());
}

TEST_F(MapConnections, OneWithoutRoomPassesAndSaysWhy) {
    know(kThere, kBack, TcpState::syn_received);
    kernel->broken = true;
    const auto found = flows.find_connection(kBack, kAnswer);
    EXPECT_FALSE(found.flow);
    EXPECT_THAT(found.fault, HasSubstr("no room"));
}

TEST_F(MapConnections, OfARegistrationIsThereOrNot) {
    know(kThere, kBack, static_cast<TcpState>(3));
    const FlowTuples flow{kThere, kBack};
    const FlowTuples gone{tcp("192.168.77.2:40001", kServer), kBack};
    EXPECT_TRUE(flows.is_there(flow));
    EXPECT_FALSE(flows.is_there(gone));
    EXPECT_THAT(flows.make_flows(std::array{flow, gone}, kNow).missing, testing::ElementsAre(gone))
        << "nothing can be made of it";
    EXPECT_EQ(map->size(), 0U);
}

TEST_F(MapFlowsTest, WhomThePhoneTalkedToMayCallIt) {
    (void)find(kPhone, kServer);
    const auto found = find("203.0.113.10:5070", "203.0.113.1:5060");
    ASSERT_TRUE(found.flow);
    EXPECT_EQ(found.flow->tuples,
              tuples(kPhone, "203.0.113.10:5070", "203.0.113.10:5070", "203.0.113.1:5060"))
        << "as if the phone had opened it";
    EXPECT_EQ(found.flow->direction, FlowDirection::reply);
    EXPECT_FALSE(find("203.0.113.11:5060", "203.0.113.1:5060").flow) << "and nobody else";
}

TEST_F(MapFlowsTest, ConfirmedFlowsAreWhatConntrackSays) {
    const auto masqueraded = tuples(kPhone, kServer, kServer, "203.0.113.1:1024");
    kernel->entries.push_back({masqueraded, 0, 7, 0, "", {}});
    const auto out = find(kPhone, kServer);
    ASSERT_TRUE(out.flow);
    EXPECT_EQ(out.flow->tuples, masqueraded);
    EXPECT_EQ(out.flow->direction, FlowDirection::original);
    EXPECT_EQ(out.flow->mark, 7U);
    EXPECT_NE(map->find_outside(endpoint("203.0.113.1:1024")), nullptr)
        << "older than the daemon: adopted, with its port";
    const auto back = find(kServer, "203.0.113.1:1024");
    EXPECT_EQ(back.flow->tuples, masqueraded);
    EXPECT_EQ(back.flow->direction, FlowDirection::reply);
    EXPECT_EQ(kernel->updates.size(), 1U);
}

TEST_F(MapFlowsTest, AConfirmedFlowKeepsItsPortBesideItsPhonesMapping) {
    (void)find(kPhone, kServer);
    const auto older = tuples(kPhone, "203.0.113.11:5060", "203.0.113.11:5060", "203.0.113.1:1024");
    kernel->entries.push_back({older, 0, 0, 0, "", {}});
    EXPECT_EQ(find(kPhone, "203.0.113.11:5060").flow->tuples, older);
    EXPECT_EQ(map->find(address("203.0.113.1"), endpoint(kPhone))->outside,
              endpoint("203.0.113.1:5060"));
}

TEST_F(MapFlowsTest, PortForwardsAreTheAdministratorsToMap) {
    const auto forwarded =
        tuples("203.0.113.11:5060", "203.0.113.1:5060", "192.168.77.2:5060", "203.0.113.11:5060");
    kernel->entries.push_back({forwarded, 0, 0, 0, "", {}});
    const auto found = find("192.168.77.2:5060", "203.0.113.11:5060");
    ASSERT_TRUE(found.flow);
    EXPECT_EQ(found.flow->tuples, forwarded);
    EXPECT_EQ(found.flow->direction, FlowDirection::reply);
    EXPECT_EQ(map->size(), 0U);
}

TEST_F(MapFlowsTest, AForwardedFirstPacketGoesWhereTheRuleSays) {
    const netfilter::PortForward plain{{Port{5060}, Port{5069}}, "r", address("192.168.77.2")};
    const netfilter::PortForward other{
        {Port{5070}, Port{5070}}, "r", address("192.168.77.3"), Port{5060}};
    const netfilter::PortForward unknown{{Port{5060}, Port{5070}}, "r"};
    ASSERT_TRUE(flows.set_forwards({unknown, plain, other}));
    ASSERT_EQ(kernel->updates.size(), 1U);
    ASSERT_EQ(kernel->updates[0].add.size(), 2U);
    EXPECT_EQ(kernel->updates[0].add[0],
              (NatElement{NatSet::forwarded, endpoint("203.0.113.1:5060"), {}, {}, "", {}}));

    const auto found = find("203.0.113.11:5080", "203.0.113.1:5060");
    ASSERT_TRUE(found.flow);
    EXPECT_EQ(found.flow->tuples, tuples("203.0.113.11:5080", "203.0.113.1:5060",
                                         "192.168.77.2:5060", "203.0.113.11:5080"));
    EXPECT_EQ(found.flow->direction, FlowDirection::original);
    EXPECT_EQ(find("203.0.113.11:5080", "203.0.113.1:5070").flow->tuples.reply.source,
              endpoint("192.168.77.3:5060"));
    EXPECT_FALSE(find("203.0.113.11:5080", "203.0.113.1:5071").flow);
    EXPECT_FALSE(find("203.0.113.11:5080", "198.51.100.1:5060").flow) << "another address";
    EXPECT_NE(find(kPhone, kServer).flow->tuples.reply.destination, endpoint("203.0.113.1:5060"))
        << "the forwarded port is the administrator's";

    flows.set_ports({Port{20000}, Port{20010}}, {Port{5070}});
    kernel->updates.clear();
    ASSERT_TRUE(flows.set_forwards({unknown, plain, other}));
    EXPECT_EQ(kernel->updates[0].add.size(), 1U) << "5060 is no SIP port any longer";
    EXPECT_EQ(find("192.168.77.9:5060", kServer).flow->tuples.reply.destination,
              endpoint("203.0.113.1:20010"));
    kernel->updates.clear();
    ASSERT_TRUE(flows.set_forwards({}));
    ASSERT_EQ(kernel->updates.size(), 1U);
    EXPECT_EQ(kernel->updates[0].remove.size(), 1U);
    EXPECT_THAT(kernel->updates[0].add, IsEmpty());
}

TEST_F(MapFlowsTest, FlowsWithoutNatOrWithAnotherAddressAreUntouched) {
    kernel->entries.push_back({tuples(kPhone, kServer, kServer, kPhone), 0, 0, 0, "", {}});
    EXPECT_FALSE(find(kPhone, kServer).flow);
    kernel->entries[0].tuples = tuples(kPhone, kServer, kServer, "198.51.100.1:1024");
    EXPECT_FALSE(find(kPhone, kServer).flow);
    kernel->entries[0].tuples = tuples("192.168.9.2:5060", kServer, kServer, "203.0.113.1:1024");
    EXPECT_FALSE(find("192.168.9.2:5060", kServer).flow) << "an exception";
    EXPECT_THAT(kernel->forgotten, IsEmpty());
}

TEST_F(MapFlowsTest, AnEntryThatShutsACallerOutIsForgotten) {
    (void)find(kPhone, kServer);
    const auto plain =
        tuples("203.0.113.10:5070", "203.0.113.1:5060", "203.0.113.1:5060", "203.0.113.10:5070");
    kernel->entries.push_back({plain, 0, 0, 0, "", {}});
    kernel->forgotten.clear();
    EXPECT_FALSE(find("203.0.113.10:5070", "203.0.113.1:5060").flow);
    EXPECT_THAT(kernel->forgotten, testing::ElementsAre(plain.original));
    kernel->forgotten.clear();
    (void)find(kPhone, kServer);
    EXPECT_THAT(kernel->forgotten, testing::ElementsAre(tuple(kServer, "203.0.113.1:5060")));
}

TEST_F(MapFlowsTest, WithoutItsTableAPacketPassesAndTheNextTriesAgain) {
    kernel->broken = true;
    const auto failed = find(kPhone, kServer);
    EXPECT_FALSE(failed.flow);
    EXPECT_EQ(failed.fault, "update nft maps inet sipnat_maps: gone");
    EXPECT_EQ(map->size(), 0U);
    kernel->broken = false;
    EXPECT_TRUE(find(kPhone, kServer).flow);
}

TEST_F(MapFlowsTest, WithoutAFreePortAPacketPasses) {
    for (int port = 10000; port <= 10100; ++port)
        kernel->bound.insert({address("203.0.113.1"), static_cast<Port>(port)});
    kernel->bound.insert(endpoint("203.0.113.1:5060"));
    const auto found = find(kPhone, kServer);
    EXPECT_FALSE(found.flow);
    EXPECT_EQ(found.fault, "map signalling 203.0.113.1: no free port");
    EXPECT_TRUE(find("192.168.77.2:5070", kServer).flow);
}

TEST_F(MapFlowsTest, MediaIsNoSignallingThoughItsPortsAreSips) {
    const auto rtp = endpoint("192.168.77.2:4000");
    const MediaKey key{address("203.0.113.1"), Transport::udp, rtp};
    ASSERT_EQ(media.map(std::span(&key, 1), ExpectClass::audio, {}), Mapped::done);
    const auto outside = media.find(key)->outside;
    EXPECT_FALSE(find("192.168.77.2:4000", kServer).flow) << "m=audio 5060 of the other side";
    kernel->entries.push_back(
        {{{rtp, endpoint(kServer), Transport::udp}, {endpoint(kServer), outside, Transport::udp}},
         0,
         0,
         0,
         "",
         {}});
    EXPECT_FALSE(find("192.168.77.2:4000", kServer).flow);
    EXPECT_FALSE(flows.find({endpoint(kServer), outside, Transport::udp}, media, kNow).flow);
    EXPECT_EQ(map->size(), 0U);
    EXPECT_THAT(kernel->updates, IsEmpty());
    EXPECT_TRUE(find(kPhone, kServer).flow) << "the phone's signalling beside it";
}

TEST_F(MapFlowsTest, AContactOnAnotherPortIsReachedByWhomItIsFor) {
    const auto contact = endpoint("192.168.77.2:5062");
    const MediaKey key{address("203.0.113.1"), Transport::udp, contact};
    ASSERT_EQ(media.map(std::span(&key, 1), ExpectClass::signalling, {}), Mapped::done);
    const auto outside = media.find(key)->outside;
    const auto server = endpoint(kServer);
    const auto called = [&] { return flows.find({server, outside, Transport::udp}, media, kNow); };
    EXPECT_FALSE(called().flow) << "nobody uses it yet";
    ASSERT_TRUE(media.acquire({key, std::nullopt, server.address}));

    const FlowTuples in{{server, outside, Transport::udp}, {contact, server, Transport::udp}};
    ASSERT_TRUE(called().flow);
    EXPECT_EQ(called().flow->tuples, in);
    EXPECT_EQ(called().flow->direction, FlowDirection::original);
    const Endpoint stranger{address("203.0.113.11"), server.port};
    EXPECT_FALSE(flows.find({stranger, outside, Transport::udp}, media, kNow).flow);

    const FlowTuples out{{contact, server, Transport::udp}, {server, outside, Transport::udp}};
    const auto speaks = flows.find(out.original, media, kNow);
    ASSERT_TRUE(speaks.flow) << "the phone may speak first";
    EXPECT_EQ(speaks.flow->tuples, out);
    for (const auto& confirmed : {in, out}) {
        kernel->entries = {{confirmed, 0, 0, 0, "", {}}};
        const auto found = flows.find(confirmed.original, media, kNow);
        ASSERT_TRUE(found.flow);
        EXPECT_EQ(found.flow->tuples, confirmed);
    }
    EXPECT_EQ(map->size(), 0U) << "its mapping is the engine's";
    EXPECT_THAT(kernel->updates, IsEmpty());
}

TEST_F(MapFlowsTest, PortsOfCallsThatPerhapsAreUpAreNotGivenAway) {
    map->set_left({endpoint("203.0.113.1:5060"), endpoint("203.0.113.1:10100")});
    EXPECT_EQ(find(kPhone, kServer).flow->tuples.reply.destination, endpoint("203.0.113.1:10099"));
    kernel->entries.push_back(
        {tuples("192.168.77.3:4000", kServer, kServer, "203.0.113.1:10100"), 0, 0, 0, "", {}});
    EXPECT_FALSE(find("192.168.77.3:4000", kServer).flow) << "their media";
    EXPECT_EQ(map->size(), 1U);
}

TEST(MapFlowsLimits, AMappingThatALimitRefusesIsAFault) {
    auto* kernel = new FakeKernel;
    kernel->routes["wan0"] = {address("203.0.113.10")};
    auto map = std::make_shared<SignallingMap>(SignallingMap::Limits{64, 1, 16});
    MapFlows flows({way("wan0", "203.0.113.1", "192.168.0.0/16")}, {Port{10000}, Port{10100}},
                   {Port{5060}}, std::unique_ptr<FlowKernel>(kernel), map);
    const MediaTable media{Settings{}};
    EXPECT_TRUE(flows.find(tuple(kPhone, kServer), media, kNow).flow);
    EXPECT_EQ(flows.find(tuple("192.168.77.3:5060", kServer), media, kNow).fault,
              "map signalling 203.0.113.1: too many mappings");
}

TEST_F(MapFlowsTest, FlowsOfRegistrationsAreMappedAnewWithTheirPorts) {
    const auto flow = tuples(kPhone, kServer, kServer, "203.0.113.1:40000");
    EXPECT_THAT(flows.make_flows({&flow, 1}, kNow).missing, IsEmpty());
    EXPECT_EQ(find(kServer, "203.0.113.1:40000").flow->tuples, flow);
    ASSERT_TRUE(map->find(address("203.0.113.1"), endpoint(kPhone)));
    EXPECT_EQ(kernel->updates.size(), 1U);
    EXPECT_THAT(flows.make_flows({&flow, 1}, kNow).missing, IsEmpty());
    EXPECT_EQ(kernel->updates.size(), 1U) << "it is there";
}

TEST_F(MapFlowsTest, FlowsOfRegistrationsThatCanBeNoneAreLeftAlone) {
    const std::vector<FlowTuples> all{
        tuples(kPhone, kServer, kServer, "203.0.113.9:5060"),              // another address by now
        tuples("192.168.9.2:5060", kServer, kServer, "203.0.113.1:5060"),  // left out
    };
    EXPECT_EQ(flows.make_flows(all, kNow).missing, all);
    const auto forwarded = tuples(kServer, "203.0.113.1:5060", kPhone, kServer);
    EXPECT_THAT(flows.make_flows({&forwarded, 1}, kNow).missing, IsEmpty()) << "nothing to do";
    EXPECT_EQ(map->size(), 0U);
    (void)find(kPhone, kServer);
    const auto moved = tuples(kPhone, kServer, kServer, "203.0.113.1:40000");
    EXPECT_EQ(flows.make_flows({&moved, 1}, kNow).missing.size(), 1U);
    const auto taken = tuples("192.168.77.4:5060", kServer, kServer, "203.0.113.1:5060");
    EXPECT_EQ(flows.make_flows({&taken, 1}, kNow).missing.size(), 1U);
    EXPECT_EQ(map->find(address("203.0.113.1"), endpoint(kPhone))->outside,
              endpoint("203.0.113.1:5060"));
    kernel->broken = true;
    const auto other = tuples("192.168.77.3:5060", kServer, kServer, "203.0.113.1:40001");
    const auto refused = flows.make_flows({&other, 1}, kNow);
    EXPECT_EQ(refused.missing.size(), 1U);
    EXPECT_THAT(refused.fault, HasSubstr("gone"));
}

TEST_F(MapFlowsTest, SilentMappingsEnd) {
    (void)find(kPhone, kServer);
    kernel->updates.clear();
    ASSERT_TRUE(flows.keep_up(kNow + 3999s));
    EXPECT_THAT(kernel->updates, IsEmpty());
    ASSERT_TRUE(flows.keep_up(kNow + 4000s));
    ASSERT_EQ(kernel->updates.size(), 1U);
    EXPECT_EQ(kernel->updates[0].remove.size(), 3U);
}

class TwoWaysOut : public MapFlowsTest {
  protected:
    TwoWaysOut()
        : MapFlowsTest({way("wan0", "203.0.113.1", "192.168.0.0/16"),
                        way("wan1", "198.51.100.1", "192.168.0.0/16")}) {
        kernel->routes["wan1"] = {address("198.51.100.9")};
    }
};

TEST_F(TwoWaysOut, APhoneHasAPortOnEach) {
    EXPECT_EQ(find(kPhone, kServer).flow->tuples.reply.destination, endpoint("203.0.113.1:5060"));
    EXPECT_EQ(find(kPhone, "198.51.100.9:5060").flow->tuples.reply.destination,
              endpoint("198.51.100.1:5060"));
    EXPECT_EQ(map->find_outside(endpoint("198.51.100.1:5060"))->interface, "wan1");
}

}  // namespace
}  // namespace sipnat::daemon
