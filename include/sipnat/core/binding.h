// What a registrar granted an inside party: who is called where, on which flow, until when.
//
//     REGISTER from 192.168.77.2:5060, To <sip:alice@example.com>, Contact <sip:alice@192.168.77.2>
//         binding  alice@example.com at alice@192.168.77.2:5060, by 203.0.113.10:5060
//         until    the 2xx's time for that Contact
#pragma once

#include <string>

#include "sipnat/base/time.h"
#include "sipnat/core/kernel.h"
#include "sipnat/net/address.h"

namespace sipnat {

/// RFC 3261 10.2: one for each address of record and Contact; and for each flow, since calls come in
/// on it.
struct BindingName {
    Tuple flow;           ///< original tuple of the signalling flow
    std::string aor;      ///< "alice@example.com"
    std::string contact;  ///< "alice@192.168.77.2:5060": as the inside party knows itself

    auto operator<=>(const BindingName&) const = default;
};

struct Binding {
    BindingName name;
    FlowTuples flow;     ///< both sides of name.flow
    Endpoint inside;     ///< sent the REGISTER
    Endpoint outside;    ///< the same, as the registrar sees it
    Endpoint registrar;  ///< or the outbound proxy before it
    Time until{};
    Time saved_until{};  ///< the end that was told to the state file last

    bool operator==(const Binding&) const = default;
};

}  // namespace sipnat
