// What becomes of the addresses in headers, message by message through the engine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "core/header_rewriter.h"
#include "header_lab.h"

namespace sipnat {
namespace {

struct HeaderCase {
    const char* what;
    std::string_view name;
    std::string_view before;
    std::string_view after;
};

/// What CTest calls it.
void PrintTo(const HeaderCase& header, std::ostream* out) {
    *out << header.what;
}

class Outwards : public testing::TestWithParam<HeaderCase> {};

TEST_P(Outwards, NamesTheSenderAsTheOtherSideSeesIt) {
    const auto& [what, name, before, after] = GetParam();
    Gateway gateway;
    const auto sent = gateway.line().out(request("OPTIONS", std::string(before) + "\n"));
    EXPECT_EQ(header_line(sent.text, name), crlf(after)) << what;
    EXPECT_EQ(sent.decision.reason, before == after ? Reason::unchanged : Reason::rewritten);
    EXPECT_EQ(sent.decision.verdict, Verdict::accept);
}

constexpr std::string_view kVia = "Via: SIP/2.0/UDP 192.168.77.2:5060;branch=z9hG4bK1";
constexpr std::string_view kViaAfter = "Via: SIP/2.0/UDP 203.0.113.1:1024;branch=z9hG4bK1";

INSTANTIATE_TEST_SUITE_P(
    Places, Outwards,
    testing::Values(
        HeaderCase{"port written", "Via", kVia, kViaAfter},
        HeaderCase{"no port means 5060", "Via",
                   "Via: SIP/2.0/UDP 192.168.77.2;branch=z9hG4bK1;rport",
                   "Via: SIP/2.0/UDP 203.0.113.1:1024;branch=z9hG4bK1;rport"},
        HeaderCase{"blanks", "Via", "Via:  SIP / 2.0 / UDP   192.168.77.2 : 5060 ;branch=z9hG4bK1",
                   "Via:  SIP / 2.0 / UDP   203.0.113.1:1024 ;branch=z9hG4bK1"},
        HeaderCase{"maddr", "Via", "Via: SIP/2.0/UDP 192.168.77.2;maddr=192.168.77.2;branch=z9h",
                   "Via: SIP/2.0/UDP 203.0.113.1:1024;maddr=203.0.113.1;branch=z9h"},
        HeaderCase{"another port of the host", "Via", "Via: SIP/2.0/UDP 192.168.77.2:5070;branch=z",
                   "Via: SIP/2.0/UDP 203.0.113.1:10000;branch=z"},
        HeaderCase{"a server's port of the host", "Via",
                   "Via: SIP/2.0/UDP 192.168.77.2:80;branch=z",
                   "Via: SIP/2.0/UDP 192.168.77.2:80;branch=z"},
        HeaderCase{"TLS has another default", "Via", "Via: SIP/2.0/TLS 192.168.77.2;branch=z",
                   "Via: SIP/2.0/TLS 192.168.77.2;branch=z"},
        HeaderCase{"only the top one", "Via",
                   "Via: SIP/2.0/UDP 192.168.77.2;branch=z, SIP/2.0/UDP 192.168.77.2;branch=y",
                   "Via: SIP/2.0/UDP 203.0.113.1:1024;branch=z, SIP/2.0/UDP "
                   "192.168.77.2;branch=y"},
        HeaderCase{"a public address", "Contact", "Contact: <sip:alice@198.51.100.2:5060>",
                   "Contact: <sip:alice@198.51.100.2:5060>"},
        HeaderCase{"a name", "Contact", "Contact: <sip:alice@phone.example.com>",
                   "Contact: <sip:alice@phone.example.com>"},
        HeaderCase{"another inside host", "Contact", "Contact: <sip:alice@192.168.77.3:5060>",
                   "Contact: <sip:alice@192.168.77.3:5060>"},
        HeaderCase{"the address begins alike", "Contact", "Contact: <sip:alice@192.168.77.20>",
                   "Contact: <sip:alice@192.168.77.20>"},
        HeaderCase{"no port", "Contact", "Contact: <sip:alice@192.168.77.2;ob>;expires=60",
                   "Contact: <sip:alice@203.0.113.1:1024;ob>;expires=60"},
        HeaderCase{"without brackets", "Contact", "Contact: sip:alice@192.168.77.2:5060;expires=5",
                   "Contact: sip:alice@203.0.113.1:1024;expires=5"},
        HeaderCase{"parameters", "Contact",
                   "Contact: <sip:a@192.168.77.2;transport=udp>;+sip.instance=\"<urn:uuid:192.168."
                   "77.2>\";q=0.5;reg-id=1",
                   "Contact: <sip:a@203.0.113.1:1024;transport=udp>;+sip.instance=\"<urn:uuid:192."
                   "168.77.2>\";q=0.5;reg-id=1"},
        HeaderCase{"of another transport", "Contact", "Contact: <sip:a@192.168.77.2;transport=tcp>",
                   "Contact: <sip:a@203.0.113.1:10000;transport=tcp>"},
        HeaderCase{"of a transport that we can't read", "Contact",
                   "Contact: <sip:a@192.168.77.2;transport=tls>",
                   "Contact: <sip:a@192.168.77.2;transport=tls>"},
        HeaderCase{"sips has another default", "Contact", "Contact: <sips:a@192.168.77.2>",
                   "Contact: <sips:a@192.168.77.2>"},
        HeaderCase{"sips with the port", "Contact", "Contact: <sips:a@192.168.77.2:5060>",
                   "Contact: <sips:a@203.0.113.1:1024>"},
        HeaderCase{"a display name that looks like an address", "Contact",
                   "Contact: \"<sip:a@192.168.77.2>, \\\" x\" <sip:a@192.168.77.2>",
                   "Contact: \"<sip:a@192.168.77.2>, \\\" x\" <sip:a@203.0.113.1:1024>"},
        HeaderCase{"several values", "Contact",
                   "Contact: <sip:a@192.168.77.2>, <sip:b@198.51.100.7>, <sip:c@192.168.77.2:5060>",
                   "Contact: <sip:a@203.0.113.1:1024>, <sip:b@198.51.100.7>, "
                   "<sip:c@203.0.113.1:1024>"},
        HeaderCase{"star", "Contact", "Contact: *", "Contact: *"},
        HeaderCase{"compact", "m", "m: <sip:a@192.168.77.2>", "m: <sip:a@203.0.113.1:1024>"},
        HeaderCase{"identity: host only", "From", "From: <sip:alice@192.168.77.2>;tag=1",
                   "From: <sip:alice@203.0.113.1>;tag=1"},
        HeaderCase{"identity: a port stays", "From", "From: <sip:alice@192.168.77.2:5999>;tag=1",
                   "From: <sip:alice@203.0.113.1:5999>;tag=1"},
        HeaderCase{"identity: without brackets", "To", "To: sip:alice@192.168.77.2",
                   "To: sip:alice@203.0.113.1"},
        HeaderCase{"identity: a name", "From", "From: <sip:alice@example.com>;tag=192.168.77.2",
                   "From: <sip:alice@example.com>;tag=192.168.77.2"},
        HeaderCase{"identity: another host", "To", "To: <sip:bob@192.168.77.3>",
                   "To: <sip:bob@192.168.77.3>"},
        HeaderCase{"never the Call-ID", "Call-ID", "Call-ID: 1@192.168.77.2",
                   "Call-ID: 1@192.168.77.2"},
        HeaderCase{"never a Warning", "Warning",
                   "Warning: 399 192.168.77.2:5060 \"sip:a@192.168.77.2\"",
                   "Warning: 399 192.168.77.2:5060 \"sip:a@192.168.77.2\""}),
    [](const auto& place) { return std::to_string(place.index); });

TEST(HeaderRewriting, FoldedAndOddlySpelledHeaders) {
    Gateway gateway;
    const auto sent = gateway.line().out(
        request("OPTIONS",
                "Via:\n SIP/2.0/UDP\n\t192.168.77.2:5060\n ;branch=z\ncOnTaCt \t:\n \"A\"\n "
                "<SIP:a@192.168.77.2\n >\n ,\n <sip:b@192.168.77.2>\n"));
    EXPECT_THAT(sent.text, testing::HasSubstr(crlf("Via:\n SIP/2.0/UDP\n\t203.0.113.1:1024\n ;")));
    EXPECT_THAT(sent.text,
                testing::HasSubstr(crlf("cOnTaCt \t:\n \"A\"\n <SIP:a@203.0.113.1:1024\n >\n ,\n "
                                        "<sip:b@203.0.113.1:1024>\n")));
}

TEST(HeaderRewriting, OverSeveralLinesEachContactCounts) {
    Gateway gateway;
    const auto sent = gateway.line().out(
        request("REGISTER", "Contact: <sip:a@192.168.77.2>\nm: <sip:b@192.168.77.2>\n"));
    EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: <sip:a@203.0.113.1:1024>");
    EXPECT_EQ(header_line(sent.text, "m"), "m: <sip:b@203.0.113.1:1024>");
    EXPECT_EQ(sent.decision.edits.size(), 2U);
    EXPECT_EQ(sent.decision.edits[1].place, Place::contact);
    EXPECT_EQ(sent.decision.edits[1].why, Why::sender_outside);
}

TEST(HeaderRewriting, TheRequestUriOfAnOutgoingRequestIsNotOurs) {
    Gateway gateway;
    const auto sent =
        gateway.line().out(request("OPTIONS", "", "sip:bob@192.168.77.2;maddr=192.168.77.2"));
    EXPECT_EQ(sent.decision.reason, Reason::unchanged);
}

TEST(HeaderRewriting, TheRequestUriOfAnIncomingOneNamesTheReceiver) {
    struct Case {
        const char* before;
        const char* after;
    };
    for (const auto& [before, after] : {
             Case{"sip:alice@203.0.113.1:1024", "sip:alice@192.168.77.2:5060"},
             Case{"sip:alice@203.0.113.1:1024;ob?x=y", "sip:alice@192.168.77.2:5060;ob?x=y"},
             Case{"sip:203.0.113.1:1024;maddr=203.0.113.1",
                  "sip:192.168.77.2:5060;maddr=192.168.77.2"},
             Case{"sip:alice@203.0.113.1:1024;maddr=198.51.100.1",
                  "sip:alice@192.168.77.2:5060;maddr=198.51.100.1"},
             Case{"sip:alice@example.com:1024;maddr=203.0.113.1",
                  "sip:alice@example.com:5060;maddr=192.168.77.2"},
             Case{"sip:alice@example.com;maddr=203.0.113.1",
                  "sip:alice@example.com;maddr=203.0.113.1"},
             Case{"sip:alice@203.0.113.1:1025", "sip:alice@203.0.113.1:1025"},
             Case{"sip:alice@203.0.113.1", "sip:alice@203.0.113.1"},
             Case{"sip:alice@example.com", "sip:alice@example.com"},
             Case{"tel:+15551234", "tel:+15551234"},
         }) {
        Gateway gateway;
        const auto sent = gateway.line().in(request("OPTIONS", "", before));
        EXPECT_EQ(sent.text.substr(0, sent.text.find("\r\n")),
                  "OPTIONS " + std::string(after) + " SIP/2.0");
    }
}

/// The start line of a request that a port forward brings to 192.168.77.5:5060.
std::string forwarded_line(const std::string& text, RewriteRequestUri setting) {
    const ExactText exact(text);
    const auto message = sip::Message::parse(exact.view()).value();
    const auto view =
        NatView::of(endpoint("203.0.113.10:5060"), endpoint("203.0.113.10:5060"),
                    endpoint("203.0.113.1:5060"), endpoint("192.168.77.5:5060"), Transport::udp);
    Spellings spellings;
    const MediaTable mappings((Settings()));
    KnownEndpoints known(mappings);
    std::vector<Edit> edits;
    const auto via = sip::parse_top_via(message.text(), message.find(sip::HeaderKind::via)->value);
    (void)rewrite_headers(message, via, view, {spellings, known}, edits, setting, Time{},
                          std::pmr::get_default_resource());
    std::ranges::sort(edits, {}, [](const Edit& edit) { return edit.span.offset; });
    const auto after = apply_edits(exact.view(), edits);
    return after.substr(0, after.find("\r\n"));
}

TEST(HeaderRewriting, ARequestUriThatCredentialsNameStaysIfTheAdminSaysSo) {
    struct Case {
        const char* line;
        bool stays;
    };
    for (const auto& [line, stays] : {
             Case{"Authorization: Digest realm=\"r\", uri=\"sip:100@203.0.113.1;a=b\", nc=1", true},
             Case{"Proxy-Authorization: Digest uri=\"sip:100@203.0.113.1;a=b\"", true},
             Case{"authorization:\tDIGEST\n URI=\"sip:100@203.0.113.1;a=b\"", true},
             Case{"Authorization: Digest uri=\"sip:100@203.0.113.1:5060\"", true},
             Case{"Proxy-Authorization: Digest uri=\"sip:other\"\n"
                  "Authorization: Digest uri=\"sip:100@203.0.113.1\"",
                  true},
             Case{"Authorization: Digest uri=\"sip:100@203.0.113.1:5061\"", false},
             Case{"Authorization: Digest uri=\"sip:101@203.0.113.1\"", false},
             Case{"Authorization: Digest uri=\"sips:100@203.0.113.1:5060\"", false},
             Case{"Authorization: Digest uri=\"sip:100@example.com\"", false},
             Case{"Authorization: Digest realm=\"uri=sip:100@203.0.113.1\"", false},
             Case{"Authorization: Basic uri=\"sip:100@203.0.113.1;a=b\"", false},
             Case{"WWW-Authenticate: Digest uri=\"sip:100@203.0.113.1;a=b\"", false},
             Case{"Subject: none", false},
         }) {
        const auto text = request("INVITE", std::string(line) + "\n", "sip:100@203.0.113.1;a=b");
        EXPECT_EQ(forwarded_line(text, RewriteRequestUri::unless_digest),
                  std::string("INVITE sip:100@") + (stays ? "203.0.113.1" : "192.168.77.5") +
                      ";a=b SIP/2.0")
            << line;
        EXPECT_EQ(forwarded_line(text, RewriteRequestUri::always),
                  "INVITE sip:100@192.168.77.5;a=b SIP/2.0")
            << line;
    }
}

TEST(HeaderRewriting, TheEngineObeysTheSetting) {
    for (const auto setting : {RewriteRequestUri::always, RewriteRequestUri::unless_digest}) {
        auto settings = lab_settings();
        settings.rewrite_request_uri = setting;
        Gateway gateway(settings);
        const auto text = request("REGISTER", "Authorization: Digest uri=\"sip:100@203.0.113.1\"\n",
                                  "sip:100@203.0.113.1");
        const auto seen = gateway.forwarded().in(text).text;
        EXPECT_EQ(seen.substr(0, seen.find("\r\n")), setting == RewriteRequestUri::always
                                                         ? "REGISTER sip:100@192.168.77.5 SIP/2.0"
                                                         : "REGISTER sip:100@203.0.113.1 SIP/2.0");
    }
}

TEST(HeaderRewriting, WhatCredentialsNameMayBeAName) {
    const auto text = request("INVITE", "Authorization: Digest uri=\"sip:Example.COM\"\n",
                              "sip:example.com;maddr=203.0.113.1");
    EXPECT_EQ(forwarded_line(text, RewriteRequestUri::unless_digest),
              "INVITE sip:example.com;maddr=203.0.113.1 SIP/2.0");
    EXPECT_EQ(forwarded_line(text, RewriteRequestUri::always),
              "INVITE sip:example.com;maddr=192.168.77.5 SIP/2.0");
}

// --- there and back -----------------------------------------------------------------------------

/// What a registrar answers to what it got: all headers of interest, plus what it saw.
std::string registered(std::string_view request, std::string_view more_contacts = "") {
    auto contact = header_line(request, "Contact");
    contact += more_contacts;
    return sip_text("SIP/2.0 200 OK\n" + header_line(request, "Via") + ";received=203.0.113.1\n" +
                    header_line(request, "From") + "\n" + header_line(request, "To") + ";tag=r\n" +
                    header_line(request, "Call-ID") + "\n" + header_line(request, "CSeq") + "\n" +
                    contact + "\n");
}

std::string registration(std::string_view via, std::string_view contact, std::string_view host) {
    const std::string aor = "<sip:alice@" + std::string(host) + ">";
    return sip_text("REGISTER sip:203.0.113.10 SIP/2.0\nVia: SIP/2.0/UDP " + std::string(via) +
                    ";rport;branch=z9hG4bKreg\nFrom: " + aor + ";tag=a\nTo: " + aor +
                    "\nCall-ID: reg\nCSeq: 1 REGISTER\nContact: " + std::string(contact) + "\n");
}

TEST(Register, EachPhoneReadsItsOwnTextAgain) {
    struct Case {
        const char* what;
        const char* via;
        const char* contact;
        const char* host;
    };
    for (const auto& [what, via, contact, host] : {
             Case{"ports written", "192.168.77.2:5060", "<sip:alice@192.168.77.2:5060>",
                  "192.168.77.2"},
             Case{"no ports written", "192.168.77.2", "<sip:alice@192.168.77.2>;expires=60",
                  "192.168.77.2"},
             Case{"one of each", "192.168.77.2", "<sip:alice@192.168.77.2:5060;ob>", "example.com"},
             Case{"several contacts", "192.168.77.2:5060",
                  "<sip:alice@192.168.77.2>, <sip:a2@192.168.77.2:5060>, <sip:x@198.51.100.1>",
                  "192.168.77.2"},
         }) {
        Gateway gateway;
        const auto line = gateway.line();
        const auto sent = registration(via, contact, host);
        const auto request = line.out(sent);
        EXPECT_EQ(request.text.find("192.168.77.2"), std::string::npos) << what;
        const auto ok = line.in(registered(request.text));
        for (const auto* name : {"Contact", "From"})
            EXPECT_EQ(header_line(ok.text, name), header_line(sent, name)) << what;
        EXPECT_EQ(header_line(ok.text, "Via"), header_line(sent, "Via") + ";received=192.168.77.2")
            << what;
        EXPECT_EQ(header_line(ok.text, "To"), header_line(sent, "To") + ";tag=r") << what;
        EXPECT_EQ(request.decision.flow_timeout, 3600s);
        EXPECT_EQ(ok.decision.flow_timeout, 3600s);
        EXPECT_EQ(gateway.engine.calls(), 0U);
    }
}

TEST(Register, OtherPhonesBindingsStay) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto request =
        line.out(registration("192.168.77.2", "<sip:alice@192.168.77.2>", "example.com"));
    const auto ok = line.in(registered(
        request.text, ", <sip:alice@203.0.113.1:1025>;expires=9, <sip:alice@203.0.113.1>"));
    EXPECT_EQ(header_line(ok.text, "Contact"),
              "Contact: <sip:alice@192.168.77.2>, <sip:alice@203.0.113.1:1025>;expires=9, "
              "<sip:alice@203.0.113.1>");
}

TEST(Register, AfterARestartTheTextIsTheCanonicalOne) {
    Gateway gateway;
    const auto request = gateway.line().out(
        registration("192.168.77.2:5060", "<sip:alice@192.168.77.2:5060>", "192.168.77.2"));
    Gateway fresh;
    const auto ok = fresh.line().in(registered(request.text));
    EXPECT_EQ(header_line(ok.text, "Contact"), "Contact: <sip:alice@192.168.77.2:5060>");
    EXPECT_EQ(header_line(ok.text, "From"), "From: <sip:alice@192.168.77.2>;tag=a");
    EXPECT_EQ(header_line(ok.text, "To"), "To: <sip:alice@192.168.77.2>;tag=r");
    EXPECT_EQ(header_line(ok.text, "Via"),
              "Via: SIP/2.0/UDP 192.168.77.2:5060;rport;branch=z9hG4bKreg;received=192.168.77.2");
}

TEST(Register, RportGoesBackWithItsVia) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto request =
        line.out(registration("192.168.77.2", "<sip:alice@192.168.77.2>", "example.com"));
    auto response = registered(request.text);
    response.replace(response.find(";rport;"), 7, ";rport=1024;");
    EXPECT_EQ(header_line(line.in(response).text, "Via"),
              "Via: SIP/2.0/UDP 192.168.77.2;rport=5060;branch=z9hG4bKreg;received=192.168.77.2");
}

