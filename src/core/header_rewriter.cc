#include "core/header_rewriter.h"

#include <string>
#include <utility>

#include "sipnat/base/ascii.h"
#include "sipnat/sip/uri.h"

namespace sipnat {

namespace {

using sip::HeaderKind;

constexpr Port kSipPort{5060};
constexpr Port kSipsPort{5061};

Port default_port(const sip::Uri& uri) {
    return uri.scheme == sip::Scheme::sips ? kSipsPort : kSipPort;
}

Port default_port(const sip::Via& via) {
    return equal_ignoring_case(via.transport, "TLS") ? kSipsPort : kSipPort;
}

bool names(const HostPort& text, const Endpoint& endpoint, Port unwritten) {
    return text.address == endpoint.address && text.port.value_or(unwritten) == endpoint.port;
}

bool names_host(const std::optional<HostPort>& text, const IpAddress& address) {
    return text && text->address == address;
}

std::string host_text(const IpAddress& address) {
    return address.family() == Family::ipv6 ? "[" + address.text() + "]" : address.text();
}

/// A port stays unwritten when it was and still is the default.
std::string canonical(const HostPort& text, const Endpoint& endpoint, Port unwritten) {
    const bool needs_port = text.port.has_value() || endpoint.port != unwritten;
    return needs_port ? endpoint.text() : host_text(endpoint.address);
}

Span host_span(const HostPort& text) {
    const auto brackets =
        text.address && text.address->family() == Family::ipv6 ? std::uint32_t{1} : 0U;
    return {text.host.offset - brackets, text.host.length + 2 * brackets};
}

class HeaderRewriter {
  public:
    HeaderRewriter(const sip::Message& message, const NatView& view, Spellings& spellings,
                   std::vector<Edit>& edits)
        : message_(message),
          text_(message.text()),
          sender_(view.sender),
          receiver_(view.receiver),
          transport_(view.transport),
          spellings_(spellings),
          edits_(edits) {}

    void run() {
        recall();
        if (message_.is_request()) request_uri();
        bool top_via = true;
        for (const auto& header : message_.headers()) {
            switch (header.kind) {
                case HeaderKind::via:
                    if (top_via) via(header);
                    top_via = false;
                    break;
                case HeaderKind::contact:
                    contact(header);
                    break;
                case HeaderKind::from:
                case HeaderKind::to:
                    identity(header);
                    break;
                default:
                    break;
            }
        }
        if (message_.is_request() && sender_.translated()) {
            spellings_.note_request(sender_, receiver_, branch_, std::move(written_));
        }
    }

  private:
    /// For a response: what the request that it answers said.
    void recall() {
        const auto* header = message_.find(HeaderKind::via);
        const auto via = sip::parse_top_via(text_, header->value);
        if (!via) return;
        branch_ = via->branch.in(text_);
        if (!message_.is_request() && receiver_.translated()) {
            answered_ = spellings_.request(receiver_, sender_, branch_);
        }
    }

    void request_uri() {
        if (!receiver_.translated()) return;
        const auto uri = sip::parse_uri(text_, message_.request_uri());
        if (!uri) return;
        towards_receiver(*uri, Place::request_uri);
        if (names_host(uri->maddr, receiver_.shown.address)) {
            replace(host_span(*uri->maddr), host_text(receiver_.real.address), Place::request_uri,
                    Why::receiver_inside);
        }
    }

    void via(const sip::Header& header) {
        const auto via = sip::parse_top_via(text_, header.value);
        if (!via) return;
        if (message_.is_request()) {
            if (sender_.translated()) own_via(*via);
        } else if (receiver_.translated()) {
            returning_via(*via);
        }
    }

    void own_via(const sip::Via& via) {
        const auto port = default_port(via);
        const bool inside = names(via.sent_by, sender_.real, port);
        if (!inside && !names(via.sent_by, sender_.shown, port)) return;
        written_.sent_by = via.sent_by.whole.in(text_);
        written_.via_edited = inside;
        if (!inside) return;
        replace(via.sent_by.whole, canonical(via.sent_by, sender_.shown, port), Place::via,
                Why::sender_outside);
        if (names_host(via.maddr, sender_.real.address)) {
            replace(host_span(*via.maddr), host_text(sender_.shown.address), Place::via,
                    Why::sender_outside);
        }
    }

    void returning_via(const sip::Via& via) {
        const auto port = default_port(via);
        if (answered_ != nullptr && !answered_->via_edited) return;
        if (!names(via.sent_by, receiver_.shown, port)) return;
        if (answered_ != nullptr) {
            replace(via.sent_by.whole, answered_->sent_by, Place::via, Why::restored);
        } else {
            replace(via.sent_by.whole, canonical(via.sent_by, receiver_.real, port), Place::via,
                    Why::receiver_inside);
        }
        for (const auto* host : {&via.received, &via.maddr}) {
            if (names_host(*host, receiver_.shown.address)) {
                replace((*host)->host, receiver_.real.address.text(), Place::via,
                        Why::receiver_inside);
            }
        }
        if (via.rport && parse_port(via.rport->in(text_)) == receiver_.shown.port) {
            replace(*via.rport, std::to_string(number(receiver_.real.port)), Place::via,
                    Why::receiver_inside);
        }
    }

