// How media is let through the kernel's NAT: with expectations (executor.h) or with nft's maps
// (map_gate.h).
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "daemon/interface.h"
#include "sipnat/core/engine.h"

namespace sipnat::daemon {

/// What the flows of one mapping have counted.
struct MediaPackets {
    std::uint64_t sent = 0;      ///< by the inside party
    std::uint64_t received = 0;  ///< by the inside party

    bool operator==(const MediaPackets&) const = default;
};

using MediaCounts = std::vector<std::optional<MediaPackets>>;

/// Whether the state file had all of the calls that are up.
enum class Knowledge : bool { some_calls, all_calls };

class MediaGate : public Interface {
  public:
    /// A new packet: nothing has been made for it yet.
    virtual void begin_packet() {}
    /// Does what `decision` needs before its packet may leave, or none of it. `mark` is the flow's.
    /// A text beside Kind::done is a fault that the admin should read.
    [[nodiscard]] virtual KernelAnswer open_holes(const Decision& decision, std::uint32_t mark) = 0;
    /// What the kernel has removed already is no failure.
    [[nodiscard]] virtual Result<void> close_holes(std::span<const Hole> holes) = 0;
    struct Refused {
        Admission admission;
        Error error;
    };
    /// Makes each inbound hole what it is to be now. Those that could not be are as before, and named.
    [[nodiscard]] virtual std::vector<Refused> admit(std::span<const Admission> admissions) = 0;
    /// Deletes the flows that somebody else than `from` began towards these inbound holes.
    [[nodiscard]] virtual Result<void> evict(std::span<const Hole> holes) = 0;
    /// Something has come from the remote endpoint of this outbound hole.
    [[nodiscard]] virtual Result<bool> has_heard(const Hole& hole) = 0;
    /// Deletes the flows that went through holes of ended streams.
    [[nodiscard]] virtual Result<void> sweep(std::span<const MediaFlows> ended) = 0;
    /// What the flows of each of these have counted; nothing where the kernel does not count.
    [[nodiscard]] virtual Result<MediaCounts> count(std::span<const MediaFlows> media) = 0;

    /// At start: makes what an earlier process left agree with `media`. The faults of what could
    /// not be done.
    [[nodiscard]] virtual std::vector<Error> take_over(const MediaTable& media,
                                                       Knowledge knowledge) = 0;
    /// Outside endpoints that the kernel's state holds for others than the calls of `media`.
    [[nodiscard]] virtual Result<OutsideEndpoints> foreign_endpoints(const MediaTable& media) = 0;
    /// After the table was loaded again, perhaps in the place of one that somebody flushed.
    [[nodiscard]] virtual Result<void> put_again(const MediaTable& media) = 0;
    /// Flows (original tuples) that were made anew: what hung on them has ended with the old ones.
    [[nodiscard]] virtual Result<void> renew(const MediaTable& /*media*/,
                                             const std::set<Tuple>& /*masters*/) {
        return {};
    }
    /// Once a minute.
    [[nodiscard]] virtual Result<void> keep_up(const MediaTable& /*media*/, Time /*now*/) {
        return {};
    }
};

}  // namespace sipnat::daemon
