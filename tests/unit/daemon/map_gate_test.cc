// nft-map mode: the elements of media, through all that may be in their way.
#include "daemon/map_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/fake_maps.h"
#include "daemon/kernel_checks.h"

namespace sipnat::daemon {
namespace {

using namespace std::chrono_literals;
using Kind = KernelAnswer::Kind;
using netfilter::NatChanges;
using netfilter::NatElement;
using netfilter::NatSet;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Time kNow{1h};

IpAddress address(const char* text) {
    return IpAddress::parse(text).value();
}
Endpoint endpoint(const char* text) {
    return Endpoint::parse(text).value();
}

const Endpoint kInside = endpoint("192.168.77.2:4000");
const Endpoint kOutside = endpoint("203.0.113.1:20000");

struct FakeKernel : GateKernel {
    FakeMaps maps;
    std::vector<NatChanges> updates;
    std::vector<Tuple> forgotten;
    int fail_after = -1;  ///< so many updates; -1: never

    std::optional<KernelAnswer> find_obstacle(const Decision& /*decision*/) override { return {}; }
    Result<void> remove_if(const Tuple& tuple,
                           const std::function<bool(const FlowEntry&)>& /*condition*/) override {
        forgotten.push_back(tuple);
        return {};
    }
    Result<void> delete_flows(std::span<const MediaFlows> /*ended*/) override { return {}; }
    Result<void> evict(std::span<const Hole> /*holes*/) override { return {}; }
    Result<MediaCounts> count_packets(std::span<const MediaFlows> /*media*/) override {
        return MediaCounts{};
    }
    Result<OutsideEndpoints> reply_destinations(const MediaTable& /*media*/) override {
        return OutsideEndpoints{};
    }
    Result<bool> has_heard(const Hole& /*hole*/) override { return true; }
    Result<void> update(const NatChanges& changes) override {
        if (fail_after == 0) return fail_errno("update nft maps", "", ENOBUFS);
        if (fail_after > 0) --fail_after;
        auto done = maps.update(changes);
        if (done) updates.push_back(changes);
        return done;
    }
    Result<std::vector<NatElement>> list(NatSet set) override { return maps.list(set); }

    void put(const std::vector<NatElement>& elements) { ASSERT_TRUE(maps.update({{}, elements})); }
    [[nodiscard]] bool has(const std::vector<NatElement>& elements) const {
        return std::ranges::all_of(elements, [&](const NatElement& element) {
            const auto* found = maps.find(element);
            return found != nullptr && *found == element;
        });
    }
};

Hole hole(const Endpoint& inside, const Endpoint& outside, Transport transport = Transport::udp) {
    Hole made;
    made.inside = inside;
    made.outside = outside;
    made.transport = transport;
    return made;
}
std::vector<NatElement> elements(const Endpoint& inside, const Endpoint& outside) {
    auto made = media_elements(inside, outside, "wan0");
    made.push_back(media_guard(outside));
    return made;
}

class MapGateTest : public testing::Test {
  protected:
    MapGateTest()
        : kernel(new FakeKernel),
          signalling(std::make_shared<SignallingMap>()),
          gate({{"wan0", address("203.0.113.1"), {Network::parse("192.168.0.0/16").value()}, {}},
                {"wan1", address("198.51.100.1"), {Network::parse("192.168.0.0/16").value()}, {}}},
               signalling, std::unique_ptr<GateKernel>(kernel)) {}

    KernelAnswer open(std::vector<Hole> holes) {
        Decision decision;
        decision.open = std::move(holes);
        return gate.open_holes(decision, 0);
    }
    void add_media(const Endpoint& inside, const Endpoint& outside,
                   Transport transport = Transport::udp) {
        Mapping mapping;
        mapping.outside = outside;
        mapping.uses = {{std::nullopt, std::nullopt, Way::nat, 1}};
        ASSERT_TRUE(media.restore({outside.address, transport, inside}, mapping));
    }
    /// `count` streams of one phone, and their elements in the kernel.
    void add_streams(int count) {
        for (int i = 0; i < count; ++i) {
            const Endpoint inside{kInside.address, static_cast<Port>(2000 + i)};
            const Endpoint outside{kOutside.address, static_cast<Port>(10000 + i)};
            add_media(inside, outside);
            kernel->put(elements(inside, outside));
        }
    }

