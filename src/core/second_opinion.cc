#include "core/second_opinion.h"

#include <osipparser2/osip_parser.h>
#include <osipparser2/sdp_message.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>  // libosip2's headers use FILE
#include <memory>
#include <string_view>
#include <vector>

#include "sipnat/sip/tag.h"
#include "sipnat/sip/uri.h"

namespace sipnat {

namespace {

using sip::HeaderKind;

template <auto Free>
struct Deleter {
    template <class T>
    void operator()(T* object) const {
        Free(object);
    }
};
using OsipMessage = std::unique_ptr<osip_message_t, Deleter<osip_message_free>>;
using OsipSdp = std::unique_ptr<sdp_message_t, Deleter<sdp_message_free>>;

void be_silent(const char*, int, osip_trace_level_t, const char*, va_list) {}

/// libosip2's tables, once; Debian's build traces to standard output unless told otherwise.
void prepare_libosip() {
    static const bool prepared = [] {
        osip_trace_initialize_func(TRACE_LEVEL0, be_silent);
        for (int level = TRACE_LEVEL0; level < END_TRACE_LEVEL; ++level) {
            osip_trace_disable_level(static_cast<osip_trace_level_t>(level));
        }
        parser_init();
        return true;
    }();
    (void)prepared;
}

std::string_view view(const char* text) {
    return text == nullptr ? std::string_view{} : text;
}

/// libosip2 ends a line there and we don't: what it then refuses, it did not read as we did.
bool has_bare_carriage_return(std::string_view text) {
    for (auto at = text.find('\r'); at != std::string_view::npos; at = text.find('\r', at + 1)) {
        if (at + 1 >= text.size() || text[at + 1] != '\n') return true;
    }
    return false;
}

/// Blanks around a value, and the quotes of a quoted one, are not part of it.
std::string_view bare(std::string_view text) {
    constexpr std::string_view kAround = " \t\r\n\"";
    const auto first = text.find_first_not_of(kAround);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(kAround) - first + 1);
}

/// Numbers are compared by value: 0009 is 9.
std::string_view without_zeros(std::string_view digits) {
    const auto first = digits.find_first_not_of('0');
    return first == std::string_view::npos ? digits.substr(0, 1) : digits.substr(first);
}

/// libosip2 walks a list from its beginning for each element that it adds. So many take it up to 2 ms.
constexpr std::size_t kMostPieces = 1024;

/// Lines, and what lists within a line are made of: values, parameters, formats of an m= line.
bool has_too_many_pieces(std::string_view text, std::span<const sdp::Session> bodies) {
    if (text.size() <= kMostPieces) return false;
    auto pieces = std::ranges::count_if(
        text, [](char c) { return c == '\n' || c == ',' || c == ';' || c == '&'; });
    for (const auto& session : bodies) {
        for (const auto& media : session.media) {
            const auto formats = text.substr(media.protocol.end());
            pieces += std::ranges::count(formats.substr(0, formats.find('\n')), ' ');
        }
    }
    return pieces > static_cast<std::ptrdiff_t>(kMostPieces);
}

class Comparison {
  public:
    void expect_same(std::string_view field, std::string_view ours, std::string_view theirs) {
        if (difference_ || ours == theirs) return;  // nearly always: bare() takes its time
        ours = bare(ours);
        theirs = bare(theirs);
        if (ours == theirs) return;
        difference_ = std::string(field) + ": \"" + std::string(ours) + "\" and \"" +
                      std::string(theirs) + "\"";
    }
    void expect_same(std::string_view field, std::size_t ours, std::size_t theirs) {
        if (ours != theirs) expect_same(field, std::to_string(ours), std::to_string(theirs));
    }
    /// Addresses are compared by value where both are some.
    void expect_same_host(std::string_view field, std::string_view ours, std::string_view theirs) {
        if (ours == theirs) return;
        const auto a = IpAddress::parse(bare(ours));
        if (a && a == IpAddress::parse(bare(theirs))) return;
        expect_same(field, ours, theirs);
    }
    [[nodiscard]] bool has_difference() const { return difference_.has_value(); }
    [[nodiscard]] std::optional<std::string> difference() && { return std::move(difference_); }

