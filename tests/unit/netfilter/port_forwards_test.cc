#include "sipnat/netfilter/port_forwards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sipnat::netfilter {
namespace {

using ::testing::IsEmpty;

PortRange ports(std::uint16_t low, std::uint16_t high) {
    return {Port{low}, Port{high}};
}

/// A ruleset with one rule, whose statements these are.
std::string ruleset(const std::string& statements) {
    return R"({"nftables":[{"metainfo":{"version":"1.0.6"}},{"table":{"family":"ip","name":"nat"}},)"
           R"({"rule":{"family":"ip","table":"nat","chain":"prerouting","handle":2,"expr":[)" +
           statements + "]}}]}";
}

std::string match(const std::string& payload, const std::string& right, const char* op = "==") {
    return R"({"match":{"op":")" + std::string(op) + R"(","left":{"payload":)" + payload +
           R"(},"right":)" + right + "}}";
}

constexpr const char* kUdp = R"({"protocol":"udp","field":"dport"})";
constexpr const char* kDnat = R"(,{"dnat":{"addr":"192.168.77.3"}})";

struct Case {
    const char* name;
    std::string json;
    std::vector<PortRange> found;
};

class PortForwards : public ::testing::TestWithParam<Case> {};

TEST_P(PortForwards, AreFound) {
    std::vector<PortRange> found;
    for (const auto& forward : find_port_forwards(GetParam().json)) {
        EXPECT_EQ(forward.rule, "table ip nat, chain prerouting");
        found.push_back(forward.ports);
    }
    EXPECT_EQ(found, GetParam().found);
}

INSTANTIATE_TEST_SUITE_P(
    Rules, PortForwards,
    ::testing::Values(
        Case{"port", ruleset(match(kUdp, "4000") + kDnat), {ports(4000, 4000)}},
        Case{"range",
             ruleset(match(kUdp, R"({"range":[20000,20099]})") + kDnat),
             {ports(20000, 20099)}},
        Case{"set",
             ruleset(match(kUdp, R"({"set":[4000,{"range":[5000,5001]}]})") + kDnat),
             {ports(4000, 4000), ports(5000, 5001)}},
        Case{"redirect",
             ruleset(match(kUdp, "53") + R"(,{"redirect":{"port":5353}})"),
             {ports(53, 53)}},
        Case{"any_transport",
             ruleset(match(R"({"protocol":"th","field":"dport"})", "4000") + kDnat),
             {ports(4000, 4000)}},
        Case{"interface_matched_before_it",
             ruleset(R"({"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"wan0"}},)" +
                     match(kUdp, "4000") + kDnat),
             {ports(4000, 4000)}},
        Case{"iptables",
             ruleset(match(kUdp, R"({"range":[20000,20010]})") +
                     R"(,{"counter":{"packets":0}},{"xt":{"type":"target","name":"DNAT"}})"),
             {ports(20000, 20010)}},
        Case{"iptables_redirect",
             ruleset(match(kUdp, "53") + R"(,{"xt":{"type":"target","name":"REDIRECT"}})"),
             {ports(53, 53)}},
        Case{"iptables_other_target",
             ruleset(match(kUdp, "53") + R"(,{"xt":{"type":"target","name":"TTL"}})"),
             {}},
        Case{"iptables_hides_all", ruleset(R"({"xt":null})"), {}},
        Case{"map",
             ruleset(
                 R"({"dnat":{"addr":{"map":{"key":{"payload":{"protocol":"udp","field":"dport"}},)"
                 R"("data":{"set":[[4000,"10.0.0.1"],[{"range":[5000,5001]},"10.0.0.2"]]}}}}})"),
             {ports(4000, 4000), ports(5000, 5001)}},
        Case{"map_of_tcp_ports",
             ruleset(
                 R"({"dnat":{"addr":{"map":{"key":{"payload":{"protocol":"tcp","field":"dport"}},)"
                 R"("data":{"set":[[4000,"10.0.0.1"]]}}}}})"),
             {}},
        Case{"named_map",
             ruleset(
                 R"({"dnat":{"addr":{"map":{"key":{"payload":{"protocol":"udp","field":"dport"}},)"
                 R"("data":"@forwards"}}}})"),
             {}},
        Case{"no_forward", ruleset(match(kUdp, "4000") + R"(,{"accept":null})"), {}},
        Case{"tcp", ruleset(match(R"({"protocol":"tcp","field":"dport"})", "4000") + kDnat), {}},
        Case{"source_port",
             ruleset(match(R"({"protocol":"udp","field":"sport"})", "4000") + kDnat),
             {}},
        Case{"all_but_one", ruleset(match(kUdp, "4000", "!=") + kDnat), {}},
        Case{"named_set", ruleset(match(kUdp, R"("@ports")") + kDnat), {}},
        Case{"number_out_of_range", ruleset(match(kUdp, "70000") + kDnat), {}}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(PortForwardTargets, AreThereIfTheyAreTheSameForAll) {
    const auto target = [](const std::string& dnat) {
        const auto found = find_port_forwards(ruleset(match(kUdp, "5060") + "," + dnat));
        return found.size() == 1 ? std::pair(found[0].address, found[0].port)
                                 : std::pair(IpAddress::parse("0.0.0.0"), std::optional(Port{}));
    };
    const auto host = IpAddress::parse("192.168.77.2");
    EXPECT_EQ(target(R"({"dnat":{"addr":"192.168.77.2"}})"),
              std::pair(host, std::optional<Port>()));
    EXPECT_EQ(target(R"({"dnat":{"family":"ip","addr":"192.168.77.2","port":5070}})"),
              std::pair(host, std::optional(Port{5070})));
    const std::pair<std::optional<IpAddress>, std::optional<Port>> none;
    EXPECT_EQ(target(R"({"dnat":{"addr":"192.168.77.2","port":{"range":[5060,5069]}}})"), none);
    EXPECT_EQ(target(R"({"dnat":{"addr":{"range":["192.168.77.2","192.168.77.9"]}}})"), none);
    EXPECT_EQ(target(R"({"redirect":{"port":5070}})"), none);
}

TEST(PortForwardsText, ThatIsNoRulesetHoldsNone) {
    for (const char* text : {"", "{", "[]", R"({"nftables":7})", R"({"nftables":[{"rule":{}}]})"}) {
        EXPECT_THAT(find_port_forwards(text), IsEmpty()) << text;
    }
}

}  // namespace
}  // namespace sipnat::netfilter
