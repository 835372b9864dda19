// The flows of RFC 3665 through the gateway: rfc3665/ has those of its messages that pass it when
// Alice is inside, or when Bob is. Transport is UDP in all of them. The client that is inside has the
// lab's endpoint in the place of its name; the names of everybody else stay names, and so does its
// own in o=. Where the RFC slips (no blank before a folded line in 3.10, "received" in a request in
// 2.5) the slip is mended.
//
//     ### F14 Proxy 1 > Alice at 203.0.113.20, 60 s later: 49172 any 192.0.2.201:3456
//
// begins a message. It says the server, if not the usual one, and the holes that are open from then
// on, by RTP's port of the client that is inside: of Alice, then "|", of Bob, where the message passes
// the gateway in either case.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <ostream>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "conversation.h"

namespace sipnat {
namespace {

struct Step {
    std::string name;
    std::string from;
    std::string to;
    std::string server;  ///< empty: the usual one
    std::chrono::seconds pause{0};
    std::string holes;  ///< empty: as before
    std::string text;
};

std::vector<Step> read_flow(const std::string& section) {
    const std::string path = SIPNAT_SOURCE_DIR "/tests/unit/core/rfc3665/" + section + ".txt";
    std::ifstream file(path);
    const std::regex heading(
        "### (F[0-9]+) (.+) > ([^,:]+?)(?: at ([0-9.]+))?(?:, ([0-9]+) s later)?(?:: (.+))?");
    std::vector<Step> steps;
    for (std::string line; std::getline(file, line);) {
        std::smatch found;
        if (std::regex_match(line, found, heading)) {
            const std::chrono::seconds pause(found[5].matched ? std::stoi(found[5]) : 0);
            steps.push_back({found[1], found[2], found[3], found[4], pause, found[6], ""});
        } else if (!steps.empty()) {
            steps.back().text += line + "\r\n";
        }
    }
    if (steps.empty()) ADD_FAILURE() << "no message in " << path;
    return steps;
}

// --- who is inside ------------------------------------------------------------------------------

enum class Reached : std::uint8_t { by_its_own_flow, by_port_forward };

struct Position {
    const char* name;
    std::string client;
    Reached reached = Reached::by_its_own_flow;
};

const Position kAliceInside{"AliceInside", "Alice"};
const Position kBobInside{"BobInside", "Bob"};
const Position kBobBehindPortForward{"BobBehindPortForward", "Bob", Reached::by_port_forward};

const std::map<std::string, int> kOutsidePorts{{"49172", 10000}, {"3456", 10000}, {"47172", 10002}};

/// The client's names and addresses in the RFC. Bob moves from one to another in 3.6 and 3.7.
const std::map<std::string, std::vector<std::pair<std::string, std::string>>> kPrinted{
    {"Alice", {{"client.atlanta.example.com", "192.0.2.101"}}},
    {"Bob",
     {{"client.biloxi.example.com", "192.0.2.201"},
      {"client.chicago.example.com", "192.0.2.100"}}}};

std::vector<Word> words_of(const Position& position) {
    const bool own_flow = position.reached == Reached::by_its_own_flow;
    const std::string with_port = own_flow ? "203.0.113.1:1024" : "203.0.113.1:5060";
    const std::string without_port = own_flow ? "203.0.113.1:1024" : "203.0.113.1";
    std::vector<Word> words;
    for (const auto& [host, address] : kPrinted.at(position.client)) {
        words.push_back({host + ":5060", "192.168.77.2:5060", with_port});
        words.push_back({host, "192.168.77.2", without_port});
        words.push_back({address, "192.168.77.2", "203.0.113.1"});
        words.push_back(name("IN IP4 " + host, "IN IP4 " + host));
    }
    return words;
}

std::vector<Word> ports() {
    std::vector<Word> words;
    for (const auto& [port, outside] : kOutsidePorts) {
        words.push_back({"audio " + port, "audio " + port, "audio " + std::to_string(outside)});
    }
    return words;
}

/// "none", or "49172 any 192.0.2.201:3456, 47172 any"
Holes read_holes(const std::string& text) {
    Holes holes;
    std::istringstream streams(text);
    for (std::string stream; std::getline(streams, stream, ',');) {
        std::istringstream words(stream);
        std::string port;
        words >> port;
        if (port == "none") continue;
        const std::vector<std::string> remotes{std::istream_iterator<std::string>(words), {}};
        holes.merge(pair_of_holes("audio", std::stoi(port), kOutsidePorts.at(port), remotes));
    }
    return holes;
}

class Client {
  public:
    Client(Gateway& gateway, const Position& position)
        : gateway_(gateway), position_(position), talk_(line_to(""), words_of(position), ports()) {}

