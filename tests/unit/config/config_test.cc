// Every fault with its text and line; defaults; the shipped file; the environment.
#include "sipnat/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "temp_dir.h"

namespace sipnat::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

std::vector<std::string> messages(const std::vector<Fault>& faults) {
    std::vector<std::string> texts;
    for (const auto& fault : faults)
        texts.push_back(fault.message());
    return texts;
}

std::vector<std::string> faults_of(const std::string& text) {
    const auto parsed = parse(text, "f");
    return parsed ? std::vector<std::string>{} : messages(parsed.error());
}

// --- faults -------------------------------------------------------------------------------------

struct FaultCase {
    const char* text;
    const char* fault;
};

constexpr const char* kBadRange = " is not \"LOW-HIGH\" with ports from 1024 to 65535";
constexpr const char* kBadLimits = " is not \"EACH-HOST/ALL\" with numbers from 1 to 1000000";

TEST(ConfigFaults, EachHasItsTextAndLine) {
    const std::vector<FaultCase> cases = {
        // names
        {"\nsip = 1\n", "f:2: sip has to be a section: [sip]"},
        {"[[queue]]\n", "f:1: queue has to be a section: [queue]"},
        {"[spi]\n", "f:1: spi: no such section"},
        {"media_ports = \"10000-20000\"", "f:1: media_ports: no such section"},
        {"[sip]\nudp_port = [5060]\n", "f:2: sip.udp_port: no such setting"},
        {"[nat]\n\nmedia = 1\n", "f:3: nat.media: no such setting"},
        {"[queue]\nlast = 1\n", "f:2: queue.last: no such setting"},
        {"[limits]\ncalls = 1\n", "f:2: limits.calls: no such setting"},
        {"[paths]\nlog = \"/x\"\n", "f:2: paths.log: no such setting"},
        {"[nat]\nmedia_timeout = 300\n", "f:2: nat.media_timeout: has to be a string"},
        {"[nat]\nmedia_timeout = \"29s\"\n",
         "f:2: nat.media_timeout: \"29s\" is not a time from \"30s\" to \"24h\""},
        {"[nat]\nhold_timeout = \"25h\"\n",
         "f:2: nat.hold_timeout: \"25h\" is not a time from \"30s\" to \"24h\""},
        {"[nat]\nhold_timeout = \"5 m\"\n",
         "f:2: nat.hold_timeout: \"5 m\" is not a time from \"30s\" to \"24h\""},
        {"[nat]\nhold_timeout = \"m\"\n",
         "f:2: nat.hold_timeout: \"m\" is not a time from \"30s\" to \"24h\""},
        {"[nat]\nhold_timeout = \"9999999s\"\n",
         "f:2: nat.hold_timeout: \"9999999s\" is not a time from \"30s\" to \"24h\""},
        {"[nat]\nmedia_source = \"all\"\n",
         "f:2: nat.media_source: \"all\" is not \"strict\" or \"latch\" or \"any\""},
        {"[nat]\nlocal_media = \"inside\"\n",
         "f:2: nat.local_media: \"inside\" is not \"direct\" or \"hairpin\""},
        {"[nat]\nlocal_networks = \"10.0.0.0/8\"\n",
         "f:2: nat.local_networks: has to be a list of groups like [[\"192.168.1.0/24\", "
         "\"192.168.2.0/24\"]]"},
        {"[nat]\nlocal_networks = [\"10.0.0.0/8\"]\n",
         "f:2: nat.local_networks: has to be a list of 1 to 64 networks"},
        {"[nat]\nlocal_networks = [[\"10.0.0.0/8\"],\n[]]\n",
         "f:3: nat.local_networks: has to be a list of 1 to 64 networks"},
        {"[nat]\nlocal_networks = [[\"fd00::/8\"], [7]]\n",
         "f:2: nat.local_networks: an element is not a network as \"192.168.77.0/24\""},
        // mode and mark
        {"[nat]\nmode = \"map\"\n",
         "f:2: nat.mode: \"map\" is not \"auto\" or \"expectations\" or \"maps\""},
        {"[nat]\nmode = 1\n", "f:2: nat.mode: has to be a string"},
        {"\n[nat]\nmode = \"maps\"\n", "f:3: nat.mode: \"maps\" needs an [[outside]]"},
        {"[nat]\nmark = \"1\"\n", "f:2: nat.mark: has to be a whole number"},
        {"[nat]\nmask = -1\n", "f:2: nat.mask: -1 is not from 0 to 4294967295"},
        {"[nat]\nmask = 4294967296\n", "f:2: nat.mask: 4294967296 is not from 0 to 4294967295"},
        {"[nat]\nmark = 1\n", "f:2: nat.mark: has bits that nat.mask has not"},
        {"[nat]\nmark = 0x300\nmask = 0x100\n", "f:2: nat.mark: has bits that nat.mask has not"},
        // sip
        {"[sip]\nudp_ports = 5060\n", "f:2: sip.udp_ports: has to be a list of 1 to 16 ports"},
        {"[sip]\nudp_ports = []\n", "f:2: sip.udp_ports: has to be a list of 1 to 16 ports"},
        {"[sip]\nudp_ports = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]\n",
         "f:2: sip.udp_ports: has to be a list of 1 to 16 ports"},
        {"[sip]\nudp_ports = [\n5060,\n0]\n",
         "f:4: sip.udp_ports: has to hold ports from 1 to 65535"},
        {"[sip]\ntcp_ports = 5060\n", "f:2: sip.tcp_ports: has to be a list of 0 to 16 ports"},
        {"[sip]\nudp_ports = [65536]\n", "f:2: sip.udp_ports: has to hold ports from 1 to 65535"},
        {"[sip]\nudp_ports = [\"5060\"]\n",
         "f:2: sip.udp_ports: has to hold ports from 1 to 65535"},
        {"[sip]\non_malformed = true\n", "f:2: sip.on_malformed: has to be a string"},
        {"[sip]\non_malformed = \"Drop\"\n",
         "f:2: sip.on_malformed: \"Drop\" is not \"accept\" or \"drop\""},
        // nat
        {"[nat]\nmedia_hosts = \"192.168.1.5\"\n",
         "f:2: nat.media_hosts: has to be a list of up to 64 addresses"},
        {"[nat]\nmedia_hosts = [\"192.168.1.5\",\n\"pbx\"]\n",
         "f:3: nat.media_hosts: has to hold addresses like \"192.168.1.5\""},
        {"[nat]\nmedia_hosts = [\"127.0.0.1\"]\n",
         "f:2: nat.media_hosts: has to hold addresses like \"192.168.1.5\""},
        {"[nat]\nmedia_hosts = [\"224.0.0.1\"]\n",
         "f:2: nat.media_hosts: has to hold addresses like \"192.168.1.5\""},
        {"[nat]\nmedia_hosts = [7]\n",
         "f:2: nat.media_hosts: has to hold addresses like \"192.168.1.5\""},
        {"[nat]\nsignalling_source = \"anybody\"\n",
         "f:2: nat.signalling_source: \"anybody\" is not \"registrar\" or \"listed\" or \"any\""},
        {"[nat]\nsignalling_source = \"listed\"\n",
         "f:2: nat.signalling_source: \"listed\" needs nat.signalling_peers"},
        {"[nat]\nsignalling_peers = [\"198.51.100.0/24\"]\n",
         "f:2: nat.signalling_peers: has to hold addresses like \"192.168.1.5\""},
        {"[nat]\nsignalling_peers = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]\n",
         "f:2: nat.signalling_peers: has to be a list of up to 16 addresses"},
        {"[nat]\nmedia_ports = 10000\n", "f:2: nat.media_ports: has to be a string"},
        {"[nat]\nkeep_ports = 1\n", "f:2: nat.keep_ports: has to be true or false"},
        {"[nat]\ngateway_pbx = \"asterisk\"\n", "f:2: nat.gateway_pbx: has to be true or false"},
        {"[nat]\non_no_media = \"body\"\n",
         "f:2: nat.on_no_media: \"body\" is not \"headers\" or \"unchanged\" or \"drop\""},
        {"[nat]\nrewrite_request_uri = false\n",
         "f:2: nat.rewrite_request_uri: has to be a string"},
        {"[nat]\nrewrite_request_uri = \"never\"\n",
         "f:2: nat.rewrite_request_uri: \"never\" is not \"always\" or \"unless_digest\""},
        // queue
        {"[queue]\nfirst = -1\n", "f:2: queue.first: -1 is not from 0 to 65535"},
        {"[queue]\nfirst = 65536\n", "f:2: queue.first: 65536 is not from 0 to 65535"},
        {"[queue]\nfirst = 5060.0\n", "f:2: queue.first: has to be a whole number"},
        {"[queue]\ncount = 0\n", "f:2: queue.count: 0 is not from 1 to 16"},
        {"[queue]\ncount = 17\n", "f:2: queue.count: 17 is not from 1 to 16"},
        {"[queue]\nfail_open = \"true\"\n", "f:2: queue.fail_open: has to be true or false"},
        {"[queue]\nreceive_buffer = 65535\n",
         "f:2: queue.receive_buffer: 65535 is not from 65536 to 268435456"},
        {"[queue]\nreceive_buffer = 268435457\n",
         "f:2: queue.receive_buffer: 268435457 is not from 65536 to 268435456"},
        {"[queue]\nreceive_buffer = \"8M\"\n",
         "f:2: queue.receive_buffer: has to be a whole number"},
        {"[queue]\ncount = 2\nfirst = 65535\n", "f:3: queue.first: the last queue is over 65535"},
        // limits
        {"[limits]\ndialogs = 500\n", "f:2: limits.dialogs: has to be a string"},
        // paths
        {"[paths]\nstate = 1\n", "f:2: paths.state: has to be a string"},
        {"[paths]\nstate = \"state\"\n", "f:2: paths.state: \"state\" is not an absolute path"},
        {"[paths]\nsocket = \"\"\n", "f:2: paths.socket: \"\" is not an absolute path"},
        {"[paths]\nruleset = \"./x\"\n", "f:2: paths.ruleset: \"./x\" is not an absolute path"},
        // together
        {"[sip]\nudp_ports = [5060, 10000]\n",
         "f:2: sip.udp_ports: 10000 lies in nat.media_ports: media could take it"},
        {"[sip]\ntcp_ports = [5060, 10001]\n",
         "f:2: sip.tcp_ports: 10001 lies in nat.media_ports: media could take it"},
        {"[sip]\ntcp_ports = []\n[nat]\nmedia_ports = \"5000-6000\"\n",
         "f:4: sip.udp_ports: 5060 lies in nat.media_ports: media could take it"},
    };
    for (const auto& one : cases) {
        EXPECT_THAT(faults_of(one.text), ElementsAre(one.fault)) << one.text;
    }
}