TEST(Register, AViaThatWeDidNotEditKeepsItsReceivedAndRport) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto request =
        line.out(registration("phone.example.com", "<sip:alice@192.168.77.2>", "example.com"));
    auto response = registered(request.text);
    response.replace(response.find(";rport;"), 7, ";rport=1024;");
    EXPECT_EQ(header_line(line.in(response).text, "Via"),
              "Via: SIP/2.0/UDP phone.example.com;rport=1024;branch=z9hG4bKreg;received=203.0.113."
              "1");
}

// A phone that asked a STUN server writes its outside endpoint itself, and knows no other.
// Who writes itself differently in two calls, or in its registration, is in each what it said there.
TEST(Spelling, IsOfABindingOrADialog) {
    const auto invite = [](const std::string& contact, const std::string& call_id) {
        return request("INVITE", "Contact: " + contact + "\nCall-ID: " + call_id + "\n");
    };
    const auto bye = [](const std::string& call_id) {
        return request("BYE", "Call-ID: " + call_id + "\n", "sip:alice@203.0.113.1:1024");
    };
    const auto target = [](const Outcome& arrived) {
        return arrived.text.substr(0, arrived.text.find(" SIP/2.0"));
    };
    Gateway gateway;
    const auto line = gateway.line();
    (void)line.out(registration("192.168.77.2", "<sip:alice@192.168.77.2>", "example.com"));
    (void)line.out(invite("<sip:alice@192.168.77.2:5060>", "one"));
    (void)line.out(invite("<sip:alice@203.0.113.1:1024>", "two"));
    EXPECT_EQ(target(line.in(bye("one"))), "BYE sip:alice@192.168.77.2:5060");
    EXPECT_EQ(target(line.in(bye("two"))), "BYE sip:alice@203.0.113.1:1024");
    EXPECT_EQ(target(line.in(request("INVITE", "Call-ID: three\n", "sip:alice@203.0.113.1:1024"))),
              "INVITE sip:alice@192.168.77.2");
}

