// Expectations on the wire. The listed ones are what a 6.12 kernel sent.
#include "netfilter/expectation_codec.h"

#include <gtest/gtest.h>

#include "netfilter/bytes.h"

namespace sipnat::netfilter {
namespace {

Endpoint endpoint(const char* text) {
    return Endpoint::parse(text).value();
}

Expectation inbound() {
    Expectation expectation;
    expectation.master = {endpoint("10.0.0.9:5062"), endpoint("198.51.100.10:5060")};
    expectation.match = {Endpoint{}, endpoint("198.51.100.1:20000")};
    expectation.nat = endpoint("10.0.0.9:4000");
    return expectation;
}

Expectation outbound() {
    Expectation expectation = inbound();
    expectation.match = {endpoint("10.0.0.9:4000"), endpoint("198.51.100.10:7000")};
    expectation.nat = expectation.match.destination;
    expectation.media = ExpectClass::video;
    expectation.direction = FlowDirection::original;
    return expectation;
}

constexpr const char* kInboundTuples = R"(
    3400 0180                               # MASTER
      1400 0180 0800 0100 0a000009 0800 0200 c633640a
      1c00 0280 0500 0100 11 000000 0600 0200 13c6 0000 0600 0300 13c4 0000
    3400 0280                               # TUPLE any > 198.51.100.1:20000
      1400 0180 0800 0100 00000000 0800 0200 c6336401
      1c00 0280 0500 0100 11 000000 0600 0200 0000 0000 0600 0300 4e20 0000
    3400 0380                               # MASK: no source, all of the destination
      1400 0180 0800 0100 00000000 0800 0200 ffffffff
      1c00 0280 0500 0100 11 000000 0600 0200 0000 0000 0600 0300 ffff 0000
    0800 0400 00015180                      # TIMEOUT 86400
    0800 0800 00000001                      # FLAGS PERMANENT
    0800 0900 00000001                      # CLASS audio
    0d00 0600 7369706d6564696100 000000     # HELP_NAME "sipmedia"
)";

TEST(ExpectationCodec, CreatesTheInboundOne) {
    Buffer out;
    encode_create_expectation(out, 1, inbound());
    EXPECT_EQ(out, from_hex(std::string(R"(
        20010000 0002 0506 01000000 00000000  # 288 bytes, EXP_NEW, REQUEST|ACK|EXCL|CREATE
        02 00 0000)") + kInboundTuples +
                            R"(
        4000 0a80                             # NAT
          0800 0100 00000001                  #   DIR reply
          3400 0280                           #   TUPLE
            1400 0180 0800 0100 0a000009 0800 0200 00000000
            1c00 0280 0500 0100 11 000000 0600 0200 0fa0 0000 0600 0300 0000 0000
        0800 0b00 73697000                    # FN "sip"
    )"));
}

TEST(ExpectationCodec, ARenewedOneMayBeThere) {
    Buffer created, renewed;
    encode_create_expectation(created, 1, inbound());
    encode_create_expectation(renewed, 1, inbound(), Present::is_renewed);
    auto header = created;
    header.at(7) = 0x04;  // REQUEST|ACK|CREATE, no EXCL
    EXPECT_EQ(renewed, header);
}

TEST(ExpectationCodec, CreatesOneWithoutNatNorFunction) {
    Expectation expectation = inbound();
    expectation.translates = false;
    Buffer out;
    encode_create_expectation(out, 1, expectation);
    EXPECT_EQ(out, from_hex(std::string("d8000000 0002 0506 01000000 00000000 02 00 0000") +
                            kInboundTuples));
}

TEST(ExpectationCodec, MasksSourceAddressAndPortEachByItself) {
    Expectation expectation = inbound();
    expectation.match.source = endpoint("198.51.100.10:0");
    Buffer out;
    encode_create_expectation(out, 1, expectation);
    const auto mask = from_hex(R"(
        3400 0380
          1400 0180 0800 0100 ffffffff 0800 0200 ffffffff
          1c00 0280 0500 0100 11 000000 0600 0200 0000 0000 0600 0300 ffff 0000)");
    EXPECT_NE(std::search(out.begin(), out.end(), mask.begin(), mask.end()), out.end());
}

TEST(ExpectationCodec, AnybodyIsAnybodyInIpv6Too) {
    Expectation expectation;
    expectation.master = {endpoint("[2001:db8::1]:5060"), endpoint("[2001:db8::2]:5060")};
    expectation.match = {Endpoint{}, endpoint("[2001:db8::3]:20000")};
    expectation.translates = false;
    Buffer out;
    encode_create_expectation(out, 1, expectation);
    EXPECT_EQ(out.at(16), 10);  // AF_INET6
    Bytes rest(out);
    const auto decoded = decode_expectation(netfilter_attributes(*next_message(rest)));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->expectation.match.source, endpoint("[::]:0"));
    EXPECT_EQ(decoded->expectation.match.destination, endpoint("[2001:db8::3]:20000"));
}

TEST(ExpectationCodec, FindsRemovesAndLists) {
    const std::string tuple = R"(
        3400 0280
          1400 0180 0800 0100 00000000 0800 0200 c6336401
          1c00 0280 0500 0100 11 000000 0600 0200 0000 0000 0600 0300 4e20 0000)";
    Buffer out;
    encode_find_expectation(out, 2, inbound().match);
    EXPECT_EQ(out, from_hex("48000000 0102 0500 02000000 00000000 02 00 0000" + tuple));
    out.clear();
    encode_remove_expectation(out, 3, inbound().match, 0xb0d836c6);
    EXPECT_EQ(out, from_hex("50000000 0202 0500 03000000 00000000 02 00 0000" + tuple +
                            "0800 0500 b0d836c6  # ID"));
    out.clear();
    encode_dump_expectations(out, 4, Family::ipv4);
    EXPECT_EQ(out, from_hex("14000000 0102 0103 04000000 00000000 02 00 0000"));
}

