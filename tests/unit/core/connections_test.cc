// SIP over TCP: a phone connects from a port of the moment and names the one that it listens on.
//
//     phone 192.168.77.2:40000 ── 203.0.113.1:1024 ── server 203.0.113.10:5060    its connection
//     it listens on 192.168.77.2:5060 ── 203.0.113.1:10000                        the server's
//
// RFC 3261 18.1.1, 18.2.2, 19.1; RFC 3263 4.1; RFC 5626; RFC 5923.
#include "lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr auto kListening = "signalling 192.168.77.2:5060=203.0.113.1:10000 203.0.113.10:any";
constexpr auto kOut = "signalling 192.168.77.2:5060=203.0.113.1:10000 203.0.113.10:5060";

struct Written {
    std::string contact = "<sip:alice@192.168.77.2:5060;transport=tcp>";
    std::string via = "192.168.77.2:5060;branch=z9hG4bK1;alias";
    std::string more = {};
    std::string body = {};
    int cseq = 1;
    std::string call_id = "call-1";
    std::string transport = "TCP";
};

std::string request(std::string_view method, const Written& written) {
    const auto cseq = std::to_string(written.cseq);
    return sip_text(std::string(method) + " sip:bob@203.0.113.10 SIP/2.0\nVia: SIP/2.0/" +
                        written.transport + " " + written.via +
                        "\nMax-Forwards: 70\nFrom: <sip:alice@example.com>;tag=a\nTo: "
                        "<sip:alice@example.com>\nCall-ID: " +
                        written.call_id + "\nCSeq: " + cseq + " " + std::string(method) +
                        "\nContact: " + written.contact + "\n" + written.more,
                    written.body);
}

std::string registering(const Written& written = {}) {
    return request("REGISTER", written);
}

/// The registrar's 200, with the Contacts that it has.
std::string registered(const std::string& request, std::string_view contacts) {
    auto text = answer(request, 200, "r");
    const auto at = text.find("Contact: ");
    const auto end = text.find("\r\n", at);
    return text.replace(at, end + 2 - at, crlf(std::string(contacts) + "\n"));
}

/// The request's own Contact, granted.
std::string registered(const Outcome& sent, std::string_view expires = ";expires=600") {
    return registered(sent.text, header_line(sent.text, "Contact") + std::string(expires));
}

class Connections : public testing::Test {
  protected:
    /// Another connection of the phone's.
    Line reconnected(int port = 40001, int outside = 1025) {
        return gateway
            .line("192.168.77.2:" + std::to_string(port), "203.0.113.1:" + std::to_string(outside))
            .over_tcp();
    }

    Gateway gateway;
    Line phone = gateway.line("192.168.77.2:40000").over_tcp();
    Line phone_udp = gateway.line("192.168.77.2:5060", "203.0.113.1:1030");
    /// What the server opens to where the phone listens.
    Line called = gateway.forwarded("192.168.77.2:5060", "203.0.113.1:10000", "203.0.113.10:33000")
                      .over_tcp();
    Line called_udp = gateway.forwarded("192.168.77.2:5060", "203.0.113.1:10000");
};

// --- the Contact ----------------------------------------------------------------------------------

TEST_F(Connections, TheListeningPortIsMappedForTheRegistrar) {
    const auto sent = phone.out(registering());
    EXPECT_EQ(sent.decision.reason, Reason::rewritten);
    EXPECT_EQ(header_line(sent.text, "Contact"),
              "Contact: <sip:alice@203.0.113.1:10000;transport=tcp>");
    EXPECT_THAT(sent.opened, ElementsAre(kListening));
    ASSERT_EQ(sent.decision.open.size(), 1U);
    const auto& hole = sent.decision.open.front();
    EXPECT_EQ(hole.transport, Transport::tcp);
    EXPECT_TRUE(is_signalling(hole));
    EXPECT_EQ(hole.from, address("203.0.113.10"));
    EXPECT_EQ(hole.master, phone.flow.original);
    const auto expectation = to_expectation(hole);
    EXPECT_EQ(expectation.match.destination, endpoint("203.0.113.1:10000"));
    EXPECT_EQ(expectation.match.transport, Transport::tcp);
    EXPECT_EQ(expectation.nat, endpoint("192.168.77.2:5060"));
    EXPECT_EQ(expectation.direction, FlowDirection::reply);
}

