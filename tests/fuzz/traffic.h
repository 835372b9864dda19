// SIP traffic out of choices: few hosts, few tags and ports, so that messages meet as calls.
//
//     new request      line, direction, method, Call-ID, tags, CSeq, hosts, SDP
//     answer           to the last request as it arrived: status, tag, SDP
//     next             in the dialog of the last request: method, side, CSeq, SDP
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "choices.h"
#include "hole_ledger.h"
#include "plain_message.h"
#include "sipnat/core/engine.h"

namespace sipnat::fuzz {

/// A signalling flow by its two ends; `opener` sent the first packet.
struct Line {
    Side opener;
    Side other;

    [[nodiscard]] FlowTuples tuples(Transport transport) const {
        return {{opener.real, other.shown, transport}, {other.real, opener.shown, transport}};
    }
    [[nodiscard]] const Side& sender(FlowDirection direction) const {
        return direction == FlowDirection::original ? opener : other;
    }
    [[nodiscard]] const Side& receiver(FlowDirection direction) const {
        return direction == FlowDirection::original ? other : opener;
    }
};

inline Line make_line(std::string_view opener, std::string_view opener_shown,
                      std::string_view other, std::string_view other_shown) {
    const auto side = [](std::string_view real, std::string_view shown, bool inside) {
        return Side{Endpoint::parse(real).value(), Endpoint::parse(shown).value(), inside};
    };
    const bool nat = opener != opener_shown || other != other_shown;
    return {side(opener, opener_shown, !nat || opener != opener_shown),
            side(other, other_shown, !nat || other != other_shown)};
}

inline const std::array<Line, 8>& lines() {
    static const std::array<Line, 8> kLines{
        // Two phones behind source NAT, and the first one's second flow.
        make_line("192.168.77.2:5060", "203.0.113.1:1024", "203.0.113.10:5060",
                  "203.0.113.10:5060"),
        make_line("192.168.77.3:5060", "203.0.113.1:1025", "203.0.113.10:5060",
                  "203.0.113.10:5060"),
        // A port forward.
        make_line("203.0.113.10:5060", "203.0.113.10:5060", "192.168.77.5:5060",
                  "203.0.113.1:5060"),
        // A hairpin through that forward.
        make_line("192.168.77.2:5060", "203.0.113.1:1024", "192.168.77.5:5060", "203.0.113.1:5060"),
        // A firewall without NAT.
        make_line("198.51.100.2:5060", "198.51.100.2:5060", "203.0.113.10:5060",
                  "203.0.113.10:5060"),
        make_line("[2001:db8::2]:5060", "[2001:db8::2]:5060", "[2001:db8:1::1]:5060",
                  "[2001:db8:1::1]:5060"),
        make_line("192.168.77.2:5062", "203.0.113.1:5062", "203.0.113.12:5060",
                  "203.0.113.12:5060"),
        make_line("[fd00::2]:5060", "[2001:db8::1]:1024", "[2001:db8:1::1]:5060",
                  "[2001:db8:1::1]:5060"),
    };
    return kLines;
}

inline constexpr std::array kMethods{"INVITE", "ACK",    "BYE",     "CANCEL",
                                     "PRACK",  "UPDATE", "OPTIONS", "REGISTER"};
inline constexpr std::array kStatuses{
    "200 OK",       "183 Progress", "180 Ringing", "401 Challenge", "487 Cancelled", "481 Unknown",
    "408 Too late", "486 Busy",     "100 Trying",  "407 Challenge", "302 Moved",     "491 Pending"};
inline constexpr std::array kTags{"a", "b", "c", ""};
inline constexpr std::array kPorts{"4000", "4001", "4002", "10000", "10001", "10002",
                                   "0",    "9",    "1023", "1024",  "65534", "65535"};

struct Request {
    unsigned line = 0;
    FlowDirection direction = FlowDirection::original;
    std::string method;
    std::string call_id;
    std::string from_tag;
    std::string to_tag;
    unsigned cseq = 1;
};

/// What carries the messages of each line.
enum class Carriage : std::uint8_t { udp, tcp, mixed };

class Traffic {
  public:
    explicit Traffic(Choices& choices) : choices_(choices) {}

