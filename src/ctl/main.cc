#include <cstdio>
#include <iostream>
#include <type_traits>
#include <variant>

#include "ctl/ask.h"
#include "ctl/options.h"
#include "ctl/replay.h"
#include "ctl/rewrite.h"

int main(int argc, char** argv) {
    using namespace sipnat::ctl;
    const auto run = [](const auto& options) {
        using Chosen = std::decay_t<decltype(options)>;
        if constexpr (std::is_same_v<Chosen, RewriteOptions>) {
            return rewrite(options);
        } else if constexpr (std::is_same_v<Chosen, ReplayOptions>) {
            return replay(options);
        } else if constexpr (std::is_same_v<Chosen, AskOptions>) {
            return ask(options);
        } else if constexpr (std::is_same_v<Chosen, MissingCommand>) {
            std::cerr << "sipnatctl: \"" << options.name << "\" is not in this version\n";
            return Exit::usage;
        } else {
            return options;
        }
    };
    const auto exit = std::visit(run, parse_options(argc, argv));
    // A message that a full disk cut short must not pass for the whole.
    const bool written = std::cout.flush() && std::fflush(stdout) == 0;
    if (written) return static_cast<int>(exit);
    std::cerr << "sipnatctl: can't write to standard output\n";
    return static_cast<int>(Exit::refused);
}
