#pragma once

#include <string_view>

#include "sipnat/sip/message.h"

namespace sipnat::sip {

/// The tag of From or To (RFC 3261 19.3); empty when it has none.
[[nodiscard]] std::string_view tag_of(const Message& message, HeaderKind kind);

}  // namespace sipnat::sip
