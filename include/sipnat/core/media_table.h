// The mappings: which outside port stands for which inside endpoint, and who needs it. Most are of
// media; those of class signalling are of a Contact or Via on another port than its packet's.
//
//     inside 192.168.77.2:4000/udp ──► outside 203.0.113.1:20000
//         inbound                  2 users   (two dialogs announce the same inside endpoint)
//         outbound 203.0.113.10:7000  1 user
//         outbound 203.0.113.12:7000  1 user
//
// The key is the inside endpoint, not the call: the kernel pairs expectations by it, so one inside
// endpoint with two outside ports would leave from one of them only. A mapping lives as long as one
// hole of it has users; then its port rests for kRest, so that late packets of the old remote
// party reach nobody else, and its flows are swept after kGrace.
//
// A mapping is the last flow's that spoke of it, but what is expected of it hangs in the kernel on the
// flow that was so when it was opened, and ends with that. A UDP flow is made anew for it. A TCP
// connection that is closed stays closed: then another flow takes over, at once if one is known, else
// with the next message.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "sipnat/base/time.h"
#include "sipnat/core/decision.h"
#include "sipnat/core/settings.h"

namespace sipnat {

inline constexpr std::chrono::seconds kGrace{2};
inline constexpr std::chrono::seconds kRest{60};
/// How long a port stays with an inside host that only says that it has it.
inline constexpr std::chrono::minutes kClaim{10};
/// Flows of before that a mapping's expectations may still hang on.
inline constexpr std::size_t kMostFormers = 4;

/// Of the gateway, by transport.
using OutsideEndpoints = std::map<Transport, std::set<Endpoint>>;

struct MediaKey {
    IpAddress outside;
    Transport transport = Transport::udp;
    Endpoint inside;

    auto operator<=>(const MediaKey&) const = default;
};

}  // namespace sipnat

template <>
struct std::hash<sipnat::MediaKey> {
    std::size_t operator()(const sipnat::MediaKey& key) const noexcept {
        return sipnat::hash_mix(sipnat::hash_mix(std::hash<sipnat::IpAddress>{}(key.outside),
                                                 std::hash<sipnat::Endpoint>{}(key.inside)),
                                static_cast<std::size_t>(key.transport));
    }
};

namespace sipnat {

/// One hole, named by its mapping and remote side (none: inbound, from anybody or one address).
struct HoleKey {
    MediaKey mapping;
    std::optional<Endpoint> remote;
    std::optional<IpAddress> from = {};
    Way way = Way::nat;

    auto operator<=>(const HoleKey&) const = default;
};

/// What a mapping's expectations hang on.
enum class Footing : std::uint8_t {
    held,    ///< its master, or a former one
    unsure,  ///< its master, a connection, may have been closed without a word
    lost,    ///< that was closed
};

struct Mapping {
    struct Use {
        std::optional<Endpoint> remote;
        std::optional<IpAddress> from;
        Way way = Way::nat;
        int users = 0;
    };
    Endpoint outside;
    Tuple master;
    FlowDirection inside_sends = FlowDirection::original;
    ExpectClass media = ExpectClass::audio;
    IpAddress owner;  ///< whose quota it counts for
    std::vector<Use> uses;
    std::optional<IpAddress> from;     ///< of media: who may send to it; nothing: anybody
    std::optional<Time> unused_since;  ///< since when it rests; none while it never had uses
    bool swept = false;
    /// Flows like `master`, with `inside_sends`, that its expectations may still hang on; oldest first.
    std::vector<std::pair<Tuple, FlowDirection>> formers;
    Footing footing = Footing::held;
};

/// An inside endpoint and its outside one, as the flows of a stream between them and anybody are
/// found in conntrack: those that expectations made.
struct MediaFlows {
    Transport transport = Transport::udp;
    Endpoint inside;
    Endpoint outside;

    bool operator==(const MediaFlows&) const = default;
};

/// An inbound hole that is somebody else's from now on.
struct Admission {
    Hole before;
    Hole after;

    bool operator==(const Admission&) const = default;
};

/// Whether anything has come from where the remote party of this outbound hole said that it is. The
/// answer goes to Engine::settle_latch.
struct LatchQuestion {
    std::uint64_t call = 0;  ///< a name, to be given back
    Hole hole;

    bool operator==(const LatchQuestion&) const = default;
};

struct LatchAnswer {
    LatchQuestion question;
    bool heard = false;
};

/// A call whose time is up, unless packets still flow: the kernel has counted those between these
/// endpoints. The answer goes to Engine::settle_idle.
struct IdleQuestion {
    std::uint64_t call = 0;  ///< a name, to be given back
    std::vector<MediaFlows> media;

    bool operator==(const IdleQuestion&) const = default;
};

struct IdleAnswer {
    std::uint64_t call = 0;
    /// All packets that those flows have counted so far; nothing when that can't be known.
    std::optional<std::uint64_t> packets;
};

/// What the flow of time made due.
struct Due {
    std::vector<Admission> admit;
    std::vector<Hole> close;  ///< after that
    std::vector<Hole> evict;  ///< inbound: flows that others than `from` began have to end
    std::vector<LatchQuestion> latch;
    std::vector<MediaFlows> sweep;
    std::vector<IdleQuestion> idle;
    std::vector<Tuple> keep_up;  ///< UDP flows (original tuples) whose entries must not end
    std::vector<Tuple> renew;    ///< flows (original tuples) that took over what others' end closed
};

enum class Mapped : std::uint8_t {
    done,
    no_port,   ///< the range is used up
    no_quota,  ///< Settings::media_per_host or Settings::media is reached
};
/// What to tell of a message that did not get its ports: Mapped::done is none.
[[nodiscard]] Reason reason_of(Mapped mapped);

class PortPool;

class MediaTable {
  public:
    explicit MediaTable(const Settings& settings);
    ~MediaTable();