constexpr const char* kGoodOutside =
    "[[outside]]\ninterface = \"wan0\"\naddress = \"203.0.113.1\"\ninside = [\"10.0.0.0/8\"]\n";

TEST(ConfigFaults, OfOutsideTables) {
    const std::string good = kGoodOutside;
    const auto with = [&](const std::string& old, const std::string& fresh) {
        auto text = good;
        return text.replace(text.find(old), old.size(), fresh);
    };
    const std::vector<std::pair<std::string, const char*>> cases = {
        {"outside = 1\n", "f:1: outside has to be 1 to 16 tables: [[outside]]"},
        {"[outside]\ninterface = \"wan0\"\n", "f:1: outside has to be 1 to 16 tables: [[outside]]"},
        {"outside = []\n", "f:1: outside has to be 1 to 16 tables: [[outside]]"},
        {"outside = [1]\n", "f:1: outside has to be 1 to 16 tables: [[outside]]"},
        {good + "port = 1\n", "f:5: outside.port: no such setting"},
        {with("interface = \"wan0\"", ""), "f:1: outside.interface is missing"},
        {with("address = \"203.0.113.1\"", ""), "f:1: outside.address is missing"},
        {with("inside = [\"10.0.0.0/8\"]", ""), "f:1: outside.inside is missing"},
        {with("\"wan0\"", "0"), "f:2: outside.interface: has to be a string"},
        {with("wan0", ""), "f:2: outside.interface: \"\" is not an interface's name"},
        {with("wan0", "wan 0"), "f:2: outside.interface: \"wan 0\" is not an interface's name"},
        {with("wan0", "w/0"), "f:2: outside.interface: \"w/0\" is not an interface's name"},
        {with("wan0", "wan*"), "f:2: outside.interface: \"wan*\" is not an interface's name"},
        {with("wan0", "sixteen-letters0"),
         "f:2: outside.interface: \"sixteen-letters0\" is not an interface's name"},
        {with("\"203.0.113.1\"", "1"), "f:3: outside.address: has to be a string"},
        {with("203.0.113.1", "203.0.113"),
         "f:3: outside.address: \"203.0.113\" is not an IPv4 address of the gateway's"},
        {with("203.0.113.1", "2001:db8::1"),
         "f:3: outside.address: \"2001:db8::1\" is not an IPv4 address of the gateway's"},
        {with("203.0.113.1", "0.0.0.0"),
         "f:3: outside.address: \"0.0.0.0\" is not an IPv4 address of the gateway's"},
        {with("203.0.113.1", "127.0.0.1"),
         "f:3: outside.address: \"127.0.0.1\" is not an IPv4 address of the gateway's"},
        {with("203.0.113.1", "224.0.0.1"),
         "f:3: outside.address: \"224.0.0.1\" is not an IPv4 address of the gateway's"},
        {with("203.0.113.1", "10.0.0.1"), "f:4: outside.inside: holds outside.address itself"},
        {with("[\"10.0.0.0/8\"]", "\"10.0.0.0/8\""),
         "f:4: outside.inside: has to be a list of 1 to 64 networks"},
        {with("[\"10.0.0.0/8\"]", "[]"),
         "f:4: outside.inside: has to be a list of 1 to 64 networks"},
        {with("\"10.0.0.0/8\"", "8"),
         "f:4: outside.inside: an element is not an IPv4 network as \"192.168.77.0/24\""},
        {with("10.0.0.0/8", "10.0.0.1/8"),
         "f:4: outside.inside: \"10.0.0.1/8\" is not an IPv4 network as \"192.168.77.0/24\""},
        {with("10.0.0.0/8", "2001:db8::/32"),
         "f:4: outside.inside: \"2001:db8::/32\" is not an IPv4 network as \"192.168.77.0/24\""},
        {good + "except = [\"lan\"]\n",
         "f:5: outside.except: \"lan\" is not an IPv4 network as \"192.168.77.0/24\""},
        {good + "except = []\n", "f:5: outside.except: has to be a list of 1 to 64 networks"},
        {good + good, "f:7: outside.address: 203.0.113.1 is there twice"},
    };
    for (const auto& [text, fault] : cases) {
        EXPECT_THAT(faults_of(text), ElementsAre(fault)) << text;
    }
}

