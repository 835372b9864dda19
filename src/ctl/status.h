#pragma once

#include "ctl/options.h"

namespace sipnat::ctl {

/// `sipnatctl status`: asks the running daemon. Exit::refused when none answers.
[[nodiscard]] Exit status(const StatusOptions& options);

}  // namespace sipnat::ctl
