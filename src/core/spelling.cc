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
    return hash_mix(hash_mix(std::hash<Endpoint>{}(key.inside), std::hash<IpAddress>{}(key.remote)),
                    std::hash<std::string>{}(key.name));
}

Spellings::Key Spellings::key(const Party& inside, const Party& remote, std::string_view name) {
    return {inside.real, remote.real.address, std::string(name.substr(0, kLongestName))};
}

void Spellings::note_request(const Party& inside, const Party& remote, std::string_view branch,
                             WrittenRequest written) {
    if (branch.empty() || branch.size() > kLongestName) return;
    if (written.sent_by.size() > kLongestText) return;
    requests_.put(key(inside, remote, branch), std::move(written));
}

const WrittenRequest* Spellings::request(const Party& inside, const Party& remote,
                                         std::string_view branch) {
    if (branch.empty() || branch.size() > kLongestName) return nullptr;
    return requests_.find(key(inside, remote, branch));
}

void Spellings::note_contact(const Party& inside, const Party& remote, std::string_view user,
                             std::string_view host_port) {
    if (user.size() > kLongestName || host_port.size() > kLongestText) return;
    contacts_.put(key(inside, remote, user), std::string(host_port));
}

const std::string* Spellings::contact(const Party& inside, const Party& remote,
                                      std::string_view user) {
    if (user.size() > kLongestName) return nullptr;
    return contacts_.find(key(inside, remote, user));
}

void Spellings::note_identity(const Party& inside, const Party& remote, std::string_view call_id,
                              std::string_view host) {
    if (call_id.size() > kLongestName) return;
    identities_.put(key(inside, remote, call_id), std::string(host));
}

const std::string* Spellings::identity(const Party& inside, const Party& remote,
                                       std::string_view call_id) {
    if (call_id.size() > kLongestName) return nullptr;
    return identities_.find(key(inside, remote, call_id));
}

}  // namespace sipnat
