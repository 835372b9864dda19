// Which endpoint becomes which: one packet's sender and receiver on both sides of the NAT.
//
//     phone 192.168.77.2:5060 ──► gateway 203.0.113.1:1024 ──► registrar 203.0.113.10:5060
//
//     sender    real 192.168.77.2:5060   shown 203.0.113.1:1024    (S → S')
//     receiver  real 203.0.113.10:5060   shown 203.0.113.10:5060   (R  , R')
//
// The answer has the two swapped. The same holds for a port forward (receiver's two differ) and
// for hairpins (both differ).
#pragma once

#include "sipnat/core/kernel.h"
#include "sipnat/net/address.h"

namespace sipnat {

struct Party {
    Endpoint real;   ///< as its own host knows it
    Endpoint shown;  ///< as the other party addresses it
    bool inside = false;

    [[nodiscard]] bool translated() const { return real != shown; }
};

struct NatView {
    Party sender;
    Party receiver;
    Transport transport = Transport::udp;

    /// From conntrack's tuples. A party is inside when its two endpoints differ; without any NAT
    /// both are, since a stateful firewall needs the holes of both.
    [[nodiscard]] static NatView of(const FlowTuples& flow, FlowDirection direction);
    /// From the packet's endpoints before and after NAT, as the offline tool is given them.
    [[nodiscard]] static NatView of(Endpoint source, Endpoint translated_source,
                                    Endpoint destination, Endpoint translated_destination,
                                    Transport transport);
};

/// The two tuples of a flow that was opened by a packet with these endpoints.
[[nodiscard]] FlowTuples tuples_of(const NatView& opener);

}  // namespace sipnat
