// The headers' half of the rewriting. Which header goes by which rule: header_rules.h.
//
// Inwards the text that the receiver wrote itself comes first, the canonical one second.
#pragma once

#include <vector>

#include "core/spelling.h"
#include "sipnat/core/decision.h"
#include "sipnat/core/nat_view.h"
#include "sipnat/core/settings.h"
#include "sipnat/sip/message.h"

namespace sipnat {

/// Appends the edits in no particular order and remembers what the sender wrote.
void rewrite_headers(const sip::Message& message, const NatView& view, Spellings& spellings,
                     std::vector<Edit>& edits, RewriteRequestUri request_uri);

}  // namespace sipnat
