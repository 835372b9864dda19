// What inside parties wrote about themselves, so that each reads its very text again.
//
// `sip:a@192.168.77.2` and `sip:a@192.168.77.2:5060` are two URIs (RFC 3261 19.1.4), a response
// whose Via is not the one sent is discarded (18.1.2), and a phone that learnt its outside address
// from a STUN server wrote that itself. So a translation back is a look-up first, and the canonical
// text only where nothing is remembered (after a restart).
//
// Strangers choose the names and the texts: the tables forget, and what is too long is not kept.
#pragma once

#include <array>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>

#include "core/bounded_table.h"
#include "core/text_key.h"
#include "sipnat/base/time.h"
#include "sipnat/core/nat_view.h"
#include "sipnat/sip/message.h"

namespace sipnat {

/// Of one request that an inside party sent. Empty texts: that field did not name the sender.
struct WrittenRequest {
    std::string_view sent_by;    ///< of its top Via, with the port if it wrote one
    bool via_edited = false;     ///< it named the inside endpoint, and not the outside one itself
    std::string_view from_host;  ///< without brackets, as all hosts here
    std::string_view to_host;
    Endpoint shown = {};  ///< of an edited Via: the outside endpoint that stands there now
};

/// Of a URI that named its writer's endpoint.
struct WrittenUri {
    std::string_view host_port;
    std::string_view maddr;  ///< empty: it had none that is an address
};

/// What a URI is found by again: its user part, and more in a route, is the same text on both sides
/// of the NAT.
struct UriName {
    /// Where it stood. One party may write itself differently in two calls, and in its registration.
    enum class Scope : std::uint8_t {
        call,     ///< `text` has the Call-ID, too
        binding,  ///< in a REGISTER
        party,    ///< in any other message
    };
    Scope scope = Scope::party;
    sip::HeaderKind header = sip::HeaderKind::other;
    std::string_view text;
};

/// What it gives ends with the next that is noted.
class Spellings {
  public:
    /// `transaction` names it: the top Via's branch.
    void note_request(const Party& inside, const Party& remote, std::string_view transaction,
                      const WrittenRequest& written, Time now);
    [[nodiscard]] std::optional<WrittenRequest> request(const Party& inside, const Party& remote,
                                                        std::string_view transaction, Time now);

    /// `inside` is the endpoint that the URI names.
    void note_uri(const Party& inside, const Party& remote, const UriName& name,
                  const WrittenUri& written);
    [[nodiscard]] std::optional<WrittenUri> uri(const Party& inside, const Party& remote,
                                                const UriName& name);

    /// The host that the inside party gives itself in From or To of the dialogs of one call.
    void note_identity(const Party& inside, const Party& remote, std::string_view call_id,
                       std::string_view host);
    [[nodiscard]] std::optional<std::string_view> identity(const Party& inside, const Party& remote,
                                                           std::string_view call_id);

    /// The host that it gives this user in other identity headers: they may come back in any call.
    void note_user(const Party& inside, const Party& remote, std::string_view user,
                   std::string_view host);
    [[nodiscard]] std::optional<std::string_view> host_of_user(const Party& inside,
                                                               const Party& remote,
                                                               std::string_view user);

  private:
    struct Pair {
        Endpoint inside;  ///< its host alone (port 0) but for a URI
        IpAddress remote;
        sip::HeaderKind header = sip::HeaderKind::other;  ///< of a URI
        bool operator==(const Pair&) const = default;
    };
    struct PairHash {
        std::size_t operator()(const Pair& pair) const noexcept;
    };
    using Key = TextKey<Pair, PairHash>;
    static Key key_of_host(const Party& inside, const Party& remote, std::string_view name);
    static Key key_of_uri(const Party& inside, const Party& remote, const UriName& name);

    struct StoredRequest {
        using allocator_type = std::pmr::polymorphic_allocator<>;
        explicit StoredRequest(const allocator_type& memory)
            : sent_by(memory), from_host(memory), to_host(memory) {}

        std::pmr::string sent_by;
        bool via_edited = false;
        std::pmr::string from_host;
        std::pmr::string to_host;
        Endpoint shown;
        Time last;  ///< of the request or an answer
    };
    struct StoredUri {
        using allocator_type = std::pmr::polymorphic_allocator<>;
        explicit StoredUri(const allocator_type& memory) : host_port(memory), maddr(memory) {}

        std::pmr::string host_port;
        std::pmr::string maddr;
    };
    /// Each scope has its own: messages of all kinds must not push registrations out.
    [[nodiscard]] auto& uris_of(UriName::Scope scope) {
        return uris_.at(static_cast<std::size_t>(scope));
    }

    template <class Value>
    using Table = BoundedTable<Key, Value, Key::Hash, Key::Stored>;

    static constexpr std::size_t kCapacity = 16384;  // each; some 300 bytes an entry
    /// Of use only to a party that writes itself in two ways in calls at one time: as few as stay in the
    /// processor's cache. With kCapacity of them an INVITE takes 0.6 to 0.8 us more.
    static constexpr std::size_t kOfCalls = 2048;
    Table<StoredRequest> requests_{kCapacity};
    std::array<Table<StoredUri>, 3> uris_{Table<StoredUri>(kOfCalls), Table<StoredUri>(kCapacity),
                                          Table<StoredUri>(kCapacity)};
    Table<std::pmr::string> identities_{kCapacity};
    Table<std::pmr::string> users_{kCapacity};
};

}  // namespace sipnat
