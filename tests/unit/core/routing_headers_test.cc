// Headers that somebody will send requests by: routes, and URIs to refer or reply to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "header_lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;

TEST(RoutingHeaders, NameTheSenderAsTheOtherSideSeesIt) {
    for (const auto& header : {
             LineCase{"a proxy's", "Record-Route: <sip:192.168.77.2;lr>",
                      "Record-Route: <sip:203.0.113.1:1024;lr>"},
             {"with the port", "Record-Route: <sip:192.168.77.2:5060;lr>",
              "Record-Route: <sip:203.0.113.1:1024;lr>"},
             {"Route", "Route: <sip:192.168.77.2;lr>", "Route: <sip:203.0.113.1:1024;lr>"},
             {"Path", "Path: <sip:tok%40en@192.168.77.2;lr;ob>",
              "Path: <sip:tok%40en@203.0.113.1:1024;lr;ob>"},
             {"Service-Route", "Service-Route: <sip:192.168.77.2;lr>",
              "Service-Route: <sip:203.0.113.1:1024;lr>"},
             {"several in a line",
              "Record-Route: <sip:192.168.77.2;lr;r=1>,<sip:198.51.100.1;lr> , "
              "<sip:192.168.77.2:5060;lr>;x",
              "Record-Route: <sip:203.0.113.1:1024;lr;r=1>,<sip:198.51.100.1;lr> , "
              "<sip:203.0.113.1:1024;lr>;x"},
             {"over several lines",
              "Record-Route: <sip:192.168.77.2;lr>\nrecord-route:<sip:x@192.168.77.2>\n"
              "RECORD-ROUTE:\t<sip:a.example.com;lr>,\n\t<sip:y@192.168.77.2:5060;lr>",
              "Record-Route: <sip:203.0.113.1:1024;lr>\nrecord-route:<sip:x@203.0.113.1:1024>\n"
              "RECORD-ROUTE:\t<sip:a.example.com;lr>,\n\t<sip:y@203.0.113.1:1024;lr>"},
             {"folds and comments",
              "Path:\n \"<sip:192.168.77.2>, \\\" \"\n <sip:192.168.77.2;lr>\n "
              "(<sip:192.168.77.2>)",
              "Path:\n \"<sip:192.168.77.2>, \\\" \"\n <sip:203.0.113.1:1024;lr>\n "
              "(<sip:192.168.77.2>)"},
             {"any case", "Route: <SIP:192.168.77.2;TRANSPORT=Udp;LR>",
              "Route: <SIP:203.0.113.1:1024;TRANSPORT=Udp;LR>"},
             {"sips has the port 5061", "Route: <sips:192.168.77.2;lr>",
              "Route: <sips:192.168.77.2;lr>"},
             {"sips with the port", "Route: <sips:192.168.77.2:5060;lr>",
              "Route: <sips:203.0.113.1:1024;lr>"},
             {"another transport", "Route: <sip:192.168.77.2;transport=tcp;lr>",
              "Route: <sip:192.168.77.2;transport=tcp;lr>"},
             {"another port", "Route: <sip:192.168.77.2:5062;lr>",
              "Route: <sip:192.168.77.2:5062;lr>"},
             {"another host", "Route: <sip:192.168.77.20;lr>", "Route: <sip:192.168.77.20;lr>"},
             {"a name", "Route: <sip:proxy.example.com;lr>", "Route: <sip:proxy.example.com;lr>"},
             {"the server", "Route: <sip:203.0.113.10;lr>", "Route: <sip:203.0.113.10;lr>"},
             {"the headers of a URI", "Route: <sip:192.168.77.2;lr?Route=%3Csip:192.168.77.2%3E>",
              "Route: <sip:203.0.113.1:1024;lr?Route=%3Csip:192.168.77.2%3E>"},
             {"no URI of SIP", "Route: <tel:+15551234>, <http://192.168.77.2/>",
              "Route: <tel:+15551234>, <http://192.168.77.2/>"},
             {"what can't be read ends it", "Route: <sip:192.168.77.2;lr>, <sip:192.168.77.2",
              "Route: <sip:203.0.113.1:1024;lr>, <sip:192.168.77.2"},
         }) {
        Gateway gateway;
        expect_outwards(gateway.line(), header);
    }
}