    /// How a new mapping hangs on its signalling flow.
    struct Anchor {
        Tuple master;
        FlowDirection inside_sends = FlowDirection::original;
        IpAddress owner;  ///< the inside party that asked, and that it is charged to
    };

    /// The mapping in whatever state; nothing when there is none. Ends with the next call.
    [[nodiscard]] const Mapping* find(const MediaKey& key) const;
    /// Whose outside endpoint this is; nothing when it is nobody's.
    [[nodiscard]] std::optional<MediaKey> find_outside(const Endpoint& outside,
                                                       Transport transport) const;
    /// Makes sure that all of `keys`, the components of one stream in the order RTP, RTCP, RTP, …,
    /// have a mapping; new ones get ports in a row. Nothing is made unless all can be. No endpoint
    /// has media and signalling at once: that is `no_port`. Signalling that is mapped already is the
    /// flow's of `anchor` from now on.
    [[nodiscard]] Mapped map(std::span<const MediaKey> keys, ExpectClass media,
                             const Anchor& anchor);

    /// A mapping on a TCP connection, of a call that goes on on the flow of `anchor`, is that one's.
    void follow(const MediaKey& key, const Anchor& anchor);
    /// What hung on these takes hold of others, if any are known. UDP masters are made anew.
    void note_ended(const std::unordered_set<Tuple>& flows);
    /// Some connections may have been closed.
    void doubt_connections();

    /// One user more; true when this opens the hole. The mapping must be there.
    bool acquire(const HoleKey& key);
    /// One user less; true when this closes the hole. A mapping without holes rests from now on.
    bool release(const HoleKey& key, Time now);
    /// Takes an acquire() back as if it had not been: no rest.
    void undo(const HoleKey& key);
    [[nodiscard]] Hole hole(const HoleKey& key) const;
    /// From now on only `from`, or anybody, may send media to this inbound hole, which is open. Nothing
    /// if that was so before.
    std::optional<Admission> admit(const MediaKey& key, const std::optional<IpAddress>& from);
    /// Drops what map() made and nobody acquired, without a rest.
    void drop_unused(const MediaKey& key);

    /// Somebody else holds this outside port: nobody gets it for kRest.
    void block(const Endpoint& outside, Transport transport, Time now);
    /// An inside host names this outside endpoint as its own, though no mapping of ours leads there
    /// (a phone that asked a STUN server): for kClaim nobody else gets the port. It counts as a
    /// mapping of the host; one over its quota is passed over.
    void claim(const IpAddress& host, const Endpoint& outside, Transport transport, Time now);
    /// Endpoints that others use, in the place of those named before.
    void set_foreign(OutsideEndpoints endpoints);
    /// Puts a mapping back as it was before a restart. False when its port is taken.
    bool restore(const MediaKey& key, const Mapping& mapping);

    void collect_due(Time now, Due& due);
    [[nodiscard]] std::optional<Time> next_due() const;
    [[nodiscard]] const std::unordered_map<MediaKey, Mapping>& mappings() const {
        return mappings_;
    }
    void set_limits(const Settings& settings);
    void exclude(const std::vector<PortRange>& ranges);

  private:
    struct Timer {
        Time since;
        MediaKey key;
    };
    /// A port that is not to be given out for a while, and the host that it is charged to.
    struct Blocked {
        Endpoint endpoint;
        Transport transport = Transport::udp;
        std::optional<IpAddress> host;
    };

    using OutsideKey = std::pair<Endpoint, Transport>;
    struct OutsideHash {
        std::size_t operator()(const OutsideKey& key) const noexcept {
            return hash_mix(std::hash<Endpoint>{}(key.first), static_cast<std::size_t>(key.second));
        }
    };

    [[nodiscard]] bool has_quota(const IpAddress& host, std::size_t more) const;
    void charge(const IpAddress& host);
    void discharge(const IpAddress& host);
    Mapped map_beside(std::span<const MediaKey> keys, Port rtp, ExpectClass media,
                      const Anchor& anchor);
    void add(const MediaKey& key, Port port, ExpectClass media, const Anchor& anchor);
    void move(Mapping& mapping, const Anchor& anchor);
    void erase(const MediaKey& key);

    std::unique_ptr<PortPool> pool_;
    bool keep_ports_;
    std::size_t most_per_host_;
    std::size_t most_;
    std::unordered_map<MediaKey, Mapping> mappings_;
    std::unordered_map<OutsideKey, MediaKey, OutsideHash> by_outside_;
    std::unordered_map<IpAddress, std::size_t> per_host_;  // mappings and claims
    std::size_t charged_ = 0;                              // their sum
    std::set<Tuple> to_renew_;                             // masters
    std::deque<Timer> to_sweep_;                           // ascending by `since`
    std::deque<Timer> resting_;                            // ascending by `since`
    std::multimap<Time, Blocked> blocked_;                 // by their end
};

}  // namespace sipnat