  private:
    std::optional<std::string> difference_;
};

std::string_view tag_of(osip_from_t* header) {
    osip_generic_param_t* tag = nullptr;
    if (header == nullptr || osip_from_get_tag(header, &tag) != 0 || tag == nullptr) return {};
    return view(tag->gvalue);
}

/// The method as the message's text has it: of a response, its CSeq's.
std::string_view our_method(const sip::Message& message) {
    const auto cseq = message.value(HeaderKind::cseq);
    return cseq.substr(cseq.find_last_of(" \t\r\n") + 1);
}

void compare_contacts(const sip::Message& message, const osip_message_t& theirs,
                      Comparison& comparison) {
    std::size_t count = 0;
    for (const auto& header : message.headers()) {
        if (header.kind != HeaderKind::contact) continue;
        sip::AddressReader values(message.text(), header.value);
        while (const auto value = values.next()) {
            osip_contact_t* contact = nullptr;
            (void)osip_message_get_contact(&theirs, static_cast<int>(count++), &contact);
            const auto uri = sip::parse_uri(message.text(), value->uri);
            if (contact == nullptr || contact->url == nullptr || !uri) continue;
            comparison.expect_same_host("Contact host", uri->host.host.in(message.text()),
                                        view(contact->url->host));
            comparison.expect_same("Contact port", uri->host.port_text.in(message.text()),
                                   view(contact->url->port));
        }
    }
    comparison.expect_same("number of Contact values", count,
                           static_cast<std::size_t>(osip_list_size(&theirs.contacts)));
}

void compare_headers(const sip::Message& message, const osip_message_t& theirs,
                     Comparison& comparison) {
    if (message.is_request()) {
        comparison.expect_same("method", our_method(message), view(theirs.sip_method));
    } else {
        comparison.expect_same("status", static_cast<std::size_t>(message.status()),
                               static_cast<std::size_t>(theirs.status_code));
    }
    if (theirs.call_id != nullptr) {
        std::string call_id(view(theirs.call_id->number));
        if (theirs.call_id->host != nullptr)
            call_id += "@" + std::string(view(theirs.call_id->host));
        comparison.expect_same("Call-ID", message.value(HeaderKind::call_id), call_id);
    }
    if (theirs.cseq != nullptr) {
        comparison.expect_same("CSeq number", std::to_string(message.cseq().number),
                               without_zeros(bare(view(theirs.cseq->number))));
        comparison.expect_same("CSeq method", our_method(message), view(theirs.cseq->method));
    }
    comparison.expect_same("From tag", sip::tag_of(message, HeaderKind::from), tag_of(theirs.from));
    comparison.expect_same("To tag", sip::tag_of(message, HeaderKind::to), tag_of(theirs.to));
    compare_contacts(message, theirs, comparison);
}

void compare_sdp(const sdp::Session& session, std::string_view text, sdp_message_t& theirs,
                 Comparison& comparison) {
    std::size_t count = 0;
    while (sdp_message_endof_media(&theirs, static_cast<int>(count)) == 0)
        ++count;
    comparison.expect_same("number of streams", session.media.size(), count);
    for (std::size_t i = 0; i < std::min(count, session.media.size()); ++i) {
        const auto position = static_cast<int>(i);
        const auto where = " of stream " + std::to_string(i);
        comparison.expect_same("port" + where, session.media[i].port_text.in(text),
                               view(sdp_message_m_port_get(&theirs, position)));
        const char* address = sdp_message_c_addr_get(&theirs, position, 0);
        if (address == nullptr) address = sdp_message_c_addr_get(&theirs, -1, 0);
        const auto* connection = session.connection_of(i);
        comparison.expect_same_host(
            "address" + where,
            connection == nullptr ? std::string_view{} : connection->address.in(text),
            view(address));
    }
}

/// libosip2's application/sdp bodies. It opens one level of multipart.
std::vector<const osip_body_t*> sdp_bodies(const osip_message_t& message) {
    std::vector<const osip_body_t*> found;
    for (int i = 0; i < osip_list_size(&message.bodies); ++i) {
        const auto* body = static_cast<const osip_body_t*>(osip_list_get(&message.bodies, i));
        const auto* type =
            body->content_type != nullptr ? body->content_type : message.content_type;
        if (type != nullptr && osip_strcasecmp(type->type, "application") == 0 &&
            osip_strcasecmp(type->subtype, "sdp") == 0) {
            found.push_back(body);
        }
    }
    return found;
}

Opinion compare(const sip::Message& message, std::span<const sdp::Session> bodies) {
    prepare_libosip();
    Opinion opinion;
    Comparison comparison;

    osip_message_t* raw = nullptr;
    if (osip_message_init(&raw) != 0) return {.difference = "libosip2: out of memory"};
    const OsipMessage theirs(raw);
    if (osip_message_parse(raw, message.text().data(), message.text().size()) != 0) {
        opinion.message_refused = true;
        return opinion;
    }
    compare_headers(message, *theirs, comparison);
    opinion.only_in_sdp = !comparison.has_difference();

    if (!bodies.empty()) {
        const auto read = sdp_bodies(*theirs);
        opinion.sdp_refused = read.size() != bodies.size();
        for (std::size_t i = 0; i < std::min(read.size(), bodies.size()); ++i) {
            sdp_message_t* raw_sdp = nullptr;
            if (sdp_message_init(&raw_sdp) != 0) return {.difference = "libosip2: out of memory"};
            const OsipSdp sdp(raw_sdp);
            if (sdp_message_parse(raw_sdp, read[i]->body) != 0) {
                opinion.sdp_refused = true;
            } else {
                compare_sdp(bodies[i], message.text(), *sdp, comparison);
            }
        }
    }
    opinion.difference = std::move(comparison).difference();
    opinion.only_in_sdp = opinion.only_in_sdp && opinion.difference.has_value();
    return opinion;
}

}  // namespace

Opinion second_opinion(const sip::Message& message, std::span<const sdp::Session> bodies) {
    if (has_too_many_pieces(message.text(), bodies)) {
        return {.difference = "too many parts for libosip2"};
    }
    auto opinion = compare(message, bodies);
    const bool refused = opinion.message_refused || opinion.sdp_refused;
    if (refused && !opinion.difference && has_bare_carriage_return(message.text())) {
        opinion.difference = "a bare CR, which libosip2 takes for a line end";
        const auto head = message.text().substr(0, message.body().offset);
        opinion.only_in_sdp = !opinion.message_refused && !has_bare_carriage_return(head);
    }
    return opinion;
}

}  // namespace sipnat