TEST(RoutingHeaders, MaddrIsAnAddressOfItsUri) {
    for (const auto& header : {
             LineCase{"both", "Contact: <sip:a@192.168.77.2;maddr=192.168.77.2;x>",
                      "Contact: <sip:a@203.0.113.1:1024;maddr=203.0.113.1;x>"},
             {"a name's", "Contact: <sip:a@example.com;maddr=192.168.77.2>",
              "Contact: <sip:a@example.com:1024;maddr=203.0.113.1>"},
             {"a name's, with the port", "Route: <sip:example.com:5060;lr;MAddr=192.168.77.2;x>",
              "Route: <sip:example.com:1024;lr;MAddr=203.0.113.1;x>"},
             {"a name's, in a route", "Route: <sip:example.com;maddr=192.168.77.2;lr>",
              "Route: <sip:example.com:1024;maddr=203.0.113.1;lr>"},
             {"with another port", "Route: <sip:example.com:5062;maddr=192.168.77.2>",
              "Route: <sip:example.com:5062;maddr=192.168.77.2>"},
             {"another", "Contact: <sip:a@192.168.77.2;maddr=198.51.100.1>",
              "Contact: <sip:a@203.0.113.1:1024;maddr=198.51.100.1>"},
             {"a name", "Contact: <sip:a@192.168.77.2;maddr=x.example.com>",
              "Contact: <sip:a@203.0.113.1:1024;maddr=x.example.com>"},
             {"none at all", "Contact: <sip:a@192.168.77.2;maddr>",
              "Contact: <sip:a@203.0.113.1:1024;maddr>"},
         }) {
        Gateway gateway;
        expect_outwards(gateway.line(), header);
    }
}

// The port that both sides have is not written anew, and stays as it is spelt.
TEST(RoutingHeaders, AKeptPortStays) {
    Gateway gateway;
    const auto line = gateway.line("192.168.77.2:5060", "203.0.113.1:5060");
    for (const auto& header : {
             LineCase{"none", "Route: <sip:192.168.77.2;lr>", "Route: <sip:203.0.113.1;lr>"},
             {"one", "Route: <sip:192.168.77.2:5060;lr>", "Route: <sip:203.0.113.1:5060;lr>"},
             {"maddr", "Route: <sip:example.com:05060;maddr=192.168.77.2>",
              "Route: <sip:example.com:05060;maddr=203.0.113.1>"},
         }) {
        expect_outwards(line, header);
    }
}

TEST(RoutingHeaders, ReferencesAreMatchedByEndpoint) {
    for (const auto& header : {
             LineCase{"Reply-To", "Reply-To: \"A\" <sip:a@192.168.77.2>;x",
                      "Reply-To: \"A\" <sip:a@203.0.113.1:1024>;x"},
             {"Reply-To without brackets", "Reply-To: sip:a@192.168.77.2;x",
              "Reply-To: sip:a@203.0.113.1:1024;x"},
             {"another port", "Reply-To: <sip:a@192.168.77.2:5070>",
              "Reply-To: <sip:a@192.168.77.2:5070>"},
             {"Refer-To", "Refer-To: <sip:a@192.168.77.2:5060;method=INVITE>",
              "Refer-To: <sip:a@203.0.113.1:1024;method=INVITE>"},
             {"compact", "r:sip:a@192.168.77.2", "r:sip:a@203.0.113.1:1024"},
             {"another party", "Refer-To: <sip:b@203.0.113.20>", "Refer-To: <sip:b@203.0.113.20>"},
             {"Replaces stays",
              "Refer-To: <sip:a@192.168.77.2?Replaces=1%40192.168.77.2%3Bto-tag%3D1>",
              "Refer-To: <sip:a@203.0.113.1:1024?Replaces=1%40192.168.77.2%3Bto-tag%3D1>"},
             {"unescaped too", "Refer-To: <sip:a@192.168.77.2?Replaces=1@192.168.77.2;to-tag=1>",
              "Refer-To: <sip:a@203.0.113.1:1024?Replaces=1@192.168.77.2;to-tag=1>"},
             {"of a URI without user nobody can say",
              "Refer-To: <sip:198.51.100.1?Replaces=1@192.168.77.2>",
              "Refer-To: <sip:198.51.100.1?Replaces=1@192.168.77.2>"},
             {"elsewhere '?' is part of the user", "Reply-To: <sip:a?b@192.168.77.2>",
              "Reply-To: <sip:a?b@203.0.113.1:1024>"},
             {"tel", "Refer-To: <tel:+15551234>", "Refer-To: <tel:+15551234>"},
         }) {
        Gateway gateway;
        expect_outwards(gateway.line(), header);
    }
}

