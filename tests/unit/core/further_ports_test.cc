// A Contact or a Via on another port than the packet's: mapped, opened for whom it is meant, closed in
// time.
//
//     phone 192.168.77.2:40000 ── 203.0.113.1:1024 ── server 203.0.113.10:5060
//     its Contact 192.168.77.2:5062 ── 203.0.113.1:10000
#include "lab.h"

namespace sipnat {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr auto kIn = "signalling 192.168.77.2:5062=203.0.113.1:10000 203.0.113.10:any";
constexpr auto kOut = "signalling 192.168.77.2:5062=203.0.113.1:10000 203.0.113.10:5060";

Line phone_line(Gateway& gateway) {
    return gateway.line("192.168.77.2:40000");
}

/// The flow that the server opens to the phone's Contact.
Line contact_line(Gateway& gateway) {
    return gateway.forwarded("192.168.77.2:5062", "203.0.113.1:10000");
}

std::string request(std::string_view method, int cseq, std::string_view more,
                    std::string_view body = {}, std::string_view via = "192.168.77.2:40000;rport") {
    const std::string name(method);
    return sip_text(name + " sip:bob@203.0.113.10 SIP/2.0\nVia: SIP/2.0/UDP " + std::string(via) +
                        ";branch=z9hG4bK" + std::to_string(cseq) +
                        "\nMax-Forwards: 70\nFrom: <sip:alice@example.com>;tag=a\nTo: "
                        "<sip:alice@example.com>\nCall-ID: call-1\nCSeq: " +
                        std::to_string(cseq) + " " + name + "\n" + std::string(more),
                    body);
}

std::string registering(int cseq = 1, std::string_view contact = "<sip:alice@192.168.77.2:5062>",
                        std::string_view more = "") {
    return request("REGISTER", cseq, "Contact: " + std::string(contact) + "\n" + std::string(more));
}

/// The registrar's 200, with the Contacts that it has.
std::string registered(const std::string& request, std::string_view contacts) {
    auto text = answer(request, 200, "r");
    const auto at = text.find("Contact: ");
    const auto end = text.find("\r\n", at);
    text.replace(at, end + 2 - at, contacts.empty() ? "" : crlf(std::string(contacts) + "\n"));
    return text;
}

TEST(FurtherPorts, AContactOnAnotherPortIsMappedForItsRegistrar) {
    Gateway gateway;
    const auto sent = phone_line(gateway).out(registering());
    EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: <sip:alice@203.0.113.1:10000>");
    EXPECT_THAT(sent.opened, ElementsAre(kIn, kOut));
    EXPECT_EQ(sent.decision.reason, Reason::rewritten);
}

TEST(FurtherPorts, TheRegistrarsAnswerBringsThePhonesOwnTextBack) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto sent = line.out(registering());
    const auto got =
        line.in(registered(sent.text, "Contact: <sip:alice@203.0.113.1:10000>;expires=600"));
    EXPECT_EQ(header_line(got.text, "Contact"),
              "Contact: <sip:alice@192.168.77.2:5062>;expires=600");
}

TEST(FurtherPorts, ACallFindsThePhoneAtItsContact) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto sent = line.out(registering());
    (void)line.in(registered(sent.text, "Contact: <sip:alice@203.0.113.1:10000>"));
    auto bob = kBob;
    bob.target = "sip:alice@203.0.113.1:10000";
    bob.peer_tag.clear();
    const auto invite =
        contact_line(gateway).in(bob.request("INVITE", 1, audio("203.0.113.10", 7000)));
    EXPECT_THAT(invite.text, HasSubstr("INVITE sip:alice@192.168.77.2:5062 SIP/2.0"));
}

TEST(FurtherPorts, TheNinthContactStays) {
    Gateway gateway;
    std::string contacts;
    for (int port = 5062; port < 5071; ++port) {
        contacts += (contacts.empty() ? "" : ", ") + std::string("<sip:alice@192.168.77.2:") +
                    std::to_string(port) + ">";
    }
    const auto sent = phone_line(gateway).out(registering(1, contacts));
    EXPECT_EQ(sent.opened.size(), 16U);
    EXPECT_THAT(sent.text, HasSubstr("192.168.77.2:5070>"));
    EXPECT_THAT(sent.text, Not(HasSubstr("192.168.77.2:5069>")));
}