TEST(StunPhone, ReadsItsOwnTextAgain) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto sent =
        registration("203.0.113.1:1024", "<sip:alice@203.0.113.1:1024>", "203.0.113.1");
    const auto request = line.out(sent);
    EXPECT_EQ(request.decision.reason, Reason::unchanged);
    const auto response = registered(request.text);
    const auto ok = line.in(response);
    EXPECT_EQ(ok.text, response);
    EXPECT_EQ(ok.decision.reason, Reason::unchanged);

    const auto invite = sip_text(
        "INVITE sip:alice@203.0.113.1:1024 SIP/2.0\nVia: SIP/2.0/UDP "
        "203.0.113.10:5060;branch=z9hG4bKs\nFrom: <sip:bob@203.0.113.10>;tag=b\nTo: "
        "<sip:alice@203.0.113.10>\nCall-ID: in\nCSeq: 1 INVITE\nContact: "
        "<sip:bob@203.0.113.10>\n");
    EXPECT_EQ(line.in(invite).text, invite);
}

TEST(StunPhone, ReadsItsIdentityAgainInItsCalls) {
    Gateway gateway;
    const auto line = gateway.line();
    auto alice = kAlice;
    alice.uri = "sip:alice@203.0.113.1";
    const auto invite = line.out(alice.request("INVITE", 1));
    const auto ok = line.in(answer(invite.text, 200, "b"));
    EXPECT_EQ(header_line(ok.text, "From"), "From: <sip:alice@203.0.113.1>;tag=a");
    const auto bye = line.in(kBob.request("BYE", 1));
    EXPECT_EQ(header_line(bye.text, "To"), "To: <sip:alice@203.0.113.1>;tag=a");
}

