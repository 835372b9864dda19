#include "messages.h"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cstring>
#include <stdexcept>

namespace bench {
namespace {

constexpr std::string_view kPhone = "{phone}";
constexpr std::string_view kSerial = "{serial}";
constexpr std::string_view kPort = "{port}";
constexpr std::string_view kLength = "{length}";
constexpr std::size_t kPhoneWidth = 15;
constexpr std::size_t kSerialWidth = 8;
constexpr std::size_t kPortWidth = 5;

constexpr std::string_view kSession =
    "v=0\n"
    "o=alice 2890844526 2890844526 IN IP4 {phone}\n"
    "s=-\n"
    "c=IN IP4 {phone}\n"
    "t=0 0\n"
    "m=audio {port} RTP/AVP 0 8 101\n"
    "a=rtpmap:0 PCMU/8000\n"
    "a=rtpmap:101 telephone-event/8000\n"
    "a=sendrecv\n";

// Up to To: what an answer copies. Contact and the rest follow.
std::string head(std::string_view method, std::string_view uri, std::string_view host,
                 std::string_view branch, int cseq, std::string_view to_tag = "") {
    std::string text(method);
    text.append(" ").append(uri).append(" SIP/2.0\n");
    text.append("Via: SIP/2.0/UDP ").append(host).append(":5060;rport;branch=z9hG4bK{serial}");
    text.append(branch).append("\n");
    text.append("From: <sip:alice@example.com>;tag=f{serial}\n");
    text.append("Call-ID: {serial}@phone.example.com\n");
    text.append("CSeq: ").append(std::to_string(cseq)).append(" ").append(method).append("\n");
    text.append("To: <sip:bob@example.com>").append(to_tag).append("\n");
    return text;
}

std::string with_contact(std::string text, std::string_view host) {
    return text.append("Contact: <sip:alice@").append(host).append(":5060>\n");
}

constexpr std::string_view kTail = "Max-Forwards: 70\nUser-Agent: Phone 1.0\n";

std::string_view line_after(std::string_view text, std::string_view start) {
    const auto at = text.find(start);
    if (at == std::string_view::npos) return {};
    text.remove_prefix(at + start.size());
    return text.substr(0, text.find('\r'));
}

}  // namespace

std::uint32_t parse_address(const std::string& text) {
    in_addr address{};
    if (inet_pton(AF_INET, text.c_str(), &address) != 1) {
        throw std::runtime_error(text + " is no IPv4 address");
    }
    return ntohl(address.s_addr);
}

std::uint32_t phone_address(std::size_t index) {
    // Both octets have three digits.
    const auto third = static_cast<std::uint32_t>(100 + index / 150);
    const auto fourth = static_cast<std::uint32_t>(100 + index % 150);
    return 192U << 24U | 168U << 16U | third << 8U | fourth;
}

std::string phone_text(std::size_t index) {
    const auto address = phone_address(index);
    return std::string(kInsidePrefix) + std::to_string(address >> 8U & 0xffU) + "." +
           std::to_string(address & 0xffU);
}

std::uint16_t media_port(std::uint32_t serial) {
    return static_cast<std::uint16_t>(10000 + 2 * (serial % 11000));
}

Template::Template(std::string_view text) {
    const auto body = text.find("\n\n");
    std::size_t body_start = 0;
    std::size_t length_at = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto rest = text.substr(i);
        const auto field = [&](std::string_view name, std::vector<std::size_t>& places,
                               std::size_t width) {
            if (!rest.starts_with(name)) return false;
            places.push_back(text_.size());
            text_.append(width, '0');
            i += name.size() - 1;
            return true;
        };
        if (field(kPhone, phones_, kPhoneWidth) || field(kSerial, serials_, kSerialWidth) ||
            field(kPort, ports_, kPortWidth)) {
            continue;
        }
        if (rest.starts_with(kLength)) {
            length_at = text_.size();
            text_ += "000";
            i += kLength.size() - 1;
        } else if (text[i] == '\n') {
            text_ += "\r\n";
            if (i == body + 1) body_start = text_.size();
        } else {
            text_ += text[i];
        }
    }
    const auto length = std::to_string(text_.size() - body_start);
    if (length_at != 0) text_.replace(length_at + 3 - length.size(), length.size(), length);
}

