// Datagrams cut into pieces by the test itself, in RFC 791's and RFC 8200's terms.
#include "sipnat/net/fragments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "exact.h"
#include "net/checksum.h"
#include "sipnat/net/packet.h"

namespace sipnat {
namespace {

using namespace std::chrono_literals;
using Outcome = Reassembly::Outcome;

constexpr Time kStart{1000s};

std::string be16(std::size_t value) {
    return {static_cast<char>(value >> 8U), static_cast<char>(value & 0xffU)};
}

/// UDP 5060 > 5060 without a checksum.
std::string udp(std::string_view payload) {
    return be16(5060) + be16(5060) + be16(8 + payload.size()) + be16(0) + std::string(payload);
}

struct Part {
    std::size_t offset;
    std::size_t length;
    bool more = true;
    int id = 7;
};

std::string ipv4(const Part& part, std::string_view data, std::string_view options = {},
                 char protocol = 17) {
    const auto length = 20 + options.size();
    return static_cast<char>(0x40 + length / 4) + std::string(1, '\0') +
           be16(length + data.size()) + be16(static_cast<std::size_t>(part.id)) +
           be16((part.more ? 0x2000U : 0U) | part.offset / 8) + '\x40' + protocol + be16(0) +
           std::string("\xc0\xa8\x4d\x02\xcb\x00\x71\x09", 8) + std::string(options) +
           std::string(data);
}

/// With a destination options header in front of the fragment header.
std::string ipv6(const Part& part, std::string_view data) {
    const std::string options("\x2c\x00\x01\x04\x00\x00\x00\x00", 8);
    const auto fragment = std::string("\x11\x00", 2) + be16(part.offset | (part.more ? 1U : 0U)) +
                          be16(0) + be16(static_cast<std::size_t>(part.id));
    const std::string addresses =
        std::string(15, '\x20') + "\x02" + std::string(15, '\x20') + "\x09";
    return std::string("\x60\x00\x00\x00", 4) + be16(16 + data.size()) + "\x3c\x40" + addresses +
           options + fragment + std::string(data);
}

using Cut = std::string (*)(const std::string& datagram, const Part& part);

std::string cut4(const std::string& datagram, const Part& part) {
    return ipv4(part, datagram.substr(part.offset, part.length));
}
std::string cut6(const std::string& datagram, const Part& part) {
    return ipv6(part, datagram.substr(part.offset, part.length));
}

struct Bench {
    Reassembly reassembly;
    Time now = kStart;