// --- direction in identity headers --------------------------------------------------------------

// All phones share the outside host: only the field that names the receiver is its own.
TEST(Identity, TowardsTheInsideOnlyTheReceiversFieldIsTranslated) {
    Gateway gateway;
    const auto request = gateway.line().in(
        sip_text("MESSAGE sip:alice@203.0.113.1:1024 SIP/2.0\nVia: SIP/2.0/UDP "
                 "203.0.113.10:5060;branch=z9hG4bKs\nFrom: <sip:carol@203.0.113.1>;tag=c\nTo: "
                 "<sip:alice@203.0.113.1>\nCall-ID: m\nCSeq: 1 MESSAGE\n"));
    EXPECT_EQ(header_line(request.text, "From"), "From: <sip:carol@203.0.113.1>;tag=c");
    EXPECT_EQ(header_line(request.text, "To"), "To: <sip:alice@192.168.77.2>");

    // Its answer carries both back: the caller reads what it wrote.
    const auto response = gateway.line().out(answer(request.text, 200, "x"));
    EXPECT_EQ(header_line(response.text, "From"), "From: <sip:carol@203.0.113.1>;tag=c");
    EXPECT_EQ(header_line(response.text, "To"), "To: <sip:alice@203.0.113.1>;tag=x");
}

TEST(Identity, OfAResponseItIsFrom) {
    Gateway fresh;
    const auto response = fresh.line().in(sip_text(
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 203.0.113.1:1024;branch=z9hG4bKs\nFrom: "
        "<sip:alice@203.0.113.1>;tag=a\nTo: <sip:carol@203.0.113.1>;tag=c\nCall-ID: m\nCSeq: 1 "
        "MESSAGE\n"));
    EXPECT_EQ(header_line(response.text, "From"), "From: <sip:alice@192.168.77.2>;tag=a");
    EXPECT_EQ(header_line(response.text, "To"), "To: <sip:carol@203.0.113.1>;tag=c");
}