struct Named {
    const char* contact;
    const char* outside;  ///< empty: it stays
    std::vector<std::string> opened;
};

TEST_F(Connections, TheUriSaysWhichEndpointIsMeant) {
    for (const auto& [contact, outside, opened] : {
             Named{"<sip:alice@192.168.77.2:5060;transport=tcp>",
                   "<sip:alice@203.0.113.1:10000;transport=tcp>",
                   {kListening}},
             Named{"<sip:alice@192.168.77.2;transport=TCP;ob>",
                   "<sip:alice@203.0.113.1:10000;transport=TCP;ob>",
                   {kListening}},
             // RFC 3263 4.1: a numeric host without a transport is asked over UDP.
             Named{"<sip:alice@192.168.77.2:5060>",
                   "<sip:alice@203.0.113.1:10000>",
                   {kListening, kOut}},
             Named{"<sip:alice@192.168.77.2:5060;transport=udp>",
                   "<sip:alice@203.0.113.1:10000;transport=udp>",
                   {kListening, kOut}},
             // The connection itself (RFC 5626), with or without a word of its transport.
             Named{"<sip:alice@192.168.77.2:40000;transport=tcp;ob>;reg-id=1",
                   "<sip:alice@203.0.113.1:1024;transport=tcp;ob>;reg-id=1",
                   {}},
             Named{"<sip:alice@192.168.77.2:40000>", "<sip:alice@203.0.113.1:1024>", {}},
             Named{"<sip:alice@203.0.113.1:1024;transport=tcp>", "", {}},
             // Another listens there.
             Named{"<sip:alice@192.168.77.2:40000;transport=udp>",
                   "<sip:alice@203.0.113.1:10000;transport=udp>",
                   {"signalling 192.168.77.2:40000=203.0.113.1:10000 203.0.113.10:any",
                    "signalling 192.168.77.2:40000=203.0.113.1:10000 203.0.113.10:5060"}},
             // What cannot be read when it comes.
             Named{"<sip:alice@192.168.77.2:5061;transport=tls>", "", {}},
             Named{"<sip:alice@192.168.77.2:40000;transport=tls>", "", {}},
             Named{"<sips:alice@192.168.77.2:5061>", "", {}},
             Named{"<sips:alice@192.168.77.2:5061;transport=tcp>", "", {}},
             Named{"<sip:alice@192.168.77.2:80;transport=tcp>", "", {}},
             Named{"<sip:alice@192.168.77.3:5060;transport=tcp>", "", {}},
         }) {
        Gateway fresh;
        const auto line = fresh.line("192.168.77.2:40000").over_tcp();
        const auto sent = line.out(registering({.contact = contact}));
        const std::string expected = *outside == '\0' ? contact : outside;
        EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: " + expected);
        EXPECT_THAT(sent.opened, testing::UnorderedElementsAreArray(opened)) << contact;
        // And back, on the phone's own connection.
        const auto got = line.in(registered(sent));
        EXPECT_EQ(header_line(got.text, "Contact"),
                  "Contact: " + std::string(contact) + ";expires=600");
    }
}

TEST_F(Connections, TcpAndUdpOnOnePortAreTwo) {
    const auto sent = phone.out(
        registering({.contact = "<sip:a@192.168.77.2:5060;transport=udp>, <sip:a@192.168.77.2:5060;"
                                "transport=tcp>"}));
    EXPECT_EQ(sent.opened.size(), 3U);
    EXPECT_EQ(gateway.engine.media().mappings().size(), 2U);
    for (const auto transport : {Transport::udp, Transport::tcp}) {
        EXPECT_TRUE(gateway.engine.media().find(
            {address("203.0.113.1"), transport, endpoint("192.168.77.2:5060")}));
    }
}

TEST_F(Connections, ItLastsAsLongAsItsBinding) {
    const auto sent = phone.out(registering());
    EXPECT_THAT(gateway.wait(20s).close, IsEmpty());
    (void)phone.in(registered(sent));
    EXPECT_THAT(gateway.wait(631s).close, IsEmpty());
    EXPECT_THAT(show(gateway.wait(2s).close), ElementsAre(kListening));
}

