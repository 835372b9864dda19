#pragma once

#include "ctl/options.h"

namespace sipnat::ctl {

/// `sipnatctl status`, `calls`, …: asks the running daemon. Exit::refused when none answers, or when it
/// could not do what was asked (reload).
[[nodiscard]] Exit ask(const AskOptions& options);

}  // namespace sipnat::ctl