TEST(Identity, APortIsNeverAdded) {
    Gateway gateway;
    const auto line = gateway.line("192.168.77.2:5090");
    auto alice = kAlice;
    alice.host = "192.168.77.2:5090";
    const auto invite = line.out(alice.request("INVITE", 1));
    EXPECT_EQ(header_line(invite.text, "From"), "From: <sip:alice@203.0.113.1>;tag=a");
    const auto ringing = line.in(answer(invite.text, 180, "b"));
    EXPECT_EQ(header_line(ringing.text, "From"), "From: <sip:alice@192.168.77.2>;tag=a");
}

TEST(Identity, InAHairpinEachSideReadsItself) {
    Gateway gateway;
    // Alice calls Bob, who is behind a port forward of the same gateway.
    const Line line{
        &gateway,
        {{endpoint("192.168.77.2:5060"), endpoint("203.0.113.1:5060"), Transport::udp},
         {endpoint("192.168.77.5:5060"), endpoint("203.0.113.1:1024"), Transport::udp}}};
    auto alice = kAlice;
    alice.peer_uri = alice.target = "sip:bob@203.0.113.1";
    const auto sent = alice.request("INVITE", 1);
    const auto invite = line.out(sent);
    EXPECT_THAT(invite.text, testing::StartsWith("INVITE sip:bob@192.168.77.5 SIP/2.0"));
    EXPECT_EQ(header_line(invite.text, "From"), "From: <sip:alice@203.0.113.1>;tag=a");
    EXPECT_EQ(header_line(invite.text, "To"), "To: <sip:bob@192.168.77.5>");
    EXPECT_EQ(header_line(invite.text, "Contact"), "Contact: <sip:a@203.0.113.1:1024>");

    const auto ok = line.in(answer(invite.text, 200, "b", {}, "sip:bob@192.168.77.5"));
    EXPECT_EQ(header_line(ok.text, "Via"), header_line(sent, "Via"));
    EXPECT_EQ(header_line(ok.text, "From"), header_line(sent, "From"));
    EXPECT_EQ(header_line(ok.text, "To"), header_line(sent, "To") + ";tag=b");
    EXPECT_EQ(header_line(ok.text, "Contact"), "Contact: <sip:bob@203.0.113.1>");
}

