// What media has in the middle of a dialog: offers that cross, fail or come late, answers before the
// answer, forks. Each with Alice inside and with Bob inside; what is open is looked at after every
// message, and everything comes again later.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "two_parties.h"

namespace sipnat {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

/// Runs with each of them inside.
class DialogMedia : public testing::TestWithParam<Person> {
  protected:
    /// What `party` alone may open by an offer of this port, before it is answered.
    [[nodiscard]] Holes offered(Person party, int port) const {
        if (party != call.inside()) return {};
        return pair_of_holes("audio", port, port, {"any"});
    }
    [[nodiscard]] Holes stream(int alice, int bob) const { return call.stream(alice, bob); }
    void expect_open(const Holes& holes) { EXPECT_EQ(call.talk.open(), holes); }
    /// The retransmissions of all of it change nothing either.
    void expect_still_open(const Holes& holes) {
        expect_open(holes);
        call.talk.repeat();
        expect_open(holes);
    }

    Gateway gateway;
    TwoParties call{gateway, GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Inside, DialogMedia, testing::ValuesIn(kBothPersons),
                         [](const auto& inside) { return name_of(inside.param); });

// Its RTCP moves to where it belongs without a=rtcp, and outside somebody else is there already.
TEST(RtcpOfADialog, SaysWhereItIs) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite =
        line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000, "a=rtcp:5000\n")));
    EXPECT_THAT(invite.text, HasSubstr("m=audio 10000 RTP/AVP 0\r\na=rtcp:10001\r\n"));
    (void)line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
    const auto again =
        line.out(kAlice.with_peer_tag("b").request("INVITE", 2, audio("192.168.77.2", 4000)));
    EXPECT_THAT(again.text, HasSubstr("m=audio 10000 RTP/AVP 0\r\na=rtcp:10002\r\n"));
    EXPECT_THAT(again.opened, testing::Contains("audio 192.168.77.2:4001=203.0.113.1:10002 any"));
}

// --- glare (RFC 3261 14.1, 14.2; RFC 5407 3.2) ----------------------------------------------------

TEST_P(DialogMedia, ReInvitesThatCrossBothFailAndALaterOneWorks) {
    call.establish(20000, 30000);
    const auto hers = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20100));
    const auto his = call.request(Person::bob, "INVITE", call.sdp(Person::bob, 30100));
    // Each of them may move to either port of the other one.
    expect_open(both(both(stream(20000, 30000), stream(20100, 30000)),
                     both(stream(20000, 30100), stream(20100, 30100))));
    call.respond(hers, 491);
    call.acknowledge(hers);
    expect_open(both(stream(20000, 30000), stream(20000, 30100)));
    call.respond(his, 491);
    call.acknowledge(his);
    expect_still_open(stream(20000, 30000));

    const auto again = call.request(Person::bob, "INVITE", call.sdp(Person::bob, 30100));
    call.respond(again, 200, call.sdp(Person::alice, 20000));
    call.acknowledge(again);
    expect_still_open(stream(20000, 30100));
    call.end();
}

TEST_P(DialogMedia, UpdatesThatCrossBothFail) {
    call.establish(20000, 30000);
    const auto hers = call.request(Person::alice, "UPDATE", call.sdp(Person::alice, 20100));
    const auto his = call.request(Person::bob, "UPDATE", call.sdp(Person::bob, 30100));
    call.respond(his, 491);
    call.respond(hers, 491);
    expect_still_open(stream(20000, 30000));
    const auto again = call.request(Person::alice, "UPDATE", call.sdp(Person::alice, 20100));
    call.respond(again, 200, call.sdp(Person::bob, 30000));
    expect_still_open(stream(20100, 30000));
    call.end();
}

/// RFC 3311 5.2: 500 with Retry-After for an UPDATE before the last one has its answer.
TEST_P(DialogMedia, AnUpdateTooEarlyFailsAndTheOneBeforeItHolds) {
    call.establish(20000, 30000);
    const auto first = call.request(Person::bob, "UPDATE", call.sdp(Person::bob, 30100));
    const auto second = call.request(Person::bob, "UPDATE", call.sdp(Person::bob, 30200));
    call.respond(second, 500, "", "", "Retry-After: 5");
    call.respond(first, 200, call.sdp(Person::alice, 20000));
    expect_still_open(stream(20000, 30100));
    call.end();
}

TEST_P(DialogMedia, AnUpdateThatMeetsAReInviteFailsAlone) {
    call.establish(20000, 30000);
    const auto invite = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20100));
    const auto update = call.request(Person::bob, "UPDATE", call.sdp(Person::bob, 30100));
    call.respond(update, 491);
    call.respond(invite, 200, call.sdp(Person::bob, 30000));
    call.acknowledge(invite);
    expect_still_open(stream(20100, 30000));
    call.end();
}

// --- offers that fail ---------------------------------------------------------------------------

