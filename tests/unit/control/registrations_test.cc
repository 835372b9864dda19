#include "sipnat/control/registrations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sipnat::control {
namespace {

std::vector<Registration> two() {
    return {{"alice@example.com", "alice@192.168.77.2:5060", "192.168.77.2:5060",
             "203.0.113.1:1024", "203.0.113.10:5060", "udp", 598},
            {"b@example.com", "b@192.168.77.3:5062", "192.168.77.3:40000", "203.0.113.1:1025",
             "203.0.113.10:5060", "udp", 7}};
}

TEST(Registrations, ComeBackAsTheyWent) {
    EXPECT_EQ(parse_registrations(to_json(two())), two());
    EXPECT_EQ(parse_registrations(to_json({})), std::vector<Registration>{});
}

TEST(Registrations, AreOneLineOfJson) {
    const auto json = to_json({two().back()});
    EXPECT_EQ(
        json,
        R"({"registrations":[{"aor":"b@example.com","contact":"b@192.168.77.3:5062",)"
        R"("inside":"192.168.77.3:40000","outside":"203.0.113.1:1025",)"
        R"("registrar":"203.0.113.10:5060","protocol":"udp","expires_in":7,"stale":false}]})");
}

TEST(Registrations, ThatCannotBeReadAreNone) {
    for (const auto* text : {"", "{", "[]", "{}", R"({"registrations":[{}]})",
                             R"({"registrations":[{"aor":1}]})", R"({"registrations":7})"}) {
        EXPECT_EQ(parse_registrations(text), std::nullopt) << text;
    }
}

TEST(Registrations, AreATableForPeople) {
    EXPECT_EQ(to_text({}), "no registrations\n");
    EXPECT_EQ(to_text(two()),
              "address of record  contact                  flow                                   "
              "registrar          over  expires in\n"
              "alice@example.com  alice@192.168.77.2:5060  192.168.77.2:5060 = 203.0.113.1:1024   "
              "203.0.113.10:5060  udp   598 s\n"
              "b@example.com      b@192.168.77.3:5062      192.168.77.3:40000 = 203.0.113.1:1025  "
              "203.0.113.10:5060  udp   7 s\n");
}

TEST(Registrations, OfHostileNamesAreStillJson) {
    auto one = two();
    one.front().aor = "a\"\xff\n@x";
    EXPECT_TRUE(parse_registrations(to_json(one)));
    EXPECT_EQ(to_json(one).find('\n'), std::string::npos);
}

}  // namespace
}  // namespace sipnat::control