    Reassembly::Added add(const std::string& packet) {
        const ExactText exact(packet);
        return reassembly.add(exact.bytes(), now);
    }
    Outcome outcome(const std::string& packet) { return add(packet).outcome; }
};

std::string payload_of(const std::vector<std::uint8_t>& packet) {
    const ExactText exact({reinterpret_cast<const char*>(packet.data()), packet.size()});
    const auto view = PacketView::parse(exact.bytes());
    return view ? std::string(view->payload) : view.error().text();
}

const std::string kPayload = "INVITE sip:bob@203.0.113.10 SIP/2.0\r\n and so on";
const std::string kDatagram = udp(kPayload);

class Fragments : public testing::TestWithParam<Cut> {
  protected:
    std::string cut(const Part& part) { return GetParam()(kDatagram, part); }
    Bench bench;
};

TEST_P(Fragments, InAnyOrder) {
    std::vector<Part> parts{{0, 16}, {16, 8}, {24, 16}, {40, 100, false}};
    std::vector<int> order{0, 1, 2, 3};
    do {
        for (int i = 0; i < 3; ++i)
            EXPECT_EQ(bench.outcome(cut(parts[order[i]])), Outcome::held);
        const auto whole = bench.add(cut(parts[order[3]]));
        ASSERT_EQ(whole.outcome, Outcome::whole);
        EXPECT_EQ(payload_of(whole.packet), kPayload);
    } while (std::ranges::next_permutation(order).found);
    EXPECT_EQ(bench.reassembly.waiting(), 0U);
    EXPECT_EQ(bench.reassembly.given_up(), 0U);
}

TEST_P(Fragments, TwiceIsOnce) {
    EXPECT_EQ(bench.outcome(cut({0, 16})), Outcome::held);
    EXPECT_EQ(bench.outcome(cut({0, 16})), Outcome::held);
    EXPECT_EQ(payload_of(bench.add(cut({16, 100, false})).packet), kPayload);
}

TEST_P(Fragments, OverlapTakesAllOfThemAlong) {
    for (const auto& overlapping :
         {Part{8, 16}, Part{8, 8}, Part{0, 24}, Part{0, 8}, Part{8, 100, false}}) {
        bench.now += 100s;
        EXPECT_EQ(bench.outcome(cut({0, 16})), Outcome::held);
        EXPECT_EQ(bench.outcome(cut(overlapping)), Outcome::dropped) << overlapping.offset;
        EXPECT_EQ(bench.outcome(cut({16, 100, false})), Outcome::dropped);
    }
    bench.now += 100s;
    EXPECT_EQ(bench.outcome(cut({16, 16})), Outcome::held);
    EXPECT_EQ(bench.outcome(cut({8, 16})), Outcome::dropped) << "from below";
    EXPECT_EQ(bench.reassembly.waiting(), 0U);
    EXPECT_EQ(bench.reassembly.given_up(), 6U);
}

TEST_P(Fragments, ContradictoryEnds) {
    for (const auto& [first, second] : {std::pair{Part{16, 8, false}, Part{24, 8, false}},
                                        {{16, 8, false}, {24, 8, true}},
                                        {{24, 8, true}, {16, 8, false}},
                                        {{24, 8, false}, {8, 8, false}}}) {
        bench.now += 100s;
        EXPECT_EQ(bench.outcome(cut(first)), Outcome::held);
        EXPECT_EQ(bench.outcome(cut(second)), Outcome::dropped);
    }
}

TEST_P(Fragments, OfUnsoundSizeAreNone) {
    EXPECT_EQ(bench.outcome(cut({0, 15})), Outcome::dropped) << "only the last may be odd";
    EXPECT_EQ(bench.outcome(cut({16, 0})), Outcome::dropped) << "without data";
    EXPECT_EQ(bench.reassembly.waiting(), 0U);
}

TEST_P(Fragments, DatagramsAreKeptApart) {
    EXPECT_EQ(bench.outcome(cut({0, 16, true, 1})), Outcome::held);
    EXPECT_EQ(bench.outcome(cut({16, 100, false, 2})), Outcome::held);
    EXPECT_EQ(bench.reassembly.waiting(), 2U);
    EXPECT_EQ(bench.outcome(cut({16, 100, false, 1})), Outcome::whole);
    EXPECT_EQ(bench.outcome(cut({0, 16, true, 2})), Outcome::whole);
}

TEST_P(Fragments, TooLate) {
    EXPECT_EQ(bench.outcome(cut({0, 16})), Outcome::held);
    bench.now += kReassemblyTime;
    EXPECT_EQ(bench.outcome(cut({16, 100, false})), Outcome::held);
    EXPECT_EQ(bench.reassembly.given_up(), 1U);
    bench.now += kReassemblyTime - 1ms;
    EXPECT_EQ(bench.outcome(cut({0, 16})), Outcome::whole);
}

TEST_P(Fragments, OldestGoesWhenThereAreTooMany) {
    const auto most = static_cast<int>(kMostDatagrams);
    for (int id = 0; id <= most; ++id)
        EXPECT_EQ(bench.outcome(cut({0, 16, true, id})), Outcome::held);
    EXPECT_EQ(bench.reassembly.waiting(), kMostDatagrams);
    EXPECT_EQ(bench.outcome(cut({16, 100, false, 1})), Outcome::whole);
    EXPECT_EQ(bench.outcome(cut({16, 100, false, 0})), Outcome::held);
}

TEST_P(Fragments, ReadNoFurtherThanThereIs) {
    const auto fragment = cut({0, 16});
    for (std::size_t length = 0; length < fragment.size(); ++length)
        EXPECT_EQ(bench.outcome(fragment.substr(0, length)), Outcome::no_fragment);
}

INSTANTIATE_TEST_SUITE_P(Of, Fragments, testing::Values(cut4, cut6),
                         [](const auto& cut) { return cut.param == cut4 ? "ipv4" : "ipv6"; });

TEST(Ipv4Fragments, KeepTheFirstOnesOptionsAndLoseTheLinksPadding) {
    Bench bench;
    const std::string options("\x07\x04\x04\x00", 4);
    EXPECT_EQ(bench.outcome(ipv4({16, 0, false}, kDatagram.substr(16)) + std::string(6, '\0')),
              Outcome::held);
    const auto whole = bench.add(ipv4({0, 0}, kDatagram.substr(0, 16), options)).packet;
    ASSERT_EQ(whole.size(), 24 + kDatagram.size());
    EXPECT_EQ(payload_of(whole), kPayload);
    EXPECT_EQ(whole[6] & 0x3f, 0) << "no fragment any more";
    EXPECT_EQ(Checksum{}.add(std::span(whole).first(24)).value(), 0);
}

TEST(Ipv4Fragments, AreOfOneProtocol) {
    Bench bench;
    EXPECT_EQ(bench.outcome(ipv4({0, 0}, kDatagram.substr(0, 16), {}, 17)), Outcome::held);
    EXPECT_EQ(bench.outcome(ipv4({16, 0, false}, "x", {}, 6)), Outcome::held);
    EXPECT_EQ(bench.reassembly.waiting(), 2U);
}

TEST(Ipv4Fragments, BeyondTheLongestPacket) {
    Bench bench;
    EXPECT_EQ(bench.outcome(ipv4({65528, 0, false}, "12345678")), Outcome::dropped);
    // The last one fits, but not behind the first one's options.
    const std::string options(40, '\x01');
    EXPECT_EQ(bench.outcome(ipv4({8, 0}, std::string(32760, 'x'))), Outcome::held);
    EXPECT_EQ(bench.outcome(ipv4({32768, 0, false}, std::string(32740, 'x'))), Outcome::held);
    EXPECT_EQ(bench.outcome(ipv4({0, 0}, "12345678", options)), Outcome::dropped);
    EXPECT_EQ(bench.reassembly.given_up(), 1U);
}

TEST(Ipv6Fragments, OneAloneIsWhole) {
    Bench bench;
    const auto whole = bench.add(ipv6({0, 0, false}, kDatagram));  // RFC 6946
    ASSERT_EQ(whole.outcome, Outcome::whole);
    EXPECT_EQ(payload_of(whole.packet), kPayload);
}

TEST(NoFragments, WholePacketsAreNone) {
    Bench bench;
    EXPECT_EQ(bench.outcome(ipv4({0, 0, false}, kDatagram)), Outcome::no_fragment);
    EXPECT_EQ(bench.outcome("not IP"), Outcome::no_fragment);
    EXPECT_EQ(bench.outcome(""), Outcome::no_fragment);
}

}  // namespace
}  // namespace sipnat
