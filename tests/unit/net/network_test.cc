// Prefix notation, and what lies in it.
#include "sipnat/net/network.h"

#include <gtest/gtest.h>

namespace sipnat {
namespace {

IpAddress address(const char* text) {
    return IpAddress::parse(text).value();
}

TEST(Network, ReadsWhatItWrites) {
    for (const char* text : {"192.168.77.0/24", "0.0.0.0/0", "10.0.0.0/9", "203.0.113.7/32",
                             "2001:db8::/33", "::/0", "2001:db8::7/128"}) {
        const auto network = Network::parse(text);
        ASSERT_TRUE(network) << text;
        EXPECT_EQ(network->text(), text);
    }
    EXPECT_EQ(Network::parse("10.1.2.3")->text(), "10.1.2.3/32");
    EXPECT_EQ(Network::parse("fe80::1")->text(), "fe80::1/128");
}

TEST(Network, RefusesWhatIsNone) {
    for (const char* text :
         {"", "/", "/24", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8 ", "10.0.0.0/+8",
          "10.0.0.0/8/8", "::/129", "10.0/8", "lan", "10.0.0.1/24", "10.128.0.0/8", "::1/127"}) {
        EXPECT_FALSE(Network::parse(text)) << text;
    }
}

TEST(Network, ContainsItsAddressesAndNoOthers) {
    const auto nine = Network::parse("10.128.0.0/9").value();
    EXPECT_TRUE(nine.contains(address("10.128.0.0")));
    EXPECT_TRUE(nine.contains(address("10.255.255.255")));
    EXPECT_FALSE(nine.contains(address("10.127.255.255")));
    EXPECT_FALSE(nine.contains(address("11.128.0.0")));
    EXPECT_TRUE(Network::parse("0.0.0.0/0")->contains(address("255.255.255.255")));
    EXPECT_TRUE(Network::parse("10.1.2.3")->contains(address("10.1.2.3")));
    EXPECT_FALSE(Network::parse("10.1.2.3")->contains(address("10.1.2.2")));
    EXPECT_FALSE(Network::parse("0.0.0.0/0")->contains(address("::")));
}

}  // namespace
}  // namespace sipnat