TEST_F(Connections, ItLastsAsLongAsItsDialog) {
    const auto invite = phone.out(request("INVITE", {.body = audio("192.168.77.2", 4000)}));
    EXPECT_THAT(invite.opened, testing::Contains(kListening));
    (void)phone.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    gateway.counted = 50;
    EXPECT_THAT(gateway.wait(5h).close, IsEmpty());
    auto bob = kBob;
    bob.transport = "TCP";
    bob.target = "sip:alice@203.0.113.1:10000;transport=tcp";
    const auto bye = called.in(bob.request("BYE", 1));
    EXPECT_THAT(bye.text, HasSubstr("BYE sip:alice@192.168.77.2:5060;transport=tcp SIP/2.0"));
    EXPECT_THAT(called.out(answer(bye.text, 200)).closed, testing::Contains(kListening));
}

TEST_F(Connections, ALateRequestForAUdpContactIsReadOnTheConnectionToo) {
    const auto sent = phone.out(registering({.contact = "<sip:alice@192.168.77.2>"}));
    EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: <sip:alice@203.0.113.1:10000>");
    auto bob = kBob;
    bob.target = "sip:alice@203.0.113.1:10000";
    bob.peer_tag.clear();
    for (const auto& line : {phone, called_udp}) {
        bob.call_id += "x";
        const auto invite = line.in(bob.request("INVITE", 1, audio("203.0.113.10", 7000)));
        EXPECT_THAT(invite.text, HasSubstr("INVITE sip:alice@192.168.77.2 SIP/2.0"));
    }
}

TEST_F(Connections, AServerThatForgetsTheTransportIsUnderstood) {
    (void)phone.out(registering());
    auto bob = kBob;
    bob.target = "sip:alice@203.0.113.1:10000";
    bob.peer_tag.clear();
    const auto invite = phone.in(bob.request("INVITE", 1, audio("203.0.113.10", 7000)));
    EXPECT_THAT(invite.text, HasSubstr("INVITE sip:alice@192.168.77.2:5060 SIP/2.0"));
}

TEST_F(Connections, APortThatIsTakenIsPassedOver) {
    gateway.kernel = [](const Decision& decision) {
        const bool first = decision.open.front().outside == endpoint("203.0.113.1:10000");
        return first
                   ? KernelAnswer{KernelAnswer::Kind::port_taken, endpoint("203.0.113.1:10000"), ""}
                   : KernelAnswer{};
    };
    // One of UDP with the same number, which is in use, is no reason to give up.
    Gateway::Kernel taken =
        std::exchange(gateway.kernel, [](const Decision&) { return KernelAnswer{}; });
    const auto other = gateway.line("192.168.77.3:40000", "203.0.113.1:1026");
    EXPECT_EQ(other.out(registering({.contact = "<sip:c@192.168.77.3:5062>"})).opened.size(), 2U);
    gateway.kernel = taken;
    const auto sent = phone.out(registering());
    EXPECT_EQ(header_line(sent.text, "Contact"),
              "Contact: <sip:alice@203.0.113.1:10002;transport=tcp>");
}

TEST_F(Connections, APortThatAnotherConnectionIsSeenOnIsPassedOver) {
    gateway.engine.set_foreign_endpoints({{Transport::tcp, {endpoint("203.0.113.1:10000")}}});
    const auto sent = phone.out(registering());
    EXPECT_EQ(header_line(sent.text, "Contact"),
              "Contact: <sip:alice@203.0.113.1:10002;transport=tcp>");
}

// --- Via ------------------------------------------------------------------------------------------

TEST_F(Connections, AViaOpensNothing) {
    for (const auto* via : {"192.168.77.2:5060;branch=z9hG4bK1", "192.168.77.2;branch=z9hG4bK1",
                            "192.168.77.2:5062;branch=z9hG4bK1;alias"}) {
        const auto text =
            request("OPTIONS", {.contact = "<sip:alice@192.168.77.2:40000>", .via = via});
        const auto sent = phone.out(text);
        EXPECT_THAT(sent.opened, IsEmpty());
        EXPECT_EQ(header_line(sent.text, "Via"), header_line(text, "Via"));
        const auto got = phone.in(answer(sent.text, 200, "b"));
        EXPECT_EQ(header_line(got.text, "Via"), header_line(text, "Via"));
    }
}

