// Packets 192.168.77.2:5060 > 203.0.113.9:5060 and 2001:db8::2 > 2001:db8:1::9. Their checksums
// were computed by a few lines of Python that share nothing with the code under test.
#include "sipnat/net/packet.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "exact.h"
#include "net/checksum.h"

namespace sipnat {
namespace {

std::string from_hex(std::string_view hex) {
    std::string bytes;
    for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
        bytes += static_cast<char>(std::stoi(std::string(hex.substr(at, 2)), nullptr, 16));
    }
    return bytes;
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string hex;
    for (const auto byte : bytes) {
        hex += kDigits[byte >> 4U];
        hex += kDigits[byte & 0xfU];
    }
    return hex;
}

constexpr std::string_view kUdpHello =
    "45000021123440004011dee3c0a84d02cb007109"  // DF
    "13c413c4000d4ac568656c6c6f";
constexpr std::string_view kUdpHelloWithoutDf =
    "450000211234000040111ee4c0a84d02cb007109"
    "13c413c4000d4ac568656c6c6f";
constexpr std::string_view kUdpWithOptions =
    "46000023123440004011d2ddc0a84d02cb00710907040400"
    "13c413c4000bca38616263";
constexpr std::string_view kTcpAbc =
    "4500002f123440004006dee0c0a84d02cb007109"
    "13c49c40010203040506070860180200cd93000001010101616263";
constexpr std::string_view kIpv6Abc =
    "60000000000b114020010db800000000000000000000000220010db8000100000000000000000009"
    "13c413c4000bb86f616263";
constexpr std::string_view kIpv6Extensions =
    "60000000001b004020010db800000000000000000000000220010db8000100000000000000000009"
    "3c00010400000000"  // hop-by-hop
    "1100010400000000"  // destination options
    "13c413c4000bb86f616263";

TEST(Checksum, MatchesPublishedExamples) {
    const ExactText rfc1071(from_hex("0001f203f4f5f6f7"));  // RFC 1071 3: sum ddf2
    EXPECT_EQ(Checksum{}.add(rfc1071.bytes()).value(), 0x220d);
    const ExactText header(
        from_hex("45000073000040004011"
                 "0000"
                 "c0a80001c0a800c7"));
    EXPECT_EQ(Checksum{}.add(header.bytes()).value(), 0xb861);
    const ExactText odd(from_hex("010203"));  // 0102 + 0300
    EXPECT_EQ(Checksum{}.add(odd.bytes()).value(), 0xfbfd);
    EXPECT_EQ(Checksum{}.value(), 0xffff);
}

TEST(PacketView, ReadsWhatItSupports) {
    struct Case {
        std::string_view hex;
        std::string_view tuple;
        std::size_t network, header;
        std::string_view payload;
    };
    constexpr std::string_view kFour = "192.168.77.2:5060 > 203.0.113.9:5060/udp";
    constexpr std::string_view kSix = "[2001:db8::2]:5060 > [2001:db8:1::9]:5060/udp";
    for (const auto& expected : {
             Case{kUdpHello, kFour, 20, 28, "hello"},
             {kUdpWithOptions, kFour, 24, 32, "abc"},
             {kTcpAbc, "192.168.77.2:5060 > 203.0.113.9:40000/tcp", 20, 44, "abc"},
             {kIpv6Abc, kSix, 40, 48, "abc"},
             {kIpv6Extensions, kSix, 56, 64, "abc"},
         }) {
        const ExactText packet(from_hex(expected.hex));
        const auto view = PacketView::parse(packet.bytes());
        ASSERT_TRUE(view) << view.error().text();
        EXPECT_EQ(view->tuple.text(), expected.tuple);
        EXPECT_EQ(view->network_length, expected.network);
        EXPECT_EQ(view->header_length, expected.header);
        EXPECT_EQ(view->payload, expected.payload);
    }
}

TEST(PacketView, LeavesLinkPaddingOut) {
    const ExactText packet(from_hex(kUdpHello) + std::string(13, '\0'));
    EXPECT_EQ(PacketView::parse(packet.bytes())->payload, "hello");
}

TEST(PacketView, RefusesEachTruncation) {
    for (const auto hex : {kUdpHello, kUdpWithOptions, kTcpAbc, kIpv6Abc, kIpv6Extensions}) {
        const auto whole = from_hex(hex);
        for (std::size_t length = 0; length < whole.size(); ++length) {
            const ExactText packet(whole.substr(0, length));
            EXPECT_FALSE(PacketView::parse(packet.bytes())) << hex << " cut to " << length;
        }
    }
}

TEST(PacketView, RefusesWhatContradictsOrIsNotSupported) {
    struct Case {
        std::string_view packet;
        std::size_t at;
        int byte;
        std::string_view error;
    };
    for (const auto& [hex, at, byte, error] : {
             Case{kUdpHello, 0, 0x55, "read packet: neither IPv4 nor IPv6"},
             {kUdpHello, 0, 0x44, "read packet IPv4: header length contradicts"},
             {kUdpHello, 0, 0x4f, "read packet IPv4: header length contradicts"},
             {kUdpHello, 3, 19, "read packet IPv4: header length contradicts"},
             {kUdpHello, 3, 34, "read packet IPv4: total length is more than there is"},
             {kUdpHello, 3, 32, "read packet UDP: length contradicts that of the IP packet"},
             {kUdpHello, 3, 27, "read packet UDP: truncated header"},
             {kUdpHello, 6, 0x20, "read packet IPv4: fragment"},
             {kUdpHello, 7, 0x01, "read packet IPv4: fragment"},
             {kUdpHello, 9, 1, "read packet protocol 1: neither UDP nor TCP"},
             {kUdpHello, 25, 14, "read packet UDP: length contradicts that of the IP packet"},
             {kUdpHello, 25, 7, "read packet UDP: length contradicts that of the IP packet"},
             {kTcpAbc, 32, 0x40, "read packet TCP: data offset contradicts"},
             {kTcpAbc, 32, 0xf0, "read packet TCP: data offset is more than there is"},
             {kIpv6Abc, 5, 12, "read packet IPv6: payload length is more than there is"},
             {kIpv6Abc, 6, 44, "read packet IPv6: fragment"},
             {kIpv6Abc, 6, 51, "read packet protocol 51: neither UDP nor TCP"},
             {kIpv6Abc, 6, 58, "read packet protocol 58: neither UDP nor TCP"},
             {kIpv6Extensions, 6, 43, "read packet IPv6: routing header with segments left"},
             {kIpv6Extensions, 40, 44, "read packet IPv6: fragment"},
             {kIpv6Extensions, 41, 3, "read packet IPv6: truncated extension header"},
             {kIpv6Extensions, 48, 59, "read packet protocol 59: neither UDP nor TCP"},
         }) {
        auto bytes = from_hex(hex);
        bytes[at] = static_cast<char>(byte);
        if (byte == 43) bytes[43] = 1;  // segments left
        const ExactText packet(bytes);
        const auto view = PacketView::parse(packet.bytes());
        ASSERT_FALSE(view) << error;
        EXPECT_EQ(view.error().text(), error);
    }
}

std::string replaced(std::string_view hex, std::string_view payload) {
    const ExactText packet(from_hex(hex));
    const auto view = PacketView::parse(packet.bytes());
    const auto result = with_payload(packet.bytes(), *view, payload);
    return result ? to_hex(*result) : result.error().text();
}

TEST(WithPayload, TheSamePayloadGivesTheSamePacket) {
    EXPECT_EQ(replaced(kUdpHello, "hello"), kUdpHello);
    EXPECT_EQ(replaced(kUdpWithOptions, "abc"), kUdpWithOptions);
    EXPECT_EQ(replaced(kTcpAbc, "abc"), kTcpAbc);
    EXPECT_EQ(replaced(kIpv6Abc, "abc"), kIpv6Abc);
    EXPECT_EQ(replaced(kIpv6Extensions, "abc"), kIpv6Extensions);
}

TEST(WithPayload, SetsLengthsAndChecksums) {
    EXPECT_EQ(replaced(kTcpAbc, "abcd"),
              "450000301234000040061ee0c0a84d02cb007109"
              "13c49c40010203040506070860180200cd2e00000101010161626364");
    EXPECT_EQ(replaced(kIpv6Abc, "abcd"),
              "60000000000c114020010db800000000000000000000000220010db8000100000000000000000009"
              "13c413c4000cb80961626364");
    EXPECT_EQ(replaced(kIpv6Extensions, "x"),
              "600000000019004020010db800000000000000000000000220010db8000100000000000000000009"
              "3c000104000000001100010400000000"
              "13c413c4000904d678");
}

TEST(WithPayload, ClearsDontFragmentOnlyWhenThePacketGrows) {
    EXPECT_EQ(replaced(kUdpHello, "hello!"),
              "450000221234000040111ee3c0a84d02cb007109"
              "13c413c4000e4aa268656c6c6f21");
    EXPECT_EQ(replaced(kUdpHello, "abc").substr(12, 4), "4000");
    EXPECT_EQ(replaced(kTcpAbc, "abcdefgh").substr(12, 4), "0000");
    EXPECT_EQ(replaced(kTcpAbc, "ab").substr(12, 4), "4000");
    EXPECT_EQ(replaced(kUdpHelloWithoutDf, "hello"), kUdpHelloWithoutDf);
}

TEST(WithPayload, GivesAnIdentificationToWhatMayNowBeFragmented) {
    std::string zero_id(kUdpHello);
    zero_id.replace(8, 4, "0000");
    // 297d is the UDP checksum; the header's covers it: 3115 - 297d = 0798 in ones' complement.
    EXPECT_EQ(replaced(zero_id, "hello!!!"),
              "45000024297d000040110798c0a84d02cb007109"
              "13c413c40010297d68656c6c6f212121");
    EXPECT_EQ(replaced(zero_id, "hello").substr(8, 4), "0000");
}

TEST(WithPayload, AnAbsentUdpChecksumBecomesARealOne) {
    std::string without(kUdpHello);
    without.replace(52, 4, "0000");
    EXPECT_EQ(replaced(without, "hello"), kUdpHello);
}

TEST(WithPayload, AComputedZeroIsSentAsAllOnes) {
    EXPECT_EQ(replaced(kUdpHello, from_hex("8e9d")).substr(52), "ffff8e9d");
}

TEST(WithPayload, RefusesWhatNoLengthFieldHolds) {
    const std::string largest(65535 - 28, 'x');
    EXPECT_EQ(replaced(kUdpHello, largest).substr(4, 4), "ffff");
    EXPECT_EQ(replaced(kUdpHello, largest + "x"),
              "write packet 192.168.77.2:5060 > 203.0.113.9:5060/udp: payload of 65508 bytes does "
              "not fit");
    EXPECT_EQ(replaced(kIpv6Abc, std::string(65535 - 8, 'x')).substr(8, 4), "ffff");
    EXPECT_EQ(replaced(kIpv6Abc, std::string(65535 - 7, 'x')).substr(0, 5), "write");
}

TEST(WithPayload, AnEmptyPayloadIsOne) {
    EXPECT_EQ(replaced(kUdpHello, "").size(), 2 * 28U);
}

Tuple between(std::string_view source, std::string_view destination, Transport transport) {
    return {Endpoint::parse(source).value(), Endpoint::parse(destination).value(), transport};
}

TEST(WithTuple, WritesEndpointsAndChecksums) {
    // Translating back gives the bytes that somebody else computed the checksums of.
    for (const auto hex : {kUdpHello, kUdpWithOptions, kTcpAbc, kIpv6Abc, kIpv6Extensions}) {
        const ExactText packet(from_hex(hex));
        const auto view = PacketView::parse(packet.bytes()).value();
        const bool ipv4 = view.tuple.source.address.family() == Family::ipv4;
        const auto other = ipv4
                               ? between("203.0.113.1:1024", "198.51.100.7:9", view.tuple.transport)
                               : between("[fd00::1]:1024", "[fd00::2]:9", view.tuple.transport);
        const auto there = with_tuple(packet.bytes(), view, other, view.payload);
        ASSERT_TRUE(there);
        const auto changed = PacketView::parse(*there);
        ASSERT_TRUE(changed);
        EXPECT_EQ(changed->tuple, other);
        EXPECT_EQ(changed->payload, view.payload);
        const auto back = with_tuple(*there, *changed, view.tuple, changed->payload);
        ASSERT_TRUE(back);
        EXPECT_EQ(to_hex(*back), hex);
    }
}

TEST(WithTuple, TakesAnotherPayloadAlong) {
    const ExactText packet(from_hex(kIpv6Abc));
    const auto view = PacketView::parse(packet.bytes()).value();
    const auto other = between("[fd00::1]:1024", "[fd00::2]:9", Transport::udp);
    const auto longer = with_tuple(packet.bytes(), view, other, "abcd");
    ASSERT_TRUE(longer);
    EXPECT_EQ(PacketView::parse(*longer)->payload, "abcd");
    EXPECT_FALSE(with_tuple(packet.bytes(), view, other, std::string(70000, 'x')));
}

}  // namespace
}  // namespace sipnat