TEST(RoutingHeaders, NameTheReceiverAsItIs) {
    for (const auto& header : {
             LineCase{"Route", "Route: <sip:203.0.113.1:1024;lr>, <sip:203.0.113.10;lr>",
                      "Route: <sip:192.168.77.2:5060;lr>, <sip:203.0.113.10;lr>"},
             {"Record-Route",
              "Record-Route: <sip:203.0.113.10;lr>\nRecord-Route: "
              "<sip:203.0.113.1:1024>",
              "Record-Route: <sip:203.0.113.10;lr>\nRecord-Route: <sip:192.168.77.2:5060>"},
             {"Path", "Path: <sip:203.0.113.1:1024;lr>", "Path: <sip:192.168.77.2:5060;lr>"},
             {"Service-Route", "Service-Route: <sip:203.0.113.1:1024;lr>",
              "Service-Route: <sip:192.168.77.2:5060;lr>"},
             {"Refer-To", "r: <sip:a@203.0.113.1:1024>", "r: <sip:a@192.168.77.2:5060>"},
             {"Reply-To", "Reply-To: <sip:a@203.0.113.1:1024>",
              "Reply-To: <sip:a@192.168.77.2:5060>"},
             {"maddr", "Route: <sip:example.com:1024;maddr=203.0.113.1>",
              "Route: <sip:example.com:5060;maddr=192.168.77.2>"},
             {"another phone behind the same address", "Route: <sip:203.0.113.1:1025;lr>",
              "Route: <sip:203.0.113.1:1025;lr>"},
             {"another transport", "Route: <sip:203.0.113.1:1024;transport=TCP>",
              "Route: <sip:203.0.113.1:1024;transport=TCP>"},
             {"the port is another", "Refer-To: <sip:a@203.0.113.1>",
              "Refer-To: <sip:a@203.0.113.1>"},
         }) {
        Gateway gateway;
        expect_inwards(gateway.line(), header);
    }
}

TEST(RoutingHeaders, SpeakIpv6) {
    for (const auto& header : {
             LineCase{"no port", "Record-Route: <sip:[2001:db8:1::2];lr>",
                      "Record-Route: <sip:[2001:db8::1]:1024;lr>"},
             {"another spelling, with port", "Route: <sip:[2001:DB8:1:0:0::2]:5060;lr>",
              "Route: <sip:[2001:db8::1]:1024;lr>"},
             {"a port inside the brackets is none", "Route: <sip:[2001:db8:1::2:5060];lr>",
              "Route: <sip:[2001:db8:1::2:5060];lr>"},
             {"maddr in brackets", "Contact: <sip:a@example.com;maddr=[2001:db8:1::2];x>",
              "Contact: <sip:a@example.com:1024;maddr=[2001:db8::1];x>"},
             {"maddr without", "Contact: <sip:a@[2001:db8:1::2];maddr=2001:DB8:1::2;x>",
              "Contact: <sip:a@[2001:db8::1]:1024;maddr=2001:db8::1;x>"},
             {"Via's maddr without",
              "Via: SIP/2.0/UDP [2001:db8:1::2];maddr=2001:db8:1::2;branch=b",
              "Via: SIP/2.0/UDP [2001:db8::1]:1024;maddr=2001:db8::1;branch=b"},
             {"identity", "From: <sip:a@[2001:DB8:1::2]>;tag=1",
              "From: <sip:a@[2001:db8::1]>;tag=1"},
         }) {
        Gateway gateway;
        expect_outwards(
            gateway.line("[2001:db8:1::2]:5060", "[2001:db8::1]:1024", "[2001:db8::10]:5060"),
            header);
    }
}

// --- over several messages ----------------------------------------------------------------------