TEST(FurtherPorts, WhatIsNotTheSendersStays) {
    for (const auto* contact : {
             "<sip:alice@192.168.77.3:5062>",  // another host
             "<sip:alice@192.168.77.2:80>",    // a server's port
             "<sip:alice@192.168.77.2:5062;transport=tls>",
             "<sip:alice@192.168.77.2:5062;transport=sctp>",
             "<sips:alice@192.168.77.2:5062>",
             "<tel:+15551234>",
         }) {
        Gateway gateway;
        const auto sent = phone_line(gateway).out(registering(1, contact));
        EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: " + std::string(contact));
        EXPECT_THAT(sent.opened, IsEmpty()) << contact;
    }
}

TEST(FurtherPorts, ARetransmissionGetsTheSameAndOpensNothing) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto first = line.out(registering());
    const auto second = line.out(registering());
    EXPECT_EQ(first.text, second.text);
    EXPECT_THAT(second.opened, IsEmpty());
}

// --- for how long -------------------------------------------------------------------------------

TEST(FurtherPorts, ARegistrationThatNobodyAnswersEndsAfterItsTransaction) {
    Gateway gateway;
    (void)phone_line(gateway).out(registering());
    EXPECT_THAT(show(gateway.wait(31s).close), IsEmpty());
    EXPECT_THAT(show(gateway.wait(2s).close), ElementsAre(kIn, kOut));
    (void)gateway.wait(61s);
    EXPECT_THAT(gateway.engine.media().mappings(), IsEmpty());
}

struct Granted {
    const char* asked;     ///< of the REGISTER, beside the Contact
    const char* contacts;  ///< of the 2xx
    std::chrono::seconds lasts;
};

TEST(FurtherPorts, TheRegistrarSaysHowLong) {
    for (const auto& [asked, contacts, lasts] : {
             Granted{"Expires: 60\n", "Contact: <sip:alice@203.0.113.1:10000>;expires=600", 600s},
             Granted{"Expires: 60\n", "Contact: <sip:alice@203.0.113.1:10000>\nExpires: 300", 300s},
             Granted{"Expires: 60\n", "Contact: <sip:alice@203.0.113.1:10000>", 60s},
             Granted{"", "Contact: <sip:alice@203.0.113.1:10000>", 3600s},
             Granted{"Expires: 60\n", "Expires: 90", 90s},
             Granted{"Expires: 60\n", "", 60s},
             Granted{"Expires: 60\n", "Contact: <sip:alice@198.51.100.7>;expires=600", 0s},
             Granted{"", "Contact: <sip:alice@203.0.113.1:10000>;expires=99999999999", 86400s},
             Granted{"",
                     "Contact: <sip:alice@203.0.113.1:10000;rinstance=old>;expires=7, "
                     "<sip:alice@203.0.113.1:10000;rinstance=new>;expires=600",
                     600s},
         }) {
        Gateway gateway;
        const auto line = phone_line(gateway);
        const auto sent = line.out(registering(1, "<sip:alice@192.168.77.2:5062>", asked));
        (void)line.in(registered(sent.text, contacts));
        EXPECT_THAT(gateway.wait(lasts + 31s).close, IsEmpty()) << contacts;
        EXPECT_EQ(gateway.wait(2s).close.size(), 2U) << contacts;
    }
}

TEST(FurtherPorts, ARefreshKeepsThePort) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    for (int i = 1; i <= 5; ++i) {
        const auto sent = line.out(registering(i));
        EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: <sip:alice@203.0.113.1:10000>");
        EXPECT_EQ(sent.opened.empty(), i > 1);
        (void)line.in(registered(sent.text, "Contact: <sip:alice@203.0.113.1:10000>;expires=60"));
        EXPECT_THAT(gateway.wait(55s).close, IsEmpty());
    }
}

TEST(FurtherPorts, ItsEndIsToldToo) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto first = line.out(registering());
    (void)line.in(registered(first.text, "Contact: <sip:alice@203.0.113.1:10000>;expires=600"));
    const auto last = line.out(registering(2, "<sip:alice@192.168.77.2:5062>;expires=0"));
    EXPECT_EQ(header_line(last.text, "Contact"),
              "Contact: <sip:alice@203.0.113.1:10000>;expires=0");
    (void)line.in(registered(last.text, ""));
    EXPECT_EQ(gateway.wait(33s).close.size(), 2U);
}

