// `sipnatctl rewrite`: the daemon's engine over one message, and over those that came before it.
#pragma once

#include "ctl/options.h"

namespace sipnat::ctl {

/// Prints the message, or the decision as JSON, on standard output; why it was refused, and with
/// --explain all edits, on standard error.
[[nodiscard]] Exit rewrite(const RewriteOptions& options);

}  // namespace sipnat::ctl