// --- both directions, both kinds of NAT ---------------------------------------------------------

TEST(ThereAndBack, ADialogOfAPhone) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto sent = kAlice.request("INVITE", 1);
    const auto invite = line.out(sent);
    EXPECT_EQ(invite.text.find("192.168.77.2"), std::string::npos);
    const auto ok = line.in(answer(invite.text, 200, "b"));
    for (const auto* name : {"Via", "From"})
        EXPECT_EQ(header_line(ok.text, name), header_line(sent, name));

    // The server's own request quotes what it read.
    const auto bye = line.in(kBob.request("BYE", 1));
    EXPECT_THAT(bye.text, testing::StartsWith("BYE sip:a@192.168.77.2:5060 SIP/2.0\r\n"));
    EXPECT_EQ(header_line(bye.text, "To"), "To: <sip:alice@192.168.77.2>;tag=a");
    const auto bye_ok = line.out(answer(bye.text, 200, "", {}, "sip:a@192.168.77.2:5060"));
    EXPECT_EQ(header_line(bye_ok.text, "Via"), header_line(kBob.request("BYE", 1), "Via"));
    EXPECT_EQ(header_line(bye_ok.text, "To"), "To: <sip:alice@203.0.113.1>;tag=a");
    EXPECT_EQ(header_line(bye_ok.text, "Contact"), "Contact: <sip:a@203.0.113.1:1024>");
}

