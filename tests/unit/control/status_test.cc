// What `status` carries and prints.
#include "sipnat/control/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace sipnat::control {
namespace {

using testing::HasSubstr;
using testing::Not;

Status busy() {
    Status status;
    status.version = "1.2.3";
    status.mode = "expectations";
    status.mode_why = "a \"quoted\" reason";
    status.notes = {"no this", "no that"};
    status.outside = {"wan0 203.0.113.1: inside 10.0.0.0/8"};
    status.table = "inet sipnat";
    status.warnings = {"first", "second"};
    status.udp_ports = {5060, 5070};
    status.gateway_pbx = true;
    status.queues = "5060-5063";
    status.media_ports = "10000-32767";
    status.table_loaded = true;
    status.expect_max = 4096;
    status.uptime = 18446744073709551615ULL;
    status.calls = 3;
    status.signalling_mappings = 9;
    status.media_mappings = 6;
    status.holes_opened = 24;
    status.holes_closed = 12;
    status.queue_overruns = 1;
    status.refused_verdicts = 2;
    status.stricter_message = 4;
    status.stricter_sdp = 5;
    status.registrations_over_limits = 8;
    status.tcp_ports = {5060, 5080};
    status.tcp_streams = 3;
    status.tcp_events = {{"late", 2}, {"not_sip", 0}};
    status.packets = {{"rewritten", 100}, {"malformed", 7}, {"keepalive", 0}};
    return status;
}

TEST(StatusJson, ComesBackAsItWent) {
    for (const auto& status : {busy(), Status{}}) {
        const auto back = parse_status(to_json(status));
        ASSERT_TRUE(back);
        EXPECT_EQ(*back, status);
    }
}

TEST(StatusJson, IsOneLineWithReasonsInOrder) {
    const auto json = to_json(busy());
    EXPECT_THAT(json, Not(HasSubstr("\n")));
    EXPECT_THAT(json, HasSubstr(R"("expect_max":4096,)"));
    EXPECT_THAT(json, HasSubstr(R"("packets":{"rewritten":100,"malformed":7,"keepalive":0})"));
    EXPECT_THAT(to_json({}), HasSubstr(R"("expect_max":null)"));
}

TEST(StatusJson, BytesThatAreNoUtf8AreReplaced) {
    auto status = busy();
    status.warnings = {"\xff\xfe"};
    const auto back = parse_status(to_json(status));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->warnings.front(), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(StatusJson, GarbageIsNothing) {
    for (const char* garbage : {"", "{", "null", "[]", "7", "{}", R"({"error":"no such request"})",
                                "\xff", R"({"version":1})"}) {
        EXPECT_FALSE(parse_status(garbage)) << garbage;
    }
}

TEST(StatusJson, EveryFieldIsNeededInItsType) {
    const auto good = nlohmann::ordered_json::parse(to_json(busy()));
    for (const auto& [name, value] : good.items()) {
        auto without = good;
        without.erase(name);
        EXPECT_FALSE(parse_status(without.dump())) << "without " << name;
        auto wrong = good;
        wrong[name] =
            name == "expect_max" ? nlohmann::ordered_json("4096") : nlohmann::ordered_json(nullptr);
        if (name == "packets" || name == "tcp_events") wrong[name] = {{"rewritten", "many"}};
        EXPECT_FALSE(parse_status(wrong.dump())) << "wrong " << name;
    }
}

TEST(StatusText, ShowsWhatThereIs) {
    EXPECT_EQ(to_text(busy()),
              "sipnatd       1.2.3, up 18446744073709551615 s\n"
              "mode          expectations (a \"quoted\" reason)\n"
              "              no this\n"
              "              no that\n"
              "outside       wan0 203.0.113.1: inside 10.0.0.0/8\n"
              "signalling    udp 5060, 5070, tcp 5060, 5080 (with a PBX on the gateway), queue "
              "5060-5063, "
              "table inet sipnat loaded\n"
              "media         ports 10000-32767, 6 mapped, 24 expectations made, 12 removed\n"
              "calls         3\n"
              "messages      100 rewritten\n"
              "messages      7 malformed\n"
              "messages      0 keepalive\n"
              "tcp           3 connections, 2 late\n"
              "queue         1 overruns, 2 refused verdicts\n"
              "libosip2      refused 4 messages and 5 SDP bodies that opened media\n"
              "bindings      8 over limits.bindings: calls do not reach them after a reboot\n"
              "warning       first\n"
              "warning       second\n");
}

TEST(StatusText, MapsModeHasMappingsAndNoExpectations) {
    auto status = busy();
    status.mode = "maps";
    status.table = "inet sipnat_maps";
    const auto text = to_text(status);
    EXPECT_THAT(text, HasSubstr("queue 5060-5063, table inet sipnat_maps loaded, 9 mapped\n"));
    EXPECT_THAT(text, HasSubstr("6 mapped, 24 holes made, 12 removed\n"));
}

TEST(StatusText, LeavesTroublesOutThatThereAreNot) {
    auto status = busy();
    status.table_loaded = false;
    status.gateway_pbx = false;
    status.queue_overruns = status.refused_verdicts = 0;
    status.stricter_message = status.stricter_sdp = 0;
    status.warnings.clear();
    const auto text = to_text(status);
    EXPECT_THAT(text, HasSubstr("table inet sipnat MISSING"));
    for (const char* line : {"PBX", "overruns", "libosip2", "warning"}) {
        EXPECT_THAT(text, Not(HasSubstr(line)));
    }
}

}  // namespace
}  // namespace sipnat::control
