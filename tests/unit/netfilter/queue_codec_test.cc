// Queue configuration, packets and verdicts on the wire. The packets are what a 6.12 kernel sent.
#include "netfilter/queue_codec.h"

#include <gtest/gtest.h>

#include "netfilter/bytes.h"

namespace sipnat::netfilter {
namespace {

using namespace std::chrono_literals;

constexpr auto kQueue = static_cast<QueueNumber>(5060);

Endpoint endpoint(const char* text) {
    return Endpoint::parse(text).value();
}

// The first packet of a flow, before anybody confirmed its entry.
constexpr const char* kFirstPacket = R"(
    6c010000 0003 0000 00000000 00000000    # 364 bytes, NFQNL_MSG_PACKET
    02 00 13c4                              # AF_INET, queue 5060
    0b00 0100 00000001 0800 04 00           # PACKET_HDR: id 1, IPv4, postrouting
    0800 0500 00000002                      # IFINDEX_INDEV
    0800 0600 00000005                      # IFINDEX_OUTDEV
    1000 0900 0006 0000 c61daa54221d 0000   # HWADDR
    f800 0b80                               # CT
      3400 0180                             #   TUPLE_ORIG
        1400 0180 0800 0100 0a000002 0800 0200 c633640a
        1c00 0280 0500 0100 11 000000 0600 0200 13c4 0000 0600 0300 13c4 0000
      3400 0280                             #   TUPLE_REPLY
        1400 0180 0800 0100 c633640a 0800 0200 c6336401
        1c00 0280 0500 0100 11 000000 0600 0200 13c4 0000 0600 0300 13c4 0000
      0800 0c00 2b58bd1c                    #   ID
      0800 0300 00002190                    #   STATUS: source NAT, not confirmed
      0800 0700 00000e10                    #   TIMEOUT 3600
      1c00 0980 0c00 0100 0000000000000001 0c00 0200 0000000000000028
      1c00 0a80 0c00 0100 0000000000000000 0c00 0200 0000000000000000
      3400 0580                             #   HELP
        0b00 0100 7369706e617400 00
        2400 0200 0000000000000000000000000000000000000000000000000000000000000000
      0800 0800 00000000                    #   MARK
    0800 0c00 00000002                      # CT_INFO: new
    2c00 0a00                               # PAYLOAD
      45000028c93b40003f111e17c6336401c633640a 13c413c400149daa 494e564954452068656c6c6f
)";

/// Reads the packet of the first message.
bool decode(Bytes bytes, QueuedPacket& out) {
    const nlmsghdr* message = next_message(bytes);
    return message != nullptr && decode_packet(*message, out);
}

TEST(QueueCodec, ReadsAFlowsFirstPacket) {
    const ExactBytes datagram(from_hex(kFirstPacket));
    QueuedPacket packet;
    ASSERT_TRUE(decode(datagram.get(), packet));
    EXPECT_EQ(packet.id, (PacketId{kQueue, 1}));
    EXPECT_EQ(packet.hook, Hook::postrouting);
    EXPECT_EQ(packet.direction, FlowDirection::original);
    EXPECT_TRUE(packet.first);
    EXPECT_FALSE(packet.from_gateway);
    EXPECT_FALSE(packet.truncated);
    EXPECT_EQ(packet.packet.size(), 40U);
    EXPECT_EQ(packet.packet[0], 0x45);
    ASSERT_TRUE(packet.flow);
    EXPECT_EQ(packet.flow->tuples.original.source, endpoint("10.0.0.2:5060"));
    EXPECT_EQ(packet.flow->tuples.reply.destination, endpoint("198.51.100.1:5060"));
    EXPECT_EQ(packet.flow->helper, "sipnat");
    EXPECT_EQ(packet.flow->timeout, 3600U);
    EXPECT_FALSE(packet.flow->expected);
}

// The parts of a packet message that matter, with a conntrack info of the test's choice.
std::vector<std::uint8_t> packet_with(const std::string& attributes) {
    auto bytes = from_hex("00000000 0003 0000 00000000 00000000 02 00 13c5" + attributes);
    bytes[0] = static_cast<std::uint8_t>(bytes.size());
    return bytes;
}

TEST(QueueCodec, KnowsTheDirectionByTheConntrackInfo) {
    QueuedPacket packet;
    const auto direction_of = [&](const char* info) {
        const auto bytes =
            packet_with(std::string("0b00 0100 00000009 0800 04 00 0800 0c00") + info);
        EXPECT_TRUE(decode(bytes, packet));
        return packet.direction;
    };
    EXPECT_EQ(direction_of("00000000"), FlowDirection::original);  // established
    EXPECT_EQ(direction_of("00000001"), FlowDirection::original);  // related
    EXPECT_EQ(direction_of("00000002"), FlowDirection::original);  // new
    EXPECT_EQ(direction_of("00000003"), FlowDirection::reply);     // established, reply
    EXPECT_EQ(direction_of("00000004"), FlowDirection::reply);     // related, reply
    EXPECT_EQ(direction_of("00000007"), FlowDirection::original);  // untracked
    EXPECT_EQ(packet.id, (PacketId{static_cast<QueueNumber>(5061), 9}));
}

TEST(QueueCodec, APacketWithoutEntryForgetsTheOneBefore) {
    QueuedPacket packet;
    ASSERT_TRUE(decode(from_hex(kFirstPacket), packet));
    const auto bytes = packet_with("0b00 0100 00000009 0800 00 00 0800 0d00 00012345");
    ASSERT_TRUE(decode(bytes, packet));
    EXPECT_FALSE(packet.flow);
    EXPECT_FALSE(packet.first);
    EXPECT_TRUE(packet.truncated);
    EXPECT_EQ(packet.hook, Hook::prerouting);
    EXPECT_TRUE(packet.from_gateway) << "it has no input device";
    EXPECT_TRUE(packet.packet.empty());
}

TEST(QueueCodec, RefusesAPacketWithoutId) {
    QueuedPacket packet;
    EXPECT_FALSE(decode(packet_with("0800 0c00 00000000"), packet));
    EXPECT_FALSE(decode(packet_with("0a00 0100 00000001 0800 0000"), packet));
}

TEST(QueueCodec, SurvivesDamage) {
    with_damaged(from_hex(kFirstPacket), [](Bytes bytes) {
        QueuedPacket packet;
        while (const nlmsghdr* message = next_message(bytes)) {
            (void)decode_packet(*message, packet);
        }
    });
}

TEST(QueueCodec, BindsAndConfiguresInOneMessage) {
    QueueSettings settings;
    settings.max_length = 4096;
    Buffer out;
    encode_bind_queue(out, 5, kQueue, settings);
    EXPECT_EQ(out, from_hex(R"(
        40000000 0203 0500 05000000 00000000  # 64 bytes, NFQNL_MSG_CONFIG, REQUEST|ACK
        00 00 13c4                            # queue 5060
        0800 0100 01 00 0000                  # CMD bind
        0900 0200 0000ffff 02 000000          # PARAMS: copy 65535 bytes of packets
        0800 0300 00001000                    # QUEUE_MAXLEN 4096
        0800 0500 00000003                    # FLAGS conntrack, fail open
        0800 0400 00000003                    # MASK
    )"));
    settings.when_full = WhenFull::drop;
    out.clear();
    encode_bind_queue(out, 5, kQueue, settings);
    EXPECT_EQ(out.at(out.size() - 9), 2);
    settings.flows = FlowInformation::absent;
    out.clear();
    encode_bind_queue(out, 5, kQueue, settings);
    EXPECT_EQ(out.at(out.size() - 9), 0);
}

TEST(QueueCodec, VerdictsFollowOneAnother) {
    Buffer out;
    encode_accept(out, {kQueue, 1}, {}, {});
    encode_accept(out, {kQueue, 0x01020304}, std::array<std::uint8_t, 5>{1, 2, 3, 4, 5},
                  {1800s, std::nullopt, false});
    encode_drop(out, {static_cast<QueueNumber>(5061), 3});
    EXPECT_EQ(out, from_hex(R"(
        20000000 0103 0100 00000000 00000000  # NFQNL_MSG_VERDICT, REQUEST
        00 00 13c4                            # queue 5060
        0c00 0200 00000001 00000001           # VERDICT_HDR: accept packet 1

        38000000 0103 0100 00000000 00000000 00 00 13c4
        0c00 0200 00000001 01020304           # accept packet 0x01020304
        0c00 0b80 0800 0700 00000708          # CT { TIMEOUT 1800 }
        0900 0a00 0102030405 000000           # PAYLOAD

        20000000 0103 0100 00000000 00000000 00 00 13c5
        0c00 0200 00000000 00000003           # drop packet 3 of queue 5061
    )"));
}

TEST(QueueCodec, CarriesTheLongestPacketThatFits) {
    Buffer out;
    const std::vector<std::uint8_t> packet(kMaxPacket, 0x55);
    encode_accept(out, {kQueue, 1}, packet, {});
    EXPECT_EQ(out.size(), 16 + 4 + 12 + 0x10000U);
}

TEST(QueueCodec, AVerdictSetsThePrivateDataOfOurHelper) {
    Buffer out;
    encode_accept(out, {kQueue, 1}, {}, {std::nullopt, StreamMemo{1, 2, 3}, false});
    EXPECT_EQ(out, from_hex(R"(
        58000000 0103 0100 00000000 00000000 00 00 13c4
        0c00 0200 00000001 00000001           # VERDICT_HDR: accept packet 1
        3800 0b80                             # CT
          3400 0580                           #   HELP
            0b00 0100 7369706e617400 00       #     NAME sipnat
            2400 0200 01020300 00000000 00000000 00000000 00000000 00000000 00000000 00000000
    )"));
}

TEST(QueueCodec, AVerdictTakesTheHelperAway) {
    Buffer out;
    encode_accept(out, {kQueue, 1}, {}, {std::nullopt, StreamMemo{1}, true});
    EXPECT_EQ(out, from_hex(R"(
        30000000 0103 0100 00000000 00000000 00 00 13c4
        0c00 0200 00000001 00000001
        1000 0b80 0c00 0580 0500 0100 00 000000   # CT { HELP { NAME "" } }
    )"));
}

TEST(QueueOwner, IsInTheKernelsTable) {
    // seq_show pads columns with blanks and shows port ids without a sign.
    const std::string_view text =
        "  100   1234     0 2 65535     0     0       17  1\n"
        " 5060 4294963200     3 2 65535     7     9     1017  1\n";
    EXPECT_EQ(queue_owner(text, kQueue), 4294963200U);
    EXPECT_FALSE(queue_owner(text, static_cast<QueueNumber>(506)));
    EXPECT_FALSE(queue_owner("", kQueue));
    EXPECT_FALSE(queue_owner("5060\n\nx", kQueue));
}

}  // namespace
}  // namespace sipnat::netfilter