TEST(ThereAndBack, ADialogOfAPbxBehindAPortForward) {
    Gateway gateway;
    const auto line = gateway.forwarded();
    const auto sent = sip_text(
        "INVITE sip:100@203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP "
        "203.0.113.10:5060;branch=z9hG4bK1\nFrom: <sip:bob@203.0.113.10>;tag=b\nTo: "
        "<sip:100@203.0.113.1>\nCall-ID: 1\nCSeq: 1 INVITE\nContact: <sip:bob@203.0.113.10>\n");
    const auto invite = line.in(sent);
    EXPECT_THAT(invite.text, testing::StartsWith("INVITE sip:100@192.168.77.5 SIP/2.0"));
    EXPECT_EQ(header_line(invite.text, "To"), "To: <sip:100@192.168.77.5>");
    EXPECT_EQ(header_line(invite.text, "From"), header_line(sent, "From"));

    // Port 5060 is the default on both sides: none appears.
    const auto ok = line.out(answer(invite.text, 200, "p", {}, "sip:100@192.168.77.5"));
    EXPECT_EQ(header_line(ok.text, "Contact"), "Contact: <sip:100@203.0.113.1>");
    EXPECT_EQ(header_line(ok.text, "To"), "To: <sip:100@203.0.113.1>;tag=p");
}