    void set_carriage(Carriage carriage) { carriage_ = carriage; }
    [[nodiscard]] Transport transport(unsigned line) const {
        const bool is_tcp =
            carriage_ == Carriage::tcp || (carriage_ == Carriage::mixed && line % 2 == 0);
        return is_tcp ? Transport::tcp : Transport::udp;
    }

    Request new_request() {
        Request request;
        request.line = choices_.pick(static_cast<unsigned>(lines().size()));
        request.direction = static_cast<FlowDirection>(choices_.pick(2));
        request.method = choices_.one_of(kMethods);
        request.call_id = std::string("call-") + "xyz"[choices_.pick(3)];
        request.from_tag = choices_.one_of(kTags);
        request.to_tag = kTags.at((choices_.pick(4) + 3) % 4);  // none comes first
        request.cseq = 1 + choices_.pick(4);
        return request;
    }

    /// What follows in the dialog that `last` and its answer with `to_tag` made.
    Request next(const Request& last, const std::string& to_tag) {
        Request request = last;
        request.method = choices_.one_of(kMethods);
        request.to_tag = to_tag;
        if (choices_.pick(2) == 1) {
            std::swap(request.from_tag, request.to_tag);
            request.direction = opposite(request.direction);
        }
        request.cseq += choices_.pick(2);
        return request;
    }

    std::string text(const Request& request) {
        const auto& line = lines().at(request.line);
        const auto& sender = line.sender(request.direction);
        const auto& receiver = line.receiver(request.direction);
        const auto me = host(sender, receiver);
        const auto peer = receiver.shown;
        const auto cseq = std::to_string(request.cseq);
        const bool is_udp = transport(request.line) == Transport::udp;
        std::string text = request.method + " sip:u@" + peer.text() + " SIP/2.0\r\n";
        text += std::string("Via: SIP/2.0/") + (is_udp ? "UDP " : "TCP ") + me +
                ";rport;branch=z9hG4bK" + request.call_id + request.from_tag + cseq +
                request.method + "\r\n";
        text += "From: <sip:u@" + without_port(me) + ">" + tag(request.from_tag) + "\r\n";
        text += "To: <sip:v@" + without_port(peer.text()) + ">" + tag(request.to_tag) + "\r\n";
        text += "Call-ID: " + request.call_id + "\r\n";
        text += "CSeq: " + cseq + " " + request.method + "\r\n";
        text += "Contact: <sip:u@" + me + uri_parameter() + ">\r\n";
        return with_body(text, sender, receiver);
    }

    struct Answer {
        std::string text;
        std::string to_tag;
        bool names_source = false;  ///< with received and rport (RFC 3581)
    };

    /// The answer to `arrived`, which is `request` as its receiver got it.
    Answer answer(const Request& request, std::string_view arrived) {
        const auto& line = lines().at(request.line);
        const auto& sender = line.receiver(request.direction);
        const auto& receiver = line.sender(request.direction);
        const auto line_of = [arrived](std::string_view name) {
            return std::string(header_line(arrived, name)) + "\r\n";
        };
        std::string text = std::string("SIP/2.0 ") + choices_.one_of(kStatuses) + "\r\n";
        Answer answer;
        answer.to_tag =
            request.to_tag.empty() ? kTags.at((choices_.pick(4) + 1) % 4) : request.to_tag;
        answer.names_source = choices_.pick(2) == 0;
        std::string via = line_of("Via");
        if (answer.names_source) via = with_source(via, receiver.shown);
        std::string to(header_line(arrived, "To"));
        if (request.to_tag.empty()) to += tag(answer.to_tag);
        text += via + line_of("From") + to + "\r\n" + line_of("Call-ID") + line_of("CSeq") +
                "Contact: <sip:v@" + host(sender, receiver) + uri_parameter() + ">\r\n";
        answer.text = with_body(text, sender, receiver);
        return answer;
    }

    /// A Via of text() as the server writes it that got the request from `source`.
    static std::string with_source(std::string via, const Endpoint& source) {
        const auto place = via.find(";rport;");
        if (place == std::string::npos) return via;
        return via.replace(place, 7,
                           ";received=" + source.address.text() +
                               ";rport=" + std::to_string(number(source.port)) + ";");
    }

