#include "sipnat/core/settings.h"

#include <gtest/gtest.h>

namespace sipnat {
namespace {

TEST(MediaPorts, HoldAtLeastOnePairThatBeginsEven) {
    for (const char* text : {"10000-10001", "10001-10003", "1024-65535"}) {
        EXPECT_TRUE(parse_media_ports(text)) << text;
    }
    EXPECT_EQ(parse_media_ports("10000-32767"), (PortRange{Port{10000}, Port{32767}}));
}

TEST(MediaPorts, AreRefusedOtherwise) {
    for (const char* text : {"", "10000", "10000-", "-10001", "10001-10002", "10000-10000",
                             "1023-2000", "20000-10000", "10000-65536", "a-b", "1e4-2e4"}) {
        EXPECT_FALSE(parse_media_ports(text)) << text;
    }
}

}  // namespace
}  // namespace sipnat