TEST(FurtherPorts, ItsEndMayComeFromThatVeryPort) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto first = line.out(registering());
    (void)line.in(registered(first.text, "Contact: <sip:alice@203.0.113.1:10000>;expires=600"));
    auto last = registering(2, "<sip:alice@192.168.77.2:5062>;expires=0");
    last.replace(last.find("call-1"), 6, "call-2");
    const auto sent = contact_line(gateway).out(last);
    (void)contact_line(gateway).in(registered(sent.text, ""));
    EXPECT_EQ(gateway.wait(33s).close.size(), 2U);
}

std::string subscribing(int cseq, std::string_view expires) {
    return request("SUBSCRIBE", cseq,
                   "Contact: <sip:alice@192.168.77.2:5062>\nEvent: dialog\nExpires: " +
                       std::string(expires) + "\n");
}

TEST(FurtherPorts, SubscriptionsLastAsLongAsTheyAreGranted) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto sent = line.out(subscribing(1, "86400"));
    EXPECT_EQ(sent.opened.size(), 2U);
    auto ok = answer(sent.text, 200, "n");
    (void)line.in(ok.insert(ok.find("Content-Length"), "Expires: 900\r\n"));
    EXPECT_THAT(gateway.wait(931s).close, IsEmpty());
    EXPECT_EQ(gateway.wait(2s).close.size(), 2U);
}

TEST(FurtherPorts, ASubscriptionWithoutWordLastsAsLongAsItAsked) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto sent = line.out(subscribing(1, "900"));
    (void)line.in(answer(sent.text, 202, "n"));
    EXPECT_THAT(gateway.wait(931s).close, IsEmpty());
    EXPECT_EQ(gateway.wait(2s).close.size(), 2U);
}

TEST(FurtherPorts, ASubscriptionThatIsRefusedOrEndedIsOver) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto refused = line.out(subscribing(1, "86400"));
    (void)line.in(answer(refused.text, 489, "n"));
    EXPECT_EQ(gateway.wait(33s).close.size(), 2U);

    const auto sent = line.out(subscribing(2, "3600"));
    (void)line.in(answer(sent.text, 200, "n"));
    EXPECT_THAT(gateway.wait(33s).close, IsEmpty());
    const auto ended = line.out(subscribing(3, "0"));
    (void)line.in(answer(ended.text, 200, "n"));
    EXPECT_EQ(gateway.wait(33s).close.size(), 2U);
}

TEST(FurtherPorts, ACallKeepsItsContactUntilItEnds) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const std::string contact = "Contact: <sip:alice@192.168.77.2:5062>\n";
    const auto invite = line.out(request("INVITE", 1, contact, audio("192.168.77.2", 4000)));
    EXPECT_THAT(invite.opened, testing::IsSupersetOf({kIn, kOut}));
    EXPECT_EQ(header_line(invite.text, "Contact"), "Contact: <sip:alice@203.0.113.1:10000>");
    const auto ok = line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(ok.opened, Not(IsEmpty()));
    gateway.counted = 50;
    EXPECT_THAT(gateway.wait(5h).close, IsEmpty());

    auto bob = kBob;
    bob.target = "sip:alice@203.0.113.1:10000";
    const auto bye = contact_line(gateway).in(bob.request("BYE", 1));
    EXPECT_THAT(bye.text, HasSubstr("BYE sip:alice@192.168.77.2:5062 SIP/2.0"));
    const auto done = contact_line(gateway).out(answer(bye.text, 200));
    EXPECT_THAT(done.closed, testing::IsSupersetOf({kIn, kOut}));
}

// --- Via ----------------------------------------------------------------------------------------

TEST(FurtherPorts, AViaWithoutRportIsAnsweredWhereItSays) {
    Gateway gateway;
    const auto sent = phone_line(gateway).out(request("OPTIONS", 1, "", "", "192.168.77.2:5062"));
    EXPECT_THAT(sent.text, HasSubstr("Via: SIP/2.0/UDP 203.0.113.1:10000;branch"));
    EXPECT_THAT(sent.opened, ElementsAre(kIn, kOut));
    const auto got = contact_line(gateway).in(answer(sent.text, 200, "b"));
    EXPECT_THAT(got.text, HasSubstr("Via: SIP/2.0/UDP 192.168.77.2:5062;branch"));
    EXPECT_THAT(gateway.wait(31s).close, IsEmpty());
    EXPECT_EQ(gateway.wait(2s).close.size(), 2U);
}

