// Offers and answers as RFCs print them, through the gateway: offer_answer/ has the exchanges of RFC
// 3264, 4317, 5888 and 8843. Each goes with the offerer inside and with the answerer inside, in every
// place where SIP carries offers and answers (RFC 6337), and every message goes twice.
//
//     ## 2.2 Audio and Video 2
//     Alice 49170=10000 51372=10002      an offer; which ports outside she gets if she is inside
//     m=audio 49170 RTP/AVP 0 8 97
//     …
//     Bob 49172=10000                    and the answer
//     …
//     open audio 49170 49172             then this is open: hers, and his
//
// In "open" a port may have a host: one that is neither's, "nowhere" for c=0.0.0.0 from the first, and
// "held" for c=0.0.0.0 of a stream that was open and keeps its port.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "two_parties.h"

namespace sipnat {
namespace {

struct Description {
    Person party{};
    std::map<std::string, std::string> ports;  ///< printed, outside
    std::string lines;
};

struct Exchange {
    Description offer;
    Description answer;
    std::string open;
};

struct Case {
    std::string rfc;
    std::string section;
    std::vector<Exchange> exchanges;
};

std::vector<Case> read_cases(const std::string& rfc) {
    std::ifstream file(SIPNAT_SOURCE_DIR "/tests/unit/core/offer_answer/rfc" + rfc + ".txt");
    std::vector<Case> cases;
    Description* description = nullptr;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string first;
        words >> first;
        if (first == "##") {
            cases.push_back({rfc, line.substr(3), {}});
            description = nullptr;
        } else if (first == "Alice" || first == "Bob") {
            auto& exchanges = cases.back().exchanges;
            const bool answers = description != nullptr && description == &exchanges.back().offer;
            if (!answers) exchanges.emplace_back();
            description = answers ? &exchanges.back().answer : &exchanges.back().offer;
            description->party = first == "Alice" ? Person::alice : Person::bob;
            for (std::string port; words >> port;) {
                const auto equals = port.find('=');
                description->ports[port.substr(0, equals)] = port.substr(equals + 1);
            }
        } else if (first == "open") {
            cases.back().exchanges.back().open = line.substr(5);
        } else if (description != nullptr && !line.empty()) {
            description->lines += line + "\n";
        }
    }
    return cases;
}

std::vector<Case> all_cases() {
    std::vector<Case> all;
    for (const auto* rfc : {"3264", "4317", "5888", "8843"}) {
        const auto cases = read_cases(rfc);
        all.insert(all.end(), cases.begin(), cases.end());
    }
    return all;
}

void PrintTo(const Case& one, std::ostream* out) {
    *out << "RFC " << one.rfc << " " << one.section;
}

/// Each port number that an m= line may have; they are the same in the whole case.
std::vector<Word> ports_of(Person inside, const Case& one) {
    std::vector<Word> words;
    for (const auto& exchange : one.exchanges) {
        for (const auto* description : {&exchange.offer, &exchange.answer}) {
            if (description->party != inside) continue;
            for (const auto& [printed, outside] : description->ports)
                words.push_back({printed, printed, outside});
        }
    }
    return words;
}

/// "audio/mux 49170 otherhost:49172, …" with this party inside.
Holes read_open(const std::string& text, Person inside, const Case& one) {
    std::map<std::string, std::string> outside;
    for (const auto& word : ports_of(inside, one))
        outside[word.printed] = word.outside;
    Holes holes;
    std::istringstream streams(text);
    for (std::string stream; std::getline(streams, stream, ',');) {
        std::istringstream words(stream);
        std::string kind;
        std::string own;
        std::string remote;
        words >> kind >> own >> remote;
        if (kind == "none") continue;
        if (inside == Person::bob) own.swap(remote);
        if (own.starts_with("held:")) own = own.substr(5);
        if (own.find(':') != std::string::npos) continue;  // not the party's own
        std::vector<std::string> remotes{"any"};
        const auto colon = remote.find(':');
        if (colon == std::string::npos) {
            remotes.push_back("203.0.113.10:" + remote);
        } else if (kOtherHosts.contains(remote.substr(0, colon))) {
            remotes.push_back(kOtherHosts.at(remote.substr(0, colon)) + remote.substr(colon));
        }
        const bool alone = kind == "fax" || kind.ends_with("/mux");
        const auto media = kind == "fax" ? "other" : kind.substr(0, kind.find('/'));
        holes.merge(
            holes_of(media, std::stoi(own), std::stoi(outside.at(own)), remotes, alone ? 1 : 2));
    }
    return holes;
}

// --- the places of offers and answers -----------------------------------------------------------

class Session {
  public:
    Session(Gateway& gateway, Person inside, const Case& one)
        : case_(one), parties_(gateway, inside, ports_of(inside, one)) {}

