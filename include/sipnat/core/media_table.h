// The media mappings: which outside port stands for which inside endpoint, and who needs it.
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
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sipnat/base/time.h"
#include "sipnat/core/decision.h"
#include "sipnat/core/settings.h"

namespace sipnat {

inline constexpr std::chrono::seconds kGrace{2};
inline constexpr std::chrono::seconds kRest{60};

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

/// One hole, named by its mapping and remote side (none: inbound).
struct HoleKey {
    MediaKey mapping;
    std::optional<Endpoint> remote;

    auto operator<=>(const HoleKey&) const = default;
};

struct Mapping {
    struct Use {
        std::optional<Endpoint> remote;
        int users = 0;
    };
    Endpoint outside;
    Tuple master;
    FlowDirection inside_sends = FlowDirection::original;
    ExpectClass media = ExpectClass::audio;
    std::vector<Use> uses;
    std::optional<Time> unused_since;  ///< since when it rests; none while it never had uses
    bool swept = false;
};

/// An inside endpoint whose stream ended, and its outside one: flows that expectations made between
/// them and anybody are to be deleted.
struct EndedMedia {
    Transport transport = Transport::udp;
    Endpoint inside;
    Endpoint outside;

    bool operator==(const EndedMedia&) const = default;
};

/// What the flow of time made due.
struct Due {
    std::vector<Hole> close;
    std::vector<EndedMedia> sweep;
};

class PortPool;

class MediaTable {
  public:
    explicit MediaTable(const Settings& settings);
    ~MediaTable();

    /// How a new mapping hangs on its signalling flow.
    struct Anchor {
        Tuple master;
        FlowDirection inside_sends = FlowDirection::original;
    };

    /// The mapping in whatever state; nothing when there is none. Ends with the next call.
    [[nodiscard]] const Mapping* find(const MediaKey& key) const;
    /// Whose outside endpoint this is; nothing when it is nobody's.
    [[nodiscard]] std::optional<MediaKey> find_outside(const Endpoint& outside,
                                                       Transport transport) const;
    /// Makes sure that all of `keys`, the components of one stream in the order RTP, RTCP, RTP, …,
    /// have a mapping; new ones get ports in a row. False, and nothing made, when no port is left.
    [[nodiscard]] bool map(const std::vector<MediaKey>& keys, ExpectClass media,
                           const Anchor& anchor);

    /// One user more; true when this opens the hole. The mapping must be there.
    bool acquire(const HoleKey& key);
    /// One user less; true when this closes the hole. A mapping without holes rests from now on.
    bool release(const HoleKey& key, Time now);
    /// Takes an acquire() back as if it had not been: no rest.
    void undo(const HoleKey& key);
    [[nodiscard]] Hole hole(const HoleKey& key) const;
    /// Drops what map() made and nobody acquired, without a rest.
    void drop_unused(const std::vector<MediaKey>& keys);

    /// Somebody else holds this outside port: nobody gets it for kRest.
    void block(const Endpoint& outside, Transport transport, Time now);
    /// Takes a port for good, for what a start finds in the kernel.
    void reserve(const Endpoint& outside, Transport transport);
    /// Puts a mapping back as it was before a restart. False when its port is taken.
    bool restore(const MediaKey& key, const Mapping& mapping);

    void collect_due(Time now, Due& due);
    [[nodiscard]] std::optional<Time> next_due() const;
    [[nodiscard]] const std::unordered_map<MediaKey, Mapping>& mappings() const {
        return mappings_;
    }
    void set_range(const Settings& settings);
    void exclude(const std::vector<PortRange>& ranges);

  private:
    struct Timer {
        Time since;
        MediaKey key;
    };
    struct Blocked {
        Time until;
        Endpoint endpoint;
        Transport transport;
    };

    bool map_beside(const std::vector<MediaKey>& keys, Port rtp, ExpectClass media,
                    const Anchor& anchor);
    void add(const MediaKey& key, Port port, ExpectClass media, const Anchor& anchor);
    void erase(const MediaKey& key);

    std::unique_ptr<PortPool> pool_;
    bool keep_ports_;
    std::unordered_map<MediaKey, Mapping> mappings_;
    std::map<std::pair<Endpoint, Transport>, MediaKey> by_outside_;
    std::deque<Timer> to_sweep_;   // ascending by `since`
    std::deque<Timer> resting_;    // ascending by `since`
    std::deque<Blocked> blocked_;  // ascending by `until`
};

}  // namespace sipnat