TEST(FurtherPorts, AViaOfACallThatRingsIsAnsweredThereForAsLong) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto invite = line.out(request("INVITE", 1, "Contact: <sip:alice@192.168.77.2:40000>\n",
                                         audio("192.168.77.2", 4000), "192.168.77.2:5062"));
    for (int minute = 0; minute < 3; ++minute) {
        (void)contact_line(gateway).in(answer(invite.text, 180, "b"));
        EXPECT_THAT(gateway.wait(100s).close, IsEmpty());
    }
    (void)contact_line(gateway).in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(gateway.wait(31s).close, IsEmpty());
    EXPECT_THAT(show(gateway.wait(2s).close), testing::UnorderedElementsAre(kIn, kOut));
}

TEST(FurtherPorts, AViaOfASubscriptionIsNeededForItsAnswerOnly) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto sent =
        line.out(request("SUBSCRIBE", 1, "Contact: <sip:alice@192.168.77.2:40000>\nExpires: 3600\n",
                         "", "192.168.77.2:5062"));
    auto ok = answer(sent.text, 200, "b");
    ok.insert(ok.find("Content-Length"), "Expires: 3600\r\n");
    (void)contact_line(gateway).in(ok);
    EXPECT_THAT(gateway.wait(31s).close, IsEmpty());
    EXPECT_THAT(show(gateway.wait(2s).close), testing::UnorderedElementsAre(kIn, kOut));
}

TEST(FurtherPorts, AViaOfACallIsAnsweredThereForOneTransaction) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto invite = line.out(request("INVITE", 1, "Contact: <sip:alice@192.168.77.2:40000>\n",
                                         audio("192.168.77.2", 4000), "192.168.77.2:5062"));
    EXPECT_THAT(invite.opened, testing::IsSupersetOf({kIn, kOut}));
    const auto ok =
        contact_line(gateway).in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    EXPECT_THAT(ok.text, HasSubstr("Via: SIP/2.0/UDP 192.168.77.2:5062;branch"));
    EXPECT_THAT(gateway.wait(31s).close, IsEmpty());
    EXPECT_THAT(show(gateway.wait(2s).close), testing::UnorderedElementsAre(kIn, kOut));
    EXPECT_EQ(gateway.engine.calls(), 1U);
}

TEST(FurtherPorts, AnAnswerOnThePacketsOwnFlowIsReadToo) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto sent = line.out(request("OPTIONS", 1, "", "", "192.168.77.2:5062"));
    const auto got = line.in(answer(sent.text, 200, "b"));
    EXPECT_THAT(got.text, HasSubstr("Via: SIP/2.0/UDP 192.168.77.2:5062;branch"));
}

TEST(FurtherPorts, ALateAnswerIsReadToo) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto sent = line.out(request("OPTIONS", 1, "", "", "192.168.77.2:5062"));
    (void)gateway.wait(33s);
    (void)gateway.wait(61s);
    const auto got = line.in(answer(sent.text, 200, "b"));
    EXPECT_THAT(got.text, HasSubstr("Via: SIP/2.0/UDP 192.168.77.2:5062;branch"));
}

TEST(FurtherPorts, AViaWithRportAsksForNone) {
    Gateway gateway;
    const auto sent =
        phone_line(gateway).out(request("OPTIONS", 1, "", "", "192.168.77.2:5062;rport"));
    EXPECT_THAT(sent.opened, IsEmpty());
}

// --- who may come -------------------------------------------------------------------------------

TEST(FurtherPorts, TheSettingsSayWhoMayCome) {
    auto settings = lab_settings();
    settings.signalling_source = SignallingSource::listed;
    settings.signalling_peers = {address("198.51.100.1"), address("198.51.100.2")};
    Gateway listed(settings);
    EXPECT_THAT(phone_line(listed).out(registering()).opened,
                testing::UnorderedElementsAre(
                    "signalling 192.168.77.2:5062=203.0.113.1:10000 198.51.100.1:any",
                    "signalling 192.168.77.2:5062=203.0.113.1:10000 198.51.100.2:any", kOut));

    settings.signalling_source = SignallingSource::any;
    Gateway any(settings);
    EXPECT_THAT(
        phone_line(any).out(registering()).opened,
        testing::UnorderedElementsAre("signalling 192.168.77.2:5062=203.0.113.1:10000 any", kOut));
}

