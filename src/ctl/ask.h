#pragma once

#include "ctl/options.h"

namespace sipnat::ctl {

/// `sipnatctl status`, `registrations`: asks the running daemon. Exit::refused when none answers.
[[nodiscard]] Exit ask(const AskOptions& options);

}  // namespace sipnat::ctl
