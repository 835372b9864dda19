#include "shapes.h"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace sipnat {

namespace {

constexpr std::size_t kHeaders = 200;
constexpr std::size_t kStreams = 16;  // so many may open something

const std::string kSession =
    "v=0\r\no=- 1 1 IN IP4 192.168.77.2\r\ns=-\r\nc=IN IP4 192.168.77.2\r\nt=0 0\r\n"
    "m=audio 10000 RTP/AVP 0\r\n";

/// An ordinary INVITE but for what a shape puts in the place of one of these.
struct Parts {
    std::string request_uri = "sip:bob@203.0.113.10";
    std::string more_vias;
    std::string from = "<sip:alice@example.com>";
    std::string contact = "<sip:alice@192.168.77.2:5060>";
    std::string more_headers;
    std::string content_type = "application/sdp";
    std::string body = kSession;
};

std::string message(const Parts& parts) {
    return "INVITE " + parts.request_uri +
           " SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.77.2:5060;rport;branch=z9hG4bK1" +
           parts.more_vias + "\r\nFrom: " + parts.from +
           ";tag=a\r\nTo: <sip:bob@example.com>\r\nCall-ID: long\r\nCSeq: 1 INVITE\r\nContact: " +
           parts.contact + "\r\n" + parts.more_headers + "Content-Type: " + parts.content_type +
           "\r\nContent-Length: " + std::to_string(parts.body.size()) + "\r\n\r\n" + parts.body;
}

std::string repeated(std::string_view piece, std::size_t length) {
    std::string text;
    while (text.size() + piece.size() <= length)
        text += piece;
    return text;
}

/// kHeaders of them, each with its share of `length`.
std::string headers(const std::string& begin, std::string_view piece, std::size_t length) {
    const auto share = length / kHeaders;
    const auto line = begin + repeated(piece, share - std::min(share, begin.size() + 2)) + "\r\n";
    return repeated(line, kHeaders * line.size());
}

std::string multipart(std::string_view boundary, const std::string& more) {
    const auto delimiter = "--" + std::string(boundary);
    return delimiter + "\r\nContent-Type: application/sdp\r\n\r\n" + kSession + "\r\n" + delimiter +
           "\r\n\r\n" + more + "\r\n" + delimiter + "--\r\n";
}

std::string with_headers(std::string text) {
    Parts parts;
    parts.more_headers = std::move(text);
    return message(parts);
}

std::string with_contact(std::string text) {
    Parts parts;
    parts.contact = std::move(text);
    return message(parts);
}

std::string with_body(std::string text) {
    Parts parts;
    parts.body = std::move(text);
    return message(parts);
}

std::string with_parts(std::string_view boundary, const std::string& more) {
    Parts parts;
    parts.content_type = "multipart/mixed;boundary=" + std::string(boundary);
    parts.body = multipart(boundary, more);
    return message(parts);
}

std::string nested(std::size_t length) {
    auto body = multipart("b3", repeated("x\r\n", length));
    for (const char depth : {'2', '1', '0'}) {
        const auto delimiter = std::string("--b") + depth;
        body = delimiter + "\r\nContent-Type: multipart/mixed;boundary=b" +
               static_cast<char>(depth + 1) + "\r\n\r\n" + body + "\r\n" + delimiter + "--\r\n";
    }
    Parts parts;
    parts.content_type = "multipart/mixed;boundary=b0";
    parts.body = std::move(body);
    return message(parts);
}

std::string streams(std::string_view line, std::size_t length) {
    auto body = kSession;
    for (std::size_t i = 1; i < kStreams; ++i) {
        const auto port = std::to_string(10000 + 2 * i);
        body += "m=audio " + port + " RTP/AVP 0\r\n" + repeated(line, length / kStreams - 25);
    }
    return with_body(body);
}

std::string credentials(std::size_t length) {
    Parts parts;
    constexpr std::string_view kCredentials = "Authorization: Digest uri=\"sip:bob@192.0.2.1\"\r\n";
    parts.more_headers =
        repeated(kCredentials, std::min(length / 2, kHeaders * kCredentials.size()));
    parts.request_uri += repeated(";a=b", length - parts.more_headers.size());
    return message(parts);
}

constexpr std::string_view kCandidate =
    "a=candidate:1 1 UDP 99 203.0.113.1 40000 typ srflx raddr 192.168.77.2 rport 10000\r\n";
const std::string kLongBoundary(69, 'b');

using Length = std::size_t;
const std::array kShapes{
    Shape{"one header", [](Length n) { return with_headers("X: " + repeated("x", n) + "\r\n"); }},
    Shape{"200 headers", [](Length n) { return with_headers(headers("X: ", "x", n)); }},
    Shape{"200 Vias",
          [](Length n) { return with_headers(headers("Via: SIP/2.0/UDP h;branch=", "x", n)); }},
    Shape{"a Via's values",
          [](Length n) {
              Parts parts;
              parts.more_vias = repeated(",SIP/2.0/UDP h;branch=x", n);
              return message(parts);
          }},
    Shape{"Record-Routes to edit",
          [](Length n) {
              return with_headers(
                  headers("Record-Route: <sip:192.0.2.1>", ",<sip:192.168.77.2>", n));
          }},
    Shape{"folds", [](Length n) { return with_headers("X: x" + repeated("\r\n x", n) + "\r\n"); }},
    Shape{"commas", [](Length n) { return with_headers("Allow: A" + repeated(",A", n) + "\r\n"); }},
    Shape{"Contact's values",
          [](Length n) { return with_contact("<sip:a@h>" + repeated(",<sip:a@h>", n)); }},
    Shape{"URI parameters",
          [](Length n) { return with_contact("<sip:a@192.168.77.2" + repeated(";a=b", n) + ">"); }},
    Shape{"header parameters",
          [](Length n) { return with_contact("<sip:a@192.168.77.2>" + repeated(";a=b", n)); }},
    Shape{"escapes in quotes",
          [](Length n) {
              return with_contact("\"" + repeated("\\\"", n) + "\" <sip:a@192.168.77.2>");
          }},
    Shape{"nested comments",
          [](Length n) {
              return with_contact(repeated("(", n / 2) + repeated(")", n / 2) +
                                  "<sip:a@192.168.77.2>");
          }},
    Shape{"quotes without end",
          [](Length n) { return with_headers(headers("Route: \"", "x", n)); }},
    Shape{"credentials, long URI", credentials},
    Shape{"attributes", [](Length n) { return with_body(kSession + repeated("a=b\r\n", n)); }},
    Shape{"formats",
          [](Length n) {
              return with_body(kSession + "m=video 0 RTP/AVP" + repeated(" 9", n) + "\r\n");
          }},
    Shape{"16 streams", [](Length n) { return streams("a=rtpmap:0 PCMU/8000\r\n", n); }},
    Shape{"16 streams, candidates", [](Length n) { return streams(kCandidate, n); }},
    Shape{"parts", [](Length n) { return with_parts("b", repeated("--b\r\n\r\nx\r\n", n)); }},
    Shape{"near delimiters",
          [](Length n) {
              return with_parts(kLongBoundary, repeated("--" + kLongBoundary + "x\r\n", n));
          }},
    Shape{"nested parts", nested},
};

}  // namespace

std::span<const Shape> shapes() {
    return kShapes;
}

}  // namespace sipnat
