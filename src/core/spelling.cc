#include "core/spelling.h"

#include <chrono>

namespace sipnat {

namespace {

// Longer names than this are not worth remembering: the canonical text serves.
constexpr std::size_t kLongestName = 256;
/// From its last message a transaction lasts no longer: RFC 3261's timer C and 64*T1, with room.
constexpr std::chrono::minutes kTransaction{4};
/// host:port with a name of DNS's full length; blanks around the colon are legal, and a peer's to add.
constexpr std::size_t kLongestText = 300;

std::optional<std::string_view> view_of(const std::pmr::string* text) {
    return text == nullptr ? std::nullopt : std::optional<std::string_view>(*text);
}

}  // namespace

std::size_t Spellings::PairHash::operator()(const Pair& pair) const noexcept {
    return hash_mix(
        hash_mix(std::hash<Endpoint>{}(pair.inside), std::hash<IpAddress>{}(pair.remote)),
        static_cast<std::size_t>(pair.header));
}

/// A host may be answered on another flow than it asked on.
Spellings::Key Spellings::key_of_host(const Party& inside, const Party& remote,
                                      std::string_view name) {
    return {{{inside.real.address, Port{}}, remote.real.address}, name};
}

Spellings::Key Spellings::key_of_uri(const Party& inside, const Party& remote,
                                     const UriName& name) {
    return {{inside.real, remote.real.address, name.header}, name.text};
}

void Spellings::note_request(const Party& inside, const Party& remote, std::string_view transaction,
                             const WrittenRequest& written, Time now) {
    if (transaction.empty() || transaction.size() > kLongestName) return;
    if (written.sent_by.size() > kLongestText) return;
    auto& stored = requests_.put(
        key_of_host(inside, remote, transaction),
        [now](const StoredRequest& oldest) { return now - oldest.last > kTransaction; });
    stored.last = now;
    stored.sent_by = written.sent_by;
    stored.via_edited = written.via_edited;
    stored.from_host = written.from_host;
    stored.to_host = written.to_host;
    stored.shown = written.shown;
}

std::optional<WrittenRequest> Spellings::request(const Party& inside, const Party& remote,
                                                 std::string_view transaction, Time now) {
    if (transaction.empty() || transaction.size() > kLongestName) return std::nullopt;
    auto* stored = requests_.find(key_of_host(inside, remote, transaction));
    if (stored == nullptr) return std::nullopt;
    stored->last = now;
    return WrittenRequest{stored->sent_by, stored->via_edited, stored->from_host, stored->to_host,
                          stored->shown};
}

void Spellings::note_uri(const Party& inside, const Party& remote, const UriName& name,
                         const WrittenUri& written) {
    if (name.text.size() > kLongestName || written.host_port.size() > kLongestText) return;
    auto& stored = uris_of(name.scope).put(key_of_uri(inside, remote, name));
    stored.host_port = written.host_port;
    stored.maddr = written.maddr;
}

std::optional<WrittenUri> Spellings::uri(const Party& inside, const Party& remote,
                                         const UriName& name) {
    if (name.text.size() > kLongestName) return std::nullopt;
    const auto* stored = uris_of(name.scope).find(key_of_uri(inside, remote, name));
    if (stored == nullptr) return std::nullopt;
    return WrittenUri{stored->host_port, stored->maddr};
}

void Spellings::note_identity(const Party& inside, const Party& remote, std::string_view call_id,
                              std::string_view host) {
    if (call_id.size() > kLongestName) return;
    identities_.put(key_of_host(inside, remote, call_id)) = host;
}

std::optional<std::string_view> Spellings::identity(const Party& inside, const Party& remote,
                                                    std::string_view call_id) {
    if (call_id.size() > kLongestName) return std::nullopt;
    return view_of(identities_.find(key_of_host(inside, remote, call_id)));
}

void Spellings::note_user(const Party& inside, const Party& remote, std::string_view user,
                          std::string_view host) {
    if (user.size() > kLongestName) return;
    users_.put(key_of_host(inside, remote, user)) = host;
}

std::optional<std::string_view> Spellings::host_of_user(const Party& inside, const Party& remote,
                                                        std::string_view user) {
    if (user.size() > kLongestName) return std::nullopt;
    return view_of(users_.find(key_of_host(inside, remote, user)));
}

}  // namespace sipnat
