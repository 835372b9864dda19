// phone 192.168.77.2 ── 203.0.113.1 ── remote 198.51.100.7
#include "ctl/source_nat.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace sipnat::ctl {
namespace {

NatRule rule(std::string_view text) {
    return NatRule::parse(text).value();
}

Tuple udp(std::string_view source, std::string_view destination) {
    return {Endpoint::parse(source).value(), Endpoint::parse(destination).value(), Transport::udp};
}

Hole hole(std::string_view inside, std::string_view outside) {
    Hole made;
    made.inside = Endpoint::parse(inside).value();
    made.outside = Endpoint::parse(outside).value();
    return made;
}

struct Nat {
    SourceNat nat{{rule("192.168.77.0/24=203.0.113.1")}};

    /// The packet outside; "!" in front when it runs in its flow's reply direction.
    std::string way(std::string_view source, std::string_view destination) {
        const auto found = nat.way_of(udp(source, destination));
        if (!found) return "none";
        return (found->direction == FlowDirection::reply ? "!" : "") + found->outside().text();
    }
};

TEST(NatRule, Covers) {
    struct Case {
        std::string_view rule, address;
        bool covered;
    };
    for (const auto& [text, address, covered] : {
             Case{"192.168.77.0/24=203.0.113.1", "192.168.77.255", true},
             {"192.168.77.0/24=203.0.113.1", "192.168.78.0", false},
             {"192.168.77.9/24=203.0.113.1", "192.168.77.1", true},
             {"192.168.76.0/23=203.0.113.1", "192.168.77.1", true},
             {"192.168.76.0/23=203.0.113.1", "192.168.78.1", false},
             {"192.168.77.2=203.0.113.1", "192.168.77.2", true},
             {"192.168.77.2=203.0.113.1", "192.168.77.3", false},
             {"0.0.0.0/0=203.0.113.1", "8.8.8.8", true},
             {"0.0.0.0/0=203.0.113.1", "::", false},
             {"fd00:1::/33=2001:db8::1", "fd00:1:7fff::9", true},
             {"fd00:1::/33=2001:db8::1", "fd00:1:8000::9", false},
         }) {
        EXPECT_EQ(rule(text).network.contains(IpAddress::parse(address).value()), covered)
            << text << " " << address;
    }
}

TEST(NatRule, Refuses) {
    for (const auto* text : {"", "192.168.77.0/24", "=203.0.113.1", "192.168.77.0/33=203.0.113.1",
                             "192.168.77.0/=203.0.113.1", "192.168.77.0/x=203.0.113.1",
                             "192.168.77.0/24=", "192.168.77.0/-1=203.0.113.1",
                             "192.168.77.0/24=2001:db8::1", "fd00::/129=2001:db8::1",
                             "192.168.77.0/24=203.0.113.1:1024", "192.168.77/24=203.0.113.1"})
        EXPECT_FALSE(NatRule::parse(text)) << text;
}

TEST(SourceNat, PortIsKeptAndAnswersComeBack) {
    Nat nat;
    EXPECT_EQ(nat.way("192.168.77.2:5060", "198.51.100.7:5060"),
              "203.0.113.1:5060 > 198.51.100.7:5060/udp");
    EXPECT_EQ(nat.way("198.51.100.7:5060", "192.168.77.2:5060"),
              "!198.51.100.7:5060 > 203.0.113.1:5060/udp");
    const auto back = nat.nat.way_of(udp("198.51.100.7:5060", "192.168.77.2:5060"));
    EXPECT_EQ(back->flow.original, udp("192.168.77.2:5060", "198.51.100.7:5060"));
    EXPECT_EQ(back->flow.reply, udp("198.51.100.7:5060", "203.0.113.1:5060"));
}

TEST(SourceNat, TakenPortGivesTheNextFreeOne) {
    Nat nat;
    EXPECT_EQ(nat.way("192.168.77.2:5060", "198.51.100.7:5060"),
              "203.0.113.1:5060 > 198.51.100.7:5060/udp");
    EXPECT_EQ(nat.way("192.168.77.3:5060", "198.51.100.7:5060"),
              "203.0.113.1:1024 > 198.51.100.7:5060/udp");
    EXPECT_EQ(nat.way("192.168.77.4:5060", "198.51.100.7:5060"),
              "203.0.113.1:1025 > 198.51.100.7:5060/udp");
    EXPECT_EQ(nat.way("192.168.77.5:5060", "198.51.100.8:5060"),
              "203.0.113.1:5060 > 198.51.100.8:5060/udp")
        << "another remote shares it";
    EXPECT_EQ(nat.way("192.168.77.3:5060", "198.51.100.9:5060"),
              "203.0.113.1:1024 > 198.51.100.9:5060/udp")
        << "an endpoint keeps the port that it has";
    EXPECT_EQ(nat.way("192.168.77.2:5060", "198.51.100.7:5060"),
              "203.0.113.1:5060 > 198.51.100.7:5060/udp")
        << "flows stay as they are";
}

TEST(SourceNat, TransportsHavePortsOfTheirOwn) {
    Nat nat;
    (void)nat.way("192.168.77.2:5060", "198.51.100.7:5060");
    auto tcp = udp("192.168.77.3:5060", "198.51.100.7:5060");
    tcp.transport = Transport::tcp;
    EXPECT_EQ(nat.nat.way_of(tcp)->outside().text(), "203.0.113.1:5060 > 198.51.100.7:5060/tcp");
}

TEST(SourceNat, IncomingFirstPacketShowsThatThereWasAMapping) {
    Nat nat;
    EXPECT_EQ(nat.way("198.51.100.7:5060", "192.168.77.2:5062"),
              "!198.51.100.7:5060 > 203.0.113.1:5062/udp");
    EXPECT_EQ(nat.way("192.168.77.2:5062", "198.51.100.7:5060"),
              "203.0.113.1:5062 > 198.51.100.7:5060/udp");
}

TEST(SourceNat, WhatIsNotTranslated) {
    Nat nat;
    for (const auto& [source, destination] :
         {std::pair{"192.168.77.2:5060", "192.168.77.3:5060"},  // inside
          {"198.51.100.7:5060", "198.51.100.8:5060"},           // outside
          {"192.168.77.2:5353", "224.0.0.251:5353"},
          {"192.168.77.2:137", "255.255.255.255:137"},
          {"192.168.77.2:68", "169.254.1.1:67"}}) {
        EXPECT_EQ(nat.way(source, destination), udp(source, destination).text());
        EXPECT_EQ(nat.way(destination, source), "!" + udp(destination, source).text());
    }
}

TEST(SourceNat, SeveralNetworks) {
    SourceNat nat({rule("192.168.77.0/24=203.0.113.1"), rule("192.168.0.0/16=203.0.113.2"),
                   rule("fd00::/8=2001:db8::1")});
    const auto outside = [&](std::string_view source, std::string_view destination) {
        return nat.way_of(udp(source, destination))->outside().source.text();
    };
    EXPECT_EQ(outside("192.168.77.2:1", "198.51.100.7:1"), "203.0.113.1:1") << "the first counts";
    EXPECT_EQ(outside("192.168.78.2:1", "198.51.100.7:1"), "203.0.113.2:1");
    EXPECT_EQ(outside("192.168.78.2:1", "192.168.77.2:1"), "192.168.78.2:1") << "both inside";
    EXPECT_EQ(outside("[fd00::2]:1", "[2001:db8::9]:1"), "[2001:db8::1]:1");
}

TEST(SourceNat, HoleDecidesOverThePort) {
    Nat nat;
    EXPECT_EQ(nat.way("192.168.77.2:4000", "198.51.100.7:7000"),
              "203.0.113.1:4000 > 198.51.100.7:7000/udp")
        << "quicker than its answer";
    const auto inbound = hole("192.168.77.2:4000", "203.0.113.1:10000");
    auto outbound = inbound;
    outbound.remote = Endpoint::parse("198.51.100.7:7000");
    nat.nat.open(inbound);
    nat.nat.open(outbound);
    EXPECT_EQ(nat.way("192.168.77.2:4000", "198.51.100.7:7000"),
              "203.0.113.1:10000 > 198.51.100.7:7000/udp");
    EXPECT_EQ(nat.way("198.51.100.8:1", "192.168.77.2:4000"),
              "!198.51.100.8:1 > 203.0.113.1:10000/udp");
    EXPECT_EQ(nat.way("192.168.77.3:10000", "198.51.100.9:1"),
              "203.0.113.1:1024 > 198.51.100.9:1/udp")
        << "its port is nobody else's";

    const MediaFlows media{Transport::udp, inbound.inside, inbound.outside};
    EXPECT_EQ(nat.nat.packets_of(media), 2U);
    nat.nat.close(outbound);
    EXPECT_EQ(nat.way("192.168.77.2:4000", "198.51.100.7:9999"),
              "203.0.113.1:10000 > 198.51.100.7:9999/udp")
        << "one is still open";
    nat.nat.close(inbound);
    EXPECT_EQ(nat.nat.packets_of(media), 3U);
    nat.nat.sweep(media);
    EXPECT_EQ(nat.nat.packets_of(media), 0U);
    EXPECT_EQ(nat.way("192.168.77.2:4000", "198.51.100.7:7000"),
              "203.0.113.1:4000 > 198.51.100.7:7000/udp");
}

TEST(SourceNat, ForeignEndpointsAreThoseWithoutAHole) {
    Nat nat;
    nat.nat.open(hole("192.168.77.2:4000", "203.0.113.1:10000"));
    (void)nat.way("192.168.77.2:4000", "198.51.100.7:7000");
    (void)nat.way("192.168.77.2:12000", "198.51.100.7:7000");
    (void)nat.way("192.168.77.2:12000", "192.168.77.3:12000");
    const std::set expected{Endpoint::parse("203.0.113.1:12000").value()};
    EXPECT_EQ(nat.nat.foreign(), expected);
}

TEST(SourceNat, TableIsLimited) {
    SourceNat nat({rule("192.168.77.0/24=203.0.113.1")}, 2);
    EXPECT_TRUE(nat.way_of(udp("192.168.77.2:1", "198.51.100.7:1")));
    EXPECT_TRUE(nat.way_of(udp("192.168.77.2:1", "198.51.100.7:2")));
    EXPECT_FALSE(nat.way_of(udp("192.168.77.2:1", "198.51.100.7:3")));
    EXPECT_TRUE(nat.way_of(udp("198.51.100.7:2", "192.168.77.2:1"))) << "known ones go on";
}

TEST(SourceNat, PortsUsedUp) {
    SourceNat nat({rule("10.0.0.0/8=203.0.113.1")});
    const auto from = [&](int host) {
        auto tuple = udp("10.0.0.0:5060", "198.51.100.7:5060");
        const std::array<std::uint8_t, 4> bytes{10, static_cast<std::uint8_t>(host >> 16),
                                                static_cast<std::uint8_t>(host >> 8),
                                                static_cast<std::uint8_t>(host)};
        tuple.source.address = IpAddress::ipv4(bytes);
        return nat.way_of(tuple);
    };
    for (int host = 0; host < 65536 - 1024; ++host)
        ASSERT_TRUE(from(host));
    EXPECT_FALSE(from(65536));
}

}  // namespace
}  // namespace sipnat::ctl
