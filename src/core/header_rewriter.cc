#include "core/header_rewriter.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/endpoint_text.h"
#include "core/header_rules.h"
#include "sipnat/base/ascii.h"
#include "sipnat/sip/uri.h"

namespace sipnat {

namespace {

using sip::HeaderKind;

constexpr std::size_t kUsualEdits = 8;  // of an INVITE with SDP

/// The party that an identity URI names, from the view of this message.
enum class Named : std::uint8_t { sender, receiver, both, neither };

class HeaderRewriter {
  public:
    HeaderRewriter(const sip::Message& message, const std::optional<sip::Via>& via,
                   const NatView& view, HeaderMemory memory, std::vector<Edit>& edits, Time now,
                   std::pmr::memory_resource* scratch)
        : message_(message),
          text_(message.text()),
          via_(via),
          sender_(view.sender),
          receiver_(view.receiver),
          transport_(view.transport),
          signed_(message.find(HeaderKind::identity) != nullptr),
          spellings_(memory.spellings),
          known_(memory.known),
          now_(now),
          edits_(edits),
          name_(scratch),
          name_in_call_(scratch),
          old_transaction_(scratch) {}

    std::vector<FurtherPort> run(RewriteRequestUri which) {
        recall();
        if (message_.is_request() && !(which == RewriteRequestUri::unless_digest && digested())) {
            request_uri();
        }
        bool top_via = true;
        for (const auto& header : message_.headers()) {
            const auto* rule = rule_of(header.kind);
            if (rule == nullptr) continue;
            switch (rule->rule) {
                case Rule::via:
                    if (top_via) via();
                    top_via = false;
                    break;
                case Rule::routable:
                case Rule::path:
                    routable(header, *rule);
                    break;
                case Rule::identity:
                    identity(header, *rule);
                    break;
            }
        }
        if (message_.is_request() && sender_.translated()) {
            spellings_.note_request(sender_, receiver_, transaction_, written_, now_);
        }
        return std::move(further_);
    }

  private:
    // --- the start line and Via ---------------------------------------------------------------

    /// For a response: what the request that it answers said.
    void recall() {
        if (!via_) return;
        transaction_ = via_->branch.in(text_);
        if (transaction_.empty()) {  // of RFC 2543: RFC 3261 17.2.3
            old_transaction_ = message_.value(HeaderKind::call_id);
            old_transaction_.append(" ").append(std::to_string(message_.cseq().number));
            transaction_ = old_transaction_;
        }
        if (!message_.is_request() && receiver_.translated()) {
            answered_ = spellings_.request(receiver_, sender_, transaction_, now_);
        }
    }

    /// Credentials of this request are bound to its Request-URI.
    [[nodiscard]] bool digested() const {
        const auto request_uri = message_.request_uri();
        const auto parsed = sip::parse_uri(text_, request_uri);
        return std::ranges::any_of(message_.headers(), [&](const sip::Header& header) {
            if (header.kind != HeaderKind::authorization &&
                header.kind != HeaderKind::proxy_authorization) {
                return false;
            }
            const auto where = sip::find_digest_uri(text_, header.value);
            if (!where) return false;
            if (where->in(text_) == request_uri.in(text_)) return true;
            const auto uri = sip::parse_uri(text_, *where);
            return uri && parsed && name_the_same(text_, *uri, *parsed);
        });
    }

    void request_uri() {
        if (!receiver_.translated()) return;
        const auto uri = sip::parse_uri(text_, message_.request_uri());
        if (!uri) return;
        towards_receiver(*uri, {HeaderKind::contact, Place::request_uri, Rule::routable});
    }

    void via() {
        if (!via_) return;
        if (message_.is_request()) {
            if (sender_.translated()) own_via(*via_);
        } else if (receiver_.translated()) {
            returning_via(*via_);
        }
    }

    void own_via(const sip::Via& via) {
        const auto port = default_port(via);
        const bool inside = via.sent_by.address == sender_.real.address;
        if (!inside && !names(via.sent_by, sender_.shown, port)) return;
        const auto at = via.sent_by.port.value_or(port);
        const auto own = inside ? known_.by_real(sender_end(), at, transport_, now_) : sender_;
        const bool is_answered_there =
            transport_ == Transport::udp && !via.rport && equal_ignoring_case(via.transport, "UDP");
        if (inside && is_answered_there) note_further({at, Transport::udp, false});
        if (!own) return;
        written_.sent_by = via.sent_by.whole.in(text_);
        written_.via_edited = inside;
        written_.shown = own->shown;
        if (!inside) return;
        replace(via.sent_by.whole, canonical(via.sent_by, own->shown, port), Place::via,
                Why::sender_outside);
        if (names_host(via.maddr, sender_.real.address)) {
            replace(via.maddr->host, sender_.shown.address.text(), Place::via, Why::sender_outside);
        }
    }