    FakeKernel* kernel;  // of gate
    std::shared_ptr<SignallingMap> signalling;
    MediaTable media{Settings{}};
    MapGate gate;
};

TEST_F(MapGateTest, AHoleIsOpenedAndClosed) {
    EXPECT_EQ(open({hole(kInside, kOutside)}).kind, Kind::done);
    EXPECT_TRUE(kernel->has(elements(kInside, kOutside)));
    EXPECT_EQ(kernel->maps.elements().size(), 5U);
    const std::array holes{hole(kInside, kOutside)};
    ASSERT_TRUE(gate.close_holes(holes));
    EXPECT_EQ(kernel->maps.elements().size(), 1U);
    EXPECT_TRUE(kernel->has({resting_guard(kOutside)}));
}

TEST_F(MapGateTest, AHoleIsMadeOnesAndAnybodysAgain) {
    const auto remote = address("203.0.113.10");
    const auto wide = hole(kInside, kOutside);
    auto narrow = wide;
    narrow.from = remote;
    EXPECT_EQ(open({wide}).kind, Kind::done);
    EXPECT_THAT(gate.admit(std::array{Admission{wide, narrow}}), IsEmpty());
    auto those = media_elements(kInside, kOutside, "wan0", remote);
    EXPECT_EQ(those.front().set, NatSet::in_from);
    those.push_back(media_guard(kOutside));
    EXPECT_TRUE(kernel->has(those));
    EXPECT_EQ(kernel->maps.elements().size(), 5U);
    EXPECT_EQ(kernel->updates.size(), 2U) << "in one transaction";

    EXPECT_THAT(gate.admit(std::array{Admission{narrow, wide}}), IsEmpty());
    EXPECT_TRUE(kernel->has(elements(kInside, kOutside)));
    EXPECT_EQ(kernel->maps.elements().size(), 5U);

    EXPECT_THAT(gate.admit(std::array{Admission{wide, narrow}}), IsEmpty());
    ASSERT_TRUE(gate.close_holes(std::array{narrow}));
    EXPECT_EQ(kernel->maps.elements().size(), 1U);
}

TEST_F(MapGateTest, MediaThatRanAheadToAnotherInsideHostIsForgotten) {
    auto out = hole(kInside, kOutside);
    out.remote = endpoint("203.0.113.1:20002");
    out.way = Way::hairpin;
    EXPECT_EQ(open({hole(kInside, kOutside), out}).kind, Kind::done);
    EXPECT_EQ(kernel->forgotten, (std::vector<Tuple>{{kInside, *out.remote, Transport::udp}}));
}

TEST(EarlyMedia, OfAHairpinIsWhatIsNotBetweenTwoOutsideEndpoints) {
    auto out = hole(kInside, kOutside);
    const auto there = endpoint("203.0.113.1:20002");
    const auto other = endpoint("192.168.77.3:4000");
    out.remote = there;
    out.way = Way::hairpin;
    const Tuple sent{kInside, there, Transport::udp};
    const Tuple returned{other, kOutside, Transport::udp};
    const auto is_early = [&](const FlowTuples& tuples) -> bool {
        std::vector<bool> early;
        const auto remove = [&](const Tuple& tuple, const auto& condition) -> Result<void> {
            EXPECT_EQ(tuple, sent);
            FlowEntry flow;
            flow.tuples = tuples;
            early.push_back(condition(flow));
            return {};
        };
        EXPECT_TRUE(forget_early_media(out, netfilter::FlowOrigin::any, remove));
        EXPECT_EQ(early.size(), 1U);
        return early.front();
    };
    EXPECT_FALSE(is_early({sent, returned}));
    EXPECT_FALSE(is_early({returned, sent})) << "opened by the other";
    EXPECT_TRUE(is_early({sent, {other, kInside, Transport::udp}}))
        << "its source is the inside one";
}

TEST_F(MapGateTest, AnAdmissionThatFailsIsNamed) {
    const auto wide = hole(kInside, kOutside);
    auto narrow = wide;
    narrow.from = address("203.0.113.10");
    EXPECT_EQ(open({wide}).kind, Kind::done);
    kernel->fail_after = 0;
    const std::array admissions{Admission{wide, narrow}};
    const auto refused = gate.admit(admissions);
    ASSERT_EQ(refused.size(), 1U);
    EXPECT_EQ(refused.front().admission, admissions.front());
    EXPECT_TRUE(kernel->has(elements(kInside, kOutside))) << "as before";
}

TEST_F(MapGateTest, ANarrowedStreamThatNobodyKnowsIsLeft) {
    kernel->put({media_elements(kInside, kOutside, "wan0", address("203.0.113.10")).front()});
    EXPECT_THAT(gate.take_over(media, Knowledge::some_calls), IsEmpty());
    EXPECT_TRUE(signalling->is_left(kOutside));
    EXPECT_EQ(kernel->maps.elements().size(), 1U);
}

// --- signalling ---------------------------------------------------------------------------------

const Endpoint kContact = endpoint("192.168.77.2:5062");

Hole signalling_hole(const char* from) {
    auto made = hole(kContact, kOutside);
    made.media = ExpectClass::signalling;
    made.from = address(from);
    return made;
}

NatElement sender(const char* from) {
    return {NatSet::contacts, kOutside, kContact, address(from), "", kMediaElementLife};
}

TEST_F(MapGateTest, AContactsPortIsForItsSendersOnly) {
    auto first = signalling_hole("203.0.113.10");
    auto second = signalling_hole("203.0.113.20");
    second.shares_port = true;
    EXPECT_EQ(open({first}).kind, Kind::done);
    EXPECT_EQ(open({second}).kind, Kind::done);
    const std::vector<NatElement> both{
        {NatSet::out, kContact, kOutside, {}, "wan0", kMediaElementLife},
        {NatSet::signalling, kOutside, {}, {}, "", kMediaElementLife},
        media_guard(kOutside)};
    EXPECT_TRUE(kernel->has({sender("203.0.113.10"), sender("203.0.113.20")}));
    EXPECT_TRUE(kernel->has(both));
    EXPECT_EQ(kernel->maps.elements().size(), 5U);

    first.shares_port = true;
    ASSERT_TRUE(gate.close_holes(std::array{first}));
    EXPECT_TRUE(kernel->has({sender("203.0.113.20")})) << "the other one's is still open";
    EXPECT_TRUE(kernel->has(both));
    second.shares_port = false;
    ASSERT_TRUE(gate.close_holes(std::array{second}));
    EXPECT_EQ(kernel->maps.elements().size(), 1U);
    EXPECT_TRUE(kernel->has({resting_guard(kOutside)}));
}

TEST_F(MapGateTest, AContactOfAFlowHasThatFlowsPort) {
    ASSERT_TRUE(signalling->add("wan0", kContact, endpoint("203.0.113.1:5062"), kNow).added);
    const auto answer = open({signalling_hole("203.0.113.10")});
    EXPECT_EQ(answer.kind, Kind::flow_exists);
    EXPECT_EQ(answer.endpoint, endpoint("203.0.113.1:5062"));
    EXPECT_EQ(answer.inside, kContact);
    EXPECT_THAT(kernel->updates, IsEmpty());
}

TEST_F(MapGateTest, AStartKnowsContactsFromFlows) {
    Mapping mapping;
    mapping.outside = kOutside;
    mapping.media = ExpectClass::signalling;
    mapping.uses = {{std::nullopt, address("203.0.113.10"), Way::nat, 1}};
    ASSERT_TRUE(media.restore({kOutside.address, Transport::udp, kContact}, mapping));
    // Read back from `contacts`, which does not tell them apart.
    ASSERT_TRUE(signalling->add("wan0", kContact, kOutside, kNow).added);
    kernel->put({sender("203.0.113.10")});
    EXPECT_THAT(gate.take_over(media, Knowledge::all_calls), IsEmpty());
    EXPECT_EQ(signalling->size(), 0U);
    EXPECT_TRUE(kernel->has({sender("203.0.113.10")}));
    EXPECT_EQ(kernel->maps.elements().size(), 4U);
}

// --- TCP ----------------------------------------------------------------------------------------

TEST_F(MapGateTest, MediaOverTcpIsNotOpenedAndNothingIsRefusedForIt) {
    const auto other = endpoint("192.168.77.3:4000");
    EXPECT_EQ(open({hole(kInside, kOutside), hole(other, kOutside, Transport::tcp)}).kind,
              Kind::done);
    EXPECT_TRUE(kernel->has(elements(kInside, kOutside))) << "the same number of another transport";
    EXPECT_EQ(kernel->maps.elements().size(), 5U);
    const std::array holes{hole(other, kOutside, Transport::tcp)};
    ASSERT_TRUE(gate.close_holes(holes));
    EXPECT_EQ(kernel->maps.elements().size(), 5U);

    add_media(kInside, kOutside);
    add_media(other, kOutside, Transport::tcp);
    EXPECT_THAT(gate.take_over(media, Knowledge::all_calls), IsEmpty());
    EXPECT_TRUE(kernel->has(elements(kInside, kOutside)));
    EXPECT_EQ(kernel->maps.elements().size(), 5U);
}

TEST_F(MapGateTest, AContactOverTcpHasMapsOfItsOwn) {
    auto contact = signalling_hole("203.0.113.10");
    contact.transport = Transport::tcp;
    ASSERT_TRUE(signalling->add("wan0", contact.inside, contact.outside, kNow).added)
        << "the same endpoints over UDP are others'";
    EXPECT_EQ(open({contact}).kind, Kind::done);
    const auto one = [&](NatSet set, std::optional<IpAddress> sender) {
        return NatElement{set, contact.outside, contact.inside, sender, "", kMediaElementLife};
    };
    const NatElement queued{NatSet::signalling_tcp, contact.outside, std::nullopt, std::nullopt, "",
                            kMediaElementLife};
    const auto registrar = one(NatSet::contacts_tcp, address("203.0.113.10"));
    EXPECT_TRUE(kernel->has({registrar, queued}));
    EXPECT_EQ(kernel->maps.elements().size(), 2U);

    auto anybody = contact;
    anybody.from.reset();
    anybody.shares_port = true;
    EXPECT_EQ(open({anybody}).kind, Kind::done);
    EXPECT_TRUE(kernel->has({registrar, one(NatSet::in_tcp, std::nullopt), queued}));
    ASSERT_TRUE(gate.close_holes(std::array{anybody}));
    EXPECT_TRUE(kernel->has({registrar, queued})) << "the other one has the port";
    ASSERT_TRUE(gate.close_holes(std::array{contact}));
    EXPECT_TRUE(kernel->has({queued})) << "who is connected is still looked at";
    EXPECT_EQ(kernel->maps.elements().size(), 1U);
    EXPECT_THAT(gate.take_over(media, Knowledge::all_calls), IsEmpty());
    EXPECT_TRUE(kernel->has({queued}));
}

TEST_F(MapGateTest, AContactOverTcpComesBackWithTheTable) {
    const auto contact = endpoint("192.168.77.2:5062");
    const MediaKey key{kOutside.address, Transport::tcp, contact};
    Mapping mapping;
    mapping.outside = kOutside;
    mapping.media = ExpectClass::signalling;
    media.restore(key, mapping);
    (void)media.acquire({key, std::nullopt, address("203.0.113.10")});
    EXPECT_THAT(gate.take_over(media, Knowledge::all_calls), IsEmpty());
    EXPECT_TRUE(kernel->has({{NatSet::contacts_tcp, kOutside, contact, address("203.0.113.10"), "",
                              kMediaElementLife}}));
    EXPECT_EQ(kernel->maps.list(NatSet::signalling_tcp).size(), 1U);
    EXPECT_EQ(kernel->maps.elements().size(), 2U);
}

TEST_F(MapGateTest, WhatAFailedCloseLeftOverTcpGivesWay) {
    const auto registrar = address("203.0.113.10");
    auto contact = signalling_hole("203.0.113.10");
    contact.transport = Transport::tcp;
    kernel->put({{NatSet::contacts_tcp, contact.outside, endpoint("192.168.77.3:5062"), registrar,
                  "", kMediaElementLife}});
    EXPECT_EQ(open({contact}).kind, Kind::done);
    EXPECT_TRUE(kernel->has({{NatSet::contacts_tcp, contact.outside, contact.inside, registrar, "",
                              kMediaElementLife}}));
    EXPECT_EQ(kernel->maps.list(NatSet::contacts_tcp).size(), 1U);
}

TEST_F(MapGateTest, OnlyUdpThatRanAheadIsForgotten) {
    auto udp = hole(kInside, kOutside);
    auto tcp = hole(kInside, kOutside, Transport::tcp);
    udp.remote = tcp.remote = endpoint("203.0.113.10:7000");
    EXPECT_EQ(open({tcp}).kind, Kind::done);
    EXPECT_THAT(kernel->forgotten, IsEmpty());
    EXPECT_EQ(open({udp}).kind, Kind::done);
    EXPECT_THAT(kernel->forgotten, ElementsAre(Tuple{kInside, *udp.remote, Transport::udp},
                                               Tuple{*udp.remote, kOutside, Transport::udp}));
}

// --- in the way ---------------------------------------------------------------------------------

TEST_F(MapGateTest, SignallingKeepsItsEndpoints) {
    const auto sip = endpoint("192.168.77.2:5060");
    ASSERT_TRUE(signalling->add("wan0", sip, endpoint("203.0.113.1:5060"), kNow).added);
    const auto taken = open({hole(kInside, endpoint("203.0.113.1:5060"))});
    EXPECT_EQ(taken.kind, Kind::port_taken);
    EXPECT_EQ(taken.endpoint, endpoint("203.0.113.1:5060"));
    const auto refused = open({hole(kInside, kOutside), hole(sip, endpoint("203.0.113.1:20001"))});
    EXPECT_EQ(refused.kind, Kind::refused);
    EXPECT_EQ(refused.text, "192.168.77.2:5060 has signalling, so no media");
    EXPECT_THAT(kernel->updates, IsEmpty());
    EXPECT_EQ(open({hole(sip, endpoint("198.51.100.1:20000"))}).kind, Kind::done)
        << "with another outside address it has none";
}

TEST_F(MapGateTest, WhatAFailedCloseLeftGivesWay) {
    const auto other = endpoint("192.168.77.3:4000");
    const auto beside = endpoint("203.0.113.1:20002");
    kernel->put(elements(other, kOutside));
    EXPECT_EQ(open({hole(kInside, kOutside)}).kind, Kind::done) << "the port's former owner";
    EXPECT_TRUE(kernel->has(elements(kInside, kOutside)));
    EXPECT_EQ(kernel->maps.list(NatSet::out).size(), 1U) << "none of the two may leave by one port";

    const auto elsewhere = media_elements(kInside, endpoint("198.51.100.1:20000"), "wan1");
    ASSERT_TRUE(kernel->update({{}, elsewhere}));
    EXPECT_EQ(open({hole(kInside, beside)}).kind, Kind::done) << "the phone's former port";
    EXPECT_TRUE(kernel->has(elements(kInside, beside)));
    EXPECT_TRUE(kernel->has(elsewhere)) << "the phone's other outside address";
    EXPECT_EQ(kernel->maps.find({NatSet::in, kOutside, {}, {}, "", {}}), nullptr);
}

TEST_F(MapGateTest, APortThatStaysTakenIsNotTheCallsEnd) {
    const NatElement left{NatSet::in, kOutside, endpoint("192.168.77.3:4000"), {}, "", 60s};
    kernel->put({left});
    signalling->set_left({kOutside});
    const auto answer = open({hole(kInside, kOutside, Transport::tcp), hole(kInside, kOutside)});
    EXPECT_EQ(answer.kind, Kind::port_taken);
    EXPECT_EQ(answer.endpoint, kOutside);
    EXPECT_TRUE(kernel->has({left}));
}

// --- all of it ----------------------------------------------------------------------------------

TEST_F(MapGateTest, PuttingAllAgainNeverTakesOneAway) {
    add_streams(400);
    ASSERT_TRUE(gate.keep_up(media, kNow));
    EXPECT_THAT(kernel->updates, IsEmpty());
    const auto check = [&] {
        EXPECT_GE(kernel->updates.size(), 3U);
        std::size_t put = 0;
        for (const auto& update : kernel->updates) {
            EXPECT_EQ(update.remove, update.add);
            EXPECT_LE(update.add.size(), netfilter::kNatTransaction);
            put += update.add.size();
        }
        EXPECT_EQ(put, 2000U);
        EXPECT_EQ(kernel->maps.elements().size(), 2000U);
        kernel->updates.clear();
    };
    ASSERT_TRUE(gate.keep_up(media, kNow + 9h));
    check();
    EXPECT_THAT(gate.take_over(media, Knowledge::all_calls), IsEmpty());
    check();
    ASSERT_TRUE(gate.put_again(media));
    check();
}

TEST_F(MapGateTest, WhatCouldNotBePutIsTriedAgain) {
    add_streams(400);
    ASSERT_TRUE(gate.keep_up(media, kNow));
    kernel->fail_after = 1;
    EXPECT_FALSE(gate.keep_up(media, kNow + 9h));
    kernel->fail_after = -1;
    kernel->updates.clear();
    ASSERT_TRUE(gate.keep_up(media, kNow + 9h + 1min));
    EXPECT_GE(kernel->updates.size(), 3U);
    kernel->updates.clear();
    ASSERT_TRUE(gate.keep_up(media, kNow + 9h + 2min));
    EXPECT_THAT(kernel->updates, IsEmpty());
}

TEST_F(MapGateTest, AStartKeepsWhatIsKnownAndRemovesTheRest) {
    const auto other = endpoint("192.168.77.3:4000");
    const auto gone = endpoint("203.0.113.1:20002");
    kernel->put(elements(other, kOutside));  // another's now
    kernel->put(elements(endpoint("192.168.77.4:4000"), gone));
    kernel->put({{NatSet::forwarded, endpoint("203.0.113.1:5060"), {}, {}, "", {}}});
    add_media(kInside, kOutside);
    EXPECT_THAT(gate.take_over(media, Knowledge::all_calls), IsEmpty());
    EXPECT_TRUE(kernel->has(elements(kInside, kOutside)));
    EXPECT_EQ(kernel->maps.elements().size(), 5U);
}

TEST_F(MapGateTest, MediaOfUnknownCallsStaysOverStartAndReload) {
    const auto left = elements(endpoint("192.168.77.4:4000"), endpoint("203.0.113.1:20002"));
    kernel->put(left);
    add_media(kInside, kOutside);
    EXPECT_THAT(gate.take_over(media, Knowledge::some_calls), IsEmpty());
    EXPECT_TRUE(kernel->has({left.front()}));
    EXPECT_TRUE(signalling->is_left(endpoint("203.0.113.1:20002")));
    EXPECT_THAT(gate.foreign_endpoints(media).value()[Transport::udp],
                ElementsAre(endpoint("203.0.113.1:20002")));
    ASSERT_TRUE(gate.put_again(media));
    EXPECT_TRUE(kernel->has({left.front()}));
    EXPECT_EQ(kernel->maps.elements().size(), 6U);
}

TEST_F(MapGateTest, AnEndpointWithTwoOutsideAddressesIsPutAgainAndClosed) {
    const auto second = endpoint("198.51.100.1:20000");
    add_media(kInside, kOutside);
    add_media(kInside, second);
    EXPECT_THAT(gate.take_over(media, Knowledge::all_calls), IsEmpty());
    EXPECT_EQ(kernel->maps.elements().size(), 9U);
    const std::array holes{hole(kInside, kOutside), hole(kInside, second)};
    ASSERT_TRUE(gate.close_holes(holes));
    EXPECT_EQ(kernel->maps.elements().size(), 2U);
}

TEST_F(MapGateTest, AStreamWithoutNatHasNoElements) {
    add_media(kOutside, kOutside);
    EXPECT_THAT(gate.take_over(media, Knowledge::all_calls), IsEmpty());
    EXPECT_TRUE(kernel->maps.elements().empty());
}

}  // namespace
}  // namespace sipnat::daemon
