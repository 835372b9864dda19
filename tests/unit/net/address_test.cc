#include "sipnat/net/address.h"

#include <gtest/gtest.h>

namespace sipnat {
namespace {

TEST(Port, ReadsOneToFiveDigitsUpTo65535) {
    EXPECT_EQ(parse_port("0"), Port{0});
    EXPECT_EQ(parse_port("05060"), Port{5060});
    EXPECT_EQ(parse_port("65535"), Port{65535});
    for (const auto* text :
         {"", "65536", "99999", "005060", "-1", "+1", " 1", "1 ", "0x10", "5o60"}) {
        EXPECT_FALSE(parse_port(text)) << text;
    }
}

TEST(IpAddress, PrintsWhatItRead) {
    struct Case {
        std::string_view in, out;
    };
    for (const auto& [in, out] : {Case{"192.168.77.2", "192.168.77.2"},
                                  {"0.0.0.0", "0.0.0.0"},
                                  {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
                                  {"::", "::"},
                                  {"::ffff:192.0.2.1", "::ffff:192.0.2.1"}}) {
        const auto address = IpAddress::parse(in);
        ASSERT_TRUE(address) << in;
        EXPECT_EQ(address->text(), out);
    }
}

TEST(IpAddress, RefusesWhatIsNoAddress) {
    using namespace std::string_view_literals;
    for (const auto text :
         {""sv, "1.2.3"sv, "1.2.3.256"sv, "010.0.0.1"sv, "1.2.3.4 "sv, "1.2.3.4\0"sv, "[::1]"sv,
          "fe80::1%eth0"sv, ":::"sv, "1::2::3"sv, "example.com"sv, "1:2:3:4:5:6:7:8:9"sv}) {
        EXPECT_FALSE(IpAddress::parse(text)) << text;
    }
    EXPECT_FALSE(IpAddress::parse(std::string(10'000, '1')));
}

TEST(IpAddress, KnowsItsKinds) {
    const auto parse = [](const char* text) { return *IpAddress::parse(text); };
    for (const auto* text : {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1",
                             "100.64.0.1", "fd00::1", "fc00::1"}) {
        EXPECT_TRUE(parse(text).is_private()) << text;
    }
    for (const auto* text :
         {"172.32.0.1", "100.128.0.1", "192.169.0.1", "203.0.113.1", "fe80::1"}) {
        EXPECT_FALSE(parse(text).is_private()) << text;
    }
    EXPECT_TRUE(parse("127.9.9.9").is_loopback());
    EXPECT_TRUE(parse("::1").is_loopback());
    EXPECT_FALSE(parse("::2").is_loopback());
    EXPECT_TRUE(parse("169.254.1.1").is_link_local());
    EXPECT_TRUE(parse("febf::1").is_link_local());
    EXPECT_TRUE(parse("239.1.1.1").is_multicast());
    EXPECT_TRUE(parse("ff02::1").is_multicast());
    EXPECT_FALSE(parse("240.0.0.1").is_multicast());
    EXPECT_TRUE(parse("::").is_unspecified());
}

TEST(IpAddress, IsAHostsOrCanBeNoHosts) {
    const auto parse = [](const char* text) { return *IpAddress::parse(text); };
    for (const auto* text : {"203.0.113.1", "192.168.77.2", "169.254.1.1", "2001:db8::1", "fe80::1",
                             "64:ff9b::cb00:7101"}) {
        EXPECT_TRUE(parse(text).is_host()) << text;
    }
    for (const auto* text : {"0.0.0.0", "0.2.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1",
                             "255.255.255.255", "::", "::1", "ff02::1", "::ffff:203.0.113.1"}) {
        EXPECT_FALSE(parse(text).is_host()) << text;
    }
}

TEST(Endpoint, ReadsAndPrintsBothFamilies) {
    for (const auto* text : {"203.0.113.1:5060", "[2001:db8::1]:5060", "0.0.0.0:0"}) {
        const auto endpoint = Endpoint::parse(text);
        ASSERT_TRUE(endpoint) << text;
        EXPECT_EQ(endpoint->text(), text);
    }
    for (const auto* text : {"203.0.113.1", "2001:db8::1:5060", "[203.0.113.1]:5060", "[::1]",
                             "203.0.113.1:65536", ":5060", "[]:5060", "example.com:5060"}) {
        EXPECT_FALSE(Endpoint::parse(text)) << text;
    }
}

TEST(Tuple, ReversesAndPrints) {
    const Tuple tuple{*Endpoint::parse("10.0.0.2:5060"), *Endpoint::parse("203.0.113.9:5061"),
                      Transport::udp};
    EXPECT_EQ(tuple.text(), "10.0.0.2:5060 > 203.0.113.9:5061/udp");
    EXPECT_EQ(tuple.reversed().text(), "203.0.113.9:5061 > 10.0.0.2:5060/udp");
    EXPECT_EQ(tuple.reversed().reversed(), tuple);
}

}  // namespace
}  // namespace sipnat
