// `sipnatctl replay`: the daemon's engine over a capture, in the capture's time.
#pragma once

#include "ctl/options.h"

namespace sipnat::ctl {

/// Prints a line for each message and a summary, or JSON, on standard output. Exit::refused when
/// the capture can't be read to its end, or not all could be written.
[[nodiscard]] Exit replay(const ReplayOptions& options);

}  // namespace sipnat::ctl
