// Methods that negotiate no media, as their RFCs show them: with Alice inside and with Bob inside
// each arrives with the endpoint of the one who is inside changed, and with nothing else changed.
// What names an inside address in a place that is nobody's to edit is written out: it stays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "two_parties.h"

namespace sipnat {
namespace {

struct Said {
    Person from;
    std::string head;  ///< without Content-Length
    std::string type;
    std::string body;
};

struct MethodCase {
    std::string name;
    std::vector<Said> said;
};

void PrintTo(const MethodCase& one, std::ostream* out) {
    *out << one.name;
}

const std::string kAliceVia = "Via: SIP/2.0/UDP client.atlanta.example.com:5060;branch=z9hG4bK";
const std::string kBobVia = "Via: SIP/2.0/UDP client.biloxi.example.com:5060;branch=z9hG4bK";
const std::string kAliceContact = "Contact: <sip:alice@client.atlanta.example.com:5060>\n";
const std::string kBobContact = "Contact: <sip:bob@client.biloxi.example.com:5060>\n";
const std::string kForwards = "Max-Forwards: 70\n";

/// From, To and Call-ID of what she asks, and of the answers to that.
std::string by_alice(const std::string& to_tag, const std::string& call_id = "7@192.168.77.2") {
    return "From: <sip:alice@atlanta.example.com>;tag=a\nTo: <sip:bob@biloxi.example.com>" +
           (to_tag.empty() ? "" : ";tag=" + to_tag) + "\nCall-ID: " + call_id + "\n";
}
std::string by_bob(const std::string& to_tag, const std::string& call_id = "7@192.168.77.2") {
    return "From: <sip:bob@biloxi.example.com>;tag=b\nTo: <sip:alice@atlanta.example.com>" +
           (to_tag.empty() ? "" : ";tag=" + to_tag) + "\nCall-ID: " + call_id + "\n";
}

const std::string kToBob = " sip:bob@client.biloxi.example.com:5060 SIP/2.0\n";
const std::string kToAlice = " sip:alice@client.atlanta.example.com:5060 SIP/2.0\n";

const std::vector<MethodCase> kMethods{
    {"RFC 3428 10 MESSAGE",
     {{Person::alice,
       "MESSAGE" + kToBob + kAliceVia + "776\n" + kForwards + by_alice("") + "CSeq: 1 MESSAGE\n",
       "text/plain", "Watson, come here: http://192.168.77.2:5060/\r\n"},
      {Person::bob, "SIP/2.0 200 OK\n" + kAliceVia + "776\n" + by_alice("b") + "CSeq: 1 MESSAGE\n",
       "", ""},
      {Person::bob,
       "MESSAGE" + kToAlice + kBobVia + "777\n" + kForwards + by_bob("", "8") + "CSeq: 1 MESSAGE\n",
       "message/cpim",
       "From: <sip:bob@192.168.77.2>\r\n\r\nContent-Type: text/plain\r\n\r\nYes\r\n"},
      {Person::alice,
       "SIP/2.0 200 OK\n" + kBobVia + "777\n" + by_bob("a", "8") + "CSeq: 1 MESSAGE\n", "", ""}}},

    {"RFC 3856 7, RFC 6665 SUBSCRIBE and NOTIFY",
     {{Person::alice,
       "SUBSCRIBE" + kToBob + kAliceVia + "nhds7\n" + kForwards + by_alice("") +
           "CSeq: 1 SUBSCRIBE\nExpires: 600\nAccept: application/pidf+xml\nEvent: presence\n" +
           kAliceContact,
       "", ""},
      {Person::bob,
       "SIP/2.0 200 OK\n" + kAliceVia + "nhds7\n" + by_alice("b") +
           "CSeq: 1 SUBSCRIBE\nExpires: 600\n" + kBobContact,
       "", ""},
      {Person::bob,
       "NOTIFY" + kToAlice + kBobVia + "na998sk\n" + kForwards + by_bob("a") +
           "CSeq: 1 NOTIFY\nEvent: presence\nSubscription-State: active;expires=599\n" +
           kBobContact,
       "application/pidf+xml",
       "<presence entity=\"pres:bob@biloxi.example.com\"><tuple id=\"sg89ae\">"
       "<contact>sip:bob@192.168.77.2:5060</contact></tuple></presence>\r\n"},
      {Person::alice, "SIP/2.0 200 OK\n" + kBobVia + "na998sk\n" + by_bob("a") + "CSeq: 1 NOTIFY\n",
       "", ""}}},

    {"RFC 3515 4.1 REFER and what it tells of",
     {{Person::bob,
       "REFER" + kToAlice + kBobVia + "2293940223\n" + kForwards + by_bob("") +
           "CSeq: 93809823 REFER\nRefer-To: sip:carol@chicago.example.com\n"
           "Referred-By: <sip:bob@biloxi.example.com>\n" +
           kBobContact,
       "", ""},
      {Person::alice,
       "SIP/2.0 202 Accepted\n" + kBobVia + "2293940223\n" + by_bob("a") +
           "CSeq: 93809823 REFER\n" + kAliceContact,
       "", ""},
      {Person::alice,
       "NOTIFY" + kToBob + kAliceVia + "9922ef992-25\n" + kForwards + by_alice("b") +
           "CSeq: 1993402 NOTIFY\nEvent: refer\nSubscription-State: "
           "terminated;reason=noresource\n" +
           kAliceContact,
       "message/sipfrag;version=2.0", "SIP/2.0 200 OK\r\nContact: <sip:carol@192.168.77.2>\r\n"},
      {Person::bob,
       "SIP/2.0 200 OK\n" + kAliceVia + "9922ef992-25\n" + by_alice("b") + "CSeq: 1993402 NOTIFY\n",
       "", ""}}},

    {"RFC 3891 1, RFC 5589 7.3 REFER to a Contact, with Replaces",
     {{Person::alice,
       "REFER" + kToBob + kAliceVia + "r1\n" + kForwards + by_alice("b") +
           "CSeq: 2 REFER\n"
           "Refer-To: <sip:alice@client.atlanta.example.com:5060"
           "?Replaces=425928%40192.168.77.2%3Bto-tag%3D7743%3Bfrom-tag%3D6472>\n"
           "Target-Dialog: 7@192.168.77.2;local-tag=a;remote-tag=b\nSupported: gruu, replaces\n" +
           kAliceContact,
       "", ""},
      {Person::bob,
       "SIP/2.0 202 Accepted\n" + kAliceVia + "r1\n" + by_alice("b") + "CSeq: 2 REFER\n" +
           kBobContact,
       "", ""},
      {Person::bob,
       "INVITE" + kToAlice + kBobVia + "r2\n" + kForwards + by_bob("", "9") +
           "CSeq: 1 INVITE\nReplaces: 425928@192.168.77.2;to-tag=7743;from-tag=6472\n"
           "Require: replaces\n" +
           kBobContact,
       "", ""},
      {Person::alice,
       "SIP/2.0 481 Call/Transaction Does Not Exist\n" + kBobVia + "r2\n" + by_bob("a", "9") +
           "CSeq: 1 INVITE\n",
       "", ""},
      {Person::bob,
       "ACK" + kToAlice + kBobVia + "r2\n" + kForwards + by_bob("a", "9") + "CSeq: 1 ACK\n", "",
       ""}}},

    {"RFC 3261 11 OPTIONS, with capabilities that hold no address of anybody",
     {{Person::alice,
       "OPTIONS" + kToBob + kAliceVia + "hjhs8ass877\n" + kForwards + by_alice("") +
           "CSeq: 63104 OPTIONS\n" + kAliceContact + "Accept: application/sdp\n",
       "", ""},
      {Person::bob,
       "SIP/2.0 200 OK\n" + kAliceVia + "hjhs8ass877\n" + by_alice("93810874") +
           "CSeq: 63104 OPTIONS\n" + kBobContact +
           "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE\nAccept: application/sdp\n"
           "Accept-Encoding: gzip\nAccept-Language: en\nSupported: foo\n",
       "application/sdp",
       "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
       "m=audio 0 RTP/AVP 0\r\n"}}},

    {"RFC 6086 INFO",
     {{Person::alice,
       "INFO" + kToBob + kAliceVia + "i1\n" + kForwards + by_alice("b") +
           "CSeq: 314333 INFO\nInfo-Package: foo\nContent-Disposition: Info-Package\n",
       "application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"},
      {Person::bob, "SIP/2.0 200 OK\n" + kAliceVia + "i1\n" + by_alice("b") + "CSeq: 314333 INFO\n",
       "", ""},
      {Person::bob,
       "INFO" + kToAlice + kBobVia + "i2\n" + kForwards + by_bob("a") + "CSeq: 22 INFO\n",
       "application/media_control+xml",
       "<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder>"
       "</vc_primitive></media_control>\r\n"},
      {Person::alice,
       "SIP/2.0 469 Bad Info Package\n" + kBobVia + "i2\n" + by_bob("a") +
           "CSeq: 22 INFO\nRecv-Info: foo\n",
       "", ""}}},

    {"RFC 3903 15 PUBLISH",
     {{Person::alice,
       "PUBLISH sip:alice@atlanta.example.com SIP/2.0\n" + kAliceVia + "652hsge\n" + kForwards +
           "From: <sip:alice@atlanta.example.com>;tag=1234wxyz\n"
           "To: <sip:alice@atlanta.example.com>\nCall-ID: 81818181@client.atlanta.example.com\n"
           "CSeq: 1 PUBLISH\nExpires: 3600\nEvent: presence\nSIP-If-Match: dx200xyz\n",
       "application/pidf+xml",
       "<presence><tuple "
       "id=\"x\"><contact>sip:alice@192.168.77.2</contact></tuple></presence>\r\n"},
      {Person::bob,
       "SIP/2.0 412 Conditional Request Failed\n" + kAliceVia +
           "652hsge\nFrom: <sip:alice@atlanta.example.com>;tag=1234wxyz\n"
           "To: <sip:alice@atlanta.example.com>;tag=9\n"
           "Call-ID: 81818181@client.atlanta.example.com\nCSeq: 1 PUBLISH\n",
       "", ""}}},

    {"RFC 4028 10 UPDATE without SDP, RFC 3262 PRACK, in no dialog that is known",
     {{Person::alice,
       "UPDATE" + kToBob + kAliceVia + "u1\n" + kForwards + by_alice("b") +
           "CSeq: 3 UPDATE\nSupported: timer\nSession-Expires: 4000;refresher=uac\nMin-SE: 90\n" +
           kAliceContact,
       "", ""},
      {Person::bob,
       "SIP/2.0 422 Session Interval Too Small\n" + kAliceVia + "u1\n" + by_alice("b") +
           "CSeq: 3 UPDATE\nMin-SE: 3600\n",
       "", ""},
      {Person::bob,
       "PRACK" + kToAlice + kBobVia + "p1\n" + kForwards + by_bob("a") +
           "CSeq: 2 PRACK\nRAck: 776656 1 INVITE\n",
       "", ""},
      {Person::alice, "SIP/2.0 481 Unknown\n" + kBobVia + "p1\n" + by_bob("a") + "CSeq: 2 PRACK\n",
       "", ""}}},

    {"headers that are nobody's to edit",
     {{Person::alice,
       "OPTIONS" + kToBob + kAliceVia + "o1\nVia: SIP/2.0/UDP 192.168.77.2:5060;branch=z9hG4bKx\n" +
           kForwards + by_alice("") + "CSeq: 1 OPTIONS\n" + kAliceContact +
           "Accept-Contact: *;x=\"192.168.77.2\"\nAlert-Info: <http://192.168.77.2/ring.wav>\n"
           "Authorization: Digest username=\"a\", uri=\"sip:192.168.77.2\", response=\"1\"\n"
           "Call-Info: <http://192.168.77.2/photo.jpg>;purpose=icon\n"
           "Error-Info: <sip:busy@192.168.77.2>\nGeolocation: <https://192.168.77.2/here>\n"
           "History-Info: <sip:alice@192.168.77.2>;index=1\nIn-Reply-To: 6@192.168.77.2\n"
           "Join: 6@192.168.77.2;from-tag=1;to-tag=2\nP-Access-Network-Info: x;y=192.168.77.2\n"
           "P-Charging-Vector: icid-value=1;orig-ioi=192.168.77.2\n"
           "Proxy-Authorization: Digest uri=\"sip:192.168.77.2\"\n"
           "Replaces: 6@192.168.77.2;from-tag=1;to-tag=2\nSession-ID: 192.168.77.2\n"
           "Subject: call <sip:alice@192.168.77.2:5060>\nUser-Agent: phone/192.168.77.2\n"
           "Warning: 399 192.168.77.2:5060 \"at 192.168.77.2\"\nX-Mine: <sip:192.168.77.2>\n",
       "", ""},
      {Person::bob,
       "SIP/2.0 603 Decline\n" + kAliceVia +
           "o1\nVia: SIP/2.0/UDP 192.168.77.2:5060;branch=z9hG4bKx\n" + by_alice("b") +
           "CSeq: 1 OPTIONS\nServer: pbx 192.168.77.2\n"
           "Warning: 399 203.0.113.1:1024 \"at 203.0.113.1\"\nX-Mine: <sip:203.0.113.1:1024>\n"
           "WWW-Authenticate: Digest realm=\"203.0.113.1\", nonce=\"1\"\n",
       "", ""}}},
};

class OtherMethods : public testing::TestWithParam<MethodCase> {};

void play(TwoParties& parties, const MethodCase& one) {
    for (const auto& [from, head, type, body] : one.said) {
        SCOPED_TRACE(head.substr(0, head.find('\n')));
        const auto before = parties.talk.open();
        parties.send(from, sip_text(head, body, type));
        EXPECT_EQ(parties.talk.open(), before);
    }
}

TEST_P(OtherMethods, PassWithTheEndpointOfTheInsideAndNothingElseChanged) {
    for (const auto inside : kBothPersons) {
        SCOPED_TRACE(name_of(inside) + " inside");
        Gateway gateway;
        TwoParties parties(gateway, inside);
        play(parties, GetParam());
        parties.talk.repeat();
        parties.talk.expect_over();
    }
}

TEST_P(OtherMethods, LeaveTheMediaOfACallThatIsUp) {
    for (const auto inside : kBothPersons) {
        SCOPED_TRACE(name_of(inside) + " inside");
        Gateway gateway;
        TwoParties parties(gateway, inside);
        parties.establish(20000, 30000);
        play(parties, GetParam());
        EXPECT_EQ(parties.talk.open(), parties.stream(20000, 30000));
        parties.end();
    }
}

INSTANTIATE_TEST_SUITE_P(Rfc, OtherMethods, testing::ValuesIn(kMethods),
                         [](const auto& one) { return std::to_string(one.index); });

}  // namespace
}  // namespace sipnat