    /// INVITE and 200.
    void begin(const Exchange& exchange) {
        const auto invite = request(exchange.offer.party, "INVITE", sdp(exchange.offer));
        respond(invite, 100);
        respond(invite, 180);
        respond(invite, 200, sdp(exchange.answer));
        acknowledge(invite);
        settle(exchange);
    }
    /// 200 and ACK: the answerer called, and offered nothing.
    void begin_without_offer(const Exchange& exchange) {
        const auto invite = request(exchange.answer.party, "INVITE");
        respond(invite, 180);
        respond(invite, 200, sdp(exchange.offer));
        acknowledge(invite, sdp(exchange.answer));
        settle(exchange);
    }
    /// INVITE and a reliable 183 (RFC 3262). As long as it rings another fork may answer: what was
    /// offered stays open for that one.
    std::string begin_early(const Exchange& exchange) {
        early_ = true;
        auto invite = request(exchange.offer.party, "INVITE", sdp(exchange.offer));
        for_forks_ = parties_.talk.open();
        respond(invite, 183, sdp(exchange.answer));
        respond(request(exchange.offer.party, "PRACK"), 200);
        settle(exchange);
        return invite;
    }
    /// A reliable 183 and its PRACK.
    std::string begin_early_without_offer(const Exchange& exchange) {
        auto invite = request(exchange.answer.party, "INVITE");
        respond(invite, 183, sdp(exchange.offer));
        respond(request(exchange.answer.party, "PRACK", sdp(exchange.answer)), 200);
        settle(exchange);
        return invite;
    }
    /// The 200 has no SDP any more.
    void finish_early(const std::string& invite, const Exchange& last) {
        respond(invite, 200);
        acknowledge(invite);
        for_forks_.clear();
        settle(last);
    }

    void go_on(const std::string& method, const Exchange& exchange) {
        const auto offer = request(exchange.offer.party, method, sdp(exchange.offer));
        respond(offer, 200, sdp(exchange.answer));
        if (method == "INVITE") acknowledge(offer);
        settle(exchange);
    }
    /// A re-INVITE without offer: of the one who answers then.
    void go_on_without_offer(const Exchange& exchange) {
        const auto invite = request(exchange.answer.party, "INVITE");
        respond(invite, 200, sdp(exchange.offer));
        acknowledge(invite, sdp(exchange.answer));
        settle(exchange);
    }

    void end() { parties_.end(); }

  private:
    std::string request(Person from, const std::string& method, const std::string& body = "") {
        return parties_.request(from, method, body);
    }
    void respond(const std::string& request, int status, const std::string& body = "") {
        parties_.respond(request, status, body);
    }
    void acknowledge(const std::string& invite, const std::string& body = "") {
        parties_.acknowledge(invite, body);
    }
    std::string sdp(const Description& description) {
        return parties_.sdp(description.party, description.lines);
    }

