// Properties that hold for every variation of a message: edits in order and disjoint, a right
// Content-Length (both in expect_sound), the sender reads its own text again, the other side never
// sees an inside address, and a retransmission gives the same bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

#include "lab.h"

namespace sipnat {
namespace {

constexpr std::array<std::string_view, 4> kVias{
    "Via: SIP/2.0/UDP 192.168.77.2:5060;rport;branch=z9hG4bK1",
    "v: SIP/2.0/UDP 192.168.77.2;branch=1",
    "VIA : SIP / 2.0 / UDP\n 192.168.77.2 : 5060\n ;branch=x ;maddr=192.168.77.2",
    "Via: SIP/2.0/UDP 203.0.113.1:1024;branch=z9hG4bK2"};
constexpr std::array<std::string_view, 5> kContacts{
    "Contact: <sip:alice@192.168.77.2:5060;ob>;expires=60", "m:sip:alice@192.168.77.2",
    "Contact: \"<sip:x>, \\\"\" <sip:alice@192.168.77.2>,\n <sip:b@198.51.100.1>, "
    "sip:c@192.168.77.2:5060",
    "Contact: <sip:alice@203.0.113.1:1024>", "Contact: *"};
constexpr std::array<std::string_view, 3> kFroms{
    "From: <sip:alice@192.168.77.2>;tag=a", "f: \"192.168.77 .2\" <sip:192.168.77.2:5060>;tag=a",
    "From: sip:alice@example.com;tag=a"};
constexpr std::array<std::string_view, 4> kLengths{
    "Content-Length: ", "l:", "CONTENT-LENGTH :  ", ""};
constexpr std::array<std::string_view, 6> kBodies{
    "",
    "v=0\no=- 1 1 IN IP4 192.168.77.2\ns=-\nc=IN IP4 192.168.77.2\nt=0 0\nm=audio 4000 RTP/AVP 0\n",
    "v=0\no=- 1 1 IN IP4 192.168.77.2\ns=-\nt=0 0\nm=audio 4000/2 RTP/AVP 0\nc=IN IP4 "
    "192.168.77.2\na=rtcp:4999 IN IP4 192.168.77.2\nm=video 20000 RTP/SAVPF 9\nc=IN IP4 "
    "192.168.77.2/127\na=rtcp-mux\n",
    "v=0\no=- 1 1 IN IP4 192.168.77.2\ns=-\nc=IN IP4 192.168.77.2\nt=0 0\nm=image 4002 udptl "
    "t38\nm=audio 0 RTP/AVP 0\nm=audio 9 RTP/AVP 0\n",
    "v=0\no=- 1 1 IN IP4 192.168.77.2\nt=0 0\nc=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 0\n",
    "v=0\nbroken 192.168.77.2\n"};

/// In each of them.
constexpr std::string_view kOthers =
    "Record-Route: "
    "<sip:192.168.77.2;lr>,\n\t<sip:p@192.168.77.2:5060>;x\nPath:<sip:192.168.77.2;ob>"
    "\nReply-To: sip:alice@192.168.77.2\nRemote-Party-ID: <sip:alice@192.168.77.2>;party=calling\n";

template <class Visit>
void for_each_variation(Visit visit) {
    for (const auto via : kVias) {
        for (const auto contact : kContacts) {
            for (const auto from : kFroms) {
                for (const auto length : kLengths) {
                    for (const auto lines : kBodies) {
                        const auto body = crlf(lines);
                        auto text = crlf(
                            "INVITE sip:bob@203.0.113.10 SIP/2.0\n" + std::string(via) +
                            "\nVia: SIP/2.0/UDP 192.168.77.2;branch=below\n" +
                            std::string(contact) + "\n" + std::string(kOthers) + std::string(from) +
                            "\nTo: <sip:bob@203.0.113.10>\ni: 1@192.168.77.2\nCSeq: 1 "
                            "INVITE\nc: application/sdp\n");
                        if (!length.empty()) {
                            text += std::string(length) + std::to_string(body.size()) + "\r\n";
                        }
                        visit(text + "\r\n" + body, body);
                    }
                }
            }
        }
    }
}

/// The text without the places that are nobody's to edit.
std::string edited_places(std::string text) {
    for (const std::string_view kept :
         {"Via: SIP/2.0/UDP 192.168.77.2;branch=below", "i: 1@192.168.77.2", "\"192.168.77 .2\""}) {
        const auto at = text.find(kept);
        if (at != std::string::npos) text.erase(at, kept.size());
    }
    return text;
}

TEST(Variations, NoInsideAddressLeavesInAnEditedPlace) {
    int count = 0;
    for_each_variation([&](const std::string& text, const std::string& body) {
        Gateway gateway;
        const auto sent = gateway.line().out(text);
        ++count;
        const bool broken = body.find("broken") != std::string::npos;
        EXPECT_EQ(sent.decision.reason == Reason::malformed_sdp, broken);
        const auto seen = broken ? sent.text.substr(0, sent.text.find("\r\n\r\n")) : sent.text;
        EXPECT_EQ(edited_places(seen).find("192.168.77.2"), std::string::npos) << sent.text;
        for (const auto& hole : sent.decision.open) {
            EXPECT_EQ(hole.inside.address, address("192.168.77.2"));
            EXPECT_GE(hole.inside.port, Port{1024});
        }
    });
    EXPECT_EQ(count, 4 * 5 * 3 * 4 * 6);
}

TEST(Variations, ARetransmissionGivesTheSameBytesAndOpensNothing) {
    for_each_variation([](const std::string& text, const std::string&) {
        Gateway gateway;
        const auto line = gateway.line();
        const auto first = line.out(text);
        const auto second = line.out(text);
        EXPECT_EQ(first.text, second.text);
        EXPECT_TRUE(second.opened.empty());
    });
}

TEST(Variations, TheAnswerGivesTheSenderItsOwnTextBack) {
    for_each_variation([](const std::string& text, const std::string&) {
        Gateway gateway;
        const auto line = gateway.line();
        const auto request = line.out(text);
        // The answer carries every header of the request as it came, and no body.
        const auto answered = [](const std::string& of) {
            auto head = of.substr(of.find("\r\n"), of.find("\r\n\r\n") + 2 - of.find("\r\n"));
            for (const auto length : kLengths) {
                const auto at =
                    length.empty() ? std::string::npos : head.find("\r\n" + std::string(length));
                if (at != std::string::npos) head.erase(at, head.find("\r\n", at + 2) - at);
            }
            return "SIP/2.0 200 OK" + head + "l: 0\r\n\r\n";
        };
        EXPECT_EQ(line.in(answered(request.text)).text, answered(text));
    });
}

TEST(Variations, WithoutNatNothingIsEdited) {
    for_each_variation([](const std::string& text, const std::string&) {
        Gateway gateway;
        const auto sent = gateway.line("192.168.77.2:5060", "192.168.77.2:5060").out(text);
        EXPECT_EQ(sent.text, text);
    });
}

}  // namespace
}  // namespace sipnat
