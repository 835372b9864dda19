// What inside parties wrote about themselves, so that each reads its very text again.
//
// `sip:a@192.168.77.2` and `sip:a@192.168.77.2:5060` are two URIs (RFC 3261 19.1.4), a response
// whose Via is not the one sent is discarded (18.1.2), and a phone that learnt its outside address
// from a STUN server wrote that itself. So a translation back is a look-up first, and the canonical
// text only where nothing is remembered (after a restart).
#pragma once

#include <string>
#include <string_view>

#include "core/bounded_table.h"
#include "sipnat/core/nat_view.h"

namespace sipnat {

/// Of one request that an inside party sent. Empty texts: that field did not name the sender.
struct WrittenRequest {
    std::string sent_by;      ///< of its top Via, with the port if it wrote one
    bool via_edited = false;  ///< it named the inside endpoint, and not the outside one itself
    std::string from_host;
    std::string to_host;
};

class Spellings {
  public:
    /// `branch` is the top Via's.
    void note_request(const Party& inside, const Party& remote, std::string_view branch,
                      WrittenRequest written);
    [[nodiscard]] const WrittenRequest* request(const Party& inside, const Party& remote,
                                                std::string_view branch);

    /// host[:port] of a Contact URI with this user part.
    void note_contact(const Party& inside, const Party& remote, std::string_view user,
                      std::string_view host_port);
    [[nodiscard]] const std::string* contact(const Party& inside, const Party& remote,
                                             std::string_view user);

    /// The host that the inside party gives itself in From or To of the dialogs of one call.
    void note_identity(const Party& inside, const Party& remote, std::string_view call_id,
                       std::string_view host);
    [[nodiscard]] const std::string* identity(const Party& inside, const Party& remote,
                                              std::string_view call_id);

  private:
    struct Key {
        Endpoint inside;
        IpAddress remote;
        std::string name;
        bool operator==(const Key&) const = default;
    };
    struct Hash {
        std::size_t operator()(const Key& key) const noexcept;
    };
    static Key key(const Party& inside, const Party& remote, std::string_view name);

    static constexpr std::size_t kCapacity = 16384;  // each; some 300 bytes an entry
    BoundedTable<Key, WrittenRequest, Hash> requests_{kCapacity};
    BoundedTable<Key, std::string, Hash> contacts_{kCapacity};
    BoundedTable<Key, std::string, Hash> identities_{kCapacity};
};

}  // namespace sipnat