TEST(ConfigFaults, OutsideTablesAndNetworksAreLimited) {
    std::string tables;
    for (int i = 1; i <= 17; ++i) {
        tables += "[[outside]]\ninterface = \"wan0\"\naddress = \"203.0.113." + std::to_string(i) +
                  "\"\ninside = [\"10.0.0.0/8\"]\n";
        if (i == 16) {
            EXPECT_THAT(faults_of(tables), testing::IsEmpty());
        }
    }
    EXPECT_THAT(faults_of(tables),
                ElementsAre("f:1: outside has to be 1 to 16 tables: [[outside]]"));
    std::string networks;
    for (int i = 0; i < 64; ++i)
        networks += "\"10.0." + std::to_string(i) + ".0/24\",";
    const std::string head =
        "[[outside]]\ninterface = \"w\"\naddress = \"203.0.113.1\"\ninside = [";
    EXPECT_THAT(faults_of(head + networks + "]\n"), testing::IsEmpty());
    EXPECT_THAT(faults_of(head + networks + "\"10.1.0.0/16\"]\n"), SizeIs(1));
}

TEST(ConfigFaults, MediaPortsAreARangeAbove1023) {
    for (const std::string range :
         {"", "10000", "10000-", "-20000", "20000-10000", "10000-10000", "1023-2000", "10000-65536",
          "10000 - 20000", "10000-20000-3", "0x2710-0x4e20", "10000-20000 "}) {
        EXPECT_THAT(faults_of("[nat]\nmedia_ports = \"" + range + "\"\n"),
                    ElementsAre("f:2: nat.media_ports: \"" + range + "\"" + kBadRange));
    }
}

