#include "core/registrations.h"

#include <algorithm>
#include <cstddef>
#include <ranges>
#include <utility>

#include "core/endpoint_text.h"
#include "core/lease_time.h"
#include "sipnat/base/ascii.h"
#include "sipnat/core/call.h"
#include "sipnat/sip/uri.h"

namespace sipnat {

namespace {

using sip::HeaderKind;
using sip::Method;
using std::chrono::seconds;

/// Of what is remembered of a stranger's message.
constexpr std::size_t kLongestName = 256;

std::pmr::string user_at(std::string_view text, const sip::Uri& uri, std::string_view host,
                         std::pmr::memory_resource* scratch) {
    std::pmr::string name(uri.user.in(text).substr(0, kLongestName), scratch);
    if (!name.empty()) name += '@';
    const auto end = name.size();
    name += host.substr(0, kLongestName);
    std::transform(name.begin() + static_cast<std::ptrdiff_t>(end), name.end(),
                   name.begin() + static_cast<std::ptrdiff_t>(end), lower);
    return name;
}

std::pmr::string aor_of(const sip::Message& message, std::pmr::memory_resource* scratch) {
    const auto text = message.text();
    const auto to = sip::AddressReader(text, message.find(HeaderKind::to)->value).next();
    const auto uri = to ? sip::parse_uri(text, to->uri) : std::nullopt;
    if (!uri) return std::pmr::string(scratch);
    return user_at(text, *uri, host_text(text, uri->host), scratch);
}

/// A Contact's values.
struct Contacts {
    struct Value {
        std::pmr::string contact;  ///< as the inside party knows itself
        std::optional<seconds> expires;
    };
    std::pmr::vector<Value> values;
    bool star = false;
    bool any = false;  ///< there is one, be it readable or not
};

/// What a Contact is called inside, whether the inside party wrote it or the registrar did. Empty for
/// what is no SIP URI.
std::pmr::string contact_of(std::string_view text, Span where, const FlowEnd& own,
                            KnownEndpoints& known, Time now, std::pmr::memory_resource* scratch) {
    const auto uri = sip::parse_uri(text, where);
    if (!uri) return std::pmr::string(scratch);
    if (!uri->host.address) return user_at(text, *uri, uri->host.whole.in(text), scratch);
    Endpoint endpoint{*uri->host.address, port_of(*uri)};
    if (endpoint.address == own.inside.shown.address) {
        const auto named = known.by_shown(own, endpoint.port, said_transport(*uri), now);
        if (named) endpoint = named->real;
    }
    // As Endpoint::text() writes it, which asks the heap.
    const bool is_ipv6 = endpoint.address.family() == Family::ipv6;
    auto name = user_at(text, *uri, is_ipv6 ? "[" : "", scratch);
    name += endpoint.address.text();
    name += is_ipv6 ? "]:" : ":";
    return name += std::to_string(number(endpoint.port));
}

Contacts contacts_of(const sip::Message& message, const FlowEnd& own, KnownEndpoints& known,
                     Time now, std::pmr::memory_resource* scratch) {
    Contacts contacts{std::pmr::vector<Contacts::Value>(scratch)};
    for_each_contact(message, [&](const sip::AddressValue& value, std::optional<seconds> expires) {
        contacts.any = true;
        contacts.star = contacts.star || value.star;
        auto contact = contact_of(message.text(), value.uri, own, known, now, scratch);
        if (!contact.empty()) contacts.values.push_back({std::move(contact), expires});
    });
    return contacts;
}

}  // namespace

void Registrations::note(const FlowTuples& flow, const sip::Message& message, const NatView& view,
                         KnownEndpoints& known, const Settings& settings, Time now,
                         std::pmr::memory_resource* scratch) {
    if (message.method() != Method::reg || message.status() >= 300) return;
    const bool is_request = message.is_request();
    if (!is_request && message.status() < 200) return;
    const auto& inside = is_request ? view.sender : view.receiver;
    const auto& registrar = is_request ? view.receiver : view.sender;
    if (!inside.inside) return;
    const RequestKey key{{inside.real.address, registrar.real.address, message.cseq().number},
                         message.value(HeaderKind::call_id)};
    if (!is_request) {
        if (const auto* request = requests_.find(key)) {
            accept(*request, message, known, settings, now, scratch);
        }
        return;
    }
    const auto general = delta_seconds(message.value(HeaderKind::expires));
    const auto contacts =
        contacts_of(message, {inside, registrar.real.address, view.transport}, known, now, scratch);
    auto& request = requests_.put(key);
    request.flow = flow;
    request.inside = inside;
    request.registrar = registrar;
    request.aor = aor_of(message, scratch);
    request.removes_all = contacts.star;
    request.contacts.clear();
    for (const auto& [contact, expires] : contacts.values) {
        request.contacts.emplace_back(contact, expires ? expires : general);
    }
}

void Registrations::accept(const Request& request, const sip::Message& answer,
                           KnownEndpoints& known, const Settings& settings, Time now,
                           std::pmr::memory_resource* scratch) {
    const auto& flow = request.flow.original;
    const auto& inside = request.inside;
    const auto& registrar = request.registrar;
    const auto general = delta_seconds(answer.value(HeaderKind::expires));
    const auto listed =
        contacts_of(answer, {inside, registrar.real.address, flow.transport}, known, now, scratch);
    const auto granted = [&](std::string_view contact, const Asked* asked) -> seconds {
        const auto unsaid = asked != nullptr ? asked->expires.value_or(kUsualExpiry) : kUsualExpiry;
        const auto found = std::ranges::find(listed.values, contact, &Contacts::Value::contact);
        if (found != listed.values.end()) return found->expires.value_or(general.value_or(unsaid));
        // Some registrars name none at all, and mean what was asked.
        const bool none = listed.any || asked == nullptr || unsaid == seconds(0);
        return none ? seconds(0) : general.value_or(unsaid);
    };
    const auto of_record = [&](Bindings::iterator at) {
        return at != bindings_.end() && at->first.flow == flow &&
               at->first.aor == std::string_view(request.aor);
    };
    const auto is_asked = [&](std::string_view contact) {
        return std::ranges::find(request.contacts, contact, &Asked::contact) !=
               request.contacts.end();
    };
    // What the registrar lists is all there is (RFC 3261 10.3).
    const bool is_told = listed.any || request.contacts.empty();
    erase_on_others(request, [&](std::string_view contact) {
        if (request.removes_all || is_asked(contact)) return true;
        return is_told && granted(contact, nullptr) == seconds(0);
    });
    for (auto next = first_of(flow, request.aor); of_record(next);) {
        const auto at = next++;
        const auto& contact = at->first.contact;
        if (request.removes_all) {
            erase(at);
        } else if (is_told && !is_asked(contact)) {
            const auto time = granted(contact, nullptr);
            if (time == seconds(0)) {
                erase(at);
            } else {
                put(Order::view(at->first), request, now + time, settings, now);
            }
        }
    }
    if (request.removes_all) return;
    for (const auto& asked : request.contacts) {
        const Order::View name{flow, request.aor, asked.contact};
        const auto time = granted(asked.contact, &asked);
        if (time != seconds(0)) {
            put(name, request, now + time, settings, now);
        } else if (const auto at = find(name); at != bindings_.end()) {
            erase(at);
        }
    }
}

template <class IsOver>
void Registrations::erase_on_others(const Request& request, IsOver is_over) {
    const auto& flow = request.flow.original;
    if (flow.transport != Transport::tcp) return;
    const auto host = per_host_.find(request.inside.real.address);
    if (host == per_host_.end()) return;
    const auto others = host->second.connections;
    for (const auto& other : others) {
        if (other == flow) continue;
        for (auto next = first_of(other, request.aor);
             next != bindings_.end() && next->first.flow == other &&
             next->first.aor == std::string_view(request.aor);) {
            const auto at = next++;
            const bool is_registrars =
                at->second.registrar.address == request.registrar.real.address;
            if (is_registrars && is_over(at->first.contact)) erase(at);
        }
    }
}

void Registrations::put(const Order::View& name, const Request& request, Time until,
                        const Settings& settings, Time now) {
    const auto& [flow, aor, contact] = name;
    const auto& inside = request.inside;
    const auto& registrar = request.registrar.real;
    const auto found = find(name);
    const bool is_known = found != bindings_.end();
    if (is_known && found->second.flow == request.flow && found->second.inside == inside.real &&
        found->second.outside == inside.shown && found->second.registrar == registrar) {
        prolong(found->second, until, now);
        return;
    }
    const Binding binding{{flow, std::string(aor), std::string(contact)},
                          request.flow,
                          inside.real,
                          inside.shown,
                          registrar,
                          until,
                          until};
    if (is_known) erase(found);  // its host may be another now, with a quota of its own
    if (add(binding, now + kKeepUp, settings)) changed_.push_back(binding.name);
}

void Registrations::wake_at(Kept& binding, Time time) {
    auto entry = wakes_.extract({binding.wake, &binding});
    entry.value().first = binding.wake = time;
    wakes_.insert(std::move(entry));
}

void Registrations::prolong(Kept& binding, Time until, Time now) {
    if (until < binding.wake) wake_at(binding, until);
    binding.until = until;
    // What is granted for a minute must not be over on file for half of it.
    const auto stale = std::min<Time::duration>(kStaleDeadline, (until - now) / 4);
    if (until >= binding.saved_until && until - binding.saved_until <= stale) return;
    binding.saved_until = until;
    changed_.push_back(binding.name);
}

/// False when a limit is reached.
bool Registrations::add(const Binding& binding, Time keep_up, const Settings& settings) {
    const auto& host = binding.inside.address;
    const auto of_host = per_host_.find(host);
    const bool is_full =
        of_host != per_host_.end() && of_host->second.count >= settings.bindings_per_host;
    if (is_full || bindings_.size() >= settings.bindings) {
        ++refused_;
        return false;
    }
    const auto [made, is_new] = bindings_.emplace(binding.name, Kept{binding, binding.until});
    if (!is_new) return false;
    auto& owner = per_host_[host];
    ++owner.count;
    wakes_.emplace(binding.until, &made->second);
    const bool is_connection = binding.name.flow.transport == Transport::tcp;
    auto& flow = flows_[binding.name.flow];
    if (flow.count == 0) {
        flow = {made, 0, keep_up, host};
        if (is_connection) {
            owner.connections.push_back(binding.name.flow);
        } else {
            to_keep_up_.emplace(keep_up, binding.name.flow);
        }
    } else if (made->first < flow.first->first) {
        flow.first = made;
    }
    ++flow.count;
    return true;
}

void Registrations::restore(const Binding& binding, const Settings& settings) {
    (void)add(binding, Time{}, settings);
}

void Registrations::take_changes(std::vector<Binding>& bindings, std::vector<BindingName>& ended) {
    std::ranges::sort(changed_);
    const auto repeated = std::ranges::unique(changed_);
    changed_.erase(repeated.begin(), repeated.end());
    for (auto& name : changed_) {
        if (const auto found = find(Order::view(name)); found != bindings_.end()) {
            bindings.push_back(found->second);
        } else {
            ended.push_back(std::move(name));
        }
    }
    changed_.clear();
}

void Registrations::erase(Bindings::iterator at) {
    const auto of_host = per_host_.find(at->second.inside.address);
    wakes_.erase({at->second.wake, &at->second});
    changed_.push_back(at->first);
    const auto flow = flows_.find(at->first.flow);
    if (flow->second.first == at) ++flow->second.first;
    bindings_.erase(at);
    if (--flow->second.count == 0) {
        const auto first = per_host_.find(flow->second.host);
        if (first != per_host_.end()) std::erase(first->second.connections, flow->first);
        to_keep_up_.erase({flow->second.keep_up, flow->first});
        flows_.erase(flow);
    }
    if (--of_host->second.count == 0) per_host_.erase(of_host);
}

Registrations::Bindings::iterator Registrations::first_of(const Tuple& flow, std::string_view aor) {
    const auto found = flows_.find(flow);
    if (found == flows_.end()) return bindings_.end();
    const auto& [first, count, keep_up, host] = found->second;
    return count == 1 ? first : bindings_.lower_bound(Order::View{flow, aor, {}});
}

Registrations::Bindings::iterator Registrations::find(const Order::View& name) {
    const auto found = flows_.find(std::get<0>(name));
    if (found == flows_.end()) return bindings_.end();
    const auto& [first, count, keep_up, host] = found->second;
    if (count > 1) return bindings_.find(name);
    return Order::view(first->first) == name ? first : bindings_.end();
}

bool Registrations::hang_on(const FlowTuples& flow) const {
    const auto found = flows_.find(flow.original);
    if (found == flows_.end()) return false;
    Bindings::const_iterator at = found->second.first;
    while (at != bindings_.end() && at->first.flow == flow.original && at->second.flow != flow)
        ++at;
    return at != bindings_.end() && at->second.flow == flow;
}

void Registrations::collect_due(Time now, std::vector<Tuple>& keep_up) {
    while (!wakes_.empty() && wakes_.begin()->first <= now) {
        const auto at = find(Order::view(wakes_.begin()->second->name));
        if (at->second.until > now) {
            wake_at(at->second, at->second.until);
        } else {
            erase(at);
        }
    }
    while (!to_keep_up_.empty() && to_keep_up_.begin()->first <= now) {
        auto kept = to_keep_up_.extract(to_keep_up_.begin());
        const auto& flow = kept.value().second;
        keep_up.push_back(flow);
        kept.value().first = flows_.at(flow).keep_up = now + kKeepUp;
        to_keep_up_.insert(std::move(kept));
    }
}

std::optional<Time> Registrations::next_due() const {
    std::optional<Time> next;
    if (!wakes_.empty()) next = wakes_.begin()->first;
    if (!to_keep_up_.empty()) {
        const auto keep_up = to_keep_up_.begin()->first;
        next = next ? std::min(*next, keep_up) : keep_up;
    }
    return next;
}

}  // namespace sipnat
