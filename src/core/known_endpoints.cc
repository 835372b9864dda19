#include "core/known_endpoints.h"

#include "core/gateway_flows.h"

namespace sipnat {

namespace {

/// A flow's last packet is noted at most this often.
constexpr std::chrono::seconds kNoteAgain{60};

}  // namespace

std::size_t KnownEndpoints::Hash::operator()(const Key& key) const noexcept {
    return hash_mix(
        hash_mix(std::hash<Endpoint>{}(key.endpoint), std::hash<IpAddress>{}(key.remote)),
        static_cast<std::size_t>(key.transport));
}

void KnownEndpoints::note_flow(const FlowEnd& flow, Time now) {
    const auto& [inside, remote, transport] = flow;
    const Key by_real{inside.real, remote, transport};
    const auto* known = flows_.find(by_real);
    if (known != nullptr && known->inside.shown == inside.shown && !known->has_ended &&
        now - known->last < kNoteAgain) {
        return;
    }
    // The flow of a mapping ends with it.
    if (mappings_.find_outside(inside.shown, transport)) return;
    flows_.put(by_real) = {inside, now};
    flows_.put({inside.shown, remote, transport}) = {inside, now};
}

void KnownEndpoints::note_ended(const FlowTuples& flow) {
    const auto& [opened_by, remote, transport] = flow.original;
    const auto* known = flows_.find({opened_by, flow.reply.source.address, transport});
    if (known == nullptr || known->inside.shown != flow.reply.destination) return;
    for (const auto& end : {opened_by, flow.reply.destination}) {
        auto* entry = flows_.find({end, flow.reply.source.address, transport});
        if (entry != nullptr) entry->has_ended = true;
    }
}

std::optional<Party> KnownEndpoints::flow(const Key& key, Time now) {
    const auto* known = flows_.find(key);
    if (known == nullptr || known->has_ended || now - known->last + kNoteAgain > kFlowTimeout) {
        return std::nullopt;
    }
    return known->inside;
}

std::optional<Party> KnownEndpoints::by_real(const FlowEnd& own, Port real, SaidTransport said,
                                             Time now) {
    switch (said) {
        case SaidTransport::udp:
            return by_real(own, real, Transport::udp, now);
        case SaidTransport::tcp:
            return by_real(own, real, Transport::tcp, now);
        case SaidTransport::none:
            if (auto udp = by_real(own, real, Transport::udp, now)) return udp;
            if (real == own.inside.real.port) return own.inside;
            break;
        case SaidTransport::other:
            break;
    }
    return std::nullopt;
}

std::optional<Party> KnownEndpoints::by_real(const FlowEnd& own, Port real, Transport transport,
                                             Time now) {
    if (auto flow = by_flow(own, real, transport, now)) return flow;
    const auto& inside = own.inside;
    const Endpoint endpoint{inside.real.address, real};
    const auto* mapping = mappings_.find({inside.shown.address, transport, endpoint});
    if (mapping == nullptr || mapping->media != ExpectClass::signalling) return std::nullopt;
    const bool is_fresh = mapping->uses.empty() && !mapping->unused_since;  // or refused
    if (is_fresh) return std::nullopt;
    return Party{endpoint, mapping->outside, inside.inside};
}

std::optional<Party> KnownEndpoints::by_flow(const FlowEnd& own, Port real, Transport transport,
                                             Time now) {
    const auto& inside = own.inside;
    const Endpoint endpoint{inside.real.address, real};
    if (endpoint == inside.real && transport == own.transport) return inside;
    auto other = flow({endpoint, own.remote, transport}, now);
    const bool same_outside = other && other->shown.address == inside.shown.address;
    return same_outside ? other : std::nullopt;
}

std::optional<Party> KnownEndpoints::by_shown(const FlowEnd& own, Port shown, SaidTransport said,
                                              Time now) {
    switch (said) {
        case SaidTransport::udp:
            return by_shown(own, shown, Transport::udp, now);
        case SaidTransport::tcp:
            return by_shown(own, shown, Transport::tcp, now);
        case SaidTransport::none:
            if (auto udp = by_shown(own, shown, Transport::udp, now)) return udp;
            if (shown == own.inside.shown.port) return own.inside;
            return by_shown(own, shown, Transport::tcp, now);
        case SaidTransport::other:
            break;
    }
    return std::nullopt;
}

std::optional<Party> KnownEndpoints::by_shown(const FlowEnd& own, Port shown, Transport transport,
                                              Time now) {
    const auto& inside = own.inside;
    const Endpoint endpoint{inside.shown.address, shown};
    if (endpoint == inside.shown && transport == own.transport) return inside;
    std::optional<Party> other;
    if (const auto key = mappings_.find_outside(endpoint, transport)) {
        if (mappings_.find(*key)->media == ExpectClass::signalling) {
            other = Party{key->inside, endpoint, inside.inside};
        }
    } else {
        other = flow({endpoint, own.remote, transport}, now);
    }
    const bool same_host = other && other->real.address == inside.real.address;
    return same_host ? other : std::nullopt;
}

}  // namespace sipnat
