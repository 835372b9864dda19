// Which header a name is, and which method a token (RFC 3261 7.3.1, 7.3.3, 25.1).
#pragma once

#include <string_view>

#include "sipnat/sip/message.h"

namespace sipnat::sip {

/// Long names and compact forms in any case.
[[nodiscard]] HeaderKind header_kind(std::string_view name);
/// Methods are case-sensitive.
[[nodiscard]] Method method_of(std::string_view token);

}  // namespace sipnat::sip
