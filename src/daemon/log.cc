#include "daemon/log.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "sipnat/base/ascii.h"

namespace sipnat::daemon {

void log(Level level, std::string_view text) {
    static const bool to_journal = std::getenv("JOURNAL_STREAM") != nullptr;
    const auto prefix = to_journal ? fmt::format("<{}>", static_cast<int>(level)) : "sipnatd: ";
    const auto line = prefix + printable(text) + "\n";
    // A log that can't be written is no reason to stop.
    (void)std::fwrite(line.data(), 1, line.size(), stderr);
}

void PacketLog::note(Reason reason, std::string_view text, Time now) {
    auto& window = windows_.at(static_cast<std::size_t>(reason));
    if (now - window.begin >= std::chrono::minutes(1)) {
        if (window.left_out > 0) {
            log(Level::warning, fmt::format("{}: {} more messages in the minute before",
                                            to_text(reason), window.left_out));
        }
        window = {now, 0, 0};
    }
    if (++window.lines > kLinesAMinute) {
        ++window.left_out;
        return;
    }
    log(Level::warning, fmt::format("{}: {}", to_text(reason), text));
}

void FaultLog::note(std::string_view text, Time now) {
    if (now - begin_ >= std::chrono::minutes(1)) {
        begin_ = now;
        lines_ = 0;
    }
    if (++lines_ <= kLinesAMinute) log(Level::error, text);
}

}  // namespace sipnat::daemon
