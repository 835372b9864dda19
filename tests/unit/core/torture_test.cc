// Messages that are legal and look as if they were not, and the other way round: what RFC 4475 and,
// for IPv6, RFC 5118 make of one message each, here as messages of a phone behind the gateway. The
// section beside each names its model. Legal ones get exactly the edits that stand behind them and
// come back as they were; what is no message passes as it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "header_lab.h"

namespace sipnat {
namespace {

struct LegalCase {
    const char* section;
    std::string head;                ///< without Content-Length
    std::vector<std::string> edits;  ///< "Place: old -> new"
};

void expect_edits(const Line& line, const LegalCase& one) {
    SCOPED_TRACE(one.section);
    const auto text = crlf(one.head + "\n");
    const auto sent = line.out(text);
    EXPECT_EQ(show_edits(text, sent), one.edits);
    EXPECT_EQ(sent.decision.reason, one.edits.empty() ? Reason::unchanged : Reason::rewritten)
        << sent.decision.detail;
    if (!text.starts_with("SIP/")) {
        EXPECT_EQ(line.in(echo(sent.text)).text, echo(text));
    }
}

const std::string kRest =
    "From: <sip:a@example.com>;tag=1\nTo: <sip:b@example.com>\nCall-ID: 1@192.168.77.2\n";
const std::string kVia = "Via: SIP/2.0/UDP 192.168.77.2;branch=z9hG4bK1\n";
const std::string kViaEdit = "Via: 192.168.77.2 -> 203.0.113.1:1024";

std::string options(const std::string& lines, const std::string& uri = "sip:b@example.com") {
    return "OPTIONS " + uri + " SIP/2.0\n" + kVia + kRest + "CSeq: 1 OPTIONS\n" + lines;
}

TEST(Torture, LegalMessagesGetTheirEditsAndNoOthers) {
    for (const auto& one : {
             LegalCase{"4475 3.1.1.1: white space, folds, escapes, case",
                       "INVITE sip:b@chair-dnrc.example.com;unknownparam SIP/2.0\n"
                       "TO :\n sip:b@192.168.77.2 ;   tag    = 1918181833n\n"
                       "from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@192.168.77.2>\n  ;\n"
                       "  tag = 98asjd8\n"
                       "MaX-fOrWaRdS: 0068\n"
                       "Call-ID: wsinv.ndaksdj@192.168.77.2\n"
                       "Content-Length   : 000\n"
                       "cseq: 0009\n  INVITE\n"
                       "Via  : SIP  /   2.0\n /UDP\n    192.168.77.2;branch=390skdjuw\n"
                       "s :\n"
                       "NewFangledHeader:   newfangled value\n continued <sip:192.168.77.2>\n"
                       "UnknownHeaderWithUnusualValue: ;;,,;;,;\n"
                       "Route:\n <sip:192.168.77.2;lr;unknownwith=value;unknown-no-value>\n"
                       "v:  SIP  / 2.0  / TCP     192.168.77.2   ;\n  branch  =   z9hG4bK9ikj8  ,\n"
                       " SIP  /    2.0   / UDP  192.168.77.2   ; branch=\n z9hG4bK30239\n"
                       "m:\"Quoted string \\\"\\\"\" <sip:jdrosen@192.168.77.2> ; newparam =\n"
                       "      newvalue ;\n  secondparam ; q = 0.33\n",
                       {"To: 192.168.77.2 -> 203.0.113.1", "From: 192.168.77.2 -> 203.0.113.1",
                        "Via: 192.168.77.2 -> 203.0.113.1:1024",
                        "Route: 192.168.77.2 -> 203.0.113.1:1024",
                        "Contact: 192.168.77.2 -> 203.0.113.1:1024"}},
             {"4475 3.1.1.2: all of the grammar's characters",
              "!interesting-Method0123456789_*+`.%indeed'~ "
              "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.("
              "doesn't-it)@example.com SIP/2.0\n"
              "Via: SIP/2.0/UDP 192.168.77.2;branch=z9hG4bK-.!%66*_+`'~\n"
              "To: \"BEL:\\\x07 DEL:\\\x7f\" "
              "<sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@192.168.77.2>\n"
              "From: token1~` token2'+_ token3*%!.- <sip:mundane@192.168.77.2>"
              ";fromParam''~+*_!.-%=\"\xd1\x80\xd0\xb0\xd0\xb1\xd0\xbe\xd1\x82\";tag=_token~1'+`*%!"
              "-.\n"
              "Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\n"
              "CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~\n"
              "extensionHeader-!.%*+_`'~:\xef\xbb\xbf\xe5\xa4\xa7\n",
              {kViaEdit, "To: 192.168.77.2 -> 203.0.113.1", "From: 192.168.77.2 -> 203.0.113.1"}},
             {"4475 3.1.1.3: % escapes in the user part",
              options("Contact: <sip:cal%6Cer@192.168.77.2;%6C%72;n%61me=v%61lue%25%34%31>\n",
                      "sip:sips%3Auser%40192.168.77.2@example.net"),
              {kViaEdit, "Contact: 192.168.77.2 -> 203.0.113.1:1024"}},
             {"4475 3.1.1.4: escaped NULs",
              options("Contact: <sip:%00@192.168.77.2>\nContact: <sip:%00%00@192.168.77.2>\n"),
              {kViaEdit, "Contact: 192.168.77.2 -> 203.0.113.1:1024",
               "Contact: 192.168.77.2 -> 203.0.113.1:1024"}},
             {"4475 3.1.1.5: % that escapes nothing",
              "RE%47IST%45R sip:registrar.example.com SIP/2.0\n" + kVia + kRest +
                  "CSeq: 29344 RE%47IST%45R\nContact: <sip:alias1@192.168.77.2>\n"
                  "C%6Fntact: <sip:alias2@192.168.77.2>\nContact: <sip:alias3@192.168.77.2>\n",
              {kViaEdit, "Contact: 192.168.77.2 -> 203.0.113.1:1024",
               "Contact: 192.168.77.2 -> 203.0.113.1:1024"}},
             {"4475 3.1.1.6: no white space before <",
              options("Contact: caller<sip:caller@192.168.77.2>;x\n"),
              {kViaEdit, "Contact: 192.168.77.2 -> 203.0.113.1:1024"}},
             {"4475 3.1.1.7: long values",
              options("Contact: \"" + std::string(4000, 'x') + "\" <sip:" + std::string(300, 'u') +
                      "@192.168.77.2:5060>\nUnknown-" + std::string(300, 'L') +
                      "-Header: <sip:192.168.77.2>\n"),
              {kViaEdit, "Contact: 192.168.77.2:5060 -> 203.0.113.1:1024"}},
             {"4475 3.1.1.9: a semicolon in the user part",
              options("Contact: <sip:user;par=u%40192.168.77.2@192.168.77.2>\n",
                      "sip:user;par=u%40example.net@example.com"),
              {kViaEdit, "Contact: 192.168.77.2 -> 203.0.113.1:1024"}},
             {"4475 3.1.1.10: transports in Via",
              options("Via: SIP/2.0/SCTP 192.168.77.2;branch=2\nVia: SIP/2.0/TLS 192.168.77.2\n"
                      "Via: SIP/2.0/UNKNOWN 192.168.77.2;branch=3\n"),
              {kViaEdit}},
             {"4475 3.1.1.12: a reason of UTF-8",
              "SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe\n"
              "Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923\n" +
                  kRest + "CSeq: 35 INVITE\nContact: <sip:user@192.168.77.2>\n",
              {"Contact: 192.168.77.2 -> 203.0.113.1:1024"}},
             {"4475 3.1.1.13: no reason",
              "SIP/2.0 100 \nVia: SIP/2.0/UDP 192.168.77.2;branch=z9hG4bK1\n" + kRest +
                  "CSeq: 35 INVITE\n",
              {}},
             {"4475 3.3.3, 3.3.4: schemes that nobody knows",
              options("Contact: <nobodyKnowsThisScheme:192.168.77.2>, <soap.beep://192.168.77.2>\n",
                      "nobodyKnowsThisScheme:totallyopaquecontent"),
              {kViaEdit}},
             {"4475 3.3.5: in From and To too",
              "OPTIONS sip:b@example.com SIP/2.0\n" + kVia +
                  "To: isbn:2983792873\nFrom: <http://192.168.77.2>;tag=1\nCall-ID: 1\n"
                  "CSeq: 1 OPTIONS\nContact: <name:John_Smith>\n",
              {kViaEdit}},
             {"4475 3.3.6, 3.3.7: credentials of a scheme that nobody knows",
              options("Require: nothingSupportsThis\nProxy-Require: noProxiesSupportThis\n"
                      "Authorization: NoOneKnowsThisScheme opaque-data=192.168.77.2\n"),
              {kViaEdit}},
             {"4475 3.3.14, 3.3.15: parameters inside and outside of the URI",
              options("Contact: sip:+19725552222@192.168.77.2;unknownparam\n"
                      "Contact: <sip:+19725552222@192.168.77.2;unknownparam>\n"),
              {kViaEdit, "Contact: 192.168.77.2 -> 203.0.113.1:1024",
               "Contact: 192.168.77.2 -> 203.0.113.1:1024"}},
             {"4475 3.3.16: a header inside of the URI",
              options("Contact: <sip:user@192.168.77.2?Route=%3Csip:192.168.77.2%3E>\n",
                      "sip:b@192.168.77.2?Route=%3Csip:192.168.77.2%3E"),
              {kViaEdit, "Contact: 192.168.77.2 -> 203.0.113.1:1024"}},
             {"4475 3.4.1: of RFC 2543",
              "INVITE sip:UserB@example.com SIP/2.0\nVia: SIP/2.0/UDP 192.168.77.2\n"
              "From: <sip:192.168.77.2>\nRecord-Route: <sip:UserB@192.168.77.2;maddr=ss1.example."
              "com>\nTo: sip:+16505552222@ss1.example.net;user=phone\nCall-ID: inv2543.1717@ift\n"
              "CSeq: 56 INVITE\n",
              {kViaEdit, "From: 192.168.77.2 -> 203.0.113.1",
               "Record-Route: 192.168.77.2 -> 203.0.113.1:1024"}},
         }) {
        Gateway gateway;
        expect_edits(gateway.line(), one);
    }
}

TEST(Torture, WhatStandsBehindTheMessageStays) {
    // 4475 3.1.1.8: a second request in the same datagram.
    const auto first = request("REGISTER", "Contact: <sip:j.user@192.168.77.2>\n");
    const auto second = request("INVITE", "Contact: <sip:joe@192.168.77.2>\n");
    Gateway gateway;
    EXPECT_EQ(gateway.line().out(first + second).text,
              request("REGISTER", "Contact: <sip:j.user@203.0.113.1:1024>\n") + second);
}

// Legal to no grammar, and yet it is clear where the addresses stand; where it is not, they stay.
TEST(Torture, OfIllegalValuesOnlyWhatCanBeReadIsEdited) {
    const std::string contact = "Contact: 192.168.77.2 -> 203.0.113.1:1024";
    for (const auto& one : {
             LegalCase{"4475 3.1.2.1: extra separators",
                       "OPTIONS sip:b@example.com SIP/2.0\n"
                       "Via: SIP/2.0/UDP 192.168.77.2;;,;,,\n" +
                           kRest + "CSeq: 1 OPTIONS\nContact: \"Joe\" <sip:joe@192.168.77.2>;;;;\n",
                       {kViaEdit, contact}},
             {"4475 3.1.2.6: a quote that does not end",
              options("Contact: \"Mr. J. User <sip:j.user@192.168.77.2>\n"),
              {kViaEdit}},
             {"4475 3.1.2.7: a Request-URI in brackets",
              options("", "<sip:b@192.168.77.2>"),
              {kViaEdit}},
             {"4475 3.1.2.11: headers in the Request-URI",
              options("", "sip:b@example.com?Route=%3Csip:192.168.77.2%3E"),
              {kViaEdit}},
             {"4475 3.1.2.13: headers of a URI without brackets",
              options("Contact: sip:user@192.168.77.2?Route=%3Csip:192.168.77.2%3E\n"),
              {kViaEdit, contact}},
             {"4475 3.1.2.14: blanks in the addr-spec",
              options("Contact: < sip:j@192.168.77.2 >\nContact: <sip:j @192.168.77.2>\n"
                      "Contact: <sip:j@ 192.168.77.2>\nContact: <sip:j@192.168.77.2 :5060>\n"),
              {kViaEdit, contact}},
             {"4475 3.1.2.15: a comma in a display name that is not quoted",
              options("Contact: Bell, Alexander <sip:a.g.bell@192.168.77.2>\n"),
              {kViaEdit}},
             {"an address of more than there is",
              options("Contact: <sip:a@192.168.77.2.>, <sip:a@192.168.077.2>, "
                      "<sip:a@192.168.77.258>, <sip:a@3232255234>, <sip:a@0xc0a84d02>\n"),
              {kViaEdit}},
             {"two @", options("Contact: <sip:a@192.168.77.2@192.168.77.2>\n"), {kViaEdit}},
             {"a port that is none",
              options("Contact: <sip:a@192.168.77.2:>\nContact: <sip:a@192.168.77.2:65536>\n"
                      "Contact: <sip:a@192.168.77.2:-1>\nContact: <sip:a@192.168.77.2:5O60>\n"),
              {kViaEdit}},
         }) {
        Gateway gateway;
        expect_edits(gateway.line(), one);
    }
}

TEST(Torture, WhatIsNoMessagePassesAsItIs) {
    struct Case {
        const char* section;
        std::string text;
    };
    const auto with = [](std::string_view old, std::string_view now) {
        auto text = options("Contact: <sip:a@192.168.77.2>\nContent-Length: 0\n");
        return crlf(text.replace(text.find(old), old.size(), now) + "\n");
    };
    for (const auto& [section, text] : {
             Case{"4475 3.1.1.2: an escaped NUL byte",
                  with("<sip:b@", "\"\\" + std::string(1, '\0') + "\" <sip:b@")},
             {"4475 3.1.2.2: Content-Length larger than the message",
              with("Length: 0", "Length: 9999")},
             {"4475 3.1.2.3: negative", with("Length: 0", "Length: -999")},
             {"4475 3.1.2.4: a CSeq of more than 32 bits",
              with("CSeq: 1", "CSeq: 36893488147419103")},
             {"4475 3.1.2.8: white space in the Request-URI",
              with("sip:b@example.com SIP", "sip:b@e; lr SIP")},
             {"4475 3.1.2.9: two blanks in the start line", with("OPTIONS sip", "OPTIONS  sip")},
             {"4475 3.1.2.10: blanks behind the version", with("SIP/2.0\n", "SIP/2.0  \n")},
             {"4475 3.1.2.16: an unknown version", with("SIP/2.0\n", "SIP/7.0\n")},
             {"4475 3.1.2.17, 18: CSeq of another method", with("1 OPTIONS", "1 INVITE")},
             {"4475 3.1.2.19: a status code of many digits",
              with("OPTIONS sip:b@example.com SIP/2.0", "SIP/2.0 4294967301 better not break")},
             {"4475 3.3.1: no Call-ID", with("Call-ID:", "X:")},
             {"4475 3.3.8: To, From, CSeq, Call-ID twice", with("Contact:", "To:")},
             {"4475 3.3.9: two Content-Lengths", with("Contact: <sip:a@192.168.77.2>", "l: 1")},
         }) {
        Gateway gateway;
        const auto sent = gateway.line().out(text);
        EXPECT_EQ(sent.text, text) << section;
        EXPECT_EQ(sent.decision.reason, Reason::malformed) << section;
        EXPECT_FALSE(sent.decision.detail.empty()) << section;
    }
}

// 4475 3.3.10: a response whose Via is not the phone's.
TEST(Torture, AResponseForSomebodyElseKeepsItsVia) {
    Gateway gateway;
    const auto text = crlf(
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923\n"
        "Via: SIP/2.0/UDP 255.255.255.255;branch=1\n"
        "Via: SIP/2.0/UDP 203.0.113.1:1024;branch=2\n" +
        kRest + "CSeq: 35 INVITE\nContact: <sip:user@198.51.100.198>\n\n");
    EXPECT_EQ(gateway.line().in(text).text, text);
}

// --- IPv6 ---------------------------------------------------------------------------------------

std::string options6(const std::string& lines, const std::string& via,
                     const std::string& uri = "sip:b@[2001:db8::10]") {
    return "OPTIONS " + uri + " SIP/2.0\nVia: SIP/2.0/UDP " + via + ";branch=z9hG4bK1\n" + kRest +
           "CSeq: 1 OPTIONS\n" + lines;
}

TEST(TortureIpv6, LegalMessagesGetTheirEditsAndNoOthers) {
    const std::string via = "Via: [2001:db8:1::2] -> [2001:db8::1]:1024";
    const std::string contact = "Contact: [2001:db8:1::2] -> [2001:db8::1]:1024";
    for (const auto& one : {
             LegalCase{
                 "5118 4.1",
                 options6("Contact: \"Caller\" <sip:caller@[2001:db8:1::2]>\n", "[2001:db8:1::2]"),
                 {via, contact}},
             {"5118 4.3: what looks like a port is none",
              options6("Contact: <sip:a@[2001:db8:1::2:5060]>, <sip:a@[2001:db8:1::2]>\n",
                       "[2001:db8:1::2:5060]", "sip:[2001:db8::10:5070]"),
              {contact}},
             {"5118 4.4: a port",
              options6("Contact: <sip:a@[2001:db8:1::2]:5060>, <sip:a@[2001:db8:1::2]:5070>\n",
                       "[2001:db8:1::2]:5060", "sip:[2001:db8::10]:5070"),
              {"Via: [2001:db8:1::2]:5060 -> [2001:db8::1]:1024",
               "Contact: [2001:db8:1::2]:5060 -> [2001:db8::1]:1024",
               "Contact: [2001:db8:1::2]:5070 -> [2001:db8::1]:10000"}},
             {"5118 4.7: both families",
              options6("Via: SIP/2.0/UDP 192.0.2.1;received=2001:db8:1::2;branch=y\n"
                       "Contact: <sip:a@192.168.77.2>, <sip:a@[2001:db8:1::2]>\n",
                       "[2001:db8:1::2]"),
              {via, contact}},
             {"5118 4.9: IPv4 inside of IPv6 is another address",
              options6("Contact: <sip:a@[::ffff:192.168.77.2]>\n", "[::ffff:192.0.2.10]:19823"),
              {}},
             {"5118 4.10: two colons",
              options6("Contact: <sip:a@[2001:0DB8:1:0:0:0:0.0.0.2]>\n", "[2001:db8:1::0.0.0.2]"),
              {"Via: [2001:db8:1::0.0.0.2] -> [2001:db8::1]:1024",
               "Contact: [2001:0DB8:1:0:0:0:0.0.0.2] -> [2001:db8::1]:1024"}},
             {"5118 4.10: three",
              options6("Contact: <sip:a@[2001:db8:1:::2]>\n", "[2001:db8:1:::2]"),
              {}},
             {"5118 4.2: no brackets",
              options6("Contact: <sip:a@2001:db8:1::2>\n", "2001:db8:1::2", "sip:2001:db8::10"),
              {}},
         }) {
        Gateway gateway;
        expect_edits(
            gateway.line("[2001:db8:1::2]:5060", "[2001:db8::1]:1024", "[2001:db8::10]:5060"), one);
    }
}

// 5118 4.5: received with brackets and without.
TEST(TortureIpv6, ReceivedKeepsItsForm) {
    for (const bool brackets : {true, false}) {
        const auto received = [&](const std::string& address) {
            return ";received=" + (brackets ? "[" + address + "]" : address) + ";rport=";
        };
        Gateway gateway;
        const auto line =
            gateway.line("[2001:db8:1::2]:5060", "[2001:db8::1]:1024", "[2001:db8::10]:5060");
        const auto sent = line.out(crlf(options6("", "[2001:db8:1::2]") + "\n"));
        auto response = echo(sent.text);
        response.insert(response.find(";branch"), received("2001:db8::1") + "1024");
        EXPECT_EQ(header_line(line.in(response).text, "Via"), "Via: SIP/2.0/UDP [2001:db8:1::2]" +
                                                                  received("2001:db8:1::2") +
                                                                  "5060;branch=z9hG4bK1");
    }
}

}  // namespace
}  // namespace sipnat
