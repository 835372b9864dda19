// What inside parties wrote about themselves, so that each reads its very text again.
//
// `sip:a@192.168.77.2` and `sip:a@192.168.77.2:5060` are two URIs (RFC 3261 19.1.4), a response
// whose Via is not the one sent is discarded (18.1.2), and a phone that learnt its outside address
// from a STUN server wrote that itself. So a translation back is a look-up first, and the canonical
// text only where nothing is remembered (after a restart).
//
// Strangers choose the names and the texts: the tables forget, and what is too long is not kept.
#pragma once

#include <string>
#include <string_view>

#include "core/bounded_table.h"
#include "sipnat/core/nat_view.h"
#include "sipnat/sip/message.h"

namespace sipnat {

/// Of one request that an inside party sent. Empty texts: that field did not name the sender.
struct WrittenRequest {
    std::string sent_by;      ///< of its top Via, with the port if it wrote one
    bool via_edited = false;  ///< it named the inside endpoint, and not the outside one itself
    std::string from_host;    ///< without brackets, as all hosts here
    std::string to_host;
    Endpoint shown = {};  ///< of an edited Via: the outside endpoint that stands there now
};

/// Of a URI that named its writer's endpoint.
struct WrittenUri {
    std::string host_port;
    std::string maddr;  ///< empty: it had none that is an address
};

class Spellings {
  public:
    /// `transaction` names it: the top Via's branch.
    void note_request(const Party& inside, const Party& remote, std::string_view transaction,
                      WrittenRequest written);
    [[nodiscard]] const WrittenRequest* request(const Party& inside, const Party& remote,
                                                std::string_view transaction);

    /// `inside` is the endpoint that the URI names. `name` is what of it stays the same on both
    /// sides: its user part, and more in a route.
    void note_uri(const Party& inside, const Party& remote, sip::HeaderKind header,
                  std::string_view name, WrittenUri written);
    [[nodiscard]] const WrittenUri* uri(const Party& inside, const Party& remote,
                                        sip::HeaderKind header, std::string_view name);

    /// The host that the inside party gives itself in From or To of the dialogs of one call.
    void note_identity(const Party& inside, const Party& remote, std::string_view call_id,
                       std::string_view host);
    [[nodiscard]] const std::string* identity(const Party& inside, const Party& remote,
                                              std::string_view call_id);

    /// The host that it gives this user in other identity headers: they may come back in any call.
    void note_user(const Party& inside, const Party& remote, std::string_view user,
                   std::string_view host);
    [[nodiscard]] const std::string* host_of_user(const Party& inside, const Party& remote,
                                                  std::string_view user);

  private:
    struct Key {
        Endpoint inside;  ///< its host alone (port 0) but for a URI
        IpAddress remote;
        std::string name;
        sip::HeaderKind header = sip::HeaderKind::other;  ///< of a URI
        bool operator==(const Key&) const = default;
    };
    struct Hash {
        std::size_t operator()(const Key& key) const noexcept;
    };
    static Key key_of_host(const Party& inside, const Party& remote, std::string_view name);
    static Key key_of_endpoint(const Party& inside, const Party& remote, sip::HeaderKind header,
                               std::string_view name);

    static constexpr std::size_t kCapacity = 16384;  // each; some 300 bytes an entry
    BoundedTable<Key, WrittenRequest, Hash> requests_{kCapacity};
    BoundedTable<Key, WrittenUri, Hash> uris_{kCapacity};
    BoundedTable<Key, std::string, Hash> identities_{kCapacity};
    BoundedTable<Key, std::string, Hash> users_{kCapacity};
};

}  // namespace sipnat
