// ICE in offers and answers (RFC 8839), with Alice inside and with Bob inside: what each reads, to the
// byte, and that nobody finds a mismatch: the default destination of every component is among its
// candidates on either side of the gateway (RFC 8839 4.2.5).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "two_parties.h"

namespace sipnat {
namespace {

const std::string kHer = "host.atlanta.example.com";
const std::string kHis = "host.biloxi.example.com";

/// A candidate of one's own: "1 1 UDP 2130706431 HOST PORT typ host".
std::string host_candidate(int component, const std::string& host, int port,
                           const std::string& more = "") {
    return "a=candidate:1 " + std::to_string(component) + " UDP " +
           std::to_string(2130706432 - component) + " " + host + " " + std::to_string(port) +
           " typ host" + more + "\n";
}

std::string stream(const std::string& media, int port, const std::string& lines) {
    return "m=" + media + " " + std::to_string(port) + " RTP/AVP 0\n" + lines;
}

/// Components of m= lines whose default destination no candidate is.
std::vector<std::string> mismatches(const std::string& message) {
    std::vector<std::string> found;
    std::string session_host;
    std::string host;
    std::string rtp;
    std::string rtcp;
    std::vector<std::string> candidates;
    bool in_media = false;
    const auto close = [&] {
        if (in_media && !candidates.empty() && rtp != "0") {
            for (const auto& wanted : {"1 " + host + " " + rtp, "2 " + host + " " + rtcp}) {
                const bool named = wanted.back() != ' ';
                if (named && std::ranges::count(candidates, wanted) == 0) found.push_back(wanted);
            }
        }
        candidates.clear();
        rtcp.clear();
        host = session_host;
    };
    std::istringstream lines(message.substr(message.find("\r\n\r\n") + 4));
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string first;
        words >> first;
        std::vector<std::string> rest;
        for (std::string word; words >> word;)
            rest.push_back(word);
        if (first == "c=IN") {
            host = rest.at(1);
            if (!in_media) session_host = host;
        } else if (first.starts_with("m=")) {
            close();
            in_media = true;
            rtp = rest.at(0);
        } else if (first.starts_with("a=rtcp:")) {
            rtcp = first.substr(7);
        } else if (first.starts_with("a=candidate:")) {
            candidates.push_back(rest.at(0) + " " + rest.at(3) + " " + rest.at(4));
        }
    }
    close();
    return found;
}

TEST(IceMismatch, IsFoundIfThereIsOne) {
    const auto session = [](const std::string& host, int port, const std::string& lines) {
        return sip_text("X: y\n",
                        crlf("v=0\nc=IN IP4 " + host + "\nt=0 0\n" + stream("audio", port, lines)));
    };
    const auto rtp = host_candidate(1, "192.0.2.1", 7000);
    EXPECT_THAT(mismatches(session("192.0.2.1", 7000, rtp)), testing::IsEmpty());
    EXPECT_THAT(mismatches(session("192.0.2.9", 7000, rtp)),
                testing::ElementsAre("1 192.0.2.9 7000"));
    EXPECT_THAT(mismatches(session("192.0.2.1", 7002, rtp)),
                testing::ElementsAre("1 192.0.2.1 7002"));
    EXPECT_THAT(mismatches(session("192.0.2.1", 7000, "a=rtcp:7001\n" + rtp)),
                testing::ElementsAre("2 192.0.2.1 7001"));
}

class IceExchange : public testing::TestWithParam<Person> {
  protected:
    /// The last message, as the other side reads it.
    void expect_no_mismatch() { EXPECT_EQ(mismatches(call.talk.last().text), Strings{}); }
    void expect_open(const Holes& holes) { EXPECT_EQ(call.talk.open(), holes); }

    /// Of the inside party: its mapped port, and where it sends.
    [[nodiscard]] Holes one(int hers, int his, int outside,
                            const std::vector<std::string>& remotes) const {
        return holes_of("audio", call.inside() == Person::alice ? hers : his, outside, remotes, 1);
    }

