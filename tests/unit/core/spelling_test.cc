// What is remembered of an inside party's own texts, and what is forgotten.
#include "core/spelling.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "lab.h"

namespace sipnat {
namespace {

using namespace std::chrono_literals;
using sip::HeaderKind;

constexpr Time kStart{1h};

const Party kPhone{endpoint("192.168.77.2:5060"), endpoint("203.0.113.1:1024"), true};
const Party kOtherPhone{endpoint("192.168.77.3:5060"), endpoint("203.0.113.1:1025"), true};
const Party kServer{endpoint("203.0.113.10:5060"), endpoint("203.0.113.10:5060"), false};
const Party kOtherServer{endpoint("203.0.113.20:5060"), endpoint("203.0.113.20:5060"), false};

UriName in_header(HeaderKind header, std::string_view text) {
    return {UriName::Scope::party, header, text};
}
UriName contact(std::string_view text) {
    return in_header(HeaderKind::contact, text);
}
UriName route(std::string_view text) {
    return in_header(HeaderKind::route, text);
}

TEST(Spellings, AreOfOnePartyTowardsOneRemoteAddress) {
    Spellings spellings;
    spellings.note_uri(kPhone, kServer, contact("a"), {"192.168.77.2", ""});
    spellings.note_user(kPhone, kServer, "a", "192.168.77.2");
    EXPECT_NE(spellings.uri(kPhone, kServer, contact("a")), std::nullopt);
    EXPECT_NE(spellings.host_of_user(kPhone, kServer, "a"), std::nullopt);
    EXPECT_EQ(spellings.uri(kPhone, kServer, in_header(HeaderKind::refer_to, "a")), std::nullopt);
    EXPECT_EQ(spellings.uri(kPhone, kServer, contact("b")), std::nullopt);
    EXPECT_EQ(spellings.identity(kPhone, kServer, "a"), std::nullopt);
    for (const auto& [inside, remote] :
         {std::pair{kOtherPhone, kServer}, std::pair{kPhone, kOtherServer}}) {
        EXPECT_EQ(spellings.uri(inside, remote, contact("a")), std::nullopt);
        EXPECT_EQ(spellings.host_of_user(inside, remote, "a"), std::nullopt);
    }
}

TEST(Spellings, AUriIsOfOneScope) {
    using Scope = UriName::Scope;
    Spellings spellings;
    for (const auto scope : {Scope::call, Scope::binding, Scope::party}) {
        const std::string text = "h:" + std::to_string(static_cast<int>(scope));
        spellings.note_uri(kPhone, kServer, {scope, HeaderKind::contact, "a"}, {text, ""});
    }
    for (const auto scope : {Scope::call, Scope::binding, Scope::party}) {
        const auto uri = spellings.uri(kPhone, kServer, {scope, HeaderKind::contact, "a"});
        ASSERT_NE(uri, std::nullopt);
        EXPECT_EQ(uri->host_port, "h:" + std::to_string(static_cast<int>(scope)));
    }
}

TEST(Spellings, OfOtherMessagesPushNoBindingOut) {
    using Scope = UriName::Scope;
    Spellings spellings;
    spellings.note_uri(kPhone, kServer, {Scope::binding, HeaderKind::contact, "a"}, {"h", ""});
    for (int i = 0; i < 16384; ++i) {
        const auto name = std::to_string(i);
        for (const auto scope : {Scope::call, Scope::party})
            spellings.note_uri(kPhone, kServer, {scope, HeaderKind::contact, name}, {"h", ""});
    }
    EXPECT_NE(spellings.uri(kPhone, kServer, {Scope::binding, HeaderKind::contact, "a"}),
              std::nullopt);
}

TEST(Spellings, TheLastOneHolds) {
    Spellings spellings;
    spellings.note_uri(kPhone, kServer, route(";lr"), {"192.168.77.2", ""});
    spellings.note_uri(kPhone, kServer, route(";lr"), {"192.168.77.2:5060", ""});
    EXPECT_EQ(spellings.uri(kPhone, kServer, route(";lr"))->host_port, "192.168.77.2:5060");
}

TEST(Spellings, WhatIsTooLongIsNotKept) {
    const std::string name(256, 'n');
    const std::string text(300, 't');
    Spellings spellings;
    spellings.note_request(kPhone, kServer, name, {text, true, "", ""}, kStart);
    spellings.note_uri(kPhone, kServer, contact(name), {text, ""});
    spellings.note_identity(kPhone, kServer, name, "h");
    spellings.note_user(kPhone, kServer, name, "h");
    EXPECT_NE(spellings.request(kPhone, kServer, name, kStart), std::nullopt);
    EXPECT_NE(spellings.uri(kPhone, kServer, contact(name)), std::nullopt);
    EXPECT_NE(spellings.identity(kPhone, kServer, name), std::nullopt);
    EXPECT_NE(spellings.host_of_user(kPhone, kServer, name), std::nullopt);

    const auto longer = name + "n";
    spellings.note_request(kPhone, kServer, longer, {"h", true, "", ""}, kStart);
    spellings.note_request(kPhone, kServer, "b", {text + "t", true, "", ""}, kStart);
    spellings.note_uri(kPhone, kServer, contact(longer), {"h", ""});
    spellings.note_uri(kPhone, kServer, contact("b"), {text + "t", ""});
    spellings.note_identity(kPhone, kServer, longer, "h");
    spellings.note_user(kPhone, kServer, longer, "h");
    for (const auto& other : {longer, std::string("b")}) {
        EXPECT_EQ(spellings.request(kPhone, kServer, other, kStart), std::nullopt);
        EXPECT_EQ(spellings.uri(kPhone, kServer, contact(other)), std::nullopt);
        EXPECT_EQ(spellings.identity(kPhone, kServer, other), std::nullopt);
        EXPECT_EQ(spellings.host_of_user(kPhone, kServer, other), std::nullopt);
    }
}

TEST(Spellings, ATransactionIsKeptForFourMinutesAfterItsLastMessage) {
    Spellings spellings;
    spellings.note_request(kPhone, kServer, "rings", {"h", true, "", ""}, kStart);
    spellings.note_request(kPhone, kServer, "silent", {"h", true, "", ""}, kStart);
    (void)spellings.request(kPhone, kServer, "rings", kStart + 3min);
    for (const auto* name : {"b", "c", "d"})
        spellings.note_request(kPhone, kServer, name, {"h", true, "", ""}, kStart + 4min + 1s);
    EXPECT_EQ(spellings.request(kPhone, kServer, "silent", kStart + 5min), std::nullopt);
    EXPECT_NE(spellings.request(kPhone, kServer, "rings", kStart + 5min), std::nullopt);
}

TEST(Spellings, TheOldestAreForgotten) {
    Spellings spellings;
    spellings.note_request(kPhone, kServer, "first", {"h", true, "", ""}, kStart);
    spellings.note_uri(kPhone, kServer, contact("first"), {"h", ""});
    spellings.note_identity(kPhone, kServer, "first", "h");
    spellings.note_user(kPhone, kServer, "first", "h");
    for (int i = 0; i < 16384; ++i) {
        const auto name = std::to_string(i);
        spellings.note_request(kPhone, kServer, name, {"h", true, "", ""}, kStart);
        spellings.note_uri(kPhone, kServer, route(name), {"h", ""});
        spellings.note_identity(kPhone, kServer, name, "h");
        spellings.note_user(kPhone, kServer, name, "h");
    }
    EXPECT_EQ(spellings.request(kPhone, kServer, "first", kStart), std::nullopt);
    EXPECT_EQ(spellings.uri(kPhone, kServer, contact("first")), std::nullopt);
    EXPECT_EQ(spellings.identity(kPhone, kServer, "first"), std::nullopt);
    EXPECT_EQ(spellings.host_of_user(kPhone, kServer, "first"), std::nullopt);
    EXPECT_NE(spellings.host_of_user(kPhone, kServer, "0"), std::nullopt);
}

}  // namespace
}  // namespace sipnat