TEST(ConfigFaults, LimitsAreTwoCounts) {
    for (const std::string limits :
         {"", "500", "500/", "/20000", "0/20000", "500/0", "500/499", "-1/5", "1/1000001", "a/b",
          "500/20000/3", "99999999999999999999/99999999999999999999"}) {
        for (const std::string name : {"dialogs", "media"}) {
            EXPECT_THAT(faults_of("[limits]\n" + name + " = \"" + limits + "\"\n"),
                        ElementsAre("f:2: limits." + name + ": \"" + limits + "\"" + kBadLimits));
        }
    }
}

TEST(ConfigFaults, AllOfAFileComeInItsOrder) {
    const std::string text =
        "[paths]\n"
        "socket = \"relative\"\n"
        "[queue]\n"
        "count = 99\n"
        "colour = \"red\"\n"
        "[surprise]\n"
        "[sip]\n"
        "on_malformed = \"explode\"\n"
        "udp_ports = []\n";
    EXPECT_THAT(faults_of(text),
                ElementsAre("f:2: paths.socket: \"relative\" is not an absolute path",
                            "f:4: queue.count: 99 is not from 1 to 16",
                            "f:5: queue.colour: no such setting", "f:6: surprise: no such section",
                            "f:8: sip.on_malformed: \"explode\" is not \"accept\" or \"drop\"",
                            "f:9: sip.udp_ports: has to be a list of 1 to 16 ports"));
}

