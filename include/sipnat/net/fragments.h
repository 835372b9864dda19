// Whole IP packets out of fragments (RFC 791 3.2, RFC 815, RFC 8200 4.5), in bounded memory.
//
//     Reassembly reassembly;
//     auto piece = reassembly.add(bytes, now);
//     if (piece.outcome == Reassembly::Outcome::whole) …piece.packet…
//
// For captures: in the kernel, conntrack has put fragments together before anybody sees them.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "sipnat/base/time.h"
#include "sipnat/net/address.h"

namespace sipnat {

/// RFC 8200 4.5: what is not complete so long after its first fragment never will be.
inline constexpr std::chrono::seconds kReassemblyTime{60};
/// Datagrams under way at a time; of more, the oldest is given up.
inline constexpr std::size_t kMostDatagrams = 256;

class Reassembly {
  public:
    enum class Outcome : std::uint8_t {
        no_fragment,  ///< the packet is whole, or can't be read
        held,         ///< waits for the others (a duplicate waits, too)
        whole,        ///< the last one that was missing
        /// A fragment that contradicts what was there before. What overlaps takes its datagram
        /// along, with those fragments of it that are still to come (RFC 5722 4).
        dropped,
    };
    struct Added {
        Outcome outcome = Outcome::no_fragment;
        std::vector<std::uint8_t> packet;  ///< when whole: with its first fragment's headers
    };
    /// `packet` begins with its IP header; what follows its total length is link padding. `now`
    /// never goes back.
    [[nodiscard]] Added add(std::span<const std::uint8_t> packet, Time now);

    /// Datagrams that wait for fragments, those that were given up not counted.
    [[nodiscard]] std::size_t waiting() const;
    /// Datagrams that never became whole: too late, too many, or contradictory.
    [[nodiscard]] std::size_t given_up() const { return given_up_; }

  private:
    /// RFC 791 3.2 names a datagram by these; of IPv6, `protocol` is 0 (RFC 8200 4.5).
    struct Name {
        IpAddress source;
        IpAddress destination;
        std::uint32_t identification = 0;
        std::uint8_t protocol = 0;

        bool operator==(const Name&) const = default;
    };
    struct Fragment;
    struct Datagram {
        Name name;
        Time begun{};
        bool refused = false;               ///< stays, so that later fragments of it go as well
        std::vector<std::uint8_t> headers;  ///< of the first fragment, as the whole packet has them
        std::map<std::size_t, std::vector<std::uint8_t>> pieces;  ///< by offset, disjoint
        std::size_t held = 0;                                     ///< bytes in all pieces
        std::optional<std::size_t> size;                          ///< known with the last fragment
    };

    static std::optional<Fragment> read(std::span<const std::uint8_t> packet);
    static std::optional<Fragment> read_ipv4(std::span<const std::uint8_t> packet);
    static std::optional<Fragment> read_ipv6(std::span<const std::uint8_t> packet);
    static Outcome insert(Datagram& datagram, const Fragment& fragment);
    void forget_old(Time now);
    void give_up(std::list<Datagram>::iterator datagram);

    std::list<Datagram> datagrams_;  ///< oldest first
    std::size_t given_up_ = 0;
};

}  // namespace sipnat
