// Conntrack entries on the wire. The answers are what a 6.12 kernel sent.
//
// What is created is in libnetfilter_conntrack's order: tuples, status, timeout, mark, NAT (the
// first address only, which the kernel then takes for the last one too), helper.
#include "netfilter/conntrack_codec.h"

#include <gtest/gtest.h>

#include "netfilter/bytes.h"

namespace sipnat::netfilter {
namespace {

Endpoint endpoint(const char* text) {
    return Endpoint::parse(text).value();
}

FlowEntry phone_flow() {
    FlowEntry flow;
    flow.tuples.original = {endpoint("10.0.0.9:5062"), endpoint("198.51.100.10:5060")};
    flow.tuples.reply = {endpoint("198.51.100.10:5060"), endpoint("198.51.100.1:15062")};
    flow.status = flow_status::kSeenReply | flow_status::kAssured;
    flow.mark = 0x51;
    flow.timeout = 600;
    flow.helper = "sipnat";
    return flow;
}

TEST(ConntrackCodec, CreatesASourceNattedEntry) {
    Buffer out;
    encode_create_flow(out, 1, phone_flow());
    EXPECT_EQ(out, from_hex(R"(
        c4000000 0001 0506 01000000 00000000  # 196 bytes, CT_NEW, REQUEST|ACK|EXCL|CREATE, 1
        02 00 0000                            # AF_INET
        3400 0180                             # TUPLE_ORIG
          1400 0180                           #   IP
            0800 0100 0a000009                #     source 10.0.0.9
            0800 0200 c633640a                #     destination 198.51.100.10
          1c00 0280                           #   PROTO
            0500 0100 11 000000               #     UDP
            0600 0200 13c6 0000               #     source port 5062
            0600 0300 13c4 0000               #     destination port 5060
        3400 0280                             # TUPLE_REPLY: the mirror
          1400 0180 0800 0100 c633640a 0800 0200 0a000009
          1c00 0280 0500 0100 11 000000 0600 0200 13c4 0000 0600 0300 13c6 0000
        0800 0300 0000000e                    # STATUS CONFIRMED|ASSURED|SEEN_REPLY
        0800 0700 00000258                    # TIMEOUT 600
        0800 0800 00000051                    # MARK
        2000 0680                             # NAT_SRC
          0800 0100 c6336401                  #   first address 198.51.100.1
          1400 0380                           #   PROTO
            0600 0100 3ad6 0000               #     first port 15062
            0600 0200 3ad6 0000               #     last port
        1000 0580                             # HELP
          0b00 0100 7369706e6174 00 00        #   "sipnat"
    )"));
}

TEST(ConntrackCodec, LeavesOutWhatAnEntryDoesNotHave) {
    FlowEntry flow = phone_flow();
    flow.tuples.reply = flow.tuples.original.reversed();
    flow.helper.clear();
    flow.mark = 0;
    flow.status = ~flow_status::kFixedTimeout;  // only what ctnetlink lets us set goes out
    flow.timeout = 5;
    Buffer out;
    encode_create_flow(out, 7, flow);
    EXPECT_EQ(out, from_hex(R"(
        8c000000 0001 0506 07000000 00000000 02 00 0000
        3400 0180
          1400 0180 0800 0100 0a000009 0800 0200 c633640a
          1c00 0280 0500 0100 11 000000 0600 0200 13c6 0000 0600 0300 13c4 0000
        3400 0280
          1400 0180 0800 0100 c633640a 0800 0200 0a000009
          1c00 0280 0500 0100 11 000000 0600 0200 13c4 0000 0600 0300 13c6 0000
        0800 0300 0000000e                    # STATUS CONFIRMED|ASSURED|SEEN_REPLY
        0800 0700 00000005                    # TIMEOUT 5
    )"));
}

TEST(ConntrackCodec, CreatesADestinationNattedIpv6TcpEntry) {
    FlowEntry flow;
    flow.tuples.original = {endpoint("[2001:db8::1]:1"), endpoint("[2001:db8::2]:2"),
                            Transport::tcp};
    flow.tuples.reply = {endpoint("[2001:db8::3]:3"), endpoint("[2001:db8::1]:1"), Transport::tcp};
    flow.tcp_state = TcpState::syn_received;
    Buffer out;
    encode_create_flow(out, 1, flow);
    EXPECT_EQ(out, from_hex(R"(
        08010000 0001 0506 01000000 00000000  # 264 bytes
        0a 00 0000                            # AF_INET6
        4c00 0180                             # TUPLE_ORIG
          2c00 0180
            1400 0300 20010db8000000000000000000000001
            1400 0400 20010db8000000000000000000000002
          1c00 0280 0500 0100 06 000000 0600 0200 0001 0000 0600 0300 0002 0000
        4c00 0280                             # TUPLE_REPLY
          2c00 0180
            1400 0300 20010db8000000000000000000000002
            1400 0400 20010db8000000000000000000000001
          1c00 0280 0500 0100 06 000000 0600 0200 0002 0000 0600 0300 0001 0000
        0800 0300 00000008                    # STATUS CONFIRMED
        0800 0700 00000000                    # TIMEOUT 0
        2000 0480                             # PROTOINFO
          1c00 0180                           #   TCP
            0500 0100 02 000000               #     STATE SYN_RECV
            0600 0400 08 08 0000              #     FLAGS_ORIGINAL be liberal
            0600 0500 08 08 0000              #     FLAGS_REPLY
        2c00 0d80                             # NAT_DST
          1400 0400 20010db8000000000000000000000003
          1400 0380 0600 0100 0003 0000 0600 0200 0003 0000
    )"));
}

constexpr const char* kTuple = R"(
        3400 0180
          1400 0180 0800 0100 0a000009 0800 0200 c633640a
          1c00 0280 0500 0100 11 000000 0600 0200 13c6 0000 0600 0300 13c4 0000
)";

const StreamMemo kMemo{1, 2, 3, 0xff};
constexpr const char* kHelp = R"(
        3400 0580                             # HELP
          0b00 0100 7369706e617400 00         #   NAME sipnat
          2400 0200 010203ff 00000000 00000000 00000000 00000000 00000000 00000000 00000000  # INFO
)";
constexpr const char* kShifts = R"(
        1c00 0f80                             # SEQ_ADJ_ORIG
          0800 0100 fffffff0                  #   CORRECTION_POS
          0800 0200 00000000                  #   OFFSET_BEFORE
          0800 0300 00000008                  #   OFFSET_AFTER
        1c00 1080                             # SEQ_ADJ_REPLY
          0800 0100 00000001 0800 0200 fffffffb 0800 0300 00000002
)";
const SequenceShifts kBothShifts{SequenceShift{static_cast<SequenceNumber>(0xfffffff0), 0, 8},
                                 SequenceShift{static_cast<SequenceNumber>(1), -5, 2}};

TEST(ConntrackCodec, ShiftsTheNumbersOfAStream) {
    auto original = phone_flow().tuples.original;
    Buffer out;
    encode_shift_flow(out, 3, original, kBothShifts, kMemo);
    EXPECT_EQ(out, from_hex(std::string(R"(
        cc000000 0001 0500 03000000 00000000  # 204 bytes, CT_NEW, REQUEST|ACK: what is there
        02 00 0000                            # AF_INET
    )") + kTuple + kShifts + kHelp +
                            R"(
        1800 0480                             # PROTOINFO
          1400 0180                           #   TCP
            0600 0400 08 08 0000              #     FLAGS_ORIGINAL be liberal, of that bit only
            0600 0500 08 08 0000              #     FLAGS_REPLY
    )"));
}

TEST(ConntrackCodec, ShiftsTheNumbersOfAFlowWithoutAHelper) {
    Buffer out;
    encode_shift_flow(out, 3, phone_flow().tuples.original, kBothShifts, std::nullopt);
    EXPECT_EQ(out, from_hex(std::string(R"(
        98000000 0001 0500 03000000 00000000  # 152 bytes
        02 00 0000                            # AF_INET
    )") + kTuple + kShifts + "1800 0480 1400 0180 0600 0400 08 08 0000 0600 0500 08 08 0000"));
}

TEST(ConntrackCodec, ReadsShiftsAndMemoBack) {
    const auto decoded = decode_flow(from_hex(std::string(R"(
        3400 0180
          1400 0180 0800 0100 0a000009 0800 0200 c633640a
          1c00 0280 0500 0100 06 000000 0600 0200 13c6 0000 0600 0300 13c4 0000
        3400 0280
          1400 0180 0800 0100 c633640a 0800 0200 c6336401
          1c00 0280 0500 0100 06 000000 0600 0200 13c4 0000 0600 0300 13c6 0000
    )") + kShifts + kHelp));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->flow.helper, "sipnat");
    EXPECT_EQ(decoded->flow.memo, kMemo);
    EXPECT_EQ(decoded->flow.shifts, kBothShifts);
}

TEST(ConntrackCodec, ProlongsAnEntryThatIsThere) {
    Buffer out;
    encode_prolong_flow(out, 1, phone_flow().tuples.original, 600);
    EXPECT_EQ(out, from_hex(R"(
        50000000 0001 0500 01000000 00000000  # 80 bytes, CT_NEW, REQUEST|ACK, 1
        02 00 0000                            # AF_INET
        3400 0180                             # TUPLE_ORIG
          1400 0180 0800 0100 0a000009 0800 0200 c633640a
          1c00 0280 0500 0100 11 000000 0600 0200 13c6 0000 0600 0300 13c4 0000
        0800 0700 00000258                    # TIMEOUT 600
    )"));
}

TEST(ConntrackCodec, FindsAndRemovesByTuple) {
    const Tuple tuple = phone_flow().tuples.original;
    Buffer out;
    encode_find_flow(out, 2, tuple);
    EXPECT_EQ(out,
              from_hex(std::string("48000000 0101 0500 02000000 00000000 02 00 0000") + kTuple));
    out.clear();
    encode_remove_flow(out, 3, tuple, std::nullopt);
    EXPECT_EQ(out,
              from_hex(std::string("48000000 0201 0500 03000000 00000000 02 00 0000") + kTuple));
    out.clear();
    encode_remove_flow(out, 4, tuple, 0x4b1d2e7c);
    EXPECT_EQ(out, from_hex(std::string("50000000 0201 0500 04000000 00000000 02 00 0000") +
                            kTuple + "0800 0c00 4b1d2e7c  # ID"));
}

TEST(ConntrackCodec, LetsTheKernelFilterADump) {
    FlowFilter filter;
    filter.origin = FlowOrigin::expected;
    filter.mark = 0x51;
    filter.mark_mask = 0xff;
    Buffer out;
    encode_dump_flows(out, 9, filter, KernelFilter::full);
    EXPECT_EQ(out, from_hex(R"(
        58000000 0101 0103 09000000 00000000 02 00 0000  # CT_GET, REQUEST|DUMP
        0800 0800 00000051           # MARK
        0800 1500 000000ff           # MARK_MASK
        0800 0300 00000001           # STATUS EXPECTED
        0800 1a00 00000001           # STATUS_MASK EXPECTED
        1400 1980                    # FILTER
          0800 0100 08000000         #   by the original's protocol (host order)
          0800 0200 00000000         #   by nothing of the reply
        1000 0180                    # TUPLE_ORIG
          0c00 0280 0500 0100 11 000000
    )"));
    out.clear();
    encode_dump_flows(out, 9, filter, KernelFilter::family_only);
    EXPECT_EQ(out, from_hex("14000000 0101 0103 09000000 00000000 02 00 0000"));
}

// The answer to a find, after its nfgenmsg.
constexpr const char* kAnswer = R"(
    3400 0180                                 # TUPLE_ORIG
      1400 0180 0800 0100 0a000009 0800 0200 c633640a
      1c00 0280 0500 0100 11 000000 0600 0200 13c6 0000 0600 0300 13c4 0000
    3400 0280                                 # TUPLE_REPLY
      1400 0180 0800 0100 c633640a 0800 0200 c6336401
      1c00 0280 0500 0100 11 000000 0600 0200 13c4 0000 0600 0300 3ad6 0000
    0800 0300 0000219e                        # STATUS
    0800 0800 00000051                        # MARK
    0800 0c00 4b1d2e7c                        # ID
    0800 0b00 00000002                        # USE
    0800 0700 00000257                        # TIMEOUT 599
    1c00 0980 0c00 0100 0000000000000000 0c00 0200 0000000000000000   # COUNTERS_ORIG
    1c00 0a80 0c00 0100 0000000000000000 0c00 0200 0000000000000000   # COUNTERS_REPLY
    3400 0580                                 # HELP
      0b00 0100 7369706e617400 00             #   "sipnat"
      2400 0200 0000000000000000000000000000000000000000000000000000000000000000
    1c00 1880 0800 0100 00000000 0800 0200 00000000 0800 0300 00000000   # SYNPROXY
)";

TEST(ConntrackCodec, ReadsAnEntry) {
    const ExactBytes answer(from_hex(kAnswer));
    const auto decoded = decode_flow(answer.get());
    ASSERT_TRUE(decoded);
    FlowEntry expected = phone_flow();
    expected.status = 0x219e;
    expected.timeout = 599;
    expected.packets = PacketCount{};
    EXPECT_EQ(decoded->flow, expected);
    EXPECT_EQ(decoded->id, 0x4b1d2e7cU);
}

TEST(ConntrackCodec, ReadsBackWhatItWrote) {
    Buffer out;
    FlowEntry flow = phone_flow();
    flow.tuples.reply = flow.tuples.original.reversed();
    encode_create_flow(out, 1, flow);
    Bytes rest(out);
    const nlmsghdr* message = next_message(rest);
    ASSERT_TRUE(message);
    const auto decoded = decode_flow(netfilter_attributes(*message));
    ASSERT_TRUE(decoded);
    flow.status |= flow_status::kConfirmed;
    EXPECT_EQ(decoded->flow, flow);
}

TEST(ConntrackCodec, AMasterOrTheStatusBitMakesAFlowExpected) {
    const auto expected = [](const std::string& hex) {
        const ExactBytes bytes(from_hex(hex));
        return decode_flow(bytes.get()).value().flow.expected;
    };
    EXPECT_FALSE(expected(kAnswer));
    EXPECT_TRUE(expected(std::string(kAnswer) + "0400 0e80  # TUPLE_MASTER"));
    EXPECT_TRUE(expected(std::string(kAnswer) + "0800 0300 0000219f"));
}

TEST(ConntrackCodec, ReadsThePacketsOfBothDirections) {
    const std::string there = "1c00 0980 0c00 0100 0000000100000005 0c00 0200 0000000000000708";
    const std::string back = "1c00 0a80 0c00 0100 0000000000000007 0c00 0200 0000000000000a00";
    const auto packets = [](const std::string& hex) {
        const ExactBytes bytes(from_hex(kAnswer + hex));
        return decode_flow(bytes.get()).value().flow.packets;
    };
    EXPECT_EQ(packets(" " + there + back), (PacketCount{0x100000005U, 7}));
    EXPECT_EQ(packets(" " + there), (PacketCount{0x100000005U, 0})) << "the last of each counts";
    EXPECT_EQ(packets(" " + there + "0c00 0a80 0800 0100 00000007"), std::nullopt) << "too short";
}

TEST(ConntrackCodec, RefusesOtherTransportsAndMixedFamilies) {
    auto bytes = from_hex(kAnswer);
    const std::size_t protocol = 4 + 20 + 4 + 4;  // TUPLE_ORIG, IP, PROTO, NUM
    ASSERT_EQ(bytes.at(protocol), 17);
    bytes[protocol] = 1;  // ICMP
    EXPECT_FALSE(decode_flow(bytes));
    EXPECT_FALSE(decode_flow(from_hex(R"(
        4000 0180
          2000 0180 0800 0100 0a000009 1400 0400 20010db8000000000000000000000002
          1c00 0280 0500 0100 11 000000 0600 0200 13c6 0000 0600 0300 13c4 0000
        3400 0280
          1400 0180 0800 0100 c633640a 0800 0200 c6336401
          1c00 0280 0500 0100 11 000000 0600 0200 13c4 0000 0600 0300 3ad6 0000)")));
}

TEST(ConntrackCodec, RefusesAnEntryWithoutAPort) {
    EXPECT_FALSE(decode_flow(from_hex(R"(
        2c00 0180
          1400 0180 0800 0100 0a000009 0800 0200 c633640a
          1400 0280 0500 0100 11 000000 0600 0200 13c6 0000
        3400 0280
          1400 0180 0800 0100 c633640a 0800 0200 c6336401
          1c00 0280 0500 0100 11 000000 0600 0200 13c4 0000 0600 0300 3ad6 0000)")));
    EXPECT_FALSE(decode_flow({}));
}

TEST(ConntrackCodec, ReadsAHelperWithoutAnEnd) {
    const ExactBytes bytes(from_hex(std::string(kAnswer) + "0b00 0580 0700 0100 736970  # HELP"));
    EXPECT_EQ(decode_flow(bytes.get()).value().flow.helper, "sip");
}

TEST(ConntrackCodec, ReadsATcpFlowsState) {
    const auto state = [](const std::string& hex) {
        const ExactBytes bytes(from_hex(kAnswer + hex));
        return decode_flow(bytes.get()).value().flow.tcp_state;
    };
    EXPECT_EQ(state(""), TcpState::none);
    EXPECT_EQ(state(" 1000 0480 0c00 0180 0500 0100 02 000000"), TcpState::syn_received);
    EXPECT_EQ(state(" 0800 0480 0400 0180"), TcpState::none) << "no state in it";
}

TEST(ConntrackCodec, SurvivesDamage) {
    with_damaged(from_hex(kAnswer), [](Bytes bytes) { (void)decode_flow(bytes); });
}

TEST(FlowFilter, AdmitsWhatTheKernelWould) {
    FlowEntry flow = phone_flow();
    FlowFilter filter;
    EXPECT_TRUE(filter.admits(flow));
    filter.mark_mask = 0xf0;
    filter.mark = 0x50;
    EXPECT_TRUE(filter.admits(flow));
    filter.mark = 0x60;
    EXPECT_FALSE(filter.admits(flow));
    filter = {.origin = FlowOrigin::expected};
    EXPECT_FALSE(filter.admits(flow));
    flow.expected = true;
    EXPECT_TRUE(filter.admits(flow));
    EXPECT_FALSE(FlowFilter{.family = Family::ipv6}.admits(flow));
    EXPECT_FALSE(FlowFilter{.transport = Transport::tcp}.admits(flow));
    EXPECT_TRUE(FlowFilter{.transport = std::nullopt}.admits(flow));
}

}  // namespace
}  // namespace sipnat::netfilter