TEST_F(Connections, AViaOfAMappedPortIsTranslatedAndBroughtBack) {
    for (const auto* sent_by : {"192.168.77.2:5060", "192.168.77.2", "192.168.77.2 : 5060"}) {
        const std::string via = std::string(sent_by) + ";branch=z9hG4bK1;alias";
        const auto sent = phone.out(registering({.via = via}));
        EXPECT_EQ(header_line(sent.text, "Via"),
                  "Via: SIP/2.0/TCP 203.0.113.1:10000;branch=z9hG4bK1;alias");
        auto ok = registered(sent);
        const auto params = ok.find(";branch");
        ok.insert(params, ";received=203.0.113.1");
        EXPECT_EQ(header_line(phone.in(ok).text, "Via"),
                  "Via: SIP/2.0/TCP " + std::string(sent_by) +
                      ";received=192.168.77.2;branch=z9hG4bK1;alias");
    }
}

TEST_F(Connections, AViaOfThePacketsOwnPortIsTranslated) {
    const auto sent = phone.out(registering({.via = "192.168.77.2:40000;rport;branch=z9hG4bK1"}));
    EXPECT_EQ(header_line(sent.text, "Via"),
              "Via: SIP/2.0/TCP 203.0.113.1:1024;rport;branch=z9hG4bK1");
}

TEST_F(Connections, AViaIsNotTakenForAUdpEndpoint) {
    (void)phone_udp.out(registering({.contact = "<sip:alice@192.168.77.2>", .transport = "UDP"}));
    const auto text = request("OPTIONS", {.contact = "<sip:alice@192.168.77.2:40000>"});
    EXPECT_EQ(header_line(phone.out(text).text, "Via"), header_line(text, "Via"));
}

// --- the server's connection ----------------------------------------------------------------------

TEST_F(Connections, ACallComesInOnTheServersOwn) {
    const auto sent = phone.out(registering());
    (void)phone.in(registered(sent));
    auto bob = kBob;
    bob.transport = "TCP";
    bob.host = "203.0.113.10:5060";
    bob.target = "sip:alice@203.0.113.1:10000;transport=tcp";
    bob.peer_tag.clear();
    const auto invite = called.in(bob.request("INVITE", 1, audio("203.0.113.10", 7000)));
    EXPECT_THAT(invite.text, HasSubstr("INVITE sip:alice@192.168.77.2:5060;transport=tcp SIP/2.0"));
    EXPECT_EQ(header_line(invite.text, "Via"), header_line(bob.request("INVITE", 1), "Via"));
    const auto ok = called.out(answer(invite.text, 200, "a", audio("192.168.77.2", 4000),
                                      "sip:alice@192.168.77.2:5060;transport=tcp"));
    EXPECT_EQ(header_line(ok.text, "Contact"),
              "Contact: <sip:alice@203.0.113.1:10000;transport=tcp>");
    EXPECT_THAT(ok.text, HasSubstr("c=IN IP4 203.0.113.1"));
    EXPECT_THAT(ok.opened, testing::Contains("audio 192.168.77.2:4000=203.0.113.1:10000 any"));
    for (const auto& hole : ok.decision.open) {
        EXPECT_EQ(hole.master, called.flow.original);
        EXPECT_EQ(hole.inside_sends, FlowDirection::reply);
    }
}

TEST_F(Connections, ARequestOfThePhonesOnTheServersOwnNamesItselfAsItIsReached) {
    const auto sent = phone.out(registering());
    (void)phone.in(registered(sent));
    const auto options = called.out(request("OPTIONS", {.cseq = 7}));
    EXPECT_EQ(header_line(options.text, "Via"),
              "Via: SIP/2.0/TCP 203.0.113.1:10000;branch=z9hG4bK1;alias");
    EXPECT_EQ(header_line(options.text, "Contact"),
              "Contact: <sip:alice@203.0.113.1:10000;transport=tcp>");
    EXPECT_THAT(options.opened, IsEmpty());
}