// An inside proxy behind a port forward: what it wrote into Record-Route comes back in the Route of
// later requests, to the letter.
TEST(RoutingHeaders, TheRouteOfLaterRequestsIsTheVeryText) {
    for (const std::string route :
         {"<sip:192.168.77.5;lr>", "<sip:192.168.77.5:5060;lr>", "<sip:p@192.168.77.5;lr;ftag=1>",
          "<sip:p.example.com;maddr=192.168.77.5;lr>", "<sip:203.0.113.1;lr>"}) {
        SCOPED_TRACE(route);
        Gateway gateway;
        const auto line = gateway.forwarded();
        const auto invite = line.in(request("INVITE", "", "sip:100@203.0.113.1"));
        const auto ok =
            line.out(crlf("SIP/2.0 200 OK\nRecord-Route: " + route + "\n") +
                     echo(invite.text).substr(std::string_view("SIP/2.0 200 OK\r\n").size()));
        const auto seen = header_line(ok.text, "Record-Route").substr(14);
        EXPECT_EQ(seen.find("192.168.77.5"), std::string::npos);
        const auto ack = line.in(request("ACK", "Route: " + seen + "\n"));
        EXPECT_EQ(header_line(ack.text, "Route"), "Route: " + route);
    }
}

TEST(RoutingHeaders, RoutesAreKnownByTheirParameters) {
    Gateway gateway;
    const auto line = gateway.line();
    (void)line.out(request("INVITE",
                           "Record-Route: <sip:192.168.77.2;lr;r2=on>, "
                           "<sip:192.168.77.2:5060;lr;r2=off>\n"));
    const auto bye =
        line.in(request("BYE",
                        "Route: <sip:203.0.113.1:1024;lr;r2=off>, <sip:203.0.113.1:1024;lr;r2=on>, "
                        "<sip:203.0.113.1:1024;lr>\n"));
    EXPECT_EQ(header_line(bye.text, "Route"),
              "Route: <sip:192.168.77.2:5060;lr;r2=off>, <sip:192.168.77.2;lr;r2=on>, "
              "<sip:192.168.77.2:5060;lr>");
}

TEST(RoutingHeaders, EachHeaderKeepsItsOwnSpelling) {
    Gateway gateway;
    const auto line = gateway.line();
    (void)line.out(request("REFER",
                           "Contact: <sip:a@192.168.77.2>\nRefer-To: <sip:a@192.168.77.2:05060>\n"
                           "Record-Route: <sip:a@192.168.77.2:5060>\n"));
    const auto notify = line.in(request("NOTIFY",
                                        "Refer-To: <sip:a@203.0.113.1:1024>\n"
                                        "Route: <sip:a@203.0.113.1:1024>\n"
                                        "Reply-To: <sip:a@203.0.113.1:1024>\n",
                                        "sip:a@203.0.113.1:1024"));
    EXPECT_THAT(notify.text, testing::StartsWith("NOTIFY sip:a@192.168.77.2 SIP/2.0\r\n"));
    EXPECT_EQ(header_line(notify.text, "Refer-To"), "Refer-To: <sip:a@192.168.77.2:05060>");
    EXPECT_EQ(header_line(notify.text, "Route"), "Route: <sip:a@192.168.77.2:5060>");
    // Never written: the Contact's, since that is what others know.
    EXPECT_EQ(header_line(notify.text, "Reply-To"), "Reply-To: <sip:a@192.168.77.2>");
}

TEST(RoutingHeaders, AContactIsRememberedWithWhatIsNotOfItsWriter) {
    Gateway gateway;
    const auto line = gateway.line();
    (void)line.out(request("OPTIONS",
                           "Contact: <sip:a@example.com;maddr=192.168.77.2>\n"
                           "Contact: <sip:b@192.168.77.2;maddr=x.example.com>\n"
                           "Contact: <sip:c@192.168.77.2;maddr=192.168.77.2>\n"));
    struct Case {
        std::string_view before;
        std::string_view after;
    };
    for (const auto& [before, after] : {
             Case{"sip:a@example.com:1024;maddr=203.0.113.1",
                  "sip:a@example.com;maddr=192.168.77.2"},
             {"sip:a@other.example:1024;maddr=203.0.113.1",
              "sip:a@other.example:5060;maddr=192.168.77.2"},
             {"sip:a@203.0.113.1:1024", "sip:a@192.168.77.2:5060"},
             {"sip:b@203.0.113.1:1024;maddr=y.example.com",
              "sip:b@192.168.77.2;maddr=y.example.com"},
             {"sip:c@203.0.113.1:1024;maddr=203.0.113.1", "sip:c@192.168.77.2;maddr=192.168.77.2"},
             {"sip:c@203.0.113.1:1024", "sip:c@192.168.77.2:5060"},
         }) {
        EXPECT_EQ(line.in(request("OPTIONS", "", before)).text, request("OPTIONS", "", after));
    }
}