TEST(FurtherPorts, TwoRegistrarsShareThePortAndLeaveItOneByOne) {
    Gateway gateway;
    const auto first = phone_line(gateway).out(registering());
    EXPECT_FALSE(first.decision.open.front().shares_port);
    const auto other = gateway.line("192.168.77.2:40000", "203.0.113.1:1024", "203.0.113.20:5060");
    (void)gateway.wait(20s);
    const auto second = other.out(registering());
    EXPECT_EQ(header_line(second.text, "Contact"), "Contact: <sip:alice@203.0.113.1:10000>");
    ASSERT_EQ(second.decision.open.size(), 2U);
    const auto inbound =
        std::ranges::find_if(second.decision.open, [](const Hole& hole) { return !hole.remote; });
    EXPECT_EQ(inbound->from, address("203.0.113.20"));
    EXPECT_TRUE(inbound->shares_port);

    const auto shares = [](const std::vector<Hole>& holes) {
        return std::ranges::any_of(holes, &Hole::shares_port);
    };
    EXPECT_TRUE(shares(gateway.wait(13s).close)) << "the other one's is still open";
    EXPECT_FALSE(shares(gateway.wait(20s).close));
}

// --- when it can't be had -----------------------------------------------------------------------

TEST(FurtherPorts, AnotherFlowOfThePhonesServesAsWell) {
    Gateway gateway;
    (void)gateway.line("192.168.77.2:5062", "203.0.113.1:1030").out(registering());
    const auto line = phone_line(gateway);
    const auto sent = line.out(registering(2));
    EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: <sip:alice@203.0.113.1:1030>");
    EXPECT_THAT(sent.opened, IsEmpty());
    const auto got = line.in(registered(sent.text, "Contact: <sip:alice@203.0.113.1:1030>"));
    EXPECT_EQ(header_line(got.text, "Contact"), "Contact: <sip:alice@192.168.77.2:5062>");
}

TEST(FurtherPorts, TheKernelKnowsFlowsThatWereForgotten) {
    Gateway gateway;
    gateway.kernel = [](const Decision&) {
        return KernelAnswer{KernelAnswer::Kind::flow_exists, endpoint("203.0.113.1:1030"), "",
                            endpoint("192.168.77.2:5062")};
    };
    const auto sent = phone_line(gateway).out(registering());
    EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: <sip:alice@203.0.113.1:1030>");
    EXPECT_THAT(sent.opened, IsEmpty());
    EXPECT_THAT(gateway.engine.media().mappings(), IsEmpty());
    EXPECT_FALSE(gateway.engine.next_due());
}

TEST(FurtherPorts, AFlowOfItsOwnIsPreferredToAPortThatRests) {
    Gateway gateway;
    (void)phone_line(gateway).out(registering());
    (void)gateway.wait(33s);
    gateway.kernel = [](const Decision&) {
        return KernelAnswer{KernelAnswer::Kind::flow_exists, endpoint("203.0.113.1:1030"), "",
                            endpoint("192.168.77.2:5062")};
    };
    for (int time = 0; time < 2; ++time) {
        const auto sent = phone_line(gateway).out(registering(2));
        EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: <sip:alice@203.0.113.1:1030>");
        EXPECT_THAT(sent.opened, IsEmpty());
    }
}

TEST(FurtherPorts, AFlowOfItsOwnIsPreferredToAPortForOthers) {
    Gateway gateway;
    EXPECT_EQ(phone_line(gateway).out(registering()).opened.size(), 2U);
    gateway.kernel = [](const Decision&) {
        return KernelAnswer{KernelAnswer::Kind::flow_exists, endpoint("203.0.113.1:1030"), "",
                            endpoint("192.168.77.2:5062")};
    };
    const auto other = gateway.line("192.168.77.2:40000", "203.0.113.1:1024", "203.0.113.20:5060");
    for (int time = 0; time < 2; ++time) {
        const auto sent = other.out(registering());
        EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: <sip:alice@203.0.113.1:1030>");
        EXPECT_THAT(sent.opened, IsEmpty());
        gateway.kernel = [](const Decision&) { return KernelAnswer{}; };
    }
}