TEST_P(DialogMedia, AReInviteThatFailsLeavesWhatWas) {
    call.establish(20000, 30000);
    for (const int status : {401, 403, 415, 488, 500, 603}) {
        for (const auto party : kBothPersons) {
            const bool hers = party == Person::alice;
            const auto invite =
                call.request(party, "INVITE", call.sdp(party, hers ? 20100 : 30100));
            expect_open(
                both(stream(20000, 30000), hers ? stream(20100, 30000) : stream(20000, 30100)));
            call.respond(invite, status);
            call.acknowledge(invite);
            expect_still_open(stream(20000, 30000));
        }
        call.talk.wait(33s);
    }
    call.end();
}

TEST_P(DialogMedia, AStreamThatAFailedReInviteWouldAddIsClosed) {
    call.establish(20000, 30000);
    const auto both_kinds = [](int audio, int video) {
        return "m=audio " + std::to_string(audio) + " RTP/AVP 0\nm=video " + std::to_string(video) +
               " RTP/AVP 31\n";
    };
    const auto invite =
        call.request(Person::alice, "INVITE", call.sdp(Person::alice, both_kinds(20000, 20002)));
    expect_open(both(stream(20000, 30000), call.stream(20002, 0, "", "video")));
    call.respond(invite, 488);
    call.acknowledge(invite);
    expect_still_open(stream(20000, 30000));
    call.end();
}

TEST_P(DialogMedia, ACancelledReInviteLeavesWhatWas) {
    call.establish(20000, 30000);
    const auto invite = call.request(Person::bob, "INVITE", call.sdp(Person::bob, 30100));
    call.respond(invite, 180);
    auto cancel = "CANCEL" + invite.substr(6, invite.find("Content-Type") - 6);
    cancel.replace(cancel.find(" INVITE\r\n"), 9, " CANCEL\r\n");
    cancel += "Content-Length: 0\r\n\r\n";
    call.send(Person::bob, cancel);
    call.respond(cancel, 200);
    call.respond(invite, 487);
    call.acknowledge(invite);
    expect_still_open(stream(20000, 30000));
    call.end();
}

// --- before the answer --------------------------------------------------------------------------

/// 183 of a media server, not reliable, and 200 of the phone (RFC 3960 3).
TEST_P(DialogMedia, TheFinalAnswerTakesThePlaceOfTheEarlyOne) {
    const auto invite = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20000));
    expect_open(offered(Person::alice, 20000));
    call.respond(invite, 183, call.sdp(Person::bob, 30000));
    expect_open(both(offered(Person::alice, 20000), stream(20000, 30000)));
    call.respond(invite, 183, call.sdp(Person::bob, 30100));
    expect_open(both(offered(Person::alice, 20000), stream(20000, 30100)));
    call.respond(invite, 200, call.sdp(Person::bob, 30200));
    call.acknowledge(invite);
    expect_open(stream(20000, 30200));
    // A retransmission of the 200 is one; the early answers that are under way come too late.
    call.talk.repeat();
    expect_open(stream(20000, 30200));
    call.end();
}

TEST_P(DialogMedia, TheSameAnswerInThe183AndThe200IsOne) {
    const auto invite = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20000));
    const auto session = call.sdp(Person::bob, 30000);
    call.respond(invite, 183, session);
    call.respond(call.request(Person::alice, "PRACK"), 200);
    call.respond(invite, 200, session);
    call.acknowledge(invite);
    expect_still_open(stream(20000, 30000));
    call.end();
}

/// RFC 6337 3.1.1: what the 200 repeats is not to be looked at.
TEST_P(DialogMedia, AnAnswerThatThe200RepeatsDoesNotUndoAnUpdate) {
    const auto invite = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20000));
    const auto session = call.sdp(Person::bob, 30000);
    call.respond(invite, 183, session);
    call.respond(call.request(Person::alice, "PRACK"), 200);
    const auto update = call.request(Person::bob, "UPDATE", call.sdp(Person::bob, 30100));
    call.respond(update, 200, call.sdp(Person::alice, 20100));
    call.respond(invite, 200, session);
    call.acknowledge(invite);
    call.talk.repeat();
    call.talk.wait(33s);
    expect_open(stream(20100, 30100));
    call.end();
}

// --- forks --------------------------------------------------------------------------------------

