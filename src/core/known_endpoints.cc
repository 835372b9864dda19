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

void KnownEndpoints::note_flow(const Party& inside, const IpAddress& remote, Transport transport,
                               Time now) {
    const Key by_real{inside.real, remote, transport};
    auto* known = flows_.find(by_real);
    if (known != nullptr && known->inside.shown == inside.shown && now - known->last < kNoteAgain) {
        return;
    }
    // The flow of a mapping ends with it.
    if (mappings_.find_outside(inside.shown, transport)) return;
    flows_.put(by_real) = {inside, now};
    flows_.put({inside.shown, remote, transport}) = {inside, now};
}

std::optional<Party> KnownEndpoints::flow(const Key& key, Time now) {
    const auto* known = flows_.find(key);
    if (known == nullptr || now - known->last + kNoteAgain > kFlowTimeout) return std::nullopt;
    return known->inside;
}

std::optional<Party> KnownEndpoints::by_real(const Party& inside, Port real,
                                             const IpAddress& remote, Transport transport,
                                             Time now) {
    if (auto own = by_flow(inside, real, remote, transport, now)) return own;
    const Endpoint endpoint{inside.real.address, real};
    const auto* mapping = mappings_.find({inside.shown.address, transport, endpoint});
    if (mapping == nullptr || mapping->media != ExpectClass::signalling) return std::nullopt;
    const bool is_fresh = mapping->uses.empty() && !mapping->unused_since;  // or refused
    if (is_fresh) return std::nullopt;
    return Party{endpoint, mapping->outside, inside.inside};
}

std::optional<Party> KnownEndpoints::by_flow(const Party& inside, Port real,
                                             const IpAddress& remote, Transport transport,
                                             Time now) {
    const Endpoint endpoint{inside.real.address, real};
    if (endpoint == inside.real) return inside;
    auto other = flow({endpoint, remote, transport}, now);
    const bool same_outside = other && other->shown.address == inside.shown.address;
    return same_outside ? other : std::nullopt;
}

std::optional<Party> KnownEndpoints::by_shown(const Party& inside, Port shown,
                                              const IpAddress& remote, Transport transport,
                                              Time now) {
    const Endpoint endpoint{inside.shown.address, shown};
    if (endpoint == inside.shown) return inside;
    std::optional<Party> other;
    if (const auto key = mappings_.find_outside(endpoint, transport)) {
        if (mappings_.find(*key)->media == ExpectClass::signalling) {
            other = Party{key->inside, endpoint, inside.inside};
        }
    } else {
        other = flow({endpoint, remote, transport}, now);
    }
    const bool same_host = other && other->real.address == inside.real.address;
    return same_host ? other : std::nullopt;
}

}  // namespace sipnat