void Template::fill(char* out, std::string_view phone, std::uint32_t serial) const {
    std::memcpy(out, text_.data(), text_.size());
    for (const auto at : phones_)
        std::memcpy(out + at, phone.data(), kPhoneWidth);
    std::array<char, kSerialWidth> digits{};
    for (std::size_t i = 0; i < digits.size(); ++i) {
        digits.at(i) = "0123456789abcdef"[serial >> (28 - 4 * i) & 0xfU];
    }
    for (const auto at : serials_)
        std::memcpy(out + at, digits.data(), digits.size());
    for (const auto at : ports_)
        std::to_chars(out + at, out + at + kPortWidth, media_port(serial));
}

Workload workload(std::string_view name, const std::string& server) {
    const auto uri = "sip:bob@" + server;
    const std::string no_body = "Content-Length: 0\n\n";
    if (name == "invite") {
        constexpr std::string_view kTag = ";tag=t{serial}";
        return {Template(with_contact(head("INVITE", uri, kPhone, "inv", 1), kPhone)
                             .append(kTail)
                             .append("Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\n")
                             .append("Content-Type: application/sdp\nContent-Length: {length}\n\n")
                             .append(kSession)),
                Template(head("ACK", uri, kPhone, "ack", 1, kTag).append(kTail).append(no_body)),
                Template(head("BYE", uri, kPhone, "bye", 2, kTag).append(kTail).append(no_body)),
                kPhone, true};
    }
    if (name == "register") {
        return {Template(with_contact(head("REGISTER", "sip:" + server, kPhone, "reg", 1), kPhone)
                             .append("Expires: 3600\n")
                             .append(kTail)
                             .append(no_body)),
                {},
                {},
                kPhone,
                true};
    }
    if (name == "options") {
        return {Template(with_contact(head("OPTIONS", uri, kPhone, "opt", 1), kPhone)
                             .append("Accept: application/sdp\n")
                             .append(kTail)
                             .append(no_body)),
                {},
                {},
                kPhone,
                true};
    }
    if (name == "untouched") {
        constexpr std::string_view kName = "phone.example.com";
        return {
            Template(with_contact(head("OPTIONS", "sip:bob@example.com", kName, "opt", 1), kName)
                         .append("Accept: application/sdp\n")
                         .append(kTail)
                         .append(no_body)),
            {},
            {},
            kName,
            false};
    }
    throw std::runtime_error("no workload " + std::string(name));
}

void append_answer(std::string& out, std::string_view request, std::string_view contact,
                   std::string_view sdp) {
    const auto via = request.find("\r\nVia: ");
    const auto to = request.find("\r\nTo: ");
    if (via == std::string_view::npos || to == std::string_view::npos) {
        throw std::runtime_error("a message that no workload sends arrived");
    }
    const auto end = request.find("\r\n", to + 2);
    const auto copied = request.substr(via + 2, end - via - 2);
    out.append("SIP/2.0 200 OK\r\n").append(copied);
    if (request.substr(to, end - to).find(";tag=") == std::string_view::npos) {
        out.append(";tag=t").append(line_after(request, "\r\nCall-ID: ").substr(0, kSerialWidth));
    }
    out.append("\r\nContact: ");
    // A registrar lists what it registered.
    if (request.starts_with("REGISTER")) {
        out.append(line_after(request, "\r\nContact: ")).append(";expires=3600");
    } else {
        out.append(contact);
    }
    out.append("\r\nServer: Server 1.0\r\n");
    if (!sdp.empty()) out.append("Content-Type: application/sdp\r\n");
    out.append("Content-Length: ")
        .append(std::to_string(sdp.size()))
        .append("\r\n\r\n")
        .append(sdp);
}

std::string answer_session(const std::string& server, std::uint16_t port) {
    return "v=0\r\no=bob 2808844564 2808844564 IN IP4 " + server + "\r\ns=-\r\nc=IN IP4 " + server +
           "\r\nt=0 0\r\nm=audio " + std::to_string(port) +
           " RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n";
}

std::optional<std::uint32_t> serial_of(std::string_view message) {
    const auto text = line_after(message, "\r\nCall-ID: ").substr(0, kSerialWidth);
    std::uint32_t serial = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), serial, 16);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return serial;
}

std::optional<Endpoint> media_of(std::string_view message) {
    const auto port_text = line_after(message, "\r\nm=audio ");
    Endpoint media;
    const auto [end, error] =
        std::from_chars(port_text.data(), port_text.data() + port_text.size(), media.port);
    if (error != std::errc{}) return std::nullopt;
    media.address = parse_address(std::string(line_after(message, "\r\nc=IN IP4 ")));
    return media;
}

}  // namespace bench