TEST(ConfigFaults, ASyntaxErrorIsTheOnlyOne) {
    for (const std::string bad :
         {"first = \n", "first 5060\n", "first = 5060 5061\n", "[queue\n", "first = 1\nfirst = 2\n",
          "state = \"no end\n", "x = \"\xff\"\n"}) {
        const auto faults = faults_of("[queue]\ncount = 99\n" + bad);
        ASSERT_THAT(faults, SizeIs(1)) << bad;
        const bool second = bad.find("first = 2") != std::string::npos;
        EXPECT_THAT(faults.front(), StartsWith(second ? "f:4: " : "f:3: ")) << bad;
    }
}

// --- good ones ----------------------------------------------------------------------------------

TEST(Config, AnEmptyFileIsTheDefaults) {
    const auto parsed = parse("", "f");
    ASSERT_TRUE(parsed);
    EXPECT_EQ(*parsed, Configuration{});
    EXPECT_THAT(parsed->udp_ports, ElementsAre(Port{5060}));
    EXPECT_FALSE(parsed->gateway_pbx);
    EXPECT_EQ(parsed->settings.media_ports, (PortRange{Port{10000}, Port{32767}}));
    EXPECT_TRUE(parsed->settings.keep_ports);
    EXPECT_EQ(parsed->settings.media_timeout, std::chrono::minutes(5));
    EXPECT_EQ(parsed->settings.hold_timeout, std::chrono::hours(1));
    EXPECT_EQ(parsed->settings.media_source, MediaSource::latch);
    EXPECT_EQ(parsed->settings.local_media, LocalMedia::direct);
    EXPECT_THAT(parsed->settings.local_networks, testing::IsEmpty());
    EXPECT_EQ(parsed->settings.on_malformed, OnMalformed::accept);
    EXPECT_EQ(parsed->settings.on_no_media, OnNoMedia::headers);
    EXPECT_EQ(parsed->settings.rewrite_request_uri, RewriteRequestUri::always);
    EXPECT_EQ(parsed->settings.calls_per_host, 500U);
    EXPECT_EQ(parsed->settings.calls, 20000U);
    EXPECT_EQ(parsed->settings.media_per_host, 4000U);
    EXPECT_EQ(parsed->settings.media, 100000U);
    EXPECT_EQ(parsed->queue, (QueueConfiguration{5060, 1, true, 8 << 20}));
    EXPECT_EQ(parsed->mode, ModeSetting::automatic);
    EXPECT_EQ(parsed->mark, (MarkConfiguration{0, 0}));
    EXPECT_THAT(parsed->outside, testing::IsEmpty());
    EXPECT_EQ(parsed->paths,
              (Paths{"/var/lib/sipnat/state", "/run/sipnat/control.sock",
                     "/usr/share/sipnat/sipnat.nft", "/usr/share/sipnat/sipnat-maps.nft"}));
}

