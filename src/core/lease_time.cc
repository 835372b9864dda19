#include "core/lease_time.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/endpoint_text.h"
#include "sipnat/core/call.h"
#include "sipnat/sip/uri.h"

namespace sipnat {

namespace {

using sip::HeaderKind;
using sip::Method;
using std::chrono::seconds;

constexpr seconds kLongestExpiry = std::chrono::hours(24);
constexpr std::size_t kLongestSubject = 256;

/// delta-seconds (RFC 3261 25.1).
std::optional<seconds> read_seconds(std::string_view text) {
    std::uint32_t value = 0;
    const auto* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (text.empty() || stop != end) return std::nullopt;
    if (error == std::errc::result_out_of_range) return kLongestExpiry;
    return std::min(seconds(value), kLongestExpiry);
}

}  // namespace

std::optional<seconds> expiry_of(const sip::Message& message, const Endpoint& contact,
                                 seconds unsaid) {
    const auto text = message.text();
    const auto general = read_seconds(message.value(HeaderKind::expires));
    bool has_contact = false;
    std::optional<seconds> longest;  // the phone may have registered there before, as another one
    for (const auto& header : message.headers()) {
        if (header.kind != HeaderKind::contact) continue;
        sip::AddressReader values(text, header.value);
        while (const auto value = values.next()) {
            has_contact = true;
            if (value->star) return general;
            const auto uri = sip::parse_uri(text, value->uri);
            if (!uri || !names(*uri, contact)) continue;
            const auto own = sip::find_parameter(text, value->params, "expires");
            const auto said = own ? read_seconds(own->in(text)) : std::nullopt;
            longest =
                std::max(longest.value_or(seconds(0)), said.value_or(general.value_or(unsaid)));
        }
    }
    if (longest) return longest;
    if (message.is_request()) return std::nullopt;
    return has_contact ? seconds(0) : general;
}

std::pmr::string lease_subject(const sip::Message& message, std::pmr::memory_resource* memory) {
    const auto text = message.text();
    std::pmr::string subject(memory);
    if (message.method() == Method::reg) {
        const auto to = sip::AddressReader(text, message.find(HeaderKind::to)->value).next();
        const auto uri = to ? sip::parse_uri(text, to->uri) : std::nullopt;
        if (uri) {
            subject.append("AOR ").append(uri->user.in(text)).append("@");
            if (!uri->host.address) subject += host_text(text, uri->host);
            subject.resize(std::min(subject.size(), kLongestSubject));
        }
    }
    return subject;
}

seconds lease_time(const sip::Message& message, bool in_contact) {
    if (!in_contact) return kTransactionTime;
    switch (message.method()) {
        case Method::subscribe:
        case Method::notify:
        case Method::refer:
            return read_seconds(message.value(HeaderKind::expires)).value_or(kUsualExpiry) +
                   kTransactionTime;
        default:
            return kTransactionTime;
    }
}

}  // namespace sipnat
