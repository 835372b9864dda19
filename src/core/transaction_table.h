// What a message could not have: it keeps that fate in every retransmission.
//
// A table of the last such messages, each named by its parties, its transaction and whether it asked
// or answered.
#pragma once

#include <cstddef>
#include <string>

#include "core/bounded_table.h"
#include "core/text_key.h"
#include "sipnat/core/call.h"
#include "sipnat/core/decision.h"
#include "sipnat/core/nat_view.h"

namespace sipnat {

/// A message from the view of one inside party.
struct Perspective {
    const Party& inside;
    const Party& peer;
    CallMessage seen;
};

struct Refusal {
    Reason reason = Reason::media_refused;
    std::string text;
};

template <class Fate>
class TransactionTable {
  public:
    /// Nothing when it is not known, or no longer.
    Fate* find(const Perspective& message) { return fates_.find(key(message)); }
    Fate& put(const Perspective& message) { return fates_.put(key(message)); }

  private:
    struct Name {
        IpAddress inside;
        IpAddress remote;
        TransactionId id;  // each side counts its own CSeq numbers
        bool is_request = false;
        bool operator==(const Name&) const = default;
    };
    struct NameHash {
        std::size_t operator()(const Name& name) const noexcept {
            return hash_mix(std::hash<IpAddress>{}(name.inside),
                            name.id.cseq * 2 + (name.is_request ? 1 : 0));
        }
    };
    using Key = TextKey<Name, NameHash>;  // with the Call-ID

    static Key key(const Perspective& perspective) {
        const auto& message = perspective.seen.message;
        return {{perspective.inside.real.address, perspective.peer.real.address,
                 perspective.seen.transaction(), message.is_request()},
                message.value(sip::HeaderKind::call_id)};
    }

    static constexpr std::size_t kCapacity = 4096;
    BoundedTable<Key, Fate, typename Key::Hash, typename Key::Stored> fates_{kCapacity};
};

}  // namespace sipnat
