// The state file: what the engine needs to go on with calls and registrations after a restart.
//
//     sipnat-state 8 <boot id>
//     <crc32> {"clock":[…],"calls":[…],"mappings":[…],…}    all, when the file was begun: some hundred a line
//     …
//     <crc32> {"clock":[…],"calls":[…],"mappings":[…],…}    what changed since: a line a batch
//     …
//
// So what a message changed is on file, with one write, before the next message is looked at: a
// process that is killed loses nothing but the message in its hands. When the changes outgrow the
// calls the file is written anew and replaced atomically. Of another boot only registrations hold, since
// calls have nothing left in the kernel; how long they still last is told by the clock of the wall, which
// each line has beside the engine's. Lines after a damaged one are not trusted.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "sipnat/base/result.h"
#include "sipnat/control/socket.h"
#include "sipnat/core/engine.h"

namespace sipnat::daemon {

/// The kernel's random id of this boot.
[[nodiscard]] Result<std::string> boot_id();

/// One moment by both clocks. The engine's begins anew with each boot; the wall's may be set.
struct Clocks {
    Time engine{};
    std::chrono::sys_time<std::chrono::milliseconds> wall{};
};
[[nodiscard]] Clocks clocks_now();

/// What a state file's text says: later lines replace what earlier ones said of a call.
struct ReadState {
    bool complete = false;  ///< all calls of this boot: nothing was missing or damaged
    SavedState state;       ///< of another boot: bindings and leases, by the engine's clock of now
    std::string fault;      ///< what was damaged, or of another version; empty if all was good
};
[[nodiscard]] ReadState decode_state(const std::string& text, const std::string& boot,
                                     const Clocks& now);
/// One line of the file.
[[nodiscard]] std::string encode_state(const SavedState& state, const Clocks& now);
[[nodiscard]] std::string state_header(const std::string& boot);

class StateFile {
  public:
    /// A file that is not there reads as an empty state, which is not complete.
    [[nodiscard]] static ReadState read(const std::string& path, const std::string& boot);

    StateFile(std::string path, std::string boot)
        : path_(std::move(path)), boot_(std::move(boot)) {}
    /// Begins a new file with all calls, and puts it in the place of the old one. It may not be on the
    /// disk yet.
    [[nodiscard]] Result<void> replace(const SavedState& all);
    /// Appends what changed; needs a replace() before.
    [[nodiscard]] Result<void> append(const SavedState& changes);
    /// What was written is on the disk when this returns, which may take a while. Needs a replace() before.
    [[nodiscard]] Result<void> sync();
    /// So much was appended that replace() pays, or a line was cut short, behind which nothing
    /// would be read.
    [[nodiscard]] bool is_outgrown() const;

  private:
    std::string path_;
    std::string boot_;
    control::Descriptor file_;
    std::uint64_t begun_with_ = 0;  ///< bytes
    std::uint64_t appended_ = 0;    ///< bytes
    bool damaged_ = false;
};

}  // namespace sipnat::daemon
