// sipnatctl's command line, as values.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ctl/source_nat.h"
#include "sipnat/core/settings.h"
#include "sipnat/net/address.h"

namespace sipnat::ctl {

/// What every command answers with: the program's exit status.
enum class Exit : int { good = 0, refused = 1, usage = 2 };

enum class Output : std::uint8_t { plain, explain, json };

struct RewriteOptions {
    Transport transport = Transport::udp;
    Endpoint source;
    Endpoint destination;
    Endpoint translated_source;
    Endpoint translated_destination;
    PortRange media_ports{Port{10000}, Port{32767}};
    Output output = Output::plain;
    std::vector<std::string> after;  ///< files with earlier messages, in order
    std::string file;                ///< "-": standard input
};

struct ReplayOptions {
    std::vector<NatRule> nat;
    std::vector<Port> sip_ports;
    Output output = Output::plain;
    std::string file;  ///< "-": standard input
    std::string out;   ///< empty: none
};

/// What the running daemon is asked for.
enum class Question : std::uint8_t { status, calls, registrations, media, stats, reload };

/// "status": the command, and what the daemon is asked.
[[nodiscard]] const char* to_text(Question question);

struct AskOptions {
    Question question = Question::status;
    Output output = Output::plain;
    std::string socket;
};

/// A command that this version does not have yet.
struct MissingCommand {
    std::string name;
};

using Options = std::variant<RewriteOptions, ReplayOptions, AskOptions, MissingCommand, Exit>;

/// The Exit means that there is nothing more to do (help was printed, or the fault).
[[nodiscard]] Options parse_options(int argc, const char* const* argv);

}  // namespace sipnat::ctl