TEST_F(Connections, ACallOnTheServersOwnOutlastsTheRegistration) {
    const auto sent = phone.out(registering());
    (void)phone.in(registered(sent, ";expires=60"));
    auto bob = kBob;
    bob.target = "sip:alice@203.0.113.1:10000;transport=tcp";
    bob.peer_tag.clear();
    const auto invite = called.in(bob.request("INVITE", 1, audio("203.0.113.10", 7000)));
    (void)called.out(answer(invite.text, 200, "a", audio("192.168.77.2", 4000),
                            "sip:alice@192.168.77.2:5060;transport=tcp"));
    (void)called.in(bob.with_peer_tag("a").request("ACK", 1));
    EXPECT_THAT(show(gateway.wait(4min).close), Not(testing::Contains(kListening)));
    const auto bye = called.in(bob.with_peer_tag("a").request("BYE", 2));
    EXPECT_THAT(called.out(answer(bye.text, 200)).closed, testing::Contains(kListening));
}

// --- both transports ------------------------------------------------------------------------------

TEST_F(Connections, ALongInviteByTcpKeepsItsUdpContact) {
    const auto sent = phone_udp.out(
        registering({.contact = "<sip:alice@192.168.77.2:5060;ob>", .transport = "UDP"}));
    (void)phone_udp.in(registered(sent));
    // RFC 3261 18.1.1: for want of room; it is the Via that changes.
    const auto invite = phone.out(request("INVITE", {.contact = "<sip:alice@192.168.77.2:5060;ob>",
                                                     .body = audio("192.168.77.2", 4000)}));
    EXPECT_EQ(header_line(invite.text, "Contact"), "Contact: <sip:alice@203.0.113.1:1030;ob>");
    EXPECT_THAT(invite.opened, Not(testing::Contains(HasSubstr("signalling"))));
    (void)phone.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    auto bob = kBob;
    bob.target = "sip:alice@203.0.113.1:1030;ob";
    const auto bye = phone_udp.in(bob.request("BYE", 1));
    EXPECT_THAT(bye.text, HasSubstr("BYE sip:alice@192.168.77.2:5060;ob SIP/2.0"));
    EXPECT_EQ(phone_udp.out(answer(bye.text, 200)).closed.size(), 4U);
}

TEST_F(Connections, AUdpEndpointGoesBeforeTheConnectionFromTheSamePort) {
    (void)phone_udp.out(registering({.contact = "<sip:alice@192.168.77.2>", .transport = "UDP"}));
    const auto own = gateway.line("192.168.77.2:5060", "203.0.113.1:1031").over_tcp();
    const auto said_nothing = own.out(registering({.contact = "<sip:alice@192.168.77.2>"}));
    EXPECT_EQ(header_line(said_nothing.text, "Contact"), "Contact: <sip:alice@203.0.113.1:1030>");
    const auto said_tcp = own.out(registering({.cseq = 2}));
    EXPECT_EQ(header_line(said_tcp.text, "Contact"),
              "Contact: <sip:alice@203.0.113.1:1031;transport=tcp>");
    EXPECT_THAT(said_tcp.opened, IsEmpty());
}

TEST_F(Connections, AContactOfTcpInAMessageOverUdpIsMappedToo) {
    const auto sent = phone_udp.out(registering({.transport = "UDP"}));
    EXPECT_EQ(header_line(sent.text, "Contact"),
              "Contact: <sip:alice@203.0.113.1:10000;transport=tcp>");
    EXPECT_EQ(header_line(sent.text, "Via"),
              "Via: SIP/2.0/UDP 203.0.113.1:1030;branch=z9hG4bK1;alias");
    EXPECT_THAT(sent.opened, ElementsAre(kListening));
    const auto got = phone_udp.in(registered(sent));
    EXPECT_EQ(header_line(got.text, "Contact"),
              "Contact: <sip:alice@192.168.77.2:5060;transport=tcp>;expires=600");
}

