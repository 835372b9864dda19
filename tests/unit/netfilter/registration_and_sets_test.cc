// Helper registration, set transactions and route requests on the wire.
#include <gtest/gtest.h>

#include "netfilter/bytes.h"
#include "netfilter/endpoint_set.h"
#include "netfilter/helper_codec.h"
#include "netfilter/route_codec.h"

namespace sipnat::netfilter {
namespace {

using namespace std::chrono_literals;

Endpoint endpoint(const char* text) {
    return Endpoint::parse(text).value();
}

// In libnetfilter_cthelper's order.
TEST(HelperCodec, RegistersFourUnlimitedClasses) {
    Buffer out;
    encode_register_helper(out, 1, {"sipnat", {}, static_cast<QueueNumber>(5060), 32});
    EXPECT_EQ(out, from_hex(R"(
        dc000000 0009 0504 01000000 00000000   # 220 bytes, CTHELPER_NEW, REQUEST|ACK|CREATE
        00 00 0000                             # AF_UNSPEC: the tuple has the family
        0b00 0100 7369706e617400 00            # NAME
        0800 0300 000013c4                     # QUEUE_NUM 5060
        0800 0500 00000020                     # PRIV_DATA_LEN 32
        1400 0280                              # TUPLE
          0600 0100 0002 0000                  #   IPv4
          0500 0200 11 000000                  #   UDP
        9000 0480                              # POLICY
          2400 0280                            #   SET1
            0f00 0100 7369676e616c6c696e6700 00    # "signalling"
            0800 0200 00000000                     # EXPECT_MAX: none
            0800 0300 00015180                     # EXPECT_TIMEOUT: a day
          2000 0380 0a00 0100 617564696f00 0000 0800 0200 00000000 0800 0300 00015180
          2000 0480 0a00 0100 766964656f00 0000 0800 0200 00000000 0800 0300 00015180
          2000 0580 0a00 0100 6f7468657200 0000 0800 0200 00000000 0800 0300 00015180
          0800 0100 00000004                   #   SET_NUM
        0800 0600 00000000                     # STATUS disabled
    )"));
}

TEST(HelperCodec, QueuesTcpOrNotOrLeavesItAsItIs) {
    HelperRegistration registration{
        "sipnat", {Family::ipv4, Transport::tcp}, static_cast<QueueNumber>(5060), 32, true};
    const auto encoded = [&] {
        Buffer out;
        encode_register_helper(out, 1, registration);
        return out;
    };
    const auto has = [](const Buffer& out, const char* hex) {
        const auto part = from_hex(hex);
        return std::search(out.begin(), out.end(), part.begin(), part.end()) != out.end();
    };
    constexpr const char* kTcp = "0600 0100 0002 0000 0500 0200 06 000000";
    EXPECT_TRUE(has(encoded(), kTcp));
    EXPECT_TRUE(has(encoded(), "0800 0600 00000001")) << "STATUS enabled";
    registration.is_enabled = false;
    EXPECT_TRUE(has(encoded(), "0800 0600 00000000"));
    registration.is_enabled.reset();
    EXPECT_TRUE(has(encoded(), kTcp));
    EXPECT_FALSE(has(encoded(), "0800 0600")) << "no STATUS";
}

TEST(HelperCodec, NamesThePrivateLengthEvenIfThereIsNone) {
    Buffer out;
    encode_register_helper(out, 1, {"sipmedia", {}, static_cast<QueueNumber>(5060), 0});
    const auto none = from_hex("0800 0500 00000000");
    EXPECT_NE(std::search(out.begin(), out.end(), none.begin(), none.end()), out.end());
}

const SetName kName{"sipnat", "media"};

TEST(EndpointSetCodec, RemovesAndAddsInOneBatch) {
    const std::array remove{endpoint("198.51.100.1:20000")};
    const std::array add{SetElement{endpoint("198.51.100.1:20000"), 60s},
                         SetElement{endpoint("198.51.100.1:20002"), std::nullopt}};
    const auto out = encode_set_update(kName, 1, remove, add, Removal::exact);
    ASSERT_TRUE(out);
    EXPECT_EQ(*out, from_hex(R"(
        14000000 1000 0100 01000000 00000000 00 00 000a   # BATCH_BEGIN for nf_tables

        44000000 0e0a 0100 03000000 00000000 01 00 0000   # DELSETELEM, inet
        0a00 0200 6d6564696100 0000                       # SET "media"
        0b00 0100 7369706e617400 00                       # TABLE "sipnat"
        1800 0380                                         # ELEMENTS
          1400 0180                                       #   one
            1000 0180 0c00 0100 c6336401 4e200000         #     KEY 198.51.100.1 . 20000

        64000000 0c0a 0504 04000000 00000000 01 00 0000   # NEWSETELEM, REQUEST|ACK|CREATE
        0a00 0200 6d6564696100 0000
        0b00 0100 7369706e617400 00
        3800 0380
          2000 0180
            0c00 0400 000000000000ea60                    #     TIMEOUT 60,000 ms
            1000 0180 0c00 0100 c6336401 4e200000
          1400 0280
            1000 0180 0c00 0100 c6336401 4e220000         #     KEY 198.51.100.1 . 20002

        14000000 1100 0100 05000000 00000000 00 00 000a   # BATCH_END
    )"));
}

TEST(EndpointSetCodec, CanAddWhatItRemoves) {
    const std::array remove{endpoint("198.51.100.1:20000")};
    const auto out = encode_set_update(kName, 1, remove, {}, Removal::add_first);
    ASSERT_TRUE(out);
    EXPECT_EQ(*out, from_hex(R"(
        14000000 1000 0100 01000000 00000000 00 00 000a
        44000000 0c0a 0104 02000000 00000000 01 00 0000   # NEWSETELEM, REQUEST|CREATE
        0a00 0200 6d6564696100 0000 0b00 0100 7369706e617400 00
        1800 0380 1400 0180 1000 0180 0c00 0100 c6336401 4e200000
        44000000 0e0a 0500 03000000 00000000 01 00 0000   # DELSETELEM, REQUEST|ACK
        0a00 0200 6d6564696100 0000 0b00 0100 7369706e617400 00
        1800 0380 1400 0180 1000 0180 0c00 0100 c6336401 4e200000
        14000000 1100 0100 05000000 00000000 00 00 000a
    )"));
}

TEST(EndpointSetCodec, RefusesIpv6) {
    const std::array remove{endpoint("[2001:db8::1]:20000")};
    EXPECT_EQ(encode_set_update(kName, 1, remove, {}, Removal::exact).error().code, EAFNOSUPPORT);
    const std::array add{SetElement{endpoint("[2001:db8::1]:20000"), std::nullopt}};
    EXPECT_EQ(encode_set_update(kName, 1, {}, add, Removal::exact).error().code, EAFNOSUPPORT);
}

TEST(RouteCodec, AsksForOneAddress) {
    Buffer out;
    encode_find_route(out, 1, IpAddress::parse("10.0.0.2").value());
    EXPECT_EQ(out, from_hex(R"(
        24000000 1a00 0500 01000000 00000000  # RTM_GETROUTE, REQUEST|ACK
        02 20 00 00 00 00 00 00 00000000      # AF_INET, /32
        0800 0100 0a000002                    # DST
    )"));
}

std::optional<Route> decode(Bytes bytes) {
    const nlmsghdr* message = next_message(bytes);
    return message == nullptr ? std::nullopt : decode_route(*message);
}

constexpr const char* kRoute = R"(
    02 20 00 00 fe 00 00 01 00020000          # AF_INET, /32, table main, unicast
    0800 0f00 fe000000                        # TABLE
    0800 0100 0a000002                        # DST
    0800 0400 02000000                        # OIF 2
    0800 0700 0a000001                        # PREFSRC
)";

TEST(RouteCodec, ReadsTypeAndInterface) {
    auto bytes = as_message(from_hex(kRoute));
    constexpr std::size_t kType = 16 + 7;
    EXPECT_EQ(decode(bytes), (Route{RouteType::unicast, InterfaceIndex{2}}));
    for (const auto& [number, type] :
         {std::pair(2, RouteType::local), std::pair(3, RouteType::broadcast),
          std::pair(4, RouteType::local), std::pair(5, RouteType::multicast)}) {
        bytes[kType] = static_cast<std::uint8_t>(number);
        EXPECT_EQ(decode(bytes), (Route{type, InterfaceIndex{2}})) << number;
    }
    bytes[kType] = 7;  // RTN_UNREACHABLE
    EXPECT_EQ(decode(bytes), Route{});
}

TEST(RouteCodec, SurvivesDamage) {
    with_damaged(as_message(from_hex(kRoute)), [](Bytes bytes) { (void)decode(bytes); });
    const ExactBytes empty(as_message({}));
    EXPECT_FALSE(decode(empty.get()));
}

}  // namespace
}  // namespace sipnat::netfilter
