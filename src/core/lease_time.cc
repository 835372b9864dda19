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

}  // namespace

std::optional<seconds> delta_seconds(std::string_view text) {
    std::uint32_t value = 0;
    const auto* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (text.empty() || stop != end) return std::nullopt;
    if (error == std::errc::result_out_of_range) return kLongestExpiry;
    return std::min(seconds(value), kLongestExpiry);
}

Expiries::Expiries(const sip::Message& message, std::pmr::memory_resource* memory)
    : said_(memory),
      general_(delta_seconds(message.value(HeaderKind::expires))),
      is_request_(message.is_request()) {
    for_each_contact(message, [&](const sip::AddressValue& value, std::optional<seconds> expires) {
        has_contact_ = true;
        star_ = star_ || value.star;
        if (const auto uri = sip::parse_uri(message.text(), value.uri)) {
            said_.push_back({*uri, expires});
        }
    });
}

std::optional<seconds> Expiries::of(const Endpoint& contact, seconds unsaid) const {
    if (star_) return general_;
    std::optional<seconds> longest;  // the phone may have registered there before, as another one
    for (const auto& [uri, expires] : said_) {
        if (!names(uri, contact)) continue;
        longest =
            std::max(longest.value_or(seconds(0)), expires.value_or(general_.value_or(unsaid)));
    }
    if (longest) return longest;
    if (is_request_) return std::nullopt;
    return has_contact_ ? seconds(0) : general_;
}

std::pmr::string lease_subject(const sip::Message& message, std::pmr::memory_resource* memory) {
    const auto text = message.text();
    std::pmr::string subject(memory);
    if (is_subscription(message)) {
        subject.append("CALL ").append(
            message.value(HeaderKind::call_id).substr(0, kLongestSubject));
    } else if (message.method() == Method::reg) {
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

std::pmr::string via_lease_subject(const sip::Message& message, std::pmr::memory_resource* memory) {
    std::pmr::string subject(memory);
    if (message.method() == Method::invite) {
        subject.append("INVITE ").append(
            message.value(HeaderKind::call_id).substr(0, kLongestSubject));
    }
    return subject;
}

bool is_subscription(const sip::Message& message) {
    return message.method() == Method::subscribe || message.method() == Method::refer;
}

seconds lease_time(const sip::Message& message, bool in_contact) {
    if (!in_contact || message.method() != Method::notify) return kTransactionTime;
    return delta_seconds(message.value(HeaderKind::expires)).value_or(kUsualExpiry) +
           kTransactionTime;
}

}  // namespace sipnat