    /// A few bytes changed somewhere.
    std::string mutated(std::string text) {
        for (unsigned left = choices_.pick(4); left > 0 && !text.empty(); --left) {
            const std::size_t place = choices_.next() * std::size_t{256} + choices_.next();
            text[place % text.size()] = static_cast<char>(choices_.next());
        }
        return text;
    }

  private:
    static std::string tag(std::string_view tag) {
        return tag.empty() ? "" : ";tag=" + std::string(tag);
    }
    static std::string without_port(const std::string& host) {
        return host.back() == ']' ? host : host.substr(0, host.rfind(':'));
    }

    std::string uri_parameter() {
        static constexpr std::array kParameters{";transport=tcp", "", ";transport=udp",
                                                ";transport=tls"};
        return carriage_ == Carriage::udp ? "" : choices_.one_of(kParameters);
    }

    /// What a sender calls itself.
    std::string host(const Side& sender, const Side& receiver) {
        switch (choices_.pick(5)) {
            case 0:
                return sender.real.text();
            case 1:
                return without_port(sender.real.text());
            case 2:
                return sender.shown.text();
            case 3:
                return "host.example";
            default:
                return receiver.shown.text();
        }
    }

    std::string with_body(std::string head, const Side& sender, const Side& receiver) {
        const auto kind = choices_.pick(9);
        if (kind == 0) return head + "Content-Length: 0\r\n\r\n";
        auto body = sdp(kind, sender, receiver);
        if (kind == 7) {
            head += "Content-Type: multipart/mixed;boundary=b\r\n";
            body = "--b\r\nContent-Type: application/sdp\r\n\r\n" + body + "\r\n--b--\r\n";
        } else {
            head += "Content-Type: application/sdp\r\n";
        }
        return head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    }

    std::string media_address(const Side& sender, const Side& receiver) {
        static constexpr std::array kOthers{"203.0.113.99", "192.168.77.9", "127.0.0.1",
                                            "224.0.0.1",    "0.0.0.0",      "169.254.1.1",
                                            "2001:db8::77", "host.example"};
        const auto choice = choices_.pick(12);
        switch (choice) {
            case 0:
                return sender.real.address.text();
            case 1:
                return sender.shown.address.text();
            case 2:
                return receiver.shown.address.text();
            case 3:
                return receiver.real.address.text();
            default:
                return kOthers.at(choice - 4);
        }
    }

    static std::string in(const std::string& address) {
        const bool ipv6 = address.find(':') != std::string::npos;
        return (ipv6 ? "IN IP6 " : "IN IP4 ") + address;
    }

    std::string sdp(unsigned kind, const Side& sender, const Side& receiver) {
        const auto address = in(media_address(sender, receiver));
        const std::string port = choices_.one_of(kPorts);
        std::string body = "v=0\r\no=- 1 1 " + address + "\r\ns=-\r\nc=" + address +
                           "\r\nt=0 0\r\nm=audio " + port + " RTP/AVP 0\r\n";
        switch (kind) {
            case 2:
                return body + "m=video " + choices_.one_of(kPorts) + " RTP/SAVPF 96\r\n";
            case 3:
                return body + "a=rtcp:" + choices_.one_of(kPorts) + "\r\n";
            case 4:
                return body + "a=rtcp-mux\r\n";
            case 5:
                return body + "a=rtcp-mux-only\r\nm=image " + choices_.one_of(kPorts) +
                       " udptl t38\r\nm=message 2855 TCP/MSRP *\r\na=setup:" +
                       (choices_.pick(2) == 0 ? "passive\r\n" : "active\r\n");
            case 6:
                return body + "m=audio " + choices_.one_of(kPorts) +
                       "/3 RTP/AVP 0\r\nc=" + in(media_address(sender, receiver)) + "\r\n";
            case 8: {  // a port for RTCP with an address of its own, and no c= anywhere
                const auto connection = body.find("c=");
                body.erase(connection, body.find("t=") - connection);
                return body + "a=rtcp:" + choices_.one_of(kPorts) + " " + address + "\r\n";
            }
            default:
                return body;
        }
    }

    Choices& choices_;
    Carriage carriage_ = Carriage::udp;
};

}  // namespace sipnat::fuzz
