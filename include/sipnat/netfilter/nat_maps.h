// The sets and maps of nft-map mode's table, nft/sipnat-maps.nft, which says what each is for.
//
//     in          outside:20000                     → 192.168.77.2:4000      media
//     in_from     203.0.113.10 . outside:20000      → 192.168.77.2:4000      media of one sender
//     contacts    203.0.113.10 . outside:1024       → 192.168.77.2:5060      signalling
//     out         "wan0" . 192.168.77.2:4000        → outside:20000          both
//     hairpin     outside . 192.168.77.2:4000       → outside:20000          media between phones
//     signalling  outside:1024
//     media       outside:20000
//     streams     192.168.77.2:4000
//     forwarded   outside:5060
//
// in_tcp, contacts_tcp and signalling_tcp are the same for a port that a phone takes connections on.
//
// One transaction a call, whichever sets it touches: all of it or nothing.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sipnat/base/result.h"
#include "sipnat/net/address.h"
#include "sipnat/netfilter/queue_number.h"

namespace sipnat::netfilter {

inline constexpr const char* kMapTable = "sipnat_maps";  ///< of family inet

enum class NatSet : std::uint8_t {
    in,
    in_from,
    contacts,
    out,
    hairpin,
    signalling,
    media,
    streams,
    forwarded,
    in_tcp,
    contacts_tcp,
    signalling_tcp
};
inline constexpr std::array kAllNatSets{
    NatSet::in,        NatSet::in_from,    NatSet::contacts,     NatSet::out,
    NatSet::hairpin,   NatSet::signalling, NatSet::media,        NatSet::streams,
    NatSet::forwarded, NatSet::in_tcp,     NatSet::contacts_tcp, NatSet::signalling_tcp};

struct NatElement {
    NatSet set = NatSet::in;
    Endpoint key;
    std::optional<Endpoint> target;  ///< of maps
    /// The key's first part: the sender of `in_from` and of contacts, the outside address of `hairpin`.
    std::optional<IpAddress> address;
    std::string interface;  ///< the first part of `out`'s, up to 15 bytes
    /// The kernel removes it after this; without, it stays until it is removed.
    std::optional<std::chrono::milliseconds> lifetime;

    bool operator==(const NatElement&) const = default;
};

/// First `remove`, then `add`. Removing what is not there is no error, removing what is there with
/// another target is one (EEXIST), and so is adding over another target. Adding what is there keeps
/// its lifetime: name it in both to give it another.
struct NatChanges {
    std::vector<NatElement> remove;
    std::vector<NatElement> add;

    [[nodiscard]] bool empty() const { return remove.empty() && add.empty(); }
    void append(NatChanges more);
};

/// So many elements can be removed and added in one transaction. Each is listed up to three times at
/// some 60 bytes: within the 64 kB of their nest and the 208 kB that a default socket may send.
inline constexpr std::size_t kNatTransaction = 900;

class NatMaps {
  public:
    /// Of `table`, family inet. That of expectations mode has `hairpin` and no other.
    [[nodiscard]] static Result<NatMaps> open(const char* table = kMapTable);
    NatMaps(NatMaps&&) noexcept;
    NatMaps& operator=(NatMaps&&) noexcept;
    ~NatMaps();

    /// One transaction. More than kNatTransaction elements become several: first all removals.
    /// Codes: ENOENT (the table is gone), EEXIST, ENOSPC (a set's size), EAFNOSUPPORT (IPv6), EPERM.
    [[nodiscard]] Result<void> update(const NatChanges& changes);
    /// What is in one of them. `interface` is left empty where the set has none.
    [[nodiscard]] Result<std::vector<NatElement>> list(NatSet set);

  private:
    struct Impl;
    explicit NatMaps(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// Which kind of rule feeds the queue: nft's own statement, or iptables' target where the kernel
/// has no such statement (nft_queue) but NFQUEUE (xt_NFQUEUE through nft_compat).
enum class QueueRule : std::uint8_t { statement, target };

/// Makes the chain `to_sipnatd` queue to `first` … `first`+`count`-1, with bypass, in the place of
/// what the chain held. Fails with both reasons when the kernel takes neither kind.
[[nodiscard]] Result<QueueRule> feed_queue(QueueNumber first, std::uint16_t count);

}  // namespace sipnat::netfilter