    void play(const std::string& section) {
        std::size_t messages = 0;
        for (const auto& step : read_flow(section)) {
            SCOPED_TRACE(section + " " + step.name);
            const bool out = step.from == position_.client;
            if (!out && step.to != position_.client) continue;
            if (step.pause > 0s) talk_.wait(step.pause);
            if (!step.holes.empty()) expected_ = read_holes(of_this_client(step.holes));
            if (out) {
                talk_.out(step.text, line_to(step.server));
            } else {
                talk_.in(step.text, line_to(step.server));
            }
            EXPECT_EQ(talk_.open(), expected_);
            ++messages;
        }
        EXPECT_GT(messages, 0U) << section;
    }

    Conversation& talk() { return talk_; }
    [[nodiscard]] const Holes& expected() const { return expected_; }

  private:
    [[nodiscard]] Line line_to(const std::string& server) const {
        const auto at = (server.empty() ? "203.0.113.10" : server) + ":5060";
        return position_.reached == Reached::by_its_own_flow
                   ? gateway_.line("192.168.77.2:5060", "203.0.113.1:1024", at)
                   : gateway_.forwarded("192.168.77.2:5060", "203.0.113.1:5060", at);
    }

    [[nodiscard]] std::string of_this_client(const std::string& holes) const {
        const auto bar = holes.find(" | ");
        if (bar == std::string::npos) return holes;
        return position_.client == "Alice" ? holes.substr(0, bar) : holes.substr(bar + 3);
    }

    Gateway& gateway_;
    Position position_;
    Conversation talk_;
    Holes expected_;
};

// --- the flows ----------------------------------------------------------------------------------

struct FlowCase {
    const char* section;
    std::vector<Position> positions;
};

void PrintTo(const FlowCase& flow, std::ostream* out) {
    *out << "RFC 3665 " << flow.section;
}

class CallFlow : public testing::TestWithParam<FlowCase> {};

TEST_P(CallFlow, ReadsRightOnBothSidesAndLeavesNothing) {
    for (const auto& position : GetParam().positions) {
        SCOPED_TRACE(position.name);
        Gateway gateway;
        Client client(gateway, position);
        if (position.client == "Bob") client.play("2.1");
        client.play(GetParam().section);
        client.talk().repeat();
        EXPECT_EQ(client.talk().open(), client.expected());
        // Some flows have no end: then it is silence.
        client.talk().wait(24h);
        client.talk().expect_over();
    }
}

std::vector<FlowCase> all_flows() {
    const std::vector<Position> callee{kBobInside, kBobBehindPortForward};
    std::vector<FlowCase> flows;
    for (const auto* section : {"2.1", "2.2", "2.3", "2.4", "2.5"})
        flows.push_back({section, callee});
    for (const auto* section :
         {"3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11"}) {
        flows.push_back({section, callee});
        flows.back().positions.push_back(kAliceInside);
    }
    return flows;
}

INSTANTIATE_TEST_SUITE_P(Rfc3665, CallFlow, testing::ValuesIn(all_flows()), [](const auto& flow) {
    std::string section = flow.param.section;
    return section.replace(section.find('.'), 1, "_");
});

}  // namespace
}  // namespace sipnat