TEST(Config, EverySettingArrives) {
    const auto parsed = parse(
        "[sip]\nudp_ports = [5070, 5060, 5070]\non_malformed = \"drop\"\n"
        "[nat]\nmedia_ports = \"1024-5000\"\nkeep_ports = false\non_no_media = \"unchanged\"\n"
        "gateway_pbx = true\nmedia_hosts = [\"192.168.77.9\", \"fd00::9\"]\n"
        "rewrite_request_uri = \"unless_digest\"\n"
        "mode = \"maps\"\nmark = 0xc0000000\nmask = 0xf0000000\n"
        "media_timeout = \"90s\"\nhold_timeout = \"24h\"\n"
        "media_source = \"strict\"\nlocal_media = \"hairpin\"\nlocal_networks = [[\"10.0.0.0/8\", "
        "\"fd00::/8\"], "
        "[\"1.2.3.4\"]]\n"
        "[queue]\nfirst = 65520\ncount = 16\nfail_open = false\n"
        "receive_buffer = 65536\n"
        "[limits]\ndialogs = \"7/7\"\nmedia = \"8/9\"\n"
        "[paths]\nstate = \"/a\"\nsocket = \"/b\"\nruleset = \"/c\"\n"
        "maps_ruleset = \"/d\"\n"
        "[[outside]]\ninterface = \"wan0\"\naddress = \"203.0.113.1\"\n"
        "inside = [\"10.0.0.0/8\", \"192.168.77.7\"]\nexcept = [\"10.9.0.0/16\"]\n"
        "[[outside]]\ninterface = \"wan1\"\naddress = \"198.51.100.1\"\n"
        "inside = [\"10.0.0.0/8\"]\n",
        "f");
    ASSERT_TRUE(parsed) << parsed.error().front().message();
    EXPECT_THAT(parsed->udp_ports, ElementsAre(Port{5060}, Port{5070})) << "sorted, each once";
    EXPECT_EQ(parsed->settings.on_malformed, OnMalformed::drop);
    EXPECT_EQ(parsed->settings.media_ports, (PortRange{Port{1024}, Port{5000}}));
    EXPECT_FALSE(parsed->settings.keep_ports);
    EXPECT_EQ(parsed->settings.media_timeout, std::chrono::seconds(90));
    EXPECT_EQ(parsed->settings.hold_timeout, std::chrono::hours(24));
    EXPECT_THAT(parsed->settings.media_hosts,
                ElementsAre(*IpAddress::parse("192.168.77.9"), *IpAddress::parse("fd00::9")));
    EXPECT_TRUE(parsed->gateway_pbx);
    EXPECT_EQ(parsed->settings.media_source, MediaSource::strict);
    EXPECT_EQ(parsed->settings.local_media, LocalMedia::hairpin);
    EXPECT_EQ(parsed->settings.local_networks,
              (std::vector<std::vector<Network>>{
                  {*Network::parse("10.0.0.0/8"), *Network::parse("fd00::/8")},
                  {*Network::parse("1.2.3.4")}}));
    EXPECT_EQ(parsed->settings.on_no_media, OnNoMedia::unchanged);
    EXPECT_EQ(parsed->settings.rewrite_request_uri, RewriteRequestUri::unless_digest);
    EXPECT_EQ(parsed->queue, (QueueConfiguration{65520, 16, false, 65536}))
        << "the last one is 65535";
    EXPECT_EQ(parsed->settings.calls_per_host, 7U);
    EXPECT_EQ(parsed->settings.calls, 7U);
    EXPECT_EQ(parsed->settings.media_per_host, 8U);
    EXPECT_EQ(parsed->settings.media, 9U);
    EXPECT_EQ(parsed->paths, (Paths{"/a", "/b", "/c", "/d"}));
    EXPECT_EQ(parsed->mode, ModeSetting::maps);
    EXPECT_EQ(parsed->mark, (MarkConfiguration{0xc0000000, 0xf0000000}));
    const auto network = [](const char* text) { return Network::parse(text).value(); };
    const auto address = [](const char* text) { return IpAddress::parse(text).value(); };
    EXPECT_THAT(parsed->outside,
                ElementsAre(Outside{"wan0",
                                    address("203.0.113.1"),
                                    {network("10.0.0.0/8"), network("192.168.77.7/32")},
                                    {network("10.9.0.0/16")}},
                            Outside{"wan1", address("198.51.100.1"), {network("10.0.0.0/8")}, {}}));
}