// One message of a listing, after its nfgenmsg.
constexpr const char* kListed = R"(
    3400 0280                               # TUPLE any > 198.51.100.1:31000
      1400 0180 0800 0100 00000000 0800 0200 c6336401
      1c00 0280 0500 0100 11 000000 0600 0200 0000 0000 0600 0300 7918 0000
    3400 0380                               # MASK
      1400 0180 0800 0100 00000000 0800 0200 ffffffff
      1c00 0280 0500 0100 11 000000 0600 0200 0000 0000 0600 0300 ffff 0000
    3400 0180                               # MASTER 10.0.0.2:5060 > 198.51.100.10:5060
      1400 0180 0800 0100 0a000002 0800 0200 c633640a
      1c00 0280 0500 0100 11 000000 0600 0200 13c4 0000 0600 0300 13c4 0000
    4000 0a80                               # NAT
      0800 0100 00000001                    #   DIR reply
      3400 0280                             #   TUPLE 10.0.0.2:5070
        1400 0180 0800 0100 0a000002 0800 0200 00000000
        1c00 0280 0500 0100 11 000000 0600 0200 13ce 0000 0600 0300 0000 0000
    0800 0400 0001514b                      # TIMEOUT 86347 left
    0800 0500 619204b2                      # ID
    0800 0800 00000001                      # FLAGS PERMANENT
    0800 0900 00000000                      # CLASS signalling
    0b00 0600 7369706e617400 00             # HELP_NAME: the master's
    0800 0b00 73697000                      # FN "sip"
)";

TEST(ExpectationCodec, ReadsAListedOne) {
    const ExactBytes listed(from_hex(kListed));
    const auto decoded = decode_expectation(listed.get());
    ASSERT_TRUE(decoded);
    Expectation expected;
    expected.master = {endpoint("10.0.0.2:5060"), endpoint("198.51.100.10:5060")};
    expected.match = {Endpoint{}, endpoint("198.51.100.1:31000")};
    expected.nat = endpoint("10.0.0.2:5070");
    expected.media = ExpectClass::signalling;
    EXPECT_EQ(decoded->expectation, expected);
    EXPECT_EQ(decoded->id, 0x619204b2U);
    EXPECT_EQ(decoded->helper, "sipnat");
    EXPECT_TRUE(decoded->sip_function);
}

TEST(ExpectationCodec, ReadsBackWhatItWrote) {
    Expectation plain = inbound();
    plain.translates = false;
    plain.nat = {};
    Expectation half = inbound();
    half.match.source = endpoint("198.51.100.10:0");
    for (const auto& expectation : {inbound(), outbound(), plain, half}) {
        Buffer out;
        encode_create_expectation(out, 1, expectation);
        Bytes rest(out);
        const auto decoded = decode_expectation(netfilter_attributes(*next_message(rest)));
        ASSERT_TRUE(decoded);
        EXPECT_EQ(decoded->expectation, expectation);
        EXPECT_EQ(decoded->helper, "sipmedia");
        EXPECT_EQ(decoded->sip_function, expectation.translates);
    }
}

TEST(ExpectationCodec, RefusesForeignClasses) {
    EXPECT_FALSE(decode_expectation(from_hex(std::string(kListed) + "0800 0900 00000004")));
}

TEST(ExpectationCodec, SurvivesDamage) {
    with_damaged(from_hex(kListed), [](Bytes bytes) { (void)decode_expectation(bytes); });
}

}  // namespace
}  // namespace sipnat::netfilter
