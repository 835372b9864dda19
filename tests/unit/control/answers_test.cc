// What sipnatctl reads of sipnatd's answers, and how it shows them: calls, media, stats, reload.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/table.h"
#include "sipnat/control/calls.h"
#include "sipnat/control/media.h"
#include "sipnat/control/reload.h"
#include "sipnat/control/stats.h"

namespace sipnat::control {
namespace {

// --- tables -------------------------------------------------------------------------------------

TEST(Table, HasColumnsBelowEachOther) {
    EXPECT_EQ(to_table({}), "");
    EXPECT_EQ(to_table({{"a", "b", "c"}, {"long", "1"}, {"x", "longer", "y"}}),
              "a     b       c\n"
              "long  1\n"
              "x     longer  y\n");
}

TEST(Table, ObeysNoStranger) {
    EXPECT_EQ(to_table({{"a\n\x1b[2J", "\x7f\xc2\x9b"}}), "a??[2J  ???\n");
}

// --- calls --------------------------------------------------------------------------------------

CallStream rtp(std::optional<std::uint64_t> sent, std::optional<std::uint64_t> received) {
    return {
        "audio", "rtp",   "udp", "192.168.77.2:4000", "203.0.113.1:10000", {"203.0.113.10:7000"},
        sent,    received};
}

Call call(std::vector<CallStream> streams) {
    return {"1@h", "established", "inside", "192.168.77.2", "203.0.113.10", std::move(streams)};
}

TEST(Calls, ComeBackAsTheyWent) {
    auto silent = rtp(std::nullopt, std::nullopt);
    silent.remote.clear();
    silent.direct = true;
    const std::vector<Call> calls{call({rtp(7, 8), silent}), call({})};
    EXPECT_EQ(parse_calls(to_json(calls)), calls);
    EXPECT_EQ(parse_calls(to_json(std::vector<Call>{})), std::vector<Call>{});
}

TEST(Calls, AreOneLineOfJson) {
    EXPECT_EQ(to_json({call({rtp(60, 0)})}),
              R"({"calls":[{"call_id":"1@h","state":"established","begun_by":"inside",)"
              R"("inside":"192.168.77.2","remote":"203.0.113.10","streams":[{"media":"audio",)"
              R"("component":"rtp","protocol":"udp","inside":"192.168.77.2:4000",)"
              R"("outside":"203.0.113.1:10000","remote":["203.0.113.10:7000"],)"
              R"("packets_sent":60,"packets_received":0,"direct":false,"nothing_goes":"in"}]}]})");
}

TEST(Calls, ThatCannotBeReadAreNone) {
    for (const auto* text : {"", "{", "[]", "{}", R"({"calls":7})", R"({"calls":[{}]})",
                             R"({"calls":[{"call_id":1}]})"}) {
        EXPECT_EQ(parse_calls(text), std::nullopt) << text;
    }
}

TEST(Calls, GoOneWayAfterASecond) {
    EXPECT_EQ(one_way(rtp(49, 0)), OneWay::no);
    EXPECT_EQ(one_way(rtp(50, 0)), OneWay::nothing_comes_in);
    EXPECT_EQ(one_way(rtp(0, 50)), OneWay::nothing_goes_out);
    EXPECT_EQ(one_way(rtp(50, 1)), OneWay::no);
    EXPECT_EQ(one_way(rtp(50, std::nullopt)), OneWay::no) << "not counted";
    auto rtcp = rtp(50, 0);
    rtcp.component = "rtcp";
    EXPECT_EQ(one_way(rtcp), OneWay::no) << "reports may go one way";
}

TEST(Calls, AreParagraphsForPeople) {
    EXPECT_EQ(to_text(std::vector<Call>{}), "no calls\n");
    auto rtcp = rtp(std::nullopt, std::nullopt);
    rtcp.component = "rtcp";
    rtcp.remote.clear();
    auto local = rtp(std::nullopt, std::nullopt);
    local.remote = {"192.168.77.3:4000"};
    local.direct = true;
    EXPECT_EQ(
        to_text({call({rtp(60, 0), rtcp}), call({local})}),
        "1@h  established, begun inside, 192.168.77.2 with 203.0.113.10\n"
        "  audio rtp   udp  192.168.77.2:4000 = 203.0.113.1:10000  203.0.113.10:7000  "
        "60 out, 0 in  ONE-WAY: nothing comes in\n"
        "  audio rtcp  udp  192.168.77.2:4000 = 203.0.113.1:10000  -                  "
        "? out, ? in\n"
        "\n"
        "1@h  established, begun inside, 192.168.77.2 with 203.0.113.10\n"
        "  audio rtp  udp  192.168.77.2:4000 = 203.0.113.1:10000  192.168.77.3:4000  direct\n");
}

// --- media --------------------------------------------------------------------------------------

std::vector<MediaMapping> one_mapping() {
    return {{"203.0.113.1:10000",
             "192.168.77.2:4000",
             "udp",
             "audio",
             "open",
             {"any", "203.0.113.10:7000"},
             "192.168.77.2:5060 > 203.0.113.10:5060"}};
}

TEST(Media, ComesBackAsItWent) {
    EXPECT_EQ(parse_media(to_json(one_mapping())), one_mapping());
    EXPECT_EQ(to_json(one_mapping()),
              R"({"media":[{"outside":"203.0.113.1:10000","inside":"192.168.77.2:4000",)"
              R"("protocol":"udp","class":"audio","state":"open",)"
              R"("remote":["any","203.0.113.10:7000"],)"
              R"("signalling":"192.168.77.2:5060 > 203.0.113.10:5060"}]})");
}

TEST(Media, ThatCannotBeReadIsNone) {
    for (const auto* text : {"", "[]", "{}", R"({"media":7})", R"({"media":[{}]})"})
        EXPECT_EQ(parse_media(text), std::nullopt) << text;
}

TEST(Media, IsATableForPeople) {
    EXPECT_EQ(to_text(std::vector<MediaMapping>{}), "no media\n");
    EXPECT_EQ(to_text(one_mapping()),
              "outside            inside             over  class  state  remote\n"
              "203.0.113.1:10000  192.168.77.2:4000  udp   audio  open   any 203.0.113.10:7000\n");
}

// --- stats --------------------------------------------------------------------------------------

TEST(AllCounters, ComeBackInTheirOrder) {
    const Stats stats{{"b", 2}, {"a", 18'446'744'073'709'551'615U}};
    EXPECT_EQ(to_json(stats), R"({"b":2,"a":18446744073709551615})");
    EXPECT_EQ(parse_stats(to_json(stats)), stats);
    EXPECT_EQ(to_text(stats), "b  2\na  18446744073709551615\n");
}

TEST(AllCounters, ThatCannotBeReadAreNone) {
    for (const auto* text : {"", "[]", "7", R"({"a":"b"})"})
        EXPECT_EQ(parse_stats(text), std::nullopt) << text;
}

// --- reload -------------------------------------------------------------------------------------

TEST(AReload, ComesBackAsItWent) {
    const Reloaded good{{}, {"later"}};
    const Reloaded bad{{"sipnat.toml:1: no"}, {}};
    EXPECT_EQ(parse_reloaded(to_json(good)), good);
    EXPECT_EQ(parse_reloaded(to_json(bad)), bad);
    EXPECT_EQ(to_json(good), R"({"reloaded":true,"faults":[],"warnings":["later"]})");
    for (const auto* text : {"", "[]", "{}", R"({"faults":1,"warnings":[]})"})
        EXPECT_EQ(parse_reloaded(text), std::nullopt) << text;
}

TEST(AReload, SaysWhatBecameOfIt) {
    EXPECT_EQ(to_text(Reloaded{{}, {"later"}}), "later\nsettings reloaded\n");
    EXPECT_EQ(to_text(Reloaded{{"sipnat.toml:1: no"}, {}}),
              "sipnat.toml:1: no\nthe running settings stay\n");
}

}  // namespace
}  // namespace sipnat::control