TEST_F(Connections, AnotherConnectionOfThePhonesServesUntilItIsClosed) {
    (void)phone.out(registering({.contact = "<sip:alice@192.168.77.2:40000;transport=tcp>"}));
    const auto other = reconnected();
    const auto contact = [&](int cseq) {
        return header_line(
            other
                .out(registering(
                    {.contact = "<sip:alice@192.168.77.2:40000;transport=tcp>", .cseq = cseq}))
                .text,
            "Contact");
    };
    EXPECT_EQ(contact(2), "Contact: <sip:alice@203.0.113.1:1024;transport=tcp>");
    gateway.engine.note_ended(std::vector{phone.flow});
    EXPECT_EQ(contact(3), "Contact: <sip:alice@203.0.113.1:10000;transport=tcp>");
}

// --- what hangs on a connection -------------------------------------------------------------------

TEST_F(Connections, NoTimeoutIsSetOnOne) {
    EXPECT_FALSE(phone.out(registering()).decision.flow_timeout);
    EXPECT_TRUE(phone_udp.out(registering({.transport = "UDP"})).decision.flow_timeout);
}

TEST_F(Connections, WhatIsBehindAMessageIsTheNextOne) {
    const auto text = registering() + "REGISTER";
    EXPECT_EQ(phone.out(text).decision.beyond_body, 0U);
    EXPECT_EQ(phone_udp.out(text).decision.beyond_body, 8U);
}

TEST_F(Connections, NobodyKeepsOneUp) {
    const auto sent = phone.out(registering());
    (void)phone.in(registered(sent, ";expires=7200"));
    EXPECT_EQ(gateway.engine.bindings().size(), 1U);
    for (int i = 0; i < 5; ++i)
        EXPECT_THAT(gateway.wait(25min).keep_up, IsEmpty());
    EXPECT_EQ(gateway.engine.bindings().size(), 0U);
    EXPECT_FALSE(gateway.engine.next_due() && *gateway.engine.next_due() <= gateway.now);
}

TEST_F(Connections, AClosedOneIsMissedByItsBindingOnly) {
    const auto sent = phone.out(registering());
    (void)phone.in(registered(sent));
    EXPECT_THAT(gateway.engine.needed(std::vector{phone.flow}), ElementsAre(phone.flow));
    const auto other = reconnected();
    const auto invite =
        other.out(request("INVITE", {.body = audio("192.168.77.2", 4000), .call_id = "call-2"}));
    ASSERT_FALSE(invite.opened.empty());
    EXPECT_THAT(gateway.engine.needed(std::vector{other.flow}), IsEmpty()) << "nobody can make it";
}

TEST_F(Connections, AListeningPortMovesToTheNextOneOfThePhones) {
    (void)phone.in(registered(phone.out(registering())));
    const auto next = reconnected();
    const auto sent = next.out(registering({.cseq = 2}));
    EXPECT_EQ(header_line(sent.text, "Contact"),
              "Contact: <sip:alice@203.0.113.1:10000;transport=tcp>");
    EXPECT_THAT(sent.opened, IsEmpty()) << "it still hangs on the one of before";
    EXPECT_THAT(gateway.wait(1s).renew, IsEmpty());
    gateway.engine.note_ended(std::vector{phone.flow});
    EXPECT_EQ(gateway.engine.next_due(), Time{});
    EXPECT_THAT(gateway.wait(1s).renew, ElementsAre(next.flow.original));
    EXPECT_THAT(gateway.wait(1s).renew, IsEmpty());
}

TEST_F(Connections, AListeningPortWaitsForTheNextOne) {
    (void)phone.in(registered(phone.out(registering())));
    gateway.engine.note_ended(std::vector{phone.flow});
    EXPECT_THAT(gateway.wait(10s).renew, IsEmpty());
    const auto next = reconnected();
    (void)next.out(registering({.cseq = 2}));
    EXPECT_THAT(gateway.wait(1s).renew, ElementsAre(next.flow.original));
}

/// A call on the phone's connection, whose media nobody has sent yet.
void begin_call(const Line& line) {
    const auto invite = line.out(request("INVITE", {.contact = "<sip:alice@192.168.77.2:40000>",
                                                    .via = "192.168.77.2:40000;branch=z9hG4bK1",
                                                    .body = audio("192.168.77.2", 4000)}));
    ASSERT_EQ(invite.opened.size(), 2U);
    (void)line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
}

