// What the engine and the kernel say to each other, as plain values.
//
// netfilter/ turns these into netlink and back; core/ fills and reads them. Nothing here does I/O.
//
// An RTP stream of a phone behind source NAT takes a pair of expectations on the signalling flow,
// so that whichever side speaks first gets the same translation (kernel: nf_nat_sip_expected):
//
//     inbound    any               > outside:20000   nat 192.168.77.2:4000
//     outbound   192.168.77.2:4000 > remote:7000     nat remote:7000
//
// The kernel pairs the two by `inbound.nat == outbound.match.source` on one master.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sipnat/net/address.h"
#include "sipnat/net/tcp.h"

namespace sipnat {

/// Direction within a conntrack entry; the values of enum ip_conntrack_dir.
enum class FlowDirection : std::uint8_t { original = 0, reply = 1 };
[[nodiscard]] constexpr FlowDirection opposite(FlowDirection direction) {
    return direction == FlowDirection::original ? FlowDirection::reply : FlowDirection::original;
}

/// The in-kernel helper's classes (enum sip_expectation_classes): only 1 to 3 get their source
/// translated from the paired expectation.
enum class ExpectClass : std::uint8_t { signalling = 0, audio = 1, video = 2, other = 3 };

/// The names an admin reads: "signalling", "audio", "video", "other".
[[nodiscard]] std::string_view to_text(ExpectClass media);

struct Expectation {
    Tuple master;            ///< original tuple of the flow that it hangs on
    Tuple match;             ///< what it waits for; source 0.0.0.0:0 is anybody
    Endpoint nat;            ///< where that packet is sent instead
    bool translates = true;  ///< false on a flow without NAT: `nat` is not used
    ExpectClass media = ExpectClass::audio;
    FlowDirection direction = FlowDirection::reply;  ///< the master's direction it runs in

    bool operator==(const Expectation&) const = default;
};

struct PacketCount {
    std::uint64_t original = 0;  ///< in the direction that opened the flow
    std::uint64_t reply = 0;

    bool operator==(const PacketCount&) const = default;
};

/// What the kernel adds to the sequence numbers of one direction (struct nf_ct_seqadj): `before` up to and with
/// `position`, which is the sender's own number, and `after` behind it. Acknowledgements get the reverse.
struct SequenceShift {
    SequenceNumber position{};
    std::int32_t before = 0;
    std::int32_t after = 0;

    bool operator==(const SequenceShift&) const = default;
};
/// By FlowDirection.
using SequenceShifts = std::array<SequenceShift, 2>;

/// What a TCP connection's entry remembers for us (the helper's private data): NF_CT_HELPER's 32 bytes. What is
/// in it, core/stream says.
using StreamMemo = std::array<std::uint8_t, 32>;

/// How far a TCP flow is; values are enum tcp_conntrack's, of which these are the ones that matter.
enum class TcpState : std::uint8_t {
    none = 0,          ///< or not TCP
    syn_sent = 1,
    syn_received = 2,  ///< the SYN has been answered, and nothing came after that
    time_wait = 7,
    close = 8,  ///< reset
};

/// A conntrack entry as far as sipnat looks at it.
struct FlowEntry {
    FlowTuples tuples;
    std::uint32_t status = 0;  ///< IPS_* bits
    std::uint32_t mark = 0;
    std::uint32_t timeout = 0;           ///< seconds left
    std::string helper;                  ///< empty: none
    std::optional<PacketCount> packets;  ///< nothing where they are not counted
    bool expected = false;               ///< it has a master: an expectation made it
    StreamMemo memo{};                   ///< of a TCP flow with our helper
    SequenceShifts shifts{};
    TcpState tcp_state = TcpState::none;

    bool operator==(const FlowEntry&) const = default;
};

}  // namespace sipnat
