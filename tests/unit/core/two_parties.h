// Alice and Bob of RFC 4317 in one dialog through the gateway, one of them inside. Their messages go
// through a Conversation: twice each, and compared to the byte.
//
//     TwoParties call(gateway, Person::alice);             she is inside
//     const auto invite = call.request(Person::alice, "INVITE", call.sdp(Person::alice, 20000));
//     call.respond(invite, 200, call.sdp(Person::bob, 30000));
//     call.acknowledge(invite);
//     EXPECT_EQ(call.talk.open(), call.stream(20000, 30000));
#pragma once

#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "conversation.h"

namespace sipnat {

enum class Person : std::uint8_t { alice, bob };
inline constexpr std::array kBothPersons{Person::alice, Person::bob};

inline Person peer_of(Person party) {
    return party == Person::alice ? Person::bob : Person::alice;
}
inline std::string name_of(Person party) {
    return party == Person::alice ? "Alice" : "Bob";
}

/// In SDP.
inline std::string host_of(Person party) {
    return party == Person::alice ? "host.atlanta.example.com" : "host.biloxi.example.com";
}
/// Hosts of somebody else: public, and not translated.
inline const std::map<std::string, std::string> kOtherHosts{{"newhost", "198.51.100.31"},
                                                            {"otherhost", "198.51.100.32"},
                                                            {"placeholder", "198.51.100.33"},
                                                            {"mediaserver", "198.51.100.34"}};

inline Talker talker(Person party) {
    Talker alice{.uri = "sip:alice@atlanta.example.com",
                 .host = "client.atlanta.example.com:5060",
                 .peer_uri = "sip:bob@biloxi.example.com",
                 .target = "sip:b@client.biloxi.example.com:5060",
                 .tag = "a",
                 .peer_tag = "",
                 .call_id = "call-1"};
    Talker bob{.uri = alice.peer_uri,
               .host = "client.biloxi.example.com:5060",
               .peer_uri = alice.uri,
               .target = "sip:a@client.atlanta.example.com:5060",
               .tag = "b",
               .peer_tag = "",
               .call_id = "call-1"};
    return party == Person::alice ? alice : bob;
}

inline std::vector<Word> words_of_parties(Person inside, std::vector<Word> words = {}) {
    const auto other = peer_of(inside);
    words.insert(words.end(), {{talker(inside).host, "192.168.77.2:5060", "203.0.113.1:1024"},
                               name(talker(other).host, "203.0.113.10:5060"),
                               {host_of(inside), "192.168.77.2", "203.0.113.1"},
                               name(host_of(other), "203.0.113.10")});
    for (const auto& [host, address] : kOtherHosts) {
        for (const auto* domain : {".atlanta.example.com", ".biloxi.example.com"})
            words.push_back(name(host + domain, address));
    }
    return words;
}

class TwoParties {
  public:
    /// `own` as in Conversation; `quoted` are further words in everybody's messages.
    TwoParties(Gateway& gateway, Person inside, std::vector<Word> own = {},
               const std::vector<Word>& quoted = {})
        : talk(gateway.line(), words_of_parties(inside, quoted), std::move(own)), inside_(inside) {}

    /// With `fork`'s tag as the other side's, once there is a dialog.
    std::string request(Person from, const std::string& method, const std::string& body = "",
                        const std::string& fork = "") {
        auto sender = talker(from);
        if (has_tags_) sender.peer_tag = fork.empty() ? talker(peer_of(from)).tag : fork;
        auto text = sender.request(method, ++cseq_[from], body);
        send(from, text);
        return text;
    }

    /// The one who got it answers, as `fork` if it is one of several, and with one line more.
    void respond(const std::string& request, int status, const std::string& body = "",
                 const std::string& fork = "", const std::string& line = "") {
        const auto party = peer_of(sender_of(request));
        const auto sender = talker(party);
        auto text = answer(request, status, fork.empty() ? sender.tag : fork, body,
                           "sip:" + sender.tag + "@" + sender.host);
        if (!line.empty()) text.insert(text.find("CSeq:"), line + "\r\n");
        send(party, text);
        if (status > 100) has_tags_ = true;
    }

    void acknowledge(const std::string& invite, const std::string& body = "",
                     const std::string& fork = "") {
        const auto party = sender_of(invite);
        auto sender = talker(party);
        sender.peer_tag = fork.empty() ? talker(peer_of(party)).tag : fork;
        const auto cseq = std::stoi(header_line(invite, "CSeq").substr(6));
        send(party, sender.request("ACK", cseq, body));
    }

    void send(Person from, const std::string& text) {
        if (from == inside_) {
            talk.out(text);
        } else {
            talk.in(text);
        }
    }

    /// v=, o=, s= and t=, and c= unless `lines` begins with another.
    std::string sdp(Person party, const std::string& lines) {
        auto rest = lines;
        auto connection = "c=IN IP4 " + host_of(party) + "\n";
        if (rest.starts_with("c=")) {
            connection = rest.substr(0, rest.find('\n') + 1);
            rest.erase(0, connection.size());
        }
        const std::string id = party == Person::alice ? "alice 2890844526 " : "bob 2808844564 ";
        const auto version = std::to_string(2808844564U + versions_++);
        return crlf("v=0\no=" + id + version + " IN IP4 " + host_of(party) + "\ns= \n" +
                    connection + "t=0 0\n" + rest);
    }
    std::string sdp(Person party, int audio_port) {
        return sdp(party, "m=audio " + std::to_string(audio_port) + " RTP/AVP 0\n");
    }

    /// The holes of one stream between these ports of theirs, which the gateway keeps. 0: he, or she,
    /// has none.
    [[nodiscard]] Holes stream(int alice, int bob, const std::string& bobs_host = "203.0.113.10",
                               const std::string& media = "audio") const {
        const bool hers = inside_ == Person::alice;
        const int own = hers ? alice : bob;
        const int remote = hers ? bob : alice;
        if (own == 0) return {};
        std::vector<std::string> remotes{"any"};
        const auto& host = hers ? bobs_host : std::string("203.0.113.10");
        if (remote != 0) remotes.push_back(host + ":" + std::to_string(remote));
        return pair_of_holes(media, own, own, remotes);
    }

    /// INVITE, 200 and ACK; and nobody waits for forks any more.
    void establish(int alice, int bob) {
        const auto invite = request(Person::alice, "INVITE", sdp(Person::alice, alice));
        respond(invite, 180);
        respond(invite, 200, sdp(Person::bob, bob));
        acknowledge(invite);
        talk.wait(33s);
        EXPECT_EQ(talk.open(), stream(alice, bob));
    }

    void end() {
        respond(request(Person::bob, "BYE"), 200);
        talk.expect_over();
    }

    [[nodiscard]] Person inside() const { return inside_; }

    Conversation talk;

  private:
    static Person sender_of(const std::string& request) {
        const bool hers = header_line(request, "From").find("alice") != std::string::npos;
        return hers ? Person::alice : Person::bob;
    }

    Person inside_;
    std::map<Person, int> cseq_;
    unsigned versions_ = 0;
    bool has_tags_ = false;
};

}  // namespace sipnat
