// sipload: SIP or RTP load through a gateway between two network namespaces, measured and checked.
//
//     sipload signalling --inside NS --outside NS [--workload invite] [--rate CYCLES/S] …
//     sipload media      --inside NS --outside NS [--calls 100] …
//
// Prints one JSON object. What arrives is checked: messages that a gateway did not rewrite though it
// should (--rewrites), or touched though it should not, count as wrong.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>

#include "media.h"
#include "messages.h"
#include "signalling.h"

int main(int argc, char** argv) try {
    CLI::App app("SIP or RTP load through a gateway");
    app.require_subcommand(1);
    bench::Place place;
    bench::SignallingLoad signalling;
    bench::MediaLoad media;
    double seconds = 2;
    int patience = 1000;

    auto* const signalling_command = app.add_subcommand("signalling", "cycles of messages");
    signalling_command->add_option("--workload", signalling.workload)
        ->check(CLI::IsMember({"invite", "register", "options", "untouched"}));
    signalling_command->add_option("--cycles", signalling.cycles, "at most");
    signalling_command->add_option("--window", signalling.window, "cycles at once");
    signalling_command->add_option("--rate", signalling.rate, "cycles a second; 0: saturation");
    signalling_command->add_option("--first-serial", signalling.first_serial);
    auto* const media_command = app.add_subcommand("media", "G.711 calls");
    media_command->add_option("--calls", media.calls)->check(CLI::Range(1, 1000));
    media_command->add_option("--first-serial", media.first_serial);
    for (auto* const command : {signalling_command, media_command}) {
        command->add_option("--inside", place.inside, "network namespace")->required();
        command->add_option("--outside", place.outside, "network namespace")->required();
        command->add_option("--phones", place.phones)
            ->check(CLI::Range(std::size_t{1}, bench::kMostPhones));
        command->add_option("--seconds", seconds, "at most");
        command->add_option("--patience", patience, "milliseconds");
        command->add_option("--daemon", place.accounts.daemon, "process whose CPU time counts");
        command->add_option("--softirq", place.accounts.softirq, "ksoftirqd's process ids");
        command->add_flag("--rewrites", place.rewrites, "the gateway is expected to rewrite");
    }
    CLI11_PARSE(app, argc, argv);
    place.patience = std::chrono::milliseconds(patience);
    signalling.duration = media.duration = std::chrono::duration<double>(seconds);

    const auto result = signalling_command->parsed() ? bench::run_signalling(place, signalling)
                                                     : bench::run_media(place, media);
    std::cout << result.dump() << "\n";
    return 0;
} catch (const std::exception& fault) {
    std::cerr << "sipload: " << fault.what() << "\n";
    return 1;
}