TEST(ForkedMedia, EachForkNegotiatesForItself) {
    Gateway gateway;
    TwoParties call(gateway, Person::alice);
    const auto at = [&](const std::string& host, int port) {
        return call.sdp(Person::bob, "c=IN IP4 " + host + ".biloxi.example.com\nm=audio " +
                                         std::to_string(port) + " RTP/AVP 0\n");
    };
    const std::string b_host = kOtherHosts.at("newhost");
    const std::string c_host = kOtherHosts.at("otherhost");
    const auto invite = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20000));
    call.respond(invite, 183, at("newhost", 30000), "b");
    call.respond(call.request(Person::alice, "PRACK", "", "b"), 200, "", "b");
    call.respond(invite, 183, at("otherhost", 31000), "c");
    call.respond(call.request(Person::alice, "PRACK", "", "c"), 200, "", "c");
    EXPECT_EQ(call.talk.open(),
              both(call.stream(20000, 30000, b_host), call.stream(20000, 31000, c_host)));
    // She moves with c alone.
    const auto update = call.request(Person::alice, "UPDATE", call.sdp(Person::alice, 20100), "c");
    call.respond(update, 200, at("otherhost", 31100), "c");
    EXPECT_EQ(call.talk.open(),
              both(call.stream(20000, 30000, b_host), call.stream(20100, 31100, c_host)));
    call.respond(invite, 200, "", "c");
    call.acknowledge(invite, "", "c");
    call.talk.repeat();
    call.talk.wait(33s);
    EXPECT_EQ(call.talk.open(), call.stream(20100, 31100, c_host));
    call.respond(call.request(Person::alice, "BYE", "", "c"), 200, "", "c");
    call.talk.expect_over();
}

TEST(ForkedMedia, TwoForksThatBothAnswerAreTwoCallsOfOneOffer) {
    Gateway gateway;
    TwoParties call(gateway, Person::alice);
    const auto invite = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20000));
    call.respond(invite, 200, call.sdp(Person::bob, 30000), "b");
    call.acknowledge(invite, "", "b");
    call.respond(invite, 200, call.sdp(Person::bob, 31000), "c");
    call.acknowledge(invite, "", "c");
    const auto two = both(call.stream(20000, 30000), call.stream(20000, 31000));
    EXPECT_EQ(call.talk.open(), two);
    call.talk.repeat();
    EXPECT_EQ(call.talk.open(), two);
    call.respond(call.request(Person::alice, "BYE", "", "c"), 200, "", "c");
    EXPECT_EQ(call.talk.open(), call.stream(20000, 30000));
    call.talk.repeat();
    EXPECT_EQ(call.talk.open(), call.stream(20000, 30000));
    call.end();
}

/// RFC 2543 knew no tags of the one who answers.
TEST(ForkedMedia, AnAnswerWithoutATagIsTheDialog) {
    Gateway gateway;
    const auto line = gateway.line();
    const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 20000)));
    const auto ok = line.in(answer(invite.text, 200, "", audio("203.0.113.10", 30000)));
    EXPECT_EQ(ok.opened.size(), 2U);
    (void)line.out(kAlice.request("ACK", 1));
    EXPECT_THAT(gateway.wait(60s).close, IsEmpty());
    const auto bye = line.out(kAlice.request("BYE", 2));
    EXPECT_EQ(line.in(answer(bye.text, 200)).closed.size(), 4U);
}

// --- late retransmissions -----------------------------------------------------------------------

TEST_P(DialogMedia, AnOlderOfferThatComesAgainChangesNothing) {
    const auto invite = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20000));
    const auto session = call.sdp(Person::bob, 30000);
    call.respond(invite, 200, session);
    call.acknowledge(invite);
    // All at once, so that all of it may still come again.
    const auto first = call.request(Person::bob, "INVITE", call.sdp(Person::bob, 30100));
    call.respond(first, 200, call.sdp(Person::alice, 20100));
    call.acknowledge(first);
    const auto second = call.request(Person::alice, "UPDATE", call.sdp(Person::alice, 20200));
    call.respond(second, 200, call.sdp(Person::bob, 30200));
    const auto now = both(offered(Person::alice, 20000), stream(20200, 30200));
    expect_still_open(now);  // the first offer for a fork that may answer yet
    call.talk.wait(33s);
    expect_open(stream(20200, 30200));
    call.end();
}

TEST_P(DialogMedia, TheFirstInviteOnceMoreAfterTheForksAreForgottenOpensNothing) {
    const auto invite = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20000));
    call.respond(invite, 200, call.sdp(Person::bob, 30000));
    call.acknowledge(invite);
    call.talk.wait(33s);
    const auto update = call.request(Person::alice, "UPDATE", call.sdp(Person::alice, 20100));
    call.respond(update, 200, call.sdp(Person::bob, 30000));
    expect_open(stream(20100, 30000));
    call.send(Person::alice, invite);
    expect_open(stream(20100, 30000));
    call.end();
}

/// RFC 5407 3.1.4: the ACK was lost, so the 200 comes again after the re-INVITE.
TEST_P(DialogMedia, AnAnswerThatComesAgainAfterTheReInviteDoesNotUndoIt) {
    const auto invite = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20000));
    const auto session = call.sdp(Person::bob, 30000);
    call.respond(invite, 200, session);
    const auto again = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20100));
    call.respond(again, 200, call.sdp(Person::bob, 30100));
    call.acknowledge(again);
    call.respond(invite, 200, session);
    call.acknowledge(invite);
    call.talk.wait(33s);
    expect_open(stream(20100, 30100));
    call.end();
}

}  // namespace
}  // namespace sipnat