// --- what is never touched ----------------------------------------------------------------------

TEST(OtherHeaders, AreNeverTouched) {
    Gateway gateway;
    const auto line = gateway.line();
    for (const std::string name : {"Authorization",
                                   "Proxy-Authorization",
                                   "WWW-Authenticate",
                                   "Proxy-Authenticate",
                                   "Authentication-Info",
                                   "Replaces",
                                   "Warning",
                                   "In-Reply-To",
                                   "Target-Dialog",
                                   "Join",
                                   "History-Info",
                                   "Call-Info",
                                   "Alert-Info",
                                   "Error-Info",
                                   "P-Associated-URI",
                                   "P-Called-Party-ID",
                                   "P-Access-Network-Info",
                                   "Geolocation",
                                   "Identity-Info",
                                   "Date",
                                   "Subject",
                                   "s",
                                   "User-Agent",
                                   "Server",
                                   "X-Contact",
                                   "Contacts",
                                   "Rout",
                                   "RecordRoute"}) {
        for (const auto* value :
             {"<sip:a@192.168.77.2:5060>", "Digest uri=\"sip:192.168.77.2\", realm=\"x\"",
              "1@192.168.77.2;to-tag=1", "399 192.168.77.2:5060 \"sip:192.168.77.2\"", "*"}) {
            const auto same = name + ": " + value;
            expect_outwards(line, {name.c_str(), same, same});
        }
    }
}

// --- what users read ----------------------------------------------------------------------------

TEST(Edits, AreNamedAfterTheirHeader) {
    const std::string uri = " <sip:a@192.168.77.2>\n";
    const auto text = request(
        "REFER", "v: SIP/2.0/UDP 192.168.77.2;branch=b\nVia: SIP/2.0/UDP x;branch=c\nm:" + uri +
                     "reply-to:" + uri + "r:" + uri + "ROUTE:" + uri + "record-route:" + uri +
                     "path:" + uri + "service-route:" + uri + "From:" + uri + "To:" + uri +
                     "p-asserted-identity:" + uri + "P-PREFERRED-Identity:" + uri +
                     "remote-party-id:" + uri + "b:" + uri + "diversion:" + uri);
    Gateway gateway;
    const auto sent = gateway.line().out(text);
    std::vector<std::string_view> places;
    for (const auto& edit : sent.decision.edits)
        places.push_back(to_text(edit.place));
    EXPECT_THAT(places,
                ElementsAre("Via", "Contact", "Reply-To", "Refer-To", "Route", "Record-Route",
                            "Path", "Service-Route", "From", "To", "P-Asserted-Identity",
                            "P-Preferred-Identity", "Remote-Party-ID", "Referred-By", "Diversion"));
    EXPECT_EQ(gateway.line().in(echo(sent.text)).text, echo(text));
}

// A user part may hold "maddr", or what else a memory of URIs would tell apart by.
TEST(RoutingHeaders, AUserPartIsNeverTakenForAUserPartAndMore) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto registration = sip_text(
        "REGISTER sip:203.0.113.10 SIP/2.0\nVia: SIP/2.0/UDP 192.168.77.2:5060;branch=z9hG4bK1\n"
        "From: <sip:bob@203.0.113.10>;tag=1\nTo: <sip:bob@203.0.113.10>\nCall-ID: 1\n"
        "CSeq: 1 REGISTER\nContact: <sip:bob@192.168.77.2:5060;maddr=192.168.77.2>\n");
    (void)line.out(registration);
    for (const std::string user : {"bob;maddr", "bob;maddr=192.168.77.2", "bob%0amaddr"}) {
        const auto sent = line.in(sip_text(
            "OPTIONS sip:" + user +
            "@203.0.113.1:1024 SIP/2.0\n"
            "Via: SIP/2.0/UDP 203.0.113.10:5060;branch=z9hG4bK2\nFrom: <sip:x@203.0.113.10>;tag=2\n"
            "To: <sip:bob@203.0.113.1>\nCall-ID: 2\nCSeq: 1 OPTIONS\n"));
        EXPECT_EQ(sent.text.substr(0, sent.text.find("\r\n")),
                  "OPTIONS sip:" + user + "@192.168.77.2:5060 SIP/2.0");
    }
}

}  // namespace
}  // namespace sipnat