    /// All of it comes again; and who waits for another fork's answer waits no more, unless it still
    /// rings.
    void settle(const Exchange& exchange) {
        parties_.talk.repeat();
        parties_.talk.wait(33s);
        const auto open = shown(parties_.talk.open());
        const auto expected = shown(read_open(exchange.open, parties_.inside(), case_));
        auto most = shown(for_forks_);
        most.insert(expected.begin(), expected.end());
        EXPECT_TRUE(std::ranges::includes(open, expected)) << testing::PrintToString(open);
        EXPECT_TRUE(std::ranges::includes(most, open)) << testing::PrintToString(open);
    }

    /// While a stream that was offered to all forks is open, another on its port keeps its class.
    [[nodiscard]] Holes shown(const Holes& holes) const {
        if (!early_) return holes;
        Holes without_class;
        for (const auto& hole : holes)
            without_class.insert(hole.substr(hole.find(' ') + 1));
        return without_class;
    }

    const Case& case_;
    TwoParties parties_;
    Holes for_forks_;
    bool early_ = false;
    bool has_tags_ = false;
};

using Way = void (*)(Session&, const std::vector<Exchange>&);

const std::vector<std::pair<const char*, Way>> kWays{
    {"INVITE and re-INVITE",
     [](Session& session, const auto& exchanges) {
         session.begin(exchanges.front());
         for (std::size_t i = 1; i < exchanges.size(); ++i)
             session.go_on("INVITE", exchanges[i]);
     }},
    {"INVITE and UPDATE",
     [](Session& session, const auto& exchanges) {
         session.begin(exchanges.front());
         for (std::size_t i = 1; i < exchanges.size(); ++i)
             session.go_on("UPDATE", exchanges[i]);
     }},
    {"200 and ACK",
     [](Session& session, const auto& exchanges) {
         session.begin_without_offer(exchanges.front());
         for (std::size_t i = 1; i < exchanges.size(); ++i)
             session.go_on_without_offer(exchanges[i]);
     }},
    {"183, PRACK, and UPDATE before the 200",
     [](Session& session, const auto& exchanges) {
         const auto invite = session.begin_early(exchanges.front());
         for (std::size_t i = 1; i < exchanges.size(); ++i)
             session.go_on("UPDATE", exchanges[i]);
         session.finish_early(invite, exchanges.back());
     }},
    {"183 and PRACK without an offer before, and offers in PRACK",
     [](Session& session, const auto& exchanges) {
         const auto invite = session.begin_early_without_offer(exchanges.front());
         for (std::size_t i = 1; i < exchanges.size(); ++i)
             session.go_on("PRACK", exchanges[i]);
         session.finish_early(invite, exchanges.back());
     }},
};

class OfferAnswer : public testing::TestWithParam<Case> {};

TEST_P(OfferAnswer, OpensTheStreamsThatBothSidesTookAndNoOthers) {
    const auto& one = GetParam();
    ASSERT_FALSE(one.exchanges.empty());
    for (const auto inside : kBothPersons) {
        for (const auto& [way, go] : kWays) {
            SCOPED_TRACE(name_of(inside) + " inside; " + way);
            auto settings = lab_settings();
            if (one.rfc == "8843") settings.media_ports.high = Port{65535};
            Gateway gateway(settings);
            Session session(gateway, inside, one);
            go(session, one.exchanges);
            session.end();
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Rfc, OfferAnswer, testing::ValuesIn(all_cases()),
                         [](const auto& one) { return std::to_string(one.index); });

/// As many as the files have: a section that is not read would not fail.
TEST(OfferAnswerCases, AreAllThere) {
    std::map<std::string, std::size_t> exchanges;
    for (const auto& one : all_cases())
        exchanges[one.rfc] += one.exchanges.size();
    EXPECT_EQ(exchanges["3264"], 25U);
    EXPECT_EQ(exchanges["4317"], 27U);
    EXPECT_EQ(exchanges["5888"], 6U);
    EXPECT_EQ(exchanges["8843"], 10U);
}

}  // namespace
}  // namespace sipnat
