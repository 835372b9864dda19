// A gateway with one engine inside; phones on one side, servers on the other.
//
//     phone 192.168.77.2:5060 ──── 203.0.113.1:1024 ──── server 203.0.113.10:5060
//
//     Gateway gateway;
//     Line line = gateway.line();
//     const auto invite = line.out(kAlice.request("INVITE", 1, audio("192.168.77.2", 4000)));
//     const auto ok = line.in(answer(invite.text, 200, "b", audio("203.0.113.10", 7000)));
//     EXPECT_THAT(ok.opened, Contains("audio 192.168.77.2:4000=203.0.113.1:10000 any"));
//
// Every message that goes through is also checked for what must hold of all: edits in order and
// disjoint, and a rewritten message that parses again with the right Content-Length.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exact.h"
#include "sipnat/core/engine.h"
#include "sipnat/sip/message.h"

namespace sipnat {

using namespace std::chrono_literals;

inline IpAddress address(std::string_view text) {
    return IpAddress::parse(text).value();
}
inline Endpoint endpoint(std::string_view text) {
    return Endpoint::parse(text).value();
}

// --- messages -----------------------------------------------------------------------------------

/// Each "\n" as CRLF.
inline std::string crlf(std::string_view lines) {
    std::string text;
    for (const char c : lines) {
        if (c == '\n') text += '\r';
        text += c;
    }
    return text;
}

/// A message of `head` (its lines with "\n") and a body with its type and length.
inline std::string sip_text(std::string_view head, std::string_view body = {},
                            std::string_view type = "application/sdp") {
    auto text = crlf(head);
    if (!body.empty()) text += "Content-Type: " + std::string(type) + "\r\n";
    text += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    return text.append(body);
}

/// A session of one audio stream, with more lines behind it.
inline std::string audio(std::string_view host, int port, std::string_view more = {}) {
    const std::string ip(host);
    return crlf("v=0\no=- 1 1 IN IP4 " + ip + "\ns=-\nc=IN IP4 " + ip + "\nt=0 0\nm=audio " +
                std::to_string(port) + " RTP/AVP 0\n" + std::string(more));
}

/// One side of a dialog, as it writes its own requests.
struct Talker {
    std::string uri = "sip:alice@192.168.77.2";
    std::string host = "192.168.77.2:5060";  ///< in Via and Contact
    std::string peer_uri = "sip:bob@203.0.113.10";
    std::string target = "sip:bob@203.0.113.10";  ///< Request-URI
    std::string tag = "a";
    std::string peer_tag;
    std::string call_id = "call-1";
    std::string transport = "UDP";  ///< in Via

    [[nodiscard]] Talker with_peer_tag(std::string_view now_known) const {
        auto changed = *this;
        changed.peer_tag = now_known;
        return changed;
    }
    [[nodiscard]] Talker with_call_id(std::string_view id) const {
        auto changed = *this;
        changed.call_id = id;
        return changed;
    }
    [[nodiscard]] std::string request(std::string_view method, int cseq,
                                      std::string_view body = {}) const {
        const std::string name(method);
        const auto number = std::to_string(cseq);
        const auto branch = "z9hG4bK" + call_id + tag + number + (name == "ACK" ? "ack" : "");
        return sip_text(name + " " + target + " SIP/2.0\nVia: SIP/2.0/" + transport + " " + host +
                            ";rport;branch=" + branch + "\nMax-Forwards: 70\nFrom: <" + uri +
                            ">;tag=" + tag + "\nTo: <" + peer_uri + ">" +
                            (peer_tag.empty() ? "" : ";tag=" + peer_tag) + "\nCall-ID: " + call_id +
                            "\nCSeq: " + number + " " + name + "\nContact: <sip:" + tag + "@" +
                            host + ">\n",
                        body);
    }
};

/// The phone behind the gateway calls the server's Bob …
inline const Talker kAlice;
/// … and Bob, as he writes in the dialog that she began (tags as in hers).
inline const Talker kBob{.uri = "sip:bob@203.0.113.10",
                         .host = "203.0.113.10:5060",
                         .peer_uri = "sip:alice@203.0.113.1",
                         .target = "sip:a@203.0.113.1:1024",
                         .tag = "b",
                         .peer_tag = "a",
                         .call_id = "call-1"};

/// The line of `text` that begins with "name:", without its end; empty if there is none.
inline std::string header_line(std::string_view text, std::string_view name) {
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find("\r\n", at), text.size());
        const auto line = text.substr(at, end - at);
        if (line.starts_with(name) && line.substr(name.size(), 1) == ":") return std::string(line);
        at = end + 2;
    }
    return {};
}