std::string reinviting(int cseq = 2) {
    auto text = request("INVITE", {.contact = "<sip:alice@192.168.77.2:40001;transport=tcp>",
                                   .via = "192.168.77.2:40001;branch=z9hG4bK2",
                                   .body = audio("192.168.77.2", 4000),
                                   .cseq = cseq});
    return text.replace(text.find("\r\nCall-ID"), 0, ";tag=b");
}

TEST_F(Connections, MediaMovesWithItsDialog) {
    begin_call(phone);
    gateway.engine.note_ended(std::vector{phone.flow});
    EXPECT_THAT(gateway.wait(1s).renew, IsEmpty());
    const auto next = reconnected();
    const auto again = next.out(reinviting());
    EXPECT_THAT(again.opened, IsEmpty());
    EXPECT_THAT(gateway.wait(1s).renew, ElementsAre(next.flow.original));
    for (const auto& [key, mapping] : gateway.engine.media().mappings())
        EXPECT_EQ(mapping.master, next.flow.original);
}

TEST_F(Connections, MediaOfADialogThatMovedIsRenewedWhenTheFirstOneCloses) {
    begin_call(phone);
    const auto next = reconnected();
    (void)next.out(reinviting());
    EXPECT_THAT(gateway.wait(1s).renew, IsEmpty());
    gateway.engine.note_ended(std::vector{phone.flow});
    EXPECT_THAT(gateway.wait(1s).renew, ElementsAre(next.flow.original));
}

TEST_F(Connections, MediaGoesBackToTheOneThatIsLeft) {
    begin_call(phone);
    const auto next = reconnected();
    (void)next.out(reinviting());
    gateway.engine.note_ended(std::vector{next.flow});
    EXPECT_THAT(gateway.wait(1s).renew, ElementsAre(phone.flow.original));
    gateway.engine.note_ended(std::vector{phone.flow});
    EXPECT_THAT(gateway.wait(1s).renew, IsEmpty());
}

TEST_F(Connections, BothClosedAtOnceLeaveNothingToHangOn) {
    begin_call(phone);
    const auto next = reconnected();
    (void)next.out(reinviting());
    gateway.engine.note_ended(std::vector{phone.flow, next.flow});
    EXPECT_THAT(gateway.wait(1s).renew, IsEmpty());
    const auto third = reconnected(40002, 1026);
    (void)third.out(reinviting(3));
    EXPECT_THAT(gateway.wait(1s).renew, ElementsAre(third.flow.original));
}

TEST_F(Connections, MediaOnAUdpFlowStaysThere) {
    const auto line = gateway.line("192.168.77.2:40000");
    begin_call(line);
    const auto next = reconnected();
    (void)next.out(reinviting());
    gateway.engine.note_ended(std::vector{line.flow, next.flow});
    EXPECT_THAT(gateway.wait(1s).renew, IsEmpty());
    EXPECT_THAT(gateway.engine.needed(std::vector{line.flow, next.flow}), ElementsAre(line.flow))
        << "which the daemon makes anew";
}

TEST_F(Connections, OnlySoManyOfBeforeAreRemembered) {
    begin_call(phone);
    for (int i = 1; i < 10; ++i)
        (void)reconnected(40000 + i, 1024 + i).out(reinviting(i + 1));
    for (const auto& [key, mapping] : gateway.engine.media().mappings())
        EXPECT_LE(mapping.formers.size(), kMostFormers);
}

TEST_F(Connections, AfterARestartTheNextMessageElsewhereMakesSure) {
    begin_call(phone);
    Gateway fresh;
    fresh.engine.restore(gateway.engine.save());
    auto next = reconnected();
    next.gateway = &fresh;
    (void)next.out(reinviting());
    EXPECT_THAT(fresh.wait(1s).renew, ElementsAre(next.flow.original));
}

TEST_F(Connections, SoDoesOneAfterNewsWasLost) {
    begin_call(phone);
    gateway.engine.doubt_connections();
    const auto next = reconnected();
    (void)next.out(reinviting());
    EXPECT_THAT(gateway.wait(1s).renew, ElementsAre(next.flow.original));
    // And should the first one be there still, its end is heeded.
    gateway.engine.note_ended(std::vector{phone.flow});
    EXPECT_THAT(gateway.wait(1s).renew, ElementsAre(next.flow.original));
}