TEST(Config, OnNoMediaCanDrop) {
    const auto parsed = parse("[nat]\non_no_media = \"drop\"\n", "f");
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->settings.on_no_media, OnNoMedia::drop);
}

// --- files --------------------------------------------------------------------------------------

std::string contents(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
}

const std::string kShipped = SIPNAT_SOURCE_DIR "/systemd/sipnat.toml";

/// The text with the '#' of "#name = value" lines taken off.
std::string with_settings_enabled(const std::string& text, int& enabled) {
    std::istringstream lines(text);
    std::string result;
    for (std::string line; std::getline(lines, line);) {
        const bool setting = line.starts_with('#') && !line.starts_with("# ") &&
                             line.find(" = ") != std::string::npos;
        enabled += setting ? 1 : 0;
        result += (setting ? line.substr(1) : line) + "\n";
    }
    return result;
}

TEST(ShippedFile, IsGoodAndTheDefaults) {
    const auto loaded = load(kShipped);
    ASSERT_TRUE(loaded) << loaded.error().front().message();
    EXPECT_EQ(*loaded, Configuration{});
}

TEST(ShippedFile, ShowsEverySettingWithItsDefault) {
    int enabled = 0;
    const auto text = with_settings_enabled(contents(kShipped), enabled);
    const auto parsed = parse(text, kShipped);
    ASSERT_TRUE(parsed) << parsed.error().front().message();
    EXPECT_EQ(*parsed, Configuration{});
    for (const char* name : {"udp_ports",
                             "on_malformed",
                             "tcp_ports",
                             "media_ports",
                             "keep_ports",
                             "media_timeout",
                             "hold_timeout",
                             "media_hosts",
                             "on_no_media",
                             "gateway_pbx",
                             "rewrite_request_uri",
                             "first",
                             "count",
                             "fail_open",
                             "receive_buffer",
                             "dialogs",
                             "media",
                             "state",
                             "socket",
                             "ruleset",
                             "maps_ruleset",
                             "mode",
                             "mark",
                             "mask",
                             "signalling_source",
                             "signalling_peers",
                             "bindings",
                             "local_media",
                             "local_networks",
                             "media_source"}) {
        EXPECT_THAT(text, HasSubstr("\n" + std::string(name) + " = "));
        --enabled;
    }
    EXPECT_EQ(enabled, 0) << "it shows a setting that this test does not know";
}

TEST(LoadingAFile, ThatIsMissingOrADirectoryIsAFault) {
    const TempDir folder;
    for (const auto& file : {folder.file("none.toml"), folder.path()}) {
        const auto loaded = load(file);
        ASSERT_FALSE(loaded) << file;
        EXPECT_THAT(messages(loaded.error()), ElementsAre(file + ": can't be read"));
    }
}

TEST(LoadingAFile, ThatIsEmptyIsGood) {
    const TempDir folder;
    std::ofstream(folder.file("empty.toml")).close();
    const auto loaded = load(folder.file("empty.toml"));
    ASSERT_TRUE(loaded);
    EXPECT_EQ(*loaded, Configuration{});
}

