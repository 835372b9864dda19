// Messages and attributes whose lengths lie.
#include "netfilter/wire.h"

#include <gtest/gtest.h>

#include "netfilter/bytes.h"
#include "netfilter/socket.h"

namespace sipnat::netfilter {
namespace {

/// The types of all attributes, and whether the bytes ended with a whole one.
std::pair<std::vector<int>, bool> types_in(const char* hex) {
    const ExactBytes bytes(from_hex(hex));
    std::vector<int> types;
    const bool whole = for_each_attribute(
        bytes.get(), [&](const Attribute& attribute) { types.push_back(attribute.type); });
    return {types, whole};
}

using Types = std::pair<std::vector<int>, bool>;

TEST(Wire, WalksAttributes) {
    EXPECT_EQ(types_in(""), Types({}, true));
    EXPECT_EQ(types_in("0800 0100 00000001 0400 0280"), Types({1, 2}, true));
    // The last one's padding may be missing: a sender's buffer may end with its payload.
    EXPECT_EQ(types_in("0500 0100 01"), Types({1}, true));
    EXPECT_EQ(types_in("0500 0100 01 0000"), Types({1}, true));
}

TEST(Wire, StopsAtLengthsThatAreImpossible) {
    EXPECT_EQ(types_in("0300 0100"), Types({}, false));
    EXPECT_EQ(types_in("0000 0000"), Types({}, false));
    EXPECT_EQ(types_in("0900 0100 00000001"), Types({}, false));
    EXPECT_EQ(types_in("0400 0100 0400"), Types({1}, false));
    EXPECT_EQ(types_in("ffff 0100"), Types({}, false));
}

TEST(Wire, NumbersNeedTheirBytes) {
    const auto bytes = from_hex("01020304");
    const Attribute attribute{1, bytes};
    EXPECT_EQ(attribute.u8(), 1);
    EXPECT_EQ(attribute.be16(), 0x0102);
    EXPECT_EQ(attribute.be32(), 0x01020304U);
    const Attribute shorter{1, Bytes(bytes).first(3)};
    EXPECT_EQ(shorter.be32(), std::nullopt);
    EXPECT_EQ(shorter.host32(), std::nullopt);
    const Attribute none{1, {}};
    EXPECT_EQ(none.u8(), std::nullopt);
    EXPECT_EQ(none.be16(), std::nullopt);
    EXPECT_EQ(none.text(), "");
}

TEST(Wire, TextEndsAtTheFirstZeroOrTheEnd) {
    const auto bytes = from_hex("73697000 61");
    EXPECT_EQ((Attribute{1, bytes}.text()), "sip");
    EXPECT_EQ((Attribute{1, Bytes(bytes).first(2)}.text()), "si");
}

TEST(Wire, TakesMessagesOffADatagram) {
    const ExactBytes datagram(from_hex(R"(
        14000000 0203 0500 07000000 00000000 0a 00 13c4
        10000000 0300 0200 08000000 00000000)"));
    Bytes rest = datagram.get();
    const auto first = next_message(rest);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->head.type, message_type(3, 2));
    EXPECT_EQ(first->head.flags, 5);
    EXPECT_EQ(first->head.sequence, 7U);
    EXPECT_EQ(first->resource(), 5060);
    const auto second = next_message(rest);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->resource(), 0);
    EXPECT_FALSE(second->netfilter_attributes());
    EXPECT_FALSE(next_message(rest));
    EXPECT_TRUE(rest.empty());
}

TEST(Wire, StopsAtMessagesThatAreCutShort) {
    for (const char* hex : {"0f000000 0203 0500 07000000 00000000",
                            "11000000 0203 0500 07000000 00000000", "10000000 0203"}) {
        const ExactBytes datagram(from_hex(hex));
        Bytes rest = datagram.get();
        EXPECT_FALSE(next_message(rest)) << hex;
        EXPECT_FALSE(rest.empty()) << hex;
    }
}

TEST(Wire, KnowsAnAckFromARefusal) {
    const auto ack = from_hex("00000000");
    const auto refusal = from_hex("efffffff");
    EXPECT_EQ(error_of({{}, ack}), 0);
    EXPECT_EQ(error_of({{}, refusal}), 17);
    EXPECT_EQ(error_of({{}, Bytes(ack).first(3)}), EPROTO);
}

}  // namespace
}  // namespace sipnat::netfilter