TEST(ThereAndBack, AFlowWithoutNatIsNotRewritten) {
    Gateway gateway;
    const auto line = gateway.line("192.168.77.2:5060", "192.168.77.2:5060");
    const auto sent = kAlice.request("INVITE", 1, audio("192.168.77.2", 4000));
    const auto invite = line.out(sent);
    EXPECT_EQ(invite.text, sent);
    EXPECT_EQ(invite.decision.reason, Reason::unchanged);
    EXPECT_THAT(invite.opened,
                testing::ElementsAre("audio 192.168.77.2:4000=192.168.77.2:4000 any",
                                     "audio 192.168.77.2:4001=192.168.77.2:4001 any"));
}

// --- packets that are no messages ---------------------------------------------------------------

TEST(OtherPackets, PassUntouchedUnderTheirOwnReason) {
    struct Case {
        std::string payload;
        Reason reason;
    };
    Gateway gateway;
    const auto line = gateway.line();
    for (const auto& [payload, reason] : {
             Case{"\r\n\r\n", Reason::keepalive},
             Case{"", Reason::keepalive},
             Case{"GET / HTTP/1.1\r\nHost: 192.168.77.2\r\n\r\n", Reason::not_sip},
             Case{"OPTIONS sip:192.168.77.2 SIP/2.0\r\nVia: x\r\n\r\n", Reason::malformed},
             Case{"REGISTER sip:203.0.113.10 SIP/2.0\r\nVia", Reason::malformed},
         }) {
        const auto sent = line.out(payload);
        EXPECT_EQ(sent.text, payload);
        EXPECT_EQ(sent.decision.reason, reason) << payload;
        EXPECT_EQ(sent.decision.verdict, Verdict::accept);
        EXPECT_EQ(sent.decision.detail.empty(), reason != Reason::malformed);
    }
    EXPECT_EQ(gateway.count(Reason::keepalive), 2U);
    EXPECT_EQ(gateway.count(Reason::malformed), 2U);
    EXPECT_EQ(gateway.count(Reason::not_sip), 1U);
}

TEST(OtherPackets, MalformedOnesAreDroppedIfTheAdminSaysSo) {
    auto settings = lab_settings();
    settings.on_malformed = OnMalformed::drop;
    Gateway gateway(settings);
    const auto line = gateway.line();
    EXPECT_EQ(line.out("BYE sip:x SIP/2.0\r\n\r\n").decision.verdict, Verdict::drop);
    EXPECT_EQ(line.out("\r\n\r\n").decision.verdict, Verdict::accept);
    EXPECT_EQ(line.out(kAlice.request("OPTIONS", 1)).decision.verdict, Verdict::accept);
}

}  // namespace
}  // namespace sipnat
