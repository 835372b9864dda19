#include "ctl/link_layer.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "exact.h"

namespace sipnat::ctl {
namespace {

std::string from_hex(std::string_view hex) {
    std::string bytes;
    for (std::size_t at = 0; at + 1 < hex.size(); at += 2)
        bytes += static_cast<char>(std::stoi(std::string(hex.substr(at, 2)), nullptr, 16));
    return bytes;
}

std::optional<std::size_t> find(LinkLayer link, std::string_view frame) {
    const ExactText exact(frame);
    const auto found = find_ip(link, exact.bytes());
    if (!found) return std::nullopt;
    return found->offset;
}

struct Case {
    LinkLayer link;
    std::string_view name;
    std::string_view header;
};
constexpr std::string_view kEthernet = "020000000001020000000002";

constexpr Case kCases[] = {
    {LinkLayer::ethernet, "plain", "0800"},
    {LinkLayer::ethernet, "IPv6", "86dd"},
    {LinkLayer::ethernet, "VLAN", "810000010800"},
    {LinkLayer::ethernet, "VLAN in a provider's VLAN",
     "88a8000181000002"
     "86dd"},
    {LinkLayer::ethernet, "the older tag", "910000010800"},
    {LinkLayer::ethernet, "PPPoE", "886411000001003e0021"},
    {LinkLayer::ethernet, "PPPoE with IPv6 in a VLAN",
     "81000007"
     "886411000001003e0057"},
    {LinkLayer::ip, "nothing", ""},
    {LinkLayer::cooked, "SLL", "00000001000602000000000100000800"},
    {LinkLayer::cooked, "SLL with a VLAN tag",
     "00000001000602000000000100008100"
     "00010800"},
    {LinkLayer::cooked2, "SLL2", "0800000000000002000100060200000000010000"},
    {LinkLayer::loopback, "little endian", "02000000"},
    {LinkLayer::loopback, "big endian, IPv6", "0000001e"},
};

std::string frame_of(const Case& one) {
    const bool ethernet = one.link == LinkLayer::ethernet;
    return from_hex(std::string(ethernet ? kEthernet : "") + std::string(one.header));
}

TEST(LinkLayer, IpStandsBehindIt) {
    for (const auto& one : kCases) {
        const auto header = frame_of(one);
        EXPECT_EQ(find(one.link, header + "\x45"), header.size()) << one.name;
        EXPECT_EQ(find(one.link, header + "\x60 and more"), header.size()) << one.name;
        EXPECT_EQ(find(one.link, header + "\x12"), std::nullopt) << one.name;
    }
}

TEST(LinkLayer, OnlyPppoeHasALength) {
    for (const auto& one : kCases) {
        const auto frame = frame_of(one) + "\x45";
        const ExactText exact(frame);
        const auto found = find_ip(one.link, exact.bytes());
        ASSERT_TRUE(found) << one.name;
        const bool is_pppoe = std::string_view(one.name).starts_with("PPPoE");
        ASSERT_EQ(found->pppoe_length.has_value(), is_pppoe) << one.name;
        if (!is_pppoe) continue;
        EXPECT_EQ(frame.substr(*found->pppoe_length, 2), from_hex("003e")) << one.name;
    }
}

TEST(LinkLayer, FrameThatEndsBefore) {
    for (const auto& one : kCases) {
        const auto header = frame_of(one);
        for (std::size_t length = 0; length <= header.size(); ++length)
            EXPECT_EQ(find(one.link, header.substr(0, length)), std::nullopt) << one.name;
    }
}

TEST(LinkLayer, OtherProtocols) {
    for (const auto* type : {"0806", "8863",
                             "81000001"
                             "0806",
                             "8864110000010004c021", "0040"})
        EXPECT_EQ(find(LinkLayer::ethernet, from_hex(std::string(kEthernet) + type) + "E and more"),
                  std::nullopt)
            << type;
}

}  // namespace
}  // namespace sipnat::ctl
