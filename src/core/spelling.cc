#include "core/spelling.h"

#include <utility>

namespace sipnat {

namespace {

// Longer names than this are not worth remembering: the canonical text serves.
constexpr std::size_t kLongestName = 256;
/// host:port with a name of DNS's full length; blanks around the colon are legal, and a peer's to add.
constexpr std::size_t kLongestText = 300;

}  // namespace

std::size_t Spellings::Hash::operator()(const Key& key) const noexcept {
    return hash_mix(
        hash_mix(std::hash<Endpoint>{}(key.inside), std::hash<IpAddress>{}(key.remote)),
        hash_mix(std::hash<std::string>{}(key.name), static_cast<std::size_t>(key.header)));
}

/// A host may be answered on another flow than it asked on.
Spellings::Key Spellings::key_of_host(const Party& inside, const Party& remote,
                                      std::string_view name) {
    return {{inside.real.address, Port{}},
            remote.real.address,
            std::string(name),
            sip::HeaderKind::other};
}

Spellings::Key Spellings::key_of_endpoint(const Party& inside, const Party& remote,
                                          sip::HeaderKind header, std::string_view name) {
    return {inside.real, remote.real.address, std::string(name), header};
}

void Spellings::note_request(const Party& inside, const Party& remote, std::string_view transaction,
                             WrittenRequest written) {
    if (transaction.empty() || transaction.size() > kLongestName) return;
    if (written.sent_by.size() > kLongestText) return;
    requests_.put(key_of_host(inside, remote, transaction), std::move(written));
}

const WrittenRequest* Spellings::request(const Party& inside, const Party& remote,
                                         std::string_view transaction) {
    if (transaction.empty() || transaction.size() > kLongestName) return nullptr;
    return requests_.find(key_of_host(inside, remote, transaction));
}

void Spellings::note_uri(const Party& inside, const Party& remote, sip::HeaderKind header,
                         std::string_view name, WrittenUri written) {
    if (name.size() > kLongestName || written.host_port.size() > kLongestText) return;
    uris_.put(key_of_endpoint(inside, remote, header, name), std::move(written));
}

const WrittenUri* Spellings::uri(const Party& inside, const Party& remote, sip::HeaderKind header,
                                 std::string_view name) {
    if (name.size() > kLongestName) return nullptr;
    return uris_.find(key_of_endpoint(inside, remote, header, name));
}

void Spellings::note_identity(const Party& inside, const Party& remote, std::string_view call_id,
                              std::string_view host) {
    if (call_id.size() > kLongestName) return;
    identities_.put(key_of_host(inside, remote, call_id), std::string(host));
}

const std::string* Spellings::identity(const Party& inside, const Party& remote,
                                       std::string_view call_id) {
    if (call_id.size() > kLongestName) return nullptr;
    return identities_.find(key_of_host(inside, remote, call_id));
}

void Spellings::note_user(const Party& inside, const Party& remote, std::string_view user,
                          std::string_view host) {
    if (user.size() > kLongestName) return;
    users_.put(key_of_host(inside, remote, user), std::string(host));
}

const std::string* Spellings::host_of_user(const Party& inside, const Party& remote,
                                           std::string_view user) {
    if (user.size() > kLongestName) return nullptr;
    return users_.find(key_of_host(inside, remote, user));
}

}  // namespace sipnat