TEST(FurtherPorts, ARefusedOneStaysAsSentAndTheRestIsEdited) {
    Gateway gateway;
    gateway.kernel = [](const Decision&) {
        return KernelAnswer{KernelAnswer::Kind::refused, {}, "no room"};
    };
    const auto sent = phone_line(gateway).out(registering());
    EXPECT_EQ(sent.decision.reason, Reason::media_refused);
    EXPECT_THAT(sent.text, HasSubstr("Via: SIP/2.0/UDP 203.0.113.1:1024"));
    EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: <sip:alice@192.168.77.2:5062>");
    EXPECT_THAT(gateway.engine.media().mappings(), IsEmpty());
    gateway.kernel = [](const Decision&) { return KernelAnswer{}; };
    EXPECT_EQ(phone_line(gateway).out(registering(2)).opened.size(), 2U) << "the next one may do";
}

TEST(FurtherPorts, ARefusedOneCostsNoMedia) {
    Gateway gateway;
    gateway.kernel = [](const Decision& decision) {
        const bool asks = std::ranges::any_of(decision.open, is_signalling);
        return asks ? KernelAnswer{KernelAnswer::Kind::refused, {}, "no room"} : KernelAnswer{};
    };
    const auto invite = phone_line(gateway).out(request(
        "INVITE", 1, "Contact: <sip:alice@192.168.77.2:5062>\n", audio("192.168.77.2", 4000)));
    EXPECT_EQ(invite.decision.reason, Reason::rewritten);
    EXPECT_EQ(invite.opened.size(), 2U);
    EXPECT_THAT(invite.text, HasSubstr("m=audio 10000"));
    EXPECT_EQ(header_line(invite.text, "Contact"), "Contact: <sip:alice@192.168.77.2:5062>");
}

TEST(FurtherPorts, ACallWithoutMediaIsReachedAllTheSame) {
    for (const auto on_no_media : {OnNoMedia::headers, OnNoMedia::unchanged}) {
        auto settings = lab_settings();
        settings.media_per_host = 1;
        settings.on_no_media = on_no_media;
        Gateway gateway(settings);
        const auto text = request("INVITE", 1, "Contact: <sip:alice@192.168.77.2:5062>\n",
                                  audio("192.168.77.2", 4000));
        const auto sent = phone_line(gateway).out(text);
        EXPECT_EQ(sent.decision.reason, Reason::media_limit);
        if (on_no_media == OnNoMedia::unchanged) {
            EXPECT_EQ(sent.text, text);
            EXPECT_THAT(sent.opened, IsEmpty());
            continue;
        }
        EXPECT_EQ(header_line(sent.text, "Contact"), "Contact: <sip:alice@203.0.113.1:10000>");
        EXPECT_THAT(sent.opened, ElementsAre(kIn, kOut));
        EXPECT_THAT(sent.text, HasSubstr("m=audio 4000 "));
        const auto again = phone_line(gateway).out(text);
        EXPECT_EQ(again.text, sent.text);
        EXPECT_THAT(again.opened, IsEmpty());
        auto bob = kBob;
        bob.target = "sip:alice@203.0.113.1:10000";
        (void)phone_line(gateway).in(answer(sent.text, 200, "b"));
        const auto bye = contact_line(gateway).in(bob.request("BYE", 1));
        EXPECT_THAT(bye.text, HasSubstr("BYE sip:alice@192.168.77.2:5062 SIP/2.0"));
    }
}

TEST(FurtherPorts, StrangersCanAskForNone) {
    Gateway gateway;
    const auto line = gateway.forwarded();
    const std::string contact = "sip:x@192.168.77.5:4569";
    for (const auto* method : {"OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE"}) {
        for (const int status : {200, 302, 403}) {
            auto asked = kBob;
            asked.target = "sip:pbx@203.0.113.1";
            asked.call_id = std::string(method) + std::to_string(status);
            const auto seen = line.in(asked.request(method, 1));
            const auto answered = line.out(answer(seen.text, status, "p", "", contact));
            EXPECT_THAT(answered.opened, IsEmpty()) << method << " " << status;
        }
    }
    EXPECT_THAT(gateway.engine.media().mappings(), IsEmpty());
}

