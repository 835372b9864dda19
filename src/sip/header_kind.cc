#include "sip/header_kind.h"

#include <algorithm>
#include <array>

#include "sip/lexer.h"

namespace sipnat::sip {

namespace {

struct NamedHeader {
    std::string_view name;
    HeaderKind kind;
};

// In the order of HeaderKind, so that to_text() can index it.
constexpr std::array kHeaders = {
    NamedHeader{"Via", HeaderKind::via},
    NamedHeader{"From", HeaderKind::from},
    NamedHeader{"To", HeaderKind::to},
    NamedHeader{"Call-ID", HeaderKind::call_id},
    NamedHeader{"CSeq", HeaderKind::cseq},
    NamedHeader{"Contact", HeaderKind::contact},
    NamedHeader{"Content-Length", HeaderKind::content_length},
    NamedHeader{"Content-Type", HeaderKind::content_type},
    NamedHeader{"Content-Encoding", HeaderKind::content_encoding},
    NamedHeader{"Route", HeaderKind::route},
    NamedHeader{"Record-Route", HeaderKind::record_route},
    NamedHeader{"Path", HeaderKind::path},
    NamedHeader{"Service-Route", HeaderKind::service_route},
    NamedHeader{"Refer-To", HeaderKind::refer_to},
    NamedHeader{"Referred-By", HeaderKind::referred_by},
    NamedHeader{"Reply-To", HeaderKind::reply_to},
    NamedHeader{"P-Asserted-Identity", HeaderKind::p_asserted_identity},
    NamedHeader{"P-Preferred-Identity", HeaderKind::p_preferred_identity},
    NamedHeader{"Diversion", HeaderKind::diversion},
    NamedHeader{"Remote-Party-ID", HeaderKind::remote_party_id},
    NamedHeader{"Identity", HeaderKind::identity},
    NamedHeader{"Authorization", HeaderKind::authorization},
    NamedHeader{"Proxy-Authorization", HeaderKind::proxy_authorization},
    NamedHeader{"Expires", HeaderKind::expires},
    NamedHeader{"Session-Expires", HeaderKind::session_expires},
};
static_assert(kHeaders.size() == static_cast<std::size_t>(HeaderKind::other));

/// The compact forms of the IANA registry, those that sipnat looks into.
HeaderKind compact_kind(char letter) {
    switch (lower(letter)) {
        case 'b':
            return HeaderKind::referred_by;
        case 'c':
            return HeaderKind::content_type;
        case 'e':
            return HeaderKind::content_encoding;
        case 'f':
            return HeaderKind::from;
        case 'i':
            return HeaderKind::call_id;
        case 'l':
            return HeaderKind::content_length;
        case 'm':
            return HeaderKind::contact;
        case 'r':
            return HeaderKind::refer_to;
        case 't':
            return HeaderKind::to;
        case 'v':
            return HeaderKind::via;
        case 'x':
            return HeaderKind::session_expires;
        case 'y':
            return HeaderKind::identity;
        default:
            return HeaderKind::other;
    }
}

struct NamedMethod {
    std::string_view name;
    Method method;
};

constexpr std::array kMethods = {
    NamedMethod{"INVITE", Method::invite},   NamedMethod{"ACK", Method::ack},
    NamedMethod{"BYE", Method::bye},         NamedMethod{"CANCEL", Method::cancel},
    NamedMethod{"OPTIONS", Method::options}, NamedMethod{"REGISTER", Method::reg},
    NamedMethod{"PRACK", Method::prack},     NamedMethod{"UPDATE", Method::update},
    NamedMethod{"INFO", Method::info},       NamedMethod{"SUBSCRIBE", Method::subscribe},
    NamedMethod{"NOTIFY", Method::notify},   NamedMethod{"REFER", Method::refer},
    NamedMethod{"MESSAGE", Method::message}, NamedMethod{"PUBLISH", Method::publish},
};

}  // namespace

std::string_view to_text(HeaderKind kind) {
    const auto index = static_cast<std::size_t>(kind);
    return index < kHeaders.size() ? kHeaders[index].name : "header";
}

HeaderKind header_kind(std::string_view name) {
    if (name.size() == 1) return compact_kind(name.front());
    const auto found = std::ranges::find_if(kHeaders, [name](const NamedHeader& header) {
        return equal_ignoring_case(name, header.name);
    });
    return found == kHeaders.end() ? HeaderKind::other : found->kind;
}

Method method_of(std::string_view token) {
    const auto found = std::ranges::find(kMethods, token, &NamedMethod::name);
    return found == kMethods.end() ? Method::other : found->method;
}

}  // namespace sipnat::sip
