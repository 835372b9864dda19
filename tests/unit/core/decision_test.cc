#include "sipnat/core/decision.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "lab.h"

namespace sipnat {
namespace {

std::string show(const Expectation& expectation) {
    return expectation.match.text() +
           (expectation.translates ? " nat " + expectation.nat.text() : " as it is") +
           (expectation.direction == FlowDirection::original ? " original" : " reply") + " " +
           std::string(to_text(expectation.media));
}

Hole hole(std::string_view remote, FlowDirection inside_sends) {
    Hole hole;
    hole.master = {endpoint("192.168.77.2:5060"), endpoint("203.0.113.10:5060"), Transport::udp};
    hole.inside_sends = inside_sends;
    hole.inside = endpoint("192.168.77.2:4000");
    hole.outside = endpoint("203.0.113.1:10000");
    if (!remote.empty()) hole.remote = endpoint(remote);
    return hole;
}

// The kernel's nf_nat_sip_expected and ctnetlink read exactly these.
TEST(ToExpectation, OfAFlowThatThePhoneOpened) {
    EXPECT_EQ(show(to_expectation(hole("", FlowDirection::original))),
              "0.0.0.0:0 > 203.0.113.1:10000/udp nat 192.168.77.2:4000 reply audio");
    EXPECT_EQ(show(to_expectation(hole("203.0.113.20:7000", FlowDirection::original))),
              "192.168.77.2:4000 > 203.0.113.20:7000/udp nat 203.0.113.20:7000 original audio");
}

TEST(ToExpectation, OfAFlowThatCameThroughAPortForward) {
    EXPECT_EQ(show(to_expectation(hole("", FlowDirection::reply))),
              "0.0.0.0:0 > 203.0.113.1:10000/udp nat 192.168.77.2:4000 original audio");
    EXPECT_EQ(show(to_expectation(hole("203.0.113.20:7000", FlowDirection::reply))),
              "192.168.77.2:4000 > 203.0.113.20:7000/udp nat 203.0.113.20:7000 reply audio");
}

TEST(ToExpectation, WithoutNatTranslatesNothing) {
    auto plain = hole("", FlowDirection::original);
    plain.inside = plain.outside = endpoint("[2001:db8::2]:4000");
    plain.media = ExpectClass::video;
    EXPECT_EQ(show(to_expectation(plain)), "[::]:0 > [2001:db8::2]:4000/udp as it is reply video");
}

TEST(ToExpectation, KeepsItsMasterAndTransport) {
    auto tcp = hole("203.0.113.20:7000", FlowDirection::original);
    tcp.transport = Transport::tcp;
    EXPECT_EQ(to_expectation(tcp).master, tcp.master);
    EXPECT_EQ(to_expectation(tcp).match.transport, Transport::tcp);
}

TEST(ApplyEdits, PutsEachReplacementInItsPlace) {
    const auto edit = [](std::uint32_t offset, std::uint32_t length, std::string text) {
        Edit made;
        made.span = {offset, length};
        made.replacement = std::move(text);
        return made;
    };
    EXPECT_EQ(apply_edits("0123456789", {}), "0123456789");
    EXPECT_EQ(apply_edits("0123456789",
                          {edit(0, 1, "ab"), edit(1, 1, ""), edit(5, 0, "-"), edit(9, 1, "end")}),
              "ab234-5678end");
}

TEST(ApplyEdits, RefusesOverlapAndOverrun) {
    Edit first;
    first.span = {2, 3};
    Edit second;
    second.span = {4, 2};
    EXPECT_DEATH((void)apply_edits("0123456789", {first, second}), "");
    EXPECT_DEATH((void)apply_edits("0123", {first}), "");
}

TEST(Texts, EachReasonHasItsOwnWord) {
    std::set<std::string_view> words;
    for (std::size_t i = 0; i < kReasons; ++i)
        words.insert(to_text(static_cast<Reason>(i)));
    EXPECT_EQ(words.size(), kReasons);
    EXPECT_EQ(to_text(Reason::no_media_port), "no_media_port");
    EXPECT_EQ(to_text(Reason::entry_exists), "entry_exists");
    EXPECT_EQ(to_text(Place::sdp_rtcp), "SDP a=rtcp");
    EXPECT_EQ(to_text(Why::restored), "the text that the receiver wrote itself");
    EXPECT_EQ(to_text(Verdict::drop), "drop");
}

}  // namespace
}  // namespace sipnat
