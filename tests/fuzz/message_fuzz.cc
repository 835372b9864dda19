// Message::parse() over any bytes; URIs, address lists, Via values and SDP parts of what it reads.
#include <cstddef>
#include <cstdint>
#include <string>

#include "exact.h"
#include "sdp_property.h"
#include "sipnat/sip/message.h"
#include "sipnat/sip/tag.h"
#include "sipnat/sip/uri.h"

namespace sipnat::fuzz {

namespace {

using sip::HeaderKind;
using sip::Message;

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void check_host(std::string_view text, Span where, const HostPort& host) {
    require(within(where, host.whole), "host and port stand where they were looked for");
    require(within(host.whole, host.host) && !host.host.empty(), "a host stands in its whole");
    require(host.address == std::nullopt ||
                address_bytes(host.host.in(text)) == address_bytes(*host.address),
            "an address is what its text says");
    require(host.port.has_value() == !host.port_text.empty(), "a port has digits");
    if (!host.port) return;
    require(within(host.whole, host.port_text) && host.port_text.offset > host.host.end(),
            "a port stands behind its host");
    require_port(*host.port, host.port_text.in(text));
}

void check_uri(std::string_view text, Span where) {
    const auto uri = sip::parse_uri(text, where);
    if (!uri) return;
    check_host(text, where, uri->host);
    require(
        uri->user.empty() || (within(where, uri->user) && uri->user.end() < uri->host.whole.offset),
        "a user stands before its host");
    require(uri->params.empty() ||
                (within(where, uri->params) && uri->params.offset >= uri->host.whole.end()),
            "parameters stand behind the host");
    require(within(uri->params.in(text), uri->transport), "transport stands in the parameters");
    if (!uri->maddr) return;
    check_host(text, uri->params, *uri->maddr);
    require(!uri->maddr->port, "maddr has no port");
}

void check_addresses(std::string_view text, Span header) {
    sip::AddressReader values(text, header);
    std::size_t count = 0;
    std::uint32_t done = header.offset;
    while (const auto next = values.next()) {
        const auto& value = *next;
        require(++count <= sip::kMostAddresses, "the number of values is limited");
        require(within(header, value.value), "a value stands in its header");
        require(value.value.offset >= done, "values are in order");
        done = value.value.end();
        require(within(value.value, value.uri), "a URI stands in its value");
        require(value.params.empty() ||
                    (within(value.value, value.params) && value.params.offset >= value.uri.end()),
                "parameters stand behind the URI");
        require(value.star == (value.uri.in(text) == "*"), "a star is a star");
        check_uri(text, value.uri);
        const auto tag = sip::find_parameter(text, value.params, "tag");
        require(!tag || within(value.params, *tag), "a tag stands in the parameters");
    }
}

void check_via(std::string_view text, Span header) {
    const auto via = sip::parse_top_via(text, header);
    if (!via) return;
    require(!via->transport.empty() && within(header.in(text), via->transport),
            "a transport stands in its Via");
    check_host(text, header, via->sent_by);
    require(within(header, via->params), "parameters stand in their Via");
    require(via->params.empty() || via->params.offset >= via->sent_by.whole.end(),
            "parameters stand behind the sent-by");
    require(via->branch.empty() || within(via->params, via->branch), "branch is a parameter");
    require(!via->rport || within(via->params, *via->rport), "rport is a parameter");
    if (via->maddr) check_host(text, via->params, *via->maddr);
    if (via->received) check_host(text, via->params, *via->received);
}

void check_header(const Message& message, const sip::Header& header) {
    const auto text = message.text();
    switch (header.kind) {
        case HeaderKind::via:
            check_via(text, header.value);
            break;
        case HeaderKind::call_id:
        case HeaderKind::cseq:
        case HeaderKind::content_length:
        case HeaderKind::content_type:
            break;
        default:
            check_addresses(text, header.value);
            check_uri(text, header.value);
            (void)sip::parse_host_port(text, header.value);
            if (const auto uri = sip::find_digest_uri(text, header.value)) {
                require(within(header.value, *uri), "a digest's uri is inside its header");
            }
    }
}

void check_headers(const Message& message) {
    const auto text = message.text();
    const Span before_body{0, message.body().offset};
    require(message.headers().size() <= sip::kMostHeaders, "the number of headers is limited");
    std::uint32_t done = message.request_uri().end();
    for (const auto& header : message.headers()) {
        require(within(before_body, header.name) && within(before_body, header.value),
                "headers stand before the body");
        require(!header.name.empty() && header.name.offset > done, "headers are in order");
        require(text[header.name.offset - 1] == '\n', "a header begins a line");
        require(header.value.offset > header.name.end(), "a value stands behind its name");
        const Span between{header.name.end(), header.value.offset - header.name.end()};
        require(between.in(text).find(':') != std::string_view::npos, "a colon ends the name");
        done = header.value.end();
        const auto value = header.value.in(text);
        require(value.empty() || (!is_blank(value.front()) && !is_blank(value.back())),
                "no white space around a value");
        for (auto at = value.find('\n'); at != std::string_view::npos;
             at = value.find('\n', at + 1)) {
            require(value[at + 1] == ' ' || value[at + 1] == '\t', "only folds go on a new line");
        }
        check_header(message, header);
    }
    for (const auto kind : {HeaderKind::via, HeaderKind::from, HeaderKind::to, HeaderKind::call_id,
                            HeaderKind::cseq}) {
        require(message.find(kind) != nullptr, "the headers of every message are there");
    }
}

void check_start_line(const Message& message) {
    const auto text = message.text();
    require(message.status() == 0 || (message.status() >= 100 && message.status() <= 699),
            "a status is one");
    require(message.is_request() == !message.request_uri().empty(), "a request has a URI");
    if (!message.is_request()) return;
    const auto uri = message.request_uri();
    require(within(Span{0, message.body().offset}, uri), "the URI stands before the body");
    require(std::ranges::none_of(uri.in(text), is_blank), "the URI has no white space");
    require(text[uri.offset - 1] == ' ' && text[uri.end()] == ' ', "single spaces around the URI");
    check_uri(text, uri);
}

void check_body(const Message& message) {
    const auto text = message.text();
    const auto body = message.body();
    require(within(Span{0, static_cast<std::uint32_t>(text.size())}, body),
            "the body is inside the text");
    require(body.offset >= 2 && text[body.offset - 1] == '\n', "an empty line ends the headers");
    if (message.content_length()) {
        require(body.length == *message.content_length(), "the body is as long as it says");
    } else {
        require(body.end() == text.size(), "a body without a length is all that is left");
    }
    const auto parts = sip::sdp_parts(message);
    require(parts.size() <= sip::kMostSdpParts, "the number of SDP parts is limited");
    std::uint32_t done = body.offset;
    const auto lengths = sip::part_lengths(message);
    require(lengths.size() <= parts.size() * sip::kDeepestMultipart, "so is that of their lengths");
    for (const auto& [part, value] : lengths) {
        require(within(body, part) && within(body, value) && value.end() <= part.offset,
                "a part's Content-Length stands in the body, before the part");
    }
    for (const auto part : parts) {
        require(!part.empty() && within(body, part) && part.offset >= done,
                "SDP parts stand in the body, in order");
        done = part.end();
        if (const auto session = sdp::parse(text, part)) check_session(text, part, *session);
    }
}

/// What follows the body in a datagram is no part of the message.
void check_without_rest(const Message& message) {
    const ExactText shorter(message.text().substr(0, message.body().end()));
    const auto again = Message::parse(shorter.view());
    require(again && again->body() == message.body() && again->status() == message.status() &&
                again->request_uri() == message.request_uri() &&
                again->headers().size() == message.headers().size(),
            "a message ends with its body");
    require(sip::sdp_parts(*again) == sip::sdp_parts(message), "a body ends with its message");
}

void run(std::string_view input) {
    const ExactText text(input);
    const auto kind = sip::classify(text.view());
    const auto message = Message::parse(text.view());
    if (!message) return;
    require(kind == sip::PayloadKind::sip, "what can be read as SIP looks like SIP");
    check_start_line(*message);
    check_headers(*message);
    check_body(*message);
    check_without_rest(*message);
    for (const auto side : {HeaderKind::from, HeaderKind::to}) {
        require(within(message->value(side), sip::tag_of(*message, side)),
                "a tag stands in its header");
    }
}

}  // namespace

}  // namespace sipnat::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    sipnat::fuzz::run({reinterpret_cast<const char*>(data), size});
    return 0;
}
