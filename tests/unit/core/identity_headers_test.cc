// Headers that name somebody: only the host, and towards the inside only its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "header_lab.h"

namespace sipnat {
namespace {

constexpr std::array<const char*, 5> kHeaders{"P-Asserted-Identity", "P-Preferred-Identity",
                                              "Remote-Party-ID", "Referred-By", "Diversion"};

TEST(IdentityHeaders, NameTheSendersHostAsTheOtherSideSeesIt) {
    for (const std::string name : kHeaders) {
        SCOPED_TRACE(name);
        struct Case {
            const char* what;
            std::string_view before;
            std::string_view after;
        };
        for (const auto& [what, before, after] : {
                 Case{"no port", "<sip:a@192.168.77.2>;x=1", "<sip:a@203.0.113.1>;x=1"},
                 {"its port stays", "<sip:a@192.168.77.2:5060>", "<sip:a@203.0.113.1:5060>"},
                 {"whatever it is", "<sip:a@192.168.77.2:5999>", "<sip:a@203.0.113.1:5999>"},
                 {"without brackets", "sip:a@192.168.77.2;privacy=off",
                  "sip:a@203.0.113.1;privacy=off"},
                 {"sips", "\"A <sip:a@192.168.77.2>\" <sips:a@192.168.77.2>",
                  "\"A <sip:a@192.168.77.2>\" <sips:a@203.0.113.1>"},
                 {"any transport", "<sip:a@192.168.77.2;transport=tcp>",
                  "<sip:a@203.0.113.1;transport=tcp>"},
                 {"several values",
                  "\"A\" <sip:a@192.168.77.2>, <tel:+15551234> ,\n <sip:b@192.168.77.2>",
                  "\"A\" <sip:a@203.0.113.1>, <tel:+15551234> ,\n <sip:b@203.0.113.1>"},
                 {"a name", "<sip:a@example.com>", "<sip:a@example.com>"},
                 {"another host", "<sip:a@192.168.77.3>", "<sip:a@192.168.77.3>"},
                 {"the server's", "<sip:a@203.0.113.10>", "<sip:a@203.0.113.10>"},
                 {"tel", "<tel:192.168.77.2>", "<tel:192.168.77.2>"},
             }) {
            Gateway gateway;
            const auto line = name + ": " + std::string(before);
            const auto changed = name + ": " + std::string(after);
            expect_outwards(gateway.line(), {what, line, changed});
        }
    }
}

TEST(IdentityHeaders, OverSeveralLinesEachCounts) {
    Gateway gateway;
    expect_outwards(gateway.line(), {"lines",
                                     "Diversion: <sip:a@192.168.77.2>;reason=unknown\n"
                                     "DIVERSION:<sip:b@192.168.77.2>\nb:\t<sip:c@192.168.77.2>",
                                     "Diversion: <sip:a@203.0.113.1>;reason=unknown\n"
                                     "DIVERSION:<sip:b@203.0.113.1>\nb:\t<sip:c@203.0.113.1>"});
}

// Another phone behind the same address may be meant.
TEST(IdentityHeaders, TowardsTheInsideTheSharedHostStays) {
    for (const std::string name : kHeaders) {
        Gateway gateway;
        const auto line = name + ": <sip:carol@203.0.113.1>";
        expect_inwards(gateway.line(), {name.c_str(), line, line});
    }
}

TEST(IdentityHeaders, WhatTheReceiverWroteItselfComesBackInAnyCall) {
    for (const std::string written : {"<sip:alice@192.168.77.2>", "<sip:alice@203.0.113.1>"}) {
        for (const std::string by : kHeaders) {
            Gateway gateway;
            const auto line = gateway.line();
            (void)line.out(request("INVITE", by + ": " + written + "\nCall-ID: first\n"));
            // What the phone prefers the server asserts.
            const auto later =
                line.in(request("INVITE",
                                "P-Asserted-Identity: \"Alice\" <sip:alice@203.0.113.1>, "
                                "<sip:carol@203.0.113.1>\n"
                                "Diversion: <sip:alice@203.0.113.1:5060>\nCall-ID: second\n"));
            const auto host = written.substr(11, written.size() - 12);
            EXPECT_EQ(
                header_line(later.text, "P-Asserted-Identity"),
                "P-Asserted-Identity: \"Alice\" <sip:alice@" + host + ">, <sip:carol@203.0.113.1>");
            EXPECT_EQ(header_line(later.text, "Diversion"),
                      "Diversion: <sip:alice@" + host + ":5060>");
        }
    }
}

TEST(IdentityHeaders, ComeBackToTheirWriterOnly) {
    Gateway gateway;
    const auto alice = gateway.line();
    const auto carol = gateway.line("192.168.77.3:5060", "203.0.113.1:1025");
    (void)alice.out(request("REFER", "Referred-By: <sip:alice@192.168.77.2>\n"));
    const auto to_carol =
        carol.in(request("INVITE", "Referred-By: <sip:alice@203.0.113.1>\nCall-ID: 2\n"));
    EXPECT_EQ(header_line(to_carol.text, "Referred-By"), "Referred-By: <sip:alice@203.0.113.1>");
    const auto to_alice =
        alice.in(request("INVITE", "Referred-By: <sip:alice@203.0.113.1>\nCall-ID: 3\n"));
    EXPECT_EQ(header_line(to_alice.text, "Referred-By"), "Referred-By: <sip:alice@192.168.77.2>");
}

// The other headers name who sent them or a third party; this one says whom it names.
TEST(RemotePartyId, IsTranslatedForTheReceiverWhenItNamesTheReceiver) {
    struct Case {
        const char* what;
        bool is_request;
        const char* params;
        bool names_receiver;
    };
    for (const auto& [what, is_request, params, names_receiver] : {
             Case{"the caller's", true, ";party=calling;screen=yes", false},
             Case{"the callee's", true, ";screen=yes; Party = CALLED", true},
             Case{"the sender's by default", true, ";screen=yes", false},
             Case{"of something else", true, ";party=x", false},
             Case{"answered: the caller's", false, ";party=calling", true},
             Case{"answered: the callee's", false, ";party=called", false},
             Case{"answered: the sender's by default", false, "", false},
         }) {
        Gateway gateway;
        const auto header = std::string("Remote-Party-ID: <sip:a@203.0.113.1:1024>") + params;
        const auto text = request("INVITE", header + "\n");
        const auto sent = gateway.line().in(is_request ? text : echo(text));
        EXPECT_EQ(header_line(sent.text, "Remote-Party-ID"),
                  std::string("Remote-Party-ID: <sip:a@") +
                      (names_receiver ? "192.168.77.2" : "203.0.113.1") + ":1024>" + params)
            << what;
    }
}

// --- signed headers -----------------------------------------------------------------------------

TEST(SignedMessages, KeepFromAndTo) {
    for (const std::string identity : {"Identity: \"abc\";info=<https://x>;alg=ES256", "y:abc"}) {
        Gateway gateway;
        const auto line = gateway.line();
        const auto text =
            request("INVITE",
                    "From: <sip:alice@192.168.77.2>;tag=a\nTo: <sip:bob@192.168.77.2>\nDate: Thu, "
                    "21 Feb 2002 13:02:03 GMT\nContact: <sip:alice@192.168.77.2>\n"
                    "P-Preferred-Identity: <sip:alice@192.168.77.2>\n" +
                        identity + "\n");
        const auto sent = line.out(text);
        EXPECT_THAT(show_edits(text, sent),
                    testing::ElementsAre("Contact: 192.168.77.2 -> 203.0.113.1:1024",
                                         "P-Preferred-Identity: 192.168.77.2 -> 203.0.113.1"));
        // The answer has no signature, and the fields as they came.
        auto ok = echo(sent.text);
        ok.erase(ok.find(identity), identity.size() + 2);
        auto expected = echo(text);
        expected.erase(expected.find(identity), identity.size() + 2);
        EXPECT_EQ(line.in(ok).text, expected);
    }
}

TEST(SignedMessages, TowardsTheInsideToo) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto text = request("INVITE", "To: <sip:alice@203.0.113.1>\nIdentity: abc\n",
                              "sip:alice@203.0.113.1:1024");
    const auto sent = line.in(text);
    EXPECT_THAT(show_edits(text, sent),
                testing::ElementsAre("Request-URI: 203.0.113.1:1024 -> 192.168.77.2:5060"));
    // The dialog's URI is what was signed, for both of them, from then on.
    const auto ok = line.out(answer(sent.text, 200, "a"));
    EXPECT_EQ(header_line(ok.text, "To"), "To: <sip:alice@203.0.113.1>;tag=a");
    const auto bye = line.in(request("BYE", "To: <sip:alice@203.0.113.1>;tag=a\n"));
    EXPECT_EQ(header_line(bye.text, "To"), "To: <sip:alice@203.0.113.1>;tag=a");
}

// A STUN phone's signed From names the outside host: it gets it back.
TEST(SignedMessages, AStunPhoneReadsItsOwnTextAgain) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto text = request("INVITE", "From: <sip:alice@203.0.113.1>;tag=a\nIdentity: abc\n");
    EXPECT_EQ(line.out(text).text, text);
    const auto ok = answer(text, 200, "b");
    EXPECT_EQ(line.in(ok).text, ok);
}

}  // namespace
}  // namespace sipnat
