// Events of the kernel, written as it writes them.
#include "netfilter/events_codec.h"

#include <gtest/gtest.h>

#include <string>

#include "bytes.h"

namespace sipnat::netfilter {
namespace {

/// A message of this type (two hex bytes, low one first) with an nfgenmsg of AF_INET.
std::vector<std::uint8_t> message_of(const std::string& type, const std::string& attributes) {
    auto message = as_message(from_hex("02 00 0000" + attributes));
    const auto number = from_hex(type);
    message[4] = number[0];
    message[5] = number[1];
    return message;
}

const nlmsghdr& header_of(const ExactBytes& bytes) {
    return *reinterpret_cast<const nlmsghdr*>(bytes.get().data());
}

constexpr const char* kTuples = R"(
    3400 0180                                 # TUPLE_ORIG
      1400 0180 0800 0100 0a000009 0800 0200 c633640a
      1c00 0280 0500 0100 11 000000 0600 0200 13c6 0000 0600 0300 13c4 0000
    3400 0280                                 # TUPLE_REPLY
      1400 0180 0800 0100 c633640a 0800 0200 c6336401
      1c00 0280 0500 0100 11 000000 0600 0200 13c4 0000 0600 0300 3ad6 0000
    0800 0300 0000219e                        # STATUS
)";

TEST(EventsCodec, ReadsAFlowThatEnded) {
    const ExactBytes ended(message_of("0201", kTuples));
    const auto flow = decode_ended_flow(header_of(ended));
    ASSERT_TRUE(flow);
    EXPECT_EQ(flow->original.text(), "10.0.0.9:5062 > 198.51.100.10:5060/udp");
    EXPECT_EQ(flow->reply.text(), "198.51.100.10:5060 > 198.51.100.1:15062/udp");
}

TEST(EventsCodec, AFlowThatBeginsOrIsUnreadableHasNotEnded) {
    const ExactBytes begun(message_of("0001", kTuples));
    EXPECT_FALSE(decode_ended_flow(header_of(begun)));
    const ExactBytes empty(message_of("0201", ""));
    EXPECT_FALSE(decode_ended_flow(header_of(empty)));
}

TEST(EventsCodec, ReadsWhoseTableSomethingIsRemovedFrom) {
    for (const auto* type : {"020a", "050a", "080a"}) {  // DELTABLE, DELCHAIN, DELRULE
        const ExactBytes removed(message_of(type, "0b00 0100 7369706e617400 00"));
        EXPECT_EQ(decode_removed_from(header_of(removed)), "sipnat") << type;
    }
}

TEST(EventsCodec, WhatIsAddedOrAnElementOrNamelessIsNothingRemoved) {
    for (const auto* type : {"000a", "030a", "060a", "0e0a"}) {  // NEWTABLE, …, DELSETELEM
        const ExactBytes other(message_of(type, "0b00 0100 7369706e617400 00"));
        EXPECT_FALSE(decode_removed_from(header_of(other))) << type;
    }
    const ExactBytes nameless(message_of("020a", "0800 0200 00000000"));
    EXPECT_FALSE(decode_removed_from(header_of(nameless)));
}

}  // namespace
}  // namespace sipnat::netfilter
