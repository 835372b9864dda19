// What libosip2 reads in a message that is about to open something.
//
// Two parsers that read different values are how somebody hides one message in another; a hole is
// opened only where both see the same. That libosip2 is stricter (it refuses SDP that real phones
// send) is no difference of values: then our index stands alone. This is the only user of libosip2.
//
// libosip2's time grows with the square of what a message lists, to a second for one of 64 kB. What
// nobody sends is not given to it, and opens nothing.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "sipnat/sdp/session.h"
#include "sipnat/sip/message.h"

namespace sipnat {

struct Opinion {
    std::optional<std::string> difference;  ///< the field, and both values
    bool only_in_sdp = false;               ///< headers are read alike
    bool message_refused = false;           ///< libosip2 could not parse the message at all
    bool sdp_refused = false;               ///< … or its SDP
};

/// `bodies` is our reading of the message's SDP parts.
[[nodiscard]] Opinion second_opinion(const sip::Message& message,
                                     std::span<const sdp::Session> bodies);

}  // namespace sipnat