TEST(FurtherPorts, ACallOnItsFlowOutlastsTheRegistration) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto sent = line.out(registering());
    (void)line.in(registered(sent.text, "Contact: <sip:alice@203.0.113.1:10000>;expires=60"));
    auto bob = kBob;
    bob.target = "sip:alice@203.0.113.1:10000";
    bob.peer_tag.clear();
    const auto called = contact_line(gateway);
    const auto invite = called.in(bob.request("INVITE", 1, audio("203.0.113.10", 7000)));
    (void)called.out(
        answer(invite.text, 200, "a", audio("192.168.77.2", 4000), "sip:alice@192.168.77.2:5062"));
    (void)called.in(bob.with_peer_tag("a").request("ACK", 1));
    EXPECT_THAT(gateway.wait(10min).close, IsEmpty());
    const auto bye = called.in(bob.with_peer_tag("a").request("BYE", 2));
    EXPECT_THAT(called.out(answer(bye.text, 200)).closed, testing::IsSupersetOf({kIn, kOut}));
}

TEST(FurtherPorts, AHostHasOnlySoMany) {
    auto settings = lab_settings();
    settings.bindings_per_host = 2;
    Gateway gateway(settings);
    const auto line = phone_line(gateway);
    for (int i = 1; i <= 3; ++i) {
        const auto port = std::to_string(5060 + i);
        const auto sent = line.out(registering(i, "<sip:alice@192.168.77.2:" + port + ">"));
        EXPECT_EQ(sent.decision.reason, i < 3 ? Reason::rewritten : Reason::binding_limit);
        EXPECT_EQ(sent.opened.size(), i < 3 ? 2U : 0U);
    }
    EXPECT_EQ(gateway.engine.media().mappings().size(), 2U);
}

TEST(FurtherPorts, NoEndpointHasMediaAndSignallingAtOnce) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    (void)line.out(registering());
    const auto invite =
        line.out(kAlice.with_call_id("call-2").request("INVITE", 1, audio("192.168.77.2", 5062)));
    EXPECT_EQ(invite.decision.reason, Reason::no_media_port);
    EXPECT_THAT(invite.text, HasSubstr("m=audio 5062"));
}

TEST(FurtherPorts, MediaThatNamesTheirOutsidePortIsNotTheirs) {
    Gateway gateway;
    const auto line = phone_line(gateway);
    const auto invite = request("INVITE", 1, "Contact: <sip:alice@192.168.77.2:5062>\n",
                                audio("203.0.113.1", 10000));
    const auto first = line.out(invite);
    EXPECT_EQ(first.decision.reason, Reason::rewritten);
    EXPECT_EQ(line.out(invite).text, first.text);
}

// --- after a restart ----------------------------------------------------------------------------

TEST(FurtherPorts, LeasesOutliveTheProcess) {
    Gateway gateway;
    const auto sent = phone_line(gateway).out(registering());
    (void)phone_line(gateway).in(
        registered(sent.text, "Contact: <sip:alice@203.0.113.1:10000>;expires=600"));
    Gateway next;
    next.engine.restore(gateway.engine.save());
    EXPECT_EQ(phone_line(next).out(registering(2)).text.find("192.168.77.2:5062"),
              std::string::npos);
    EXPECT_THAT(next.wait(620s).close, IsEmpty());
    EXPECT_EQ(next.wait(13s).close.size(), 2U);
}

TEST(FurtherPorts, EachChangeOfALeaseIsToldOnce) {
    Gateway gateway;
    (void)phone_line(gateway).out(registering());
    EXPECT_TRUE(gateway.engine.has_changes());
    EXPECT_EQ(gateway.engine.take_changes().leases.size(), 1U);
    (void)phone_line(gateway).out(registering());
    EXPECT_FALSE(gateway.engine.has_changes());
    (void)gateway.wait(40s);
    const auto ended = gateway.engine.take_changes();
    ASSERT_EQ(ended.leases.size(), 1U);
    EXPECT_THAT(ended.leases.front().holes, IsEmpty());
}

}  // namespace
}  // namespace sipnat