/// Who got this request answers it.
inline std::string answer(std::string_view request, int status, std::string_view to_tag = {},
                          std::string_view body = {},
                          std::string_view contact = "sip:b@203.0.113.10:5060") {
    auto to = header_line(request, "To");
    if (to.find(";tag=") == std::string::npos && !to_tag.empty()) {
        to += ";tag=" + std::string(to_tag);
    }
    return sip_text("SIP/2.0 " + std::to_string(status) + " Text\n" + header_line(request, "Via") +
                        "\n" + header_line(request, "From") + "\n" + to + "\n" +
                        header_line(request, "Call-ID") + "\n" + header_line(request, "CSeq") +
                        "\nContact: <" + std::string(contact) + ">\n",
                    body);
}

// --- what came of one ---------------------------------------------------------------------------

/// "audio 192.168.77.2:4000=203.0.113.1:10000 any"
inline std::string show(const Hole& hole) {
    return std::string(to_text(hole.media)) + " " + hole.inside.text() + "=" + hole.outside.text() +
           " " + remote_text(hole);
}

inline std::vector<std::string> show(const std::vector<Hole>& holes) {
    std::vector<std::string> shown;
    for (const auto& hole : holes)
        shown.push_back(show(hole));
    return shown;
}

struct Outcome {
    Decision decision;
    std::string text;  ///< as it leaves the gateway
    std::vector<std::string> opened;
    std::vector<std::string> closed;
};

/// What holds of every decision about every message.
inline void expect_sound(std::string_view before, const Outcome& outcome) {
    std::uint32_t done = 0;
    for (const auto& edit : outcome.decision.edits) {
        EXPECT_GE(edit.span.offset, done) << "edits overlap or are out of order";
        done = edit.span.end();
        EXPECT_LE(done, before.size());
        EXPECT_NE(edit.span.in(before), edit.replacement) << "an edit that changes nothing";
    }
    if (outcome.decision.edits.empty()) return;
    const ExactText after(outcome.text);
    const auto message = sip::Message::parse(after.view());
    ASSERT_TRUE(message) << message.error().text() << "\n" << outcome.text;
    const auto original = sip::Message::parse(before);
    ASSERT_TRUE(original);
    EXPECT_EQ(message->headers().size(), original->headers().size());
    EXPECT_EQ(before.size() - original->body().end(), outcome.text.size() - message->body().end())
        << "Content-Length is not the body's\n"
        << outcome.text;
}

// --- the gateway --------------------------------------------------------------------------------

class Gateway;

/// One signalling flow, from the view of its inside party.
struct Line {
    Gateway* gateway = nullptr;
    FlowTuples flow;
    FlowDirection inside_sends = FlowDirection::original;
    FlowStanding standing = FlowStanding::helped;
    bool ends_at_gateway = false;  ///< the inside party is the gateway itself

    [[nodiscard]] Outcome out(std::string_view text) const;
    [[nodiscard]] Outcome in(std::string_view text) const;
    /// The same endpoints over the other transport.
    [[nodiscard]] Line over_tcp() const {
        auto line = *this;
        line.flow.original.transport = line.flow.reply.transport = Transport::tcp;
        return line;
    }
};

/// The defaults, but anybody may send media all the time: media_source_test.cc is about that.
inline Settings lab_settings() {
    Settings settings;
    settings.media_source = MediaSource::any;
    return settings;
}

class Gateway {
  public:
    using Kernel = std::function<KernelAnswer(const Decision&)>;

    explicit Gateway(const Settings& settings = lab_settings()) : engine(settings) {}