    void exchange(const std::string& offer, const std::string& answer) {
        const auto invite = call.request(Person::alice, "INVITE", call.sdp(Person::alice, offer));
        expect_no_mismatch();
        call.respond(invite, 200, call.sdp(Person::bob, answer));
        expect_no_mismatch();
        call.acknowledge(invite);
        call.talk.repeat();
        call.talk.wait(33s);
    }

    using Strings = std::vector<std::string>;
    /// 8998 and 3478 are outside of the range, and nobody else writes them.
    Gateway gateway;
    TwoParties call{gateway,
                    GetParam(),
                    {},
                    {GetParam() == Person::alice ? Word{"8998", "8998", "10000"}
                                                 : Word{"3478", "3478", "10000"},
                     GetParam() == Person::alice ? Word{"8999", "8999", "10001"}
                                                 : Word{"3479", "3479", "10001"}}};
};

INSTANTIATE_TEST_SUITE_P(Inside, IceExchange, testing::ValuesIn(kBothPersons),
                         [](const auto& inside) { return name_of(inside.param); });

const std::string kHerCredentials =
    "a=ice-options:ice2\na=ice-pacing:50\n"
    "a=ice-pwd:asd88fgpdd777uzjYhagZg\na=ice-ufrag:8hhY\n";
const std::string kHisCredentials =
    "a=ice-options:ice2\na=ice-pacing:50\na=ice-pwd:YH75Fviy6338Vbrhrlp8Yh\na=ice-ufrag:9uB6\n";

/// The example of appendix A, of which the default candidates are the host candidates.
TEST_P(IceExchange, CandidatesFollowTheirStreamOnBothSides) {
    exchange(
        kHerCredentials +
            stream("audio", 8998, "a=rtcp-mux\na=rtcp-mux-only\n" + host_candidate(1, kHer, 8998)),
        kHisCredentials +
            stream("audio", 3478, "a=rtcp-mux\na=rtcp-mux-only\n" + host_candidate(1, kHis, 3478)));
    expect_open(
        one(8998, 3478, 10000,
            {"any", GetParam() == Person::alice ? "203.0.113.10:3478" : "203.0.113.10:8998"}));
    call.end();
}

/// 4.2.1.2: RTCP has candidates of its own, and a=rtcp names the default one.
TEST_P(IceExchange, RtcpHasItsOwn) {
    exchange(kHerCredentials + stream("audio", 8998,
                                      "a=rtcp:8999\n" + host_candidate(1, kHer, 8998) +
                                          host_candidate(2, kHer, 8999)),
             kHisCredentials + stream("audio", 3478,
                                      "a=rtcp:3479\n" + host_candidate(1, kHis, 3478) +
                                          host_candidate(2, kHis, 3479)));
    expect_open(GetParam() == Person::alice
                    ? pair_of_holes("audio", 8998, 10000, {"any", "203.0.113.10:3478"})
                    : pair_of_holes("audio", 3478, 10000, {"any", "203.0.113.10:8998"}));
    call.end();
}

/// 4.4.1.2.2, 5.2: the offer after ICE concluded has the selected candidate as its default and as its
/// only one, and says which of the other side's it goes with.
TEST_P(IceExchange, TheUpdatedOfferNamesTheRemoteCandidateAsItsOwnerKnowsIt) {
    const std::string mux = "a=rtcp-mux\na=rtcp-mux-only\n";
    const std::string srflx = "a=candidate:2 1 UDP 1694498815 198.51.100.7 45664 typ srflx raddr " +
                              kHer + " rport 8998\n";
    exchange(kHerCredentials + stream("audio", 8998, mux + host_candidate(1, kHer, 8998) + srflx),
             kHisCredentials + stream("audio", 3478, mux + host_candidate(1, kHis, 3478)));
    const auto open = call.talk.open();
    exchange(kHerCredentials + stream("audio", 8998,
                                      mux + host_candidate(1, kHer, 8998) +
                                          "a=remote-candidates:1 " + kHis + " 3478\n"),
             kHisCredentials + stream("audio", 3478, mux + host_candidate(1, kHis, 3478)));
    // Only what the candidates that are gone needed is closed.
    EXPECT_TRUE(std::ranges::includes(open, call.talk.open()));
    expect_open(
        one(8998, 3478, 10000,
            {"any", GetParam() == Person::alice ? "203.0.113.10:3478" : "203.0.113.10:8998"}));
    call.end();
}

/// 4.4.1.1.1: new credentials, and another port: the old one ends with the answer.
TEST_P(IceExchange, ARestartMayMoveTheStream) {
    const std::string mux = "a=rtcp-mux\na=rtcp-mux-only\n";
    const auto her = stream("audio", 8998, mux + host_candidate(1, kHer, 8998));
    const auto his = stream("audio", 3478, mux + host_candidate(1, kHis, 3478));
    exchange(kHerCredentials + her, kHisCredentials + his);
    exchange("a=ice-pwd:second11111111111111111\na=ice-ufrag:her2\n" +
                 stream("audio", 20000, mux + host_candidate(1, kHer, 20000)),
             "a=ice-pwd:second22222222222222222\na=ice-ufrag:his2\n" +
                 stream("audio", 30000, mux + host_candidate(1, kHis, 30000)));
    const bool hers = GetParam() == Person::alice;
    expect_open(one(20000, 30000, hers ? 20000 : 30000,
                    {"any", hers ? "203.0.113.10:30000" : "203.0.113.10:20000"}));
    call.end();
}

/// 4.4.1.1.2: a stream that is removed has no candidates any more; one that is added has its own.
TEST_P(IceExchange, StreamsComeAndGoWithTheirCandidates) {
    const std::string mux = "a=rtcp-mux\na=rtcp-mux-only\n";
    const auto her_audio = stream("audio", 8998, mux + host_candidate(1, kHer, 8998));
    const auto his_audio = stream("audio", 3478, mux + host_candidate(1, kHis, 3478));
    const auto her_video = stream("video", 20002, mux + host_candidate(1, kHer, 20002));
    const auto his_video = stream("video", 30002, mux + host_candidate(1, kHis, 30002));
    const bool hers = GetParam() == Person::alice;
    const auto audio =
        one(8998, 3478, 10000, {"any", hers ? "203.0.113.10:3478" : "203.0.113.10:8998"});
    exchange(her_audio + her_video, his_audio + his_video);
    expect_open(
        both(audio, holes_of("video", hers ? 20002 : 30002, hers ? 20002 : 30002,
                             {"any", hers ? "203.0.113.10:30002" : "203.0.113.10:20002"}, 1)));
    exchange(her_audio + stream("video", 0, ""), his_audio + stream("video", 0, ""));
    expect_open(audio);
    call.end();
}

/// 4.3.1: the answerer is not capable of ICE, or finds a mismatch of its own making.
TEST_P(IceExchange, AnAnswerWithoutIceLeavesTheDefaults) {
    exchange(kHerCredentials + stream("audio", 8998, host_candidate(1, kHer, 8998)),
             "a=ice-lite\n" + stream("audio", 3478, "a=ice-mismatch\n"));
    expect_open(GetParam() == Person::alice
                    ? pair_of_holes("audio", 8998, 10000, {"any", "203.0.113.10:3478"})
                    : pair_of_holes("audio", 3478, 10000, {"any", "203.0.113.10:8998"}));
    call.end();
}

/// 4.1.3: no default yet, since candidates come one by one: the address 0.0.0.0 and the port 9.
TEST_P(IceExchange, WithoutADefaultOnlyTheCandidatesAreOpen) {
    exchange("c=IN IP4 0.0.0.0\n" + kHerCredentials +
                 stream("audio", 9, "a=rtcp-mux\na=end-of-candidates\n"),
             "c=IN IP4 0.0.0.0\n" + kHisCredentials + stream("audio", 9, "a=rtcp-mux\n"));
    expect_open({});
    call.end();
}

}  // namespace
}  // namespace sipnat
