// A conversation through the gateway, its messages as an RFC prints them: words of theirs stand for
// what the lab has in their place, which the two sides of the gateway write differently.
//
//     Conversation talk(gateway.line(), {{"client.atlanta.example.com:5060", "192.168.77.2:5060",
//                                         "203.0.113.1:1024"}}, {{"audio 49172", …}});
//     talk.out("INVITE … Via: SIP/2.0/UDP client.atlanta.example.com:5060 …");
//     EXPECT_EQ(talk.open(), pair_of_holes("audio", 49172, 10000, {"any"}));
//
// Every message has to arrive with the words of the other side and not a byte of it different, and a
// second time: a retransmission reads the same, opens nothing and closes nothing.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lab.h"

namespace sipnat {

using Holes = std::set<std::string>;

struct Word {
    std::string printed;
    std::string inside;
    std::string outside;
};

/// The same on both sides.
inline Word name(std::string_view printed, std::string_view here) {
    return {std::string(printed), std::string(here), std::string(here)};
}

/// Which of its texts each word gets.
using SideOfGateway = std::string Word::*;

/// Words in it only, and the longest that fits: "192.0.2.10" does not stand in "192.0.2.101".
inline std::string said(std::string_view text, const std::vector<Word>& words, SideOfGateway side) {
    const auto continues = [&text](std::size_t at) {
        if (at >= text.size()) return false;
        const char c = text[at];
        return c == '.' || c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
    };
    std::string result;
    for (std::size_t at = 0; at < text.size();) {
        const Word* longest = nullptr;
        for (const auto& word : words) {
            const bool stands = text.substr(at, word.printed.size()) == word.printed &&
                                !continues(at + word.printed.size()) &&
                                (at == 0 || !continues(at - 1));
            const bool longer = longest == nullptr || word.printed.size() > longest->printed.size();
            if (stands && longer) longest = &word;
        }
        if (longest != nullptr) {
            result += longest->*side;
            at += longest->printed.size();
        } else {
            result += text[at++];
        }
    }
    return result;
}

/// The length of the body as it is now, where the message says one.
inline std::string with_right_length(std::string text) {
    const auto body = text.find("\r\n\r\n") + 4;
    const auto at = text.find("Content-Length: ");
    if (at > body) return text;
    const auto value = at + std::string_view("Content-Length: ").size();
    return text.replace(value, text.find("\r\n", value) - value,
                        std::to_string(text.size() - body));
}

class Conversation {
  public:
    /// `own` are words in the messages of the inside party only: in those of the other one they
    /// are its own business, such as a port that happens to have the same number.
    Conversation(Line line, std::vector<Word> words, std::vector<Word> own)
        : line_(line), inwards_(words), outwards_(std::move(words)) {
        outwards_.insert(outwards_.end(), own.begin(), own.end());
    }

    /// The inside party sends, on the flow to this server if it is not the usual one.
    void out(std::string_view text, const std::optional<Line>& line = {}) {
        send({std::string(text), true, line.value_or(line_), gateway().now});
    }
    void in(std::string_view text, const std::optional<Line>& line = {}) {
        send({std::string(text), false, line.value_or(line_), gateway().now});
    }

    /// The holes that are open now.
    [[nodiscard]] const Holes& open() const { return open_; }

    void wait(std::chrono::milliseconds duration) { close(gateway().wait(duration).close); }

    /// Every message that may still be retransmitted comes once more, in order (RFC 3261 17.1.1.2).
    void repeat() {
        for (const auto& sent : sent_) {
            if (gateway().now - sent.at < kTransactionTime) pass(sent);
        }
    }

    /// Nothing is open, and after a while nothing is kept.
    void expect_over() {
        EXPECT_EQ(open_, Holes{});
        EXPECT_EQ(gateway().engine.calls(), 0U);
        wait(32s);
        wait(60s);
        EXPECT_EQ(open_, Holes{});
        EXPECT_TRUE(gateway().engine.media().mappings().empty());
        EXPECT_FALSE(gateway().engine.next_due());
    }

    [[nodiscard]] Gateway& gateway() const { return *line_.gateway; }
    [[nodiscard]] const Line& line() const { return line_; }
    /// What the last message opened.
    [[nodiscard]] const Outcome& last() const { return last_; }

  private:
    struct Sent {
        std::string text;
        bool out = false;
        Line line;
        Time at;
    };

    void send(const Sent& sent) {
        pass(sent);
        const auto before = open_;
        pass(sent);
        EXPECT_EQ(open_, before) << "a retransmission opened or closed something:\n" << sent.text;
        sent_.push_back(sent);
    }

    void pass(const Sent& sent) {
        const auto& words = sent.out ? outwards_ : inwards_;
        const auto inside = with_right_length(said(sent.text, words, &Word::inside));
        const auto outside = with_right_length(said(sent.text, words, &Word::outside));
        last_ = sent.out ? sent.line.out(inside) : sent.line.in(outside);
        EXPECT_EQ(last_.text, sent.out ? outside : inside) << last_.decision.detail;
        EXPECT_EQ(last_.decision.verdict, Verdict::accept);
        const bool unchanged = inside == outside;
        EXPECT_EQ(last_.decision.reason, unchanged ? Reason::unchanged : Reason::rewritten);
        for (const auto& hole : last_.opened)
            EXPECT_TRUE(open_.insert(hole).second) << "opened twice: " << hole;
        close(last_.decision.close);
    }

    void close(const std::vector<Hole>& holes) {
        for (const auto& hole : holes)
            EXPECT_EQ(open_.erase(show(hole)), 1U) << "closed, and was not open: " << show(hole);
    }

    Line line_;
    std::vector<Word> inwards_;
    std::vector<Word> outwards_;
    std::vector<Sent> sent_;
    Holes open_;
    Outcome last_;
};

/// Of the components of one stream from RTP's port on: for anybody ("any"), or towards RTP's port of
/// another host and those above it.
inline Holes holes_of(const std::string& media, int inside, int outside,
                      const std::vector<std::string>& remotes, int components) {
    Holes holes;
    for (int component = 0; component < components; ++component) {
        const auto mapping = media + " 192.168.77.2:" + std::to_string(inside + component) +
                             "=203.0.113.1:" + std::to_string(outside + component) + " ";
        for (const auto& remote : remotes) {
            if (remote == "any") {
                holes.insert(mapping + remote);
            } else {
                const auto rtp = endpoint(remote);
                const Endpoint there{rtp.address, above(rtp.port, component)};
                holes.insert(mapping + there.text());
            }
        }
    }
    return holes;
}

/// RTP and RTCP.
inline Holes pair_of_holes(const std::string& media, int inside, int outside,
                           const std::vector<std::string>& remotes) {
    return holes_of(media, inside, outside, remotes, 2);
}

inline Holes both(Holes first, const Holes& second) {
    first.insert(second.begin(), second.end());
    return first;
}

}  // namespace sipnat