    /// A flow that the phone opened through source NAT.
    [[nodiscard]] Line line(std::string_view inside = "192.168.77.2:5060",
                            std::string_view outside = "203.0.113.1:1024",
                            std::string_view server = "203.0.113.10:5060") {
        return {this,
                {{endpoint(inside), endpoint(server), Transport::udp},
                 {endpoint(server), endpoint(outside), Transport::udp}}};
    }
    /// A flow that an outside party opened through a port forward.
    [[nodiscard]] Line forwarded(std::string_view inside = "192.168.77.5:5060",
                                 std::string_view outside = "203.0.113.1:5060",
                                 std::string_view server = "203.0.113.10:5060") {
        return {this,
                {{endpoint(server), endpoint(outside), Transport::udp},
                 {endpoint(inside), endpoint(server), Transport::udp}},
                FlowDirection::reply};
    }

    /// A flow between a PBX on the gateway itself and a peer of its, who opens it if `pbx_sends` is
    /// `reply`. Not translated unless masquerading gives the PBX another port outside.
    [[nodiscard]] Line own(FlowDirection pbx_sends = FlowDirection::original,
                           std::string_view pbx = "203.0.113.1:5060",
                           std::string_view peer = "203.0.113.10:5060",
                           std::string_view outside = "") {
        const auto shown = endpoint(outside.empty() ? pbx : outside);
        Line made{this, {}, pbx_sends, FlowStanding::helped, true};
        const Tuple from{endpoint(pbx), endpoint(peer), Transport::udp};
        const Tuple back{endpoint(peer), shown, Transport::udp};
        const bool opens = pbx_sends == FlowDirection::original;
        made.flow = opens ? FlowTuples{from, back} : FlowTuples{back, from};
        return made;
    }

    Outcome send(const FlowTuples& flow, FlowDirection direction, FlowStanding standing,
                 std::string_view text, GatewayEnd end = GatewayEnd::none) {
        const ExactText payload(text);
        const Packet packet{flow, direction, standing, payload.view(), end};
        Outcome outcome;
        outcome.decision = engine.handle(packet, now);
        kernel_calls = 0;
        while (outcome.decision.needs_kernel()) {
            if (++kernel_calls > 100) {
                ADD_FAILURE() << "asks the kernel without end";
                break;
            }
            const auto reply = kernel(outcome.decision);
            outcome.decision = engine.settle(packet, reply, now);
            if (reply.kind == KernelAnswer::Kind::done) break;
        }
        outcome.text = apply_edits(payload.view(), outcome.decision.edits);
        outcome.opened = show(outcome.decision.open);
        outcome.closed = show(outcome.decision.close);
        expect_sound(payload.view(), outcome);
        return outcome;
    }

    /// Lets time pass; gives what became due in it, that of idle calls included.
    Due wait(std::chrono::milliseconds duration) {
        now += duration;
        auto due = engine.tick(now);
        std::vector<IdleAnswer> answers;
        for (const auto& question : due.idle)
            answers.push_back({question.call, counted});
        const auto closed = engine.settle_idle(answers, now);
        due.close.insert(due.close.end(), closed.begin(), closed.end());
        return due;
    }

    [[nodiscard]] std::uint64_t count(Reason reason) const {
        return engine.counters().packets.at(static_cast<std::size_t>(reason));
    }

    Engine engine;
    Time now{1000s};
    Kernel kernel = [](const Decision&) { return KernelAnswer{}; };
    int kernel_calls = 0;                      ///< of the last message
    std::optional<std::uint64_t> counted = 0;  ///< packets of any call's media so far
};

inline Outcome Line::out(std::string_view text) const {
    return gateway->send(flow, inside_sends, standing, text,
                         ends_at_gateway ? GatewayEnd::sender : GatewayEnd::none);
}

inline Outcome Line::in(std::string_view text) const {
    const auto back =
        inside_sends == FlowDirection::original ? FlowDirection::reply : FlowDirection::original;
    return gateway->send(flow, back, standing, text,
                         ends_at_gateway ? GatewayEnd::receiver : GatewayEnd::none);
}

/// A call from the phone, up to its ACK: ports 10000 and 10001 towards 203.0.113.10:7000.
inline void establish(const Line& line, const Talker& caller = kAlice, int port = 4000,
                      std::string_view to_tag = "b", std::string_view host = "192.168.77.2") {
    const auto invite = line.out(caller.request("INVITE", 1, audio(host, port)));
    const auto ok = line.in(answer(invite.text, 200, to_tag, audio("203.0.113.10", 7000)));
    ASSERT_EQ(ok.decision.open.size(), 2U);
    (void)line.out(caller.with_peer_tag(to_tag).request("ACK", 1));
}

}  // namespace sipnat
