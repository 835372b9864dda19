// Messages and attributes whose lengths lie.
#include "netfilter/wire.h"

#include <gtest/gtest.h>

#include "netfilter/bytes.h"
#include "netfilter/socket.h"

namespace sipnat::netfilter {
namespace {

/// The types of the attributes up to 7.
std::vector<int> types_in(const char* hex) {
    const ExactBytes bytes(from_hex(hex));
    const auto table = attributes_in<7>(bytes.get());
    std::vector<int> types;
    for (std::size_t type = 0; type < table.size(); ++type) {
        if (table[type] != nullptr) {
            types.push_back(static_cast<int>(type));
        }
    }
    return types;
}

using Types = std::vector<int>;

TEST(Wire, SortsAttributesByType) {
    EXPECT_EQ(types_in(""), Types({}));
    EXPECT_EQ(types_in("0800 0100 00000001 0400 0280"), Types({1, 2}));
    EXPECT_EQ(types_in("0400 0700 0400 0800 0400 ff3f"), Types({7}));
    // The last one's padding may be missing: a sender's buffer may end with its payload.
    EXPECT_EQ(types_in("0500 0100 01"), Types({1}));
    EXPECT_EQ(types_in("0500 0100 01 0000"), Types({1}));
}

TEST(Wire, KeepsTheLastOfAType) {
    const ExactBytes bytes(from_hex("0800 0100 00000001 0800 0100 00000002"));
    EXPECT_EQ(be32(attributes_in<1>(bytes.get())[1]), 2U);
}

TEST(Wire, StopsAtLengthsThatAreImpossible) {
    EXPECT_EQ(types_in("0300 0100"), Types({}));
    EXPECT_EQ(types_in("0000 0000"), Types({}));
    EXPECT_EQ(types_in("0900 0100 00000001"), Types({}));
    EXPECT_EQ(types_in("0400 0100 0400"), Types({1}));
    EXPECT_EQ(types_in("ffff 0100"), Types({}));
}

TEST(Wire, NumbersNeedTheirBytes) {
    using Numbers = std::pair<std::optional<std::uint32_t>, std::optional<std::uint32_t>>;
    const auto numbers_in = [](const char* hex) {
        const ExactBytes bytes(from_hex(hex));
        const auto table = attributes_in<1>(bytes.get());
        return Numbers(be32(table[1]), host32(table[1]));
    };
    EXPECT_EQ(numbers_in("0800 0100 01020304"), Numbers(0x01020304, 0x04030201));
    EXPECT_EQ(numbers_in("0700 0100 010203"), Numbers());
    EXPECT_EQ(numbers_in("0400 0100"), Numbers());
    EXPECT_EQ(numbers_in(""), Numbers());
}

TEST(Wire, TextEndsAtTheFirstZeroOrTheEnd) {
    const auto text_in = [](const char* hex) {
        const ExactBytes bytes(from_hex(hex));
        return std::string(text_of(attributes_in<1>(bytes.get())[1]));
    };
    EXPECT_EQ(text_in("0900 0100 73697000 61"), "sip");
    EXPECT_EQ(text_in("0600 0100 7369"), "si");
    EXPECT_EQ(text_in("0400 0100"), "");
    EXPECT_EQ(text_in(""), "");
}

TEST(Wire, TakesMessagesOffADatagram) {
    const ExactBytes datagram(from_hex(R"(
        14000000 0203 0500 07000000 00000000 0a 00 13c4
        10000000 0300 0200 08000000 00000000)"));
    Bytes rest = datagram.get();
    const nlmsghdr* first = next_message(rest);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->nlmsg_type, message_type(3, 2));
    EXPECT_EQ(first->nlmsg_flags, 5);
    EXPECT_EQ(first->nlmsg_seq, 7U);
    EXPECT_TRUE(netfilter_attributes(*first).empty());
    const nlmsghdr* second = next_message(rest);
    ASSERT_TRUE(second);
    EXPECT_TRUE(netfilter_attributes(*second).empty());
    EXPECT_FALSE(next_message(rest));
    EXPECT_TRUE(rest.empty());
}

TEST(Wire, StopsAtMessagesThatAreCutShort) {
    for (const char* hex :
         {"0f000000 0203 0500 07000000 00000000", "11000000 0203 0500 07000000 00000000",
          "10000000 0203", "14000080 0203 0500 07000000 00000000 00000000"}) {
        const ExactBytes datagram(from_hex(hex));
        Bytes rest = datagram.get();
        EXPECT_FALSE(next_message(rest)) << hex;
        EXPECT_FALSE(rest.empty()) << hex;
    }
}

TEST(Wire, KnowsAnAckFromARefusal) {
    const auto error_in = [](const char* body) {
        const ExactBytes bytes(as_message(from_hex(body)));
        Bytes rest = bytes.get();
        return error_of(*next_message(rest));
    };
    EXPECT_EQ(error_in("00000000"), 0);
    EXPECT_EQ(error_in("efffffff"), 17);
    EXPECT_EQ(error_in("efffff"), EPROTO);
}

}  // namespace
}  // namespace sipnat::netfilter