TEST(LoadingAFile, NamesItInItsFaults) {
    const TempDir folder;
    const auto file = folder.file("bad.toml");
    std::ofstream(file) << "[queue]\ncount = 0\n";
    const auto loaded = load(file);
    ASSERT_FALSE(loaded);
    EXPECT_THAT(messages(loaded.error()),
                ElementsAre(file + ":2: queue.count: 0 is not from 1 to 16"));
}

// --- environment --------------------------------------------------------------------------------

using Variables = std::map<std::string, std::string>;

Checked<Configuration> with_variables(const Variables& variables, Configuration base = {}) {
    return with_environment(std::move(base), [&](const char* name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    });
}

TEST(ConfigEnvironment, NothingSetChangesNothing) {
    Configuration base;
    base.queue = {7, 2, false, 1 << 20};
    base.paths.state = "/other";
    const auto same = with_variables({}, base);
    ASSERT_TRUE(same);
    EXPECT_EQ(*same, base);
}

TEST(ConfigEnvironment, GoesOverPathsAndQueueOnly) {
    const auto changed = with_variables({{"SIPNAT_STATE", "/s"},
                                         {"SIPNAT_SOCKET", "/k"},
                                         {"SIPNAT_RULESET", "/r"},
                                         {"SIPNAT_MAPS_RULESET", "/m"},
                                         {"SIPNAT_QUEUE_FIRST", "0"},
                                         {"SIPNAT_QUEUE_COUNT", "16"},
                                         {"SIPNAT_QUEUE_FAIL_OPEN", "false"},
                                         {"SIPNAT_MEDIA_PORTS", "1024-2000"}});
    ASSERT_TRUE(changed);
    Configuration expected;
    expected.paths = {"/s", "/k", "/r", "/m"};
    expected.queue = {0, 16, false, 8 << 20};
    EXPECT_EQ(*changed, expected);
}

TEST(ConfigEnvironment, CanTurnFailOpenOn) {
    Configuration base;
    base.queue.fail_open = false;
    const auto changed = with_variables({{"SIPNAT_QUEUE_FAIL_OPEN", "true"}}, base);
    ASSERT_TRUE(changed);
    EXPECT_TRUE(changed->queue.fail_open);
}

TEST(ConfigEnvironment, FaultsNameTheirVariable) {
    const auto changed = with_variables({{"SIPNAT_STATE", "s"},
                                         {"SIPNAT_SOCKET", ""},
                                         {"SIPNAT_RULESET", "r"},
                                         {"SIPNAT_QUEUE_FIRST", "65536"},
                                         {"SIPNAT_QUEUE_COUNT", "17"},
                                         {"SIPNAT_QUEUE_FAIL_OPEN", "yes"}});
    ASSERT_FALSE(changed);
    EXPECT_THAT(
        messages(changed.error()),
        ElementsAre("environment variable SIPNAT_STATE: \"s\" is not an absolute path",
                    "environment variable SIPNAT_SOCKET: \"\" is not an absolute path",
                    "environment variable SIPNAT_RULESET: \"r\" is not an absolute path",
                    "environment variable SIPNAT_QUEUE_FIRST: \"65536\" is not from 0 to 65535",
                    "environment variable SIPNAT_QUEUE_COUNT: \"17\" is not from 1 to 16",
                    "environment variable SIPNAT_QUEUE_FAIL_OPEN: \"yes\" is not true or false"));
}

TEST(ConfigEnvironment, QueueNumbersObeyTheSameLimits) {
    for (const char* count : {"0", "-1", "", "2x", "1e1"}) {
        EXPECT_FALSE(with_variables({{"SIPNAT_QUEUE_COUNT", count}})) << count;
    }
    const auto beyond =
        with_variables({{"SIPNAT_QUEUE_FIRST", "65535"}, {"SIPNAT_QUEUE_COUNT", "2"}});
    ASSERT_FALSE(beyond);
    EXPECT_THAT(messages(beyond.error()), ElementsAre("environment: the last queue is over 65535"));
    EXPECT_TRUE(with_variables({{"SIPNAT_QUEUE_FIRST", "65535"}}));
}

}  // namespace
}  // namespace sipnat::config
