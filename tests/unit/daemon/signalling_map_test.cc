// Which outside port a phone's signalling has, who may use it, how long, and how many there may be.
#include "daemon/signalling_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace sipnat::daemon {
namespace {

using namespace std::chrono_literals;
using netfilter::NatChanges;
using netfilter::NatElement;
using netfilter::NatSet;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr auto kLife = SignallingMap::kElementLife;
constexpr Time kStart{1h};

IpAddress address(const char* text) {
    return IpAddress::parse(text).value();
}
Endpoint endpoint(const char* text) {
    return Endpoint::parse(text).value();
}

const Endpoint kPhone = endpoint("192.168.77.2:5060");
const Endpoint kOutside = endpoint("203.0.113.1:5060");
const IpAddress kServer = address("203.0.113.10");
const IpAddress kOther = address("203.0.113.20");

NatElement contact(const IpAddress& sender) {
    return {NatSet::contacts, kOutside, kPhone, sender, "", kLife};
}
const NatElement kOut{NatSet::out, kPhone, kOutside, std::nullopt, "wan0", kLife};
const NatElement kSignalling{NatSet::signalling, kOutside, std::nullopt, std::nullopt, "", kLife};

SignallingMap with_one(SignallingMap::Limits limits = {}) {
    SignallingMap map(limits);
    EXPECT_TRUE(map.add("wan0", kPhone, kOutside, kStart).added);
    (void)map.touch(kOutside, kServer, kStart);
    return map;
}

TEST(SignallingMap, AMappingIsFoundFromBothSides) {
    const auto map = with_one();
    ASSERT_NE(map.find(kOutside.address, kPhone), nullptr);
    EXPECT_EQ(map.find(kOutside.address, kPhone)->outside, kOutside);
    ASSERT_NE(map.find_outside(kOutside), nullptr);
    EXPECT_EQ(map.find_outside(kOutside)->inside, kPhone);
    EXPECT_EQ(map.find(address("198.51.100.1"), kPhone), nullptr);
    EXPECT_EQ(map.find_outside(endpoint("203.0.113.1:5061")), nullptr);
}

TEST(SignallingMap, BothEndsAreMappedOnce) {
    auto map = with_one();
    EXPECT_FALSE(map.add("wan0", kPhone, endpoint("203.0.113.1:5061"), kStart).added);
    EXPECT_FALSE(map.add("wan0", endpoint("192.168.77.3:5060"), kOutside, kStart).added);
    EXPECT_TRUE(map.add("wan1", kPhone, endpoint("198.51.100.1:5060"), kStart).added);
    EXPECT_EQ(map.size(), 2U);
}

TEST(SignallingMap, ANewSenderIsPutIntoTheKernelAKnownOneAgainLater) {
    SignallingMap map;
    EXPECT_THAT(map.add("wan0", kPhone, kOutside, kStart).changes.remove, IsEmpty());
    const auto first = map.touch(kOutside, kServer, kStart);
    EXPECT_THAT(first.add, ElementsAre(contact(kServer), kOut, kSignalling));
    EXPECT_EQ(first.remove, first.add);
    EXPECT_TRUE(map.touch(kOutside, kServer, kStart + 1799s).empty());
    EXPECT_THAT(map.touch(kOutside, kOther, kStart).add,
                ElementsAre(contact(kOther), kOut, kSignalling));
    EXPECT_THAT(map.touch(kOutside, kServer, kStart + 1800s).add,
                ElementsAre(contact(kServer), kOut, kSignalling));
    EXPECT_TRUE(map.touch(endpoint("203.0.113.1:9"), kServer, kStart).empty());
}

TEST(SignallingMap, WhatDidNotGetIntoTheKernelIsSaidAgain) {
    auto map = with_one();
    (void)map.touch(kOutside, kOther, kStart);
    map.not_put(kOutside, kOther);
    EXPECT_EQ(map.touch(kOutside, kOther, kStart).add.size(), 3U);
    map.not_put(kOutside, kOther);
    map.not_put(kOutside, kServer);
    EXPECT_EQ(map.size(), 0U) << "nobody may use it: it was never there";
    EXPECT_EQ(map.find_outside(kOutside), nullptr);
}

TEST(SignallingMap, SilenceEndsSendersAndThenTheMapping) {
    auto map = with_one();
    (void)map.touch(kOutside, kOther, kStart + 100s);
    EXPECT_TRUE(map.expire(kStart + 3999s).empty());
    EXPECT_THAT(map.expire(kStart + 4000s).remove, ElementsAre(contact(kServer)));
    EXPECT_THAT(map.expire(kStart + 4100s).remove, ElementsAre(contact(kOther), kOut, kSignalling));
    EXPECT_EQ(map.size(), 0U);
    EXPECT_TRUE(map.add("wan0", kPhone, kOutside, kStart).added) << "both ends are free again";
}

TEST(SignallingMap, OverTheLimitOfAHostItsMostSilentMappingGoes) {
    auto map = with_one({.of_a_host = 2, .all = 10, .of_a_mapping = 2});
    ASSERT_TRUE(
        map.add("wan0", endpoint("192.168.77.2:5070"), endpoint("203.0.113.1:5070"), kStart + 1s)
            .added);
    (void)map.touch(kOutside, kServer, kStart + 2s);
    const auto third =
        map.add("wan0", endpoint("192.168.77.2:5080"), endpoint("203.0.113.1:5080"), kStart + 3s);
    EXPECT_TRUE(third.added);
    EXPECT_NE(map.find_outside(kOutside), nullptr);
    EXPECT_EQ(map.find_outside(endpoint("203.0.113.1:5070")), nullptr);
    ASSERT_EQ(third.changes.remove.size(), 2U) << "its out and its signalling; it had no sender";
    EXPECT_TRUE(
        map.add("wan0", endpoint("192.168.77.3:5060"), endpoint("203.0.113.1:6000"), kStart).added)
        << "another host has its own limit";
}

TEST(SignallingMap, OverTheLimitOfAllNothingIsMapped) {
    auto map = with_one({.of_a_host = 2, .all = 2, .of_a_mapping = 2});
    EXPECT_TRUE(
        map.add("wan0", endpoint("192.168.77.3:5060"), endpoint("203.0.113.1:6000"), kStart).added);
    EXPECT_EQ(map.refused(), 0U);
    EXPECT_FALSE(
        map.add("wan0", endpoint("192.168.77.4:5060"), endpoint("203.0.113.1:6001"), kStart).added);
    EXPECT_EQ(map.refused(), 1U);
}

TEST(SignallingMap, OverTheLimitOfSendersTheMostSilentOneGoes) {
    auto map = with_one({.of_a_host = 2, .all = 2, .of_a_mapping = 2});
    (void)map.touch(kOutside, kOther, kStart + 1s);
    (void)map.touch(kOutside, kServer, kStart + 2s);
    const auto third = map.touch(kOutside, address("203.0.113.30"), kStart + 3s);
    ASSERT_EQ(third.remove.size(), 4U);
    EXPECT_EQ(third.remove.front(), contact(kOther));
    EXPECT_EQ(third.add.size(), 3U);
}

TEST(SignallingMap, AllOfItCanBePutAgain) {
    auto map = with_one();
    (void)map.touch(kOutside, kOther, kStart);
    EXPECT_THAT(map.all(kStart + 1000s),
                ElementsAre(contact(kServer), contact(kOther), kOut, kSignalling));
    EXPECT_TRUE(map.touch(kOutside, kServer, kStart + 2799s).empty()) << "put at 1000 s";
}

TEST(SignallingMap, ComesBackFromTheKernel) {
    const auto interface_of = [](const IpAddress& outside) {
        return outside == kOutside.address ? std::optional<std::string>("wan0") : std::nullopt;
    };
    auto left = contact(kServer);
    left.lifetime = kLife - 600s;
    auto elsewhere = left;
    elsewhere.key = endpoint("198.51.100.1:5060");
    auto contradicting = left;
    contradicting.target = endpoint("192.168.77.3:5060");
    contradicting.address = kOther;
    auto forever = left;
    forever.key.port = Port{5070};
    forever.lifetime.reset();

    SignallingMap map;
    map.restore({left, elsewhere, contradicting, forever}, interface_of, kStart);
    ASSERT_EQ(map.size(), 1U);
    const auto* mapping = map.find_outside(kOutside);
    ASSERT_NE(mapping, nullptr);
    EXPECT_EQ(mapping->inside, kPhone);
    EXPECT_EQ(mapping->interface, "wan0");
    EXPECT_EQ(mapping->senders.size(), 1U);
    EXPECT_TRUE(map.touch(kOutside, kServer, kStart + 1199s).empty());
    EXPECT_TRUE(map.expire(kStart + 4000s).empty());
    EXPECT_FALSE(map.expire(kStart + 1199s + 4000s).empty());
}

// --- ports --------------------------------------------------------------------------------------

constexpr PortRange kRange{Port{10000}, Port{32767}};

TEST(SignallingPort, IsThePhonesOwnIfThatIsFree) {
    const auto all = [](Port) { return true; };
    const auto none = [](Port) { return false; };
    EXPECT_EQ(choose_signalling_port(Port{5060}, kRange, none, all), Port{5060});
    EXPECT_EQ(choose_signalling_port(Port{1024}, kRange, none, all), Port{1024});
    EXPECT_EQ(choose_signalling_port(Port{1023}, kRange, none, all), Port{32767});
    EXPECT_EQ(choose_signalling_port(Port{5060}, kRange, none, none), std::nullopt);
    EXPECT_EQ(choose_signalling_port(Port{5060}, kRange, all, all), std::nullopt);
}

TEST(SignallingPort, IsElseTheHighestOfTheRange) {
    const auto none = [](Port) { return false; };
    const auto below = [](Port port) { return port < Port{32766} && port != Port{5060}; };
    EXPECT_EQ(choose_signalling_port(Port{5060}, kRange, none, below), Port{32765});
    int asked = 0;
    const auto count = [&](Port) { return ++asked < 0; };
    EXPECT_EQ(choose_signalling_port(Port{5060}, {Port{1024}, Port{1030}}, none, count),
              std::nullopt);
    EXPECT_EQ(asked, 8);
    asked = 0;
    EXPECT_EQ(choose_signalling_port(Port{5060}, kRange, none, count), std::nullopt);
    EXPECT_EQ(asked, 1001) << "a system call each: not the whole range";
}

TEST(SignallingPort, IsFoundBelowThousandsOfOurs) {
    const auto ours = [](Port port) { return port == Port{5060} || port > Port{20000}; };
    int asked = 0;
    const auto is_free = [&](Port) { return ++asked == 3; };
    EXPECT_EQ(choose_signalling_port(Port{5060}, kRange, ours, is_free), Port{19998});
    EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace sipnat::daemon