    void contact(const sip::Header& header) {
        for (const auto& value : sip::parse_addresses(text_, header.value)) {
            if (value.star) continue;
            const auto uri = sip::parse_uri(text_, value.uri);
            if (!uri || !same_transport(*uri)) continue;
            if (sender_.translated() && from_sender(*uri)) continue;
            if (receiver_.translated()) towards_receiver(*uri, Place::contact);
        }
    }

    /// True when the URI names the sender.
    bool from_sender(const sip::Uri& uri) {
        const auto port = default_port(uri);
        const bool inside = names(uri.host, sender_.real, port);
        if (!inside && !names(uri.host, sender_.shown, port)) return false;
        spellings_.note_contact(sender_, receiver_, uri.user.in(text_), uri.host.whole.in(text_));
        if (inside) {
            replace(uri.host.whole, canonical(uri.host, sender_.shown, port), Place::contact,
                    Why::sender_outside);
        }
        return true;
    }

    void towards_receiver(const sip::Uri& uri, Place place) {
        const auto port = default_port(uri);
        if (!same_transport(uri) || !names(uri.host, receiver_.shown, port)) return;
        const auto* written = spellings_.contact(receiver_, sender_, uri.user.in(text_));
        if (written != nullptr) {
            replace(uri.host.whole, *written, place, Why::restored);
        } else {
            replace(uri.host.whole, canonical(uri.host, receiver_.real, port), place,
                    Why::receiver_inside);
        }
    }

    void identity(const sip::Header& header) {
        const auto values = sip::parse_addresses(text_, header.value);
        if (values.empty()) return;
        const auto uri = sip::parse_uri(text_, values.front().uri);
        if (!uri || !uri->host.address) return;
        const bool is_from = header.kind == HeaderKind::from;
        const auto place = is_from ? Place::from : Place::to;
        if (sender_.translated() && own_identity(*uri, is_from, place)) return;
        if (receiver_.translated()) returning_identity(*uri, is_from, place);
    }

    bool own_identity(const sip::Uri& uri, bool is_from, Place place) {
        const auto& address = *uri.host.address;
        const bool inside = address == sender_.real.address;
        const bool names_sender = is_from == message_.is_request();
        if (!inside && address != sender_.shown.address) return false;
        // In a hairpin both sides are shown under this address: each field belongs to one of them.
        const bool of_receiver = !names_sender && message_.method() != sip::Method::reg;
        if (!inside && of_receiver && address == receiver_.shown.address) return false;
        const auto host = host_span(uri.host).in(text_);
        (is_from ? written_.from_host : written_.to_host) = host;
        if (names_sender) {
            spellings_.note_identity(sender_, receiver_, message_.value(HeaderKind::call_id), host);
        }
        if (inside) {
            replace(host_span(uri.host), host_text(sender_.shown.address), place,
                    Why::sender_outside);
        }
        return true;
    }

    void returning_identity(const sip::Uri& uri, bool is_from, Place place) {
        if (*uri.host.address != receiver_.shown.address) return;
        const bool names_receiver = is_from != message_.is_request();
        const auto* written = written_identity(is_from, names_receiver);
        const bool both = message_.method() == sip::Method::reg;
        if (written != nullptr) {
            replace(host_span(uri.host), *written, place, Why::restored);
        } else if (names_receiver || both) {
            replace(host_span(uri.host), host_text(receiver_.real.address), place,
                    Why::receiver_inside);
        }
    }

    const std::string* written_identity(bool is_from, bool names_receiver) {
        if (answered_ != nullptr) {
            const auto& host = is_from ? answered_->from_host : answered_->to_host;
            if (!host.empty()) return &host;
        }
        if (!names_receiver) return nullptr;
        return spellings_.identity(receiver_, sender_, message_.value(HeaderKind::call_id));
    }

    [[nodiscard]] bool same_transport(const sip::Uri& uri) const {
        return uri.transport.empty() || equal_ignoring_case(uri.transport, to_text(transport_));
    }

    void replace(Span span, std::string text, Place place, Why why) {
        if (span.in(text_) == text) return;
        edits_.push_back({span, std::move(text), place, why});
    }

    const sip::Message& message_;
    std::string_view text_;
    const Party& sender_;
    const Party& receiver_;
    Transport transport_;
    Spellings& spellings_;
    std::vector<Edit>& edits_;
    std::string_view branch_;
    WrittenRequest written_;
    const WrittenRequest* answered_ = nullptr;
};

}  // namespace

void rewrite_headers(const sip::Message& message, const NatView& view, Spellings& spellings,
                     std::vector<Edit>& edits) {
    if (!view.sender.translated() && !view.receiver.translated()) return;
    HeaderRewriter(message, view, spellings, edits).run();
}

}  // namespace sipnat