TEST_F(Connections, TheServersOwnOutlivesWhatItWasExpectedFor) {
    const auto sent = phone.out(registering());
    (void)phone.in(registered(sent, ";expires=60"));
    const auto due = gateway.wait(93s);
    EXPECT_THAT(show(due.close), ElementsAre(kListening));
    EXPECT_THAT(gateway.wait(3s).sweep, IsEmpty());
    auto bob = kBob;
    bob.target = "sip:alice@203.0.113.1:10000;transport=tcp";
    bob.peer_tag.clear();
    EXPECT_THAT(called.in(bob.request("OPTIONS", 1)).text,
                HasSubstr("OPTIONS sip:alice@192.168.77.2:5060;transport=tcp"));
}

TEST_F(Connections, SignallingOverUdpIsRenewedOnItsNextFlowToo) {
    const auto line = gateway.line("192.168.77.2:40000");
    (void)line.out(registering({.transport = "UDP"}));
    const auto next = reconnected();
    (void)next.out(registering({.cseq = 2}));
    gateway.engine.note_ended(std::vector{line.flow});
    EXPECT_THAT(gateway.wait(1s).renew, ElementsAre(next.flow.original));
}

TEST_F(Connections, AStrangersClosedConnectionIsNothing) {
    begin_call(phone);
    const auto web = gateway.line("192.168.77.2:50000", "203.0.113.1:50000", "198.51.100.7:443");
    gateway.engine.note_ended(std::vector{web.over_tcp().flow});
    EXPECT_THAT(gateway.wait(1s).renew, IsEmpty());
}

// --- bindings -------------------------------------------------------------------------------------

TEST_F(Connections, ABindingIsTheLastConnections) {
    (void)phone.in(registered(phone.out(registering())));
    const auto next = reconnected();
    (void)next.in(registered(next.out(registering({.cseq = 2}))));
    const auto bindings = gateway.engine.bindings();
    ASSERT_EQ(bindings.size(), 1U);
    EXPECT_EQ(bindings.front().flow, next.flow);
    EXPECT_THAT(gateway.engine.needed(std::vector{phone.flow}), IsEmpty());
}

TEST_F(Connections, WhatTheRegistrarDroppedOfAnotherOneIsOver) {
    const auto enrol = [&](const Line& line, int cseq, const char* contact, const char* listed) {
        const auto sent = line.out(registering({.contact = contact, .cseq = cseq}));
        (void)line.in(registered(sent.text, "Contact: " + std::string(listed)));
        return gateway.engine.bindings().size();
    };
    const auto next = reconnected();
    const auto third = reconnected(40002, 1026);
    EXPECT_EQ(enrol(phone, 1, "<sip:alice@192.168.77.2:40000;transport=tcp;ob>",
                    "<sip:alice@203.0.113.1:1024;transport=tcp;ob>"),
              1U);
    // RFC 5626 6: the same instance and reg-id replace the binding of before …
    EXPECT_EQ(enrol(next, 2, "<sip:alice@192.168.77.2:40001;transport=tcp;ob>",
                    "<sip:alice@203.0.113.1:1025;transport=tcp;ob>"),
              1U);
    // … and another reg-id stands beside it.
    EXPECT_EQ(enrol(third, 3, "<sip:alice@192.168.77.2:40002;transport=tcp;ob>",
                    "<sip:alice@203.0.113.1:1025;transport=tcp;ob>, "
                    "<sip:alice@203.0.113.1:1026;transport=tcp;ob>"),
              2U);
    EXPECT_EQ(enrol(third, 4, "*\nExpires: 0", "<sip:x@198.51.100.1>"), 0U);
}

TEST_F(Connections, ABindingOfAnotherNameOrRegistrarStays) {
    (void)phone.in(registered(phone.out(registering())));
    const auto elsewhere =
        gateway.line("192.168.77.2:40001", "203.0.113.1:1025", "203.0.113.20:5060").over_tcp();
    (void)elsewhere.in(registered(elsewhere.out(registering({.cseq = 2}))));
    EXPECT_EQ(gateway.engine.bindings().size(), 2U);
}

}  // namespace
}  // namespace sipnat
