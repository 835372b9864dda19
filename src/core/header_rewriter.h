// The headers' half of the rewriting: the table of places, as code.
//
//                    outwards (S → S')      inwards (R' → R)
//     Request-URI    –                      full endpoint, maddr
//     Via            top one of requests    top one of responses, with received and rport
//     Contact        every value            every value
//     From, To       host                   host of the field that names the receiver
//
// All phones share one outside host, so From and To name the receiver only where it must be the
// receiver: To in requests, From in responses, both in REGISTER.
//
// Inwards the text that the receiver wrote itself comes first, the canonical one second.
#pragma once

#include <vector>

#include "core/spelling.h"
#include "sipnat/core/decision.h"
#include "sipnat/core/nat_view.h"
#include "sipnat/sip/message.h"

namespace sipnat {

/// Appends the edits in no particular order and remembers what the sender wrote.
void rewrite_headers(const sip::Message& message, const NatView& view, Spellings& spellings,
                     std::vector<Edit>& edits);

}  // namespace sipnat