    void returning_via(const sip::Via& via) {
        const auto port = default_port(via);
        if (answered_ && !answered_->via_edited) return;
        if (answered_) {
            if (!names(via.sent_by, answered_->shown, port)) return;
            replace(via.sent_by.whole, answered_->sent_by, Place::via, Why::restored);
        } else {
            if (via.sent_by.address != receiver_.shown.address) return;
            const auto own =
                known_.by_shown(receiver_end(), via.sent_by.port.value_or(port), transport_, now_);
            if (!own) return;
            replace(via.sent_by.whole, canonical(via.sent_by, own->real, port), Place::via,
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

    // --- routable URIs ------------------------------------------------------------------------

    void routable(const sip::Header& header, const HeaderRule& rule) {
        sip::AddressReader values(text_, header.value);
        while (const auto value = values.next()) {
            const auto uri = sip::parse_uri(text_, value->uri);
            if (!uri || is_ambiguous(*uri, rule)) continue;
            if (sender_.translated() && from_sender(*uri, rule)) continue;
            if (receiver_.translated()) towards_receiver(*uri, rule);
        }
    }

    /// By the grammar '?' before '@' belongs to the user part; of a phone that left the Call-ID in a
    /// Replaces unescaped it begins the headers, and the host stands before it.
    [[nodiscard]] bool is_ambiguous(const sip::Uri& uri, const HeaderRule& rule) const {
        return rule.kind == HeaderKind::refer_to &&
               uri.user.in(text_).find('?') != std::string_view::npos;
    }

    /// True when the URI names the sender.
    bool from_sender(const sip::Uri& uri, const HeaderRule& rule) {
        const auto said = said_transport(uri);
        const bool inside = names_host(uri, sender_.real.address);
        if (!inside && !(names(uri, sender_.shown) && may_be_own(said))) return false;
        const auto own = inside ? known_.by_real(sender_end(), port_of(uri), said, now_) : sender_;
        const bool is_reached_there =
            rule.kind == HeaderKind::contact && makes_dialog() && uri.scheme == sip::Scheme::sip;
        if (inside && is_reached_there) note_further(port_of(uri), said);
        if (!own) return false;
        note(uri, rule, *own, inside ? own->real.address : own->shown.address);
        if (inside) translate(uri, own->real, own->shown, rule.place, Why::sender_outside);
        return true;
    }

    void towards_receiver(const sip::Uri& uri, const HeaderRule& rule) {
        if (!names_host(uri, receiver_.shown.address)) return;
        const auto own = known_.by_shown(receiver_end(), port_of(uri), said_transport(uri), now_);
        if (!own) return;
        const auto written = written_uri(uri, rule, *own);
        if (!written) {
            translate(uri, own->shown, own->real, rule.place, Why::receiver_inside);
            return;
        }
        replace(uri.host.whole, written->host_port, rule.place, Why::restored);
        if (uri.maddr && !written->maddr.empty()) {
            replace(uri.maddr->host, written->maddr, rule.place, Why::restored);
        }
    }

    /// Each address that is the one becomes the other, and the port goes with them.
    void translate(const sip::Uri& uri, const Endpoint& from, const Endpoint& to, Place place,
                   Why why) {
        const auto port = default_port(uri);
        if (uri.host.address == from.address) {
            replace(uri.host.whole, canonical(uri.host, to, port), place, why);
        } else if (from.port != to.port) {
            replace(uri.host.whole, with_port(text_, uri.host, to.port, port), place, why);
        }
        if (names_host(uri.maddr, from.address)) {
            replace(uri.maddr->host, to.address.text(), place, why);
        }
    }

    void note(const sip::Uri& uri, const HeaderRule& rule, const Party& writer,
              const IpAddress& own) {
        const bool has_maddr = names_host(uri.maddr, own);
        const WrittenUri written{
            uri.host.whole.in(text_),
            has_maddr ? uri.maddr->host.in(text_) : std::string_view{},
        };
        const auto name = name_of(uri, rule, own);
        const auto kind = memory_of(rule);
        const bool registers = message_.method() == sip::Method::reg;
        const auto scope = registers ? UriName::Scope::binding : UriName::Scope::party;
        spellings_.note_uri(writer, receiver_, {scope, kind, name}, written);
        spellings_.note_uri(writer, receiver_, {UriName::Scope::call, kind, in_call(name)},
                            written);
    }

    std::optional<WrittenUri> written_uri(const sip::Uri& uri, const HeaderRule& rule,
                                          const Party& writer) {
        const auto name = name_of(uri, rule, writer.shown.address);
        const auto in_scope = [&](UriName::Scope scope, std::string_view text) {
            auto written = spellings_.uri(writer, sender_, {scope, memory_of(rule), text});
            // Others refer to a party by the Contact that it gave them.
            if (!written && rule.rule != Rule::path) {
                written = spellings_.uri(writer, sender_, {scope, HeaderKind::contact, text});
            }
            return written;
        };
        auto written = in_scope(UriName::Scope::call, in_call(name));
        if (!written) written = in_scope(UriName::Scope::binding, name);
        if (!written) written = in_scope(UriName::Scope::party, name);
        return written;
    }

    static HeaderKind memory_of(const HeaderRule& rule) {
        return rule.rule == Rule::path ? HeaderKind::route : rule.kind;
    }

    /// What the URI is known by: the same text on both sides of the NAT. Between its pieces stands
    /// what none of them can hold, so that no user part reads like a user part and more. Ends with
    /// the next one.
    [[nodiscard]] std::string_view name_of(const sip::Uri& uri, const HeaderRule& rule,
                                           const IpAddress& own) {
        const auto user = uri.user.in(text_);
        const bool has_maddr = names_host(uri.maddr, own);
        if (uri.host.address == own && !has_maddr && rule.rule != Rule::path) return user;
        name_ = user;
        if (uri.host.address != own) name_.append("\n@").append(host_text(text_, uri.host));
        if (has_maddr) name_ += "\nmaddr";
        if (rule.rule == Rule::path) {
            name_ += "\n;";
            append_without(uri.params, has_maddr ? uri.maddr->host : Span{});
        }
        return name_;
    }

    /// Ends with the next one.
    [[nodiscard]] std::string_view in_call(std::string_view name) {
        name_in_call_ = name;
        name_in_call_.append("\nCall-ID ").append(message_.value(HeaderKind::call_id));
        return name_in_call_;
    }

    /// `hole`, which is empty or inside, cut out.
    void append_without(Span whole, Span hole) {
        if (hole.empty()) hole = span_of(whole.end(), whole.end());
        name_.append(span_of(whole.offset, hole.offset).in(text_))
            .append(span_of(hole.end(), whole.end()).in(text_));
    }

    // --- identities ---------------------------------------------------------------------------

    void identity(const sip::Header& header, const HeaderRule& rule) {
        sip::AddressReader values(text_, header.value);
        while (const auto value = values.next()) {
            const auto uri = sip::parse_uri(text_, value->uri);
            if (!uri || !uri->host.address) continue;
            const auto named = named_by(rule, *value);
            if (sender_.translated() && own_identity(*uri, rule, named)) continue;
            if (receiver_.translated()) returning_identity(*uri, rule, named);
        }
    }

    [[nodiscard]] Named named_by(const HeaderRule& rule, const sip::AddressValue& value) const {
        const auto caller = message_.is_request() ? Named::sender : Named::receiver;
        const auto callee = message_.is_request() ? Named::receiver : Named::sender;
        switch (rule.names) {
            case Names::caller:
                return message_.method() == sip::Method::reg ? Named::both : caller;
            case Names::callee:
                return message_.method() == sip::Method::reg ? Named::both : callee;
            case Names::party: {
                const auto party = sip::find_parameter(text_, value.params, "party");
                const auto word = party ? party->in(text_) : std::string_view{};
                if (equal_ignoring_case(word, "calling")) return caller;
                if (equal_ignoring_case(word, "called")) return callee;
                return Named::sender;
            }
            case Names::sender:
                return Named::sender;
            case Names::other:
            case Names::nobody:
                break;
        }
        return Named::neither;
    }

    /// True when the URI names the sender.
    bool own_identity(const sip::Uri& uri, const HeaderRule& rule, Named named) {
        const auto& address = *uri.host.address;
        const bool inside = address == sender_.real.address;
        if (!inside && address != sender_.shown.address) return false;
        // In a hairpin both sides are shown under this address: each field belongs to one of them.
        const bool of_receiver = named == Named::receiver;
        if (!inside && of_receiver && address == receiver_.shown.address) return false;
        note(uri, rule, named);
        if (inside) {
            replace_host(uri, sender_.shown.address.text(), rule, Why::sender_outside);
        }
        return true;
    }

    void note(const sip::Uri& uri, const HeaderRule& rule, Named named) {
        const auto host = uri.host.host.in(text_);
        if (is_dialogs(rule)) {
            written_.*host_in(rule) = host;
            if (named != Named::receiver) {
                const auto call_id = message_.value(HeaderKind::call_id);
                spellings_.note_identity(sender_, receiver_, call_id, host);
            }
        } else {
            spellings_.note_user(sender_, receiver_, uri.user.in(text_), host);
        }
    }

    void returning_identity(const sip::Uri& uri, const HeaderRule& rule, Named named) {
        if (*uri.host.address != receiver_.shown.address) return;
        const bool names_receiver = named == Named::receiver || named == Named::both;
        const auto written = is_dialogs(rule)
                                 ? written_in_dialog(rule, names_receiver)
                                 : spellings_.host_of_user(receiver_, sender_, uri.user.in(text_));
        if (written) {
            replace_host(uri, *written, rule, Why::restored);
        } else if (names_receiver) {
            replace_host(uri, receiver_.real.address.text(), rule, Why::receiver_inside);
        }
    }

    std::optional<std::string_view> written_in_dialog(const HeaderRule& rule, bool names_receiver) {
        if (answered_) {
            const auto host = (*answered_).*host_in(rule);
            if (!host.empty()) return host;
        }
        if (!names_receiver) return std::nullopt;
        return spellings_.identity(receiver_, sender_, message_.value(HeaderKind::call_id));
    }

    /// From and To are the dialog's; the others come and go.
    static bool is_dialogs(const HeaderRule& rule) {
        return rule.names == Names::caller || rule.names == Names::callee;
    }

    static std::string_view WrittenRequest::*host_in(const HeaderRule& rule) {
        const bool from = rule.names == Names::caller;
        return from ? &WrittenRequest::from_host : &WrittenRequest::to_host;
    }

    void replace_host(const sip::Uri& uri, std::string_view host, const HeaderRule& rule, Why why) {
        if (signed_ && is_dialogs(rule)) return;
        replace(uri.host.host, host, rule.place, why);
    }

    // --- both -----------------------------------------------------------------------------------

    [[nodiscard]] FlowEnd sender_end() const {
        return {sender_, receiver_.real.address, transport_};
    }
    [[nodiscard]] FlowEnd receiver_end() const {
        return {receiver_, sender_.real.address, transport_};
    }

    /// A URI with this word of its transport may name an end of this message's flow.
    [[nodiscard]] bool may_be_own(SaidTransport said) const {
        switch (said) {
            case SaidTransport::none:
                return true;
            case SaidTransport::udp:
                return transport_ == Transport::udp;
            case SaidTransport::tcp:
                return transport_ == Transport::tcp;
            case SaidTransport::other:
                break;
        }
        return false;
    }

    /// A request may; of answers, which anybody may have asked for, only those do that others follow.
    [[nodiscard]] bool makes_dialog() const {
        if (message_.is_request()) return true;
        switch (message_.method()) {
            case sip::Method::invite:
            case sip::Method::update:
            case sip::Method::subscribe:
            case sip::Method::notify:
            case sip::Method::refer:
                return message_.status() < 300;
            default:
                return false;
        }
    }

    /// Of a Contact.
    void note_further(Port port, SaidTransport said) {
        if (said == SaidTransport::other || (port == sender_.real.port && may_be_own(said))) return;
        note_further({port, said == SaidTransport::tcp ? Transport::tcp : Transport::udp, true});
    }

    void note_further(const FurtherPort& asked) {
        const bool is_own = asked.port == sender_.real.port && asked.transport == transport_;
        if (is_own || asked.port < kFirstUserPort) return;
        const auto same = std::ranges::find_if(further_, [&asked](const FurtherPort& known) {
            return known.port == asked.port && known.transport == asked.transport;
        });
        if (same != further_.end()) {
            same->in_contact = same->in_contact || asked.in_contact;
        } else if (further_.size() < kMostFurtherPorts) {
            further_.push_back(asked);
        }
    }

    template <class Text>
    void replace(Span span, Text&& text, Place place, Why why) {
        if (span.in(text_) == text) return;
        if (edits_.empty()) edits_.reserve(kUsualEdits);
        edits_.push_back({span, std::string(std::forward<Text>(text)), place, why});
    }

    const sip::Message& message_;
    std::string_view text_;
    const std::optional<sip::Via>& via_;
    const Party& sender_;
    const Party& receiver_;
    Transport transport_;
    bool signed_;  ///< From and To are not ours to change
    Spellings& spellings_;
    KnownEndpoints& known_;
    Time now_;
    std::vector<Edit>& edits_;
    std::vector<FurtherPort> further_;
    std::pmr::string name_;
    std::pmr::string name_in_call_;
    std::pmr::string old_transaction_;
    std::string_view transaction_;  ///< the top Via's branch, or what there is in its place
    WrittenRequest written_;
    std::optional<WrittenRequest> answered_;
};

}  // namespace

std::vector<FurtherPort> rewrite_headers(const sip::Message& message,
                                         const std::optional<sip::Via>& via, const NatView& view,
                                         HeaderMemory memory, std::vector<Edit>& edits,
                                         RewriteRequestUri request_uri, Time now,
                                         std::pmr::memory_resource* scratch) {
    if (!view.sender.translated() && !view.receiver.translated()) return {};
    return HeaderRewriter(message, via, view, memory, edits, now, scratch).run(request_uri);
}

}  // namespace sipnat
