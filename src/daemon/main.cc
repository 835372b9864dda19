// sipnatd's command line. Everything that runs is in daemon.h.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <iostream>
#include <string>

#include "daemon/daemon.h"
#include "daemon/kernel_setup.h"
#include "daemon/log.h"
#include "sipnat/config/config.h"

namespace {

using namespace sipnat;

/// kFault and kUsage would be the same at the next start: the unit does not try again.
enum Exit : int { kGood = 0, kFault = 1, kUsage = 2, kBroken = 3 };

int check(const std::string& file) {
    const auto settings = config::load_with_environment(file);
    if (!settings) {
        for (const auto& fault : settings.error())
            std::cerr << fault.message() << "\n";
        return kFault;
    }
    // Without root there is no ruleset to look at: then the file alone is judged.
    const auto overlaps = daemon::overlapping_forwards(settings->settings.media_ports)
                              .value_or(std::vector<netfilter::PortForward>{});
    for (const auto& forward : overlaps) {
        std::cerr << file << ": " << daemon::overlap_text(forward) << "\n";
    }
    if (!overlaps.empty()) return kFault;
    fmt::print("{}: good\n", file);
    return kGood;
}

/// For when sipnatd has died: nobody listens to the queue, and TCP packets that the kernel gives to it go on without
/// their sequence numbers adjusted.
int release(const std::string& file) {
    const auto settings = config::load_with_environment(file);
    const auto queue = settings ? settings->queue : config::QueueConfiguration{};
    const auto listening = daemon::open_queue(daemon::Mode::expectations, queue);
    if (!listening && listening.error().code == EBUSY) return kGood;  // another sipnatd lives
    const auto done = daemon::queue_streams(queue, netfilter::StreamQueueing::off);
    // A kernel without helpers queues nothing on behalf of one.
    if (done || done.error().code == EINVAL) return kGood;
    std::cerr << done.error().text() << "\n";
    return kFault;
}

int run(const std::string& file) {
    const auto settings = config::load_with_environment(file);
    if (!settings) {
        for (const auto& fault : settings.error())
            daemon::log(daemon::Level::error, fault.message());
        return kFault;
    }
    auto started = daemon::Daemon::start(file, *settings);
    if (!started) {
        for (const auto& fault : started.error())
            daemon::log(daemon::Level::error, fault);
        return kFault;
    }
    if (auto done = started->run(); !done) {
        daemon::log(daemon::Level::error, done.error().text());
        return kBroken;
    }
    return kGood;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Makes SIP and its media work through this gateway's NAT", "sipnatd"};
    std::string file = "/etc/sipnat/sipnat.toml";
    bool only_check = false;
    bool foreground = false;
    bool only_release = false;
    app.add_option("--config", file, "the configuration file")->capture_default_str();
    app.add_flag("--check", only_check, "check the configuration and exit");
    app.add_flag("--release", only_release,
                 "let TCP pass without sipnatd, which has ended, and exit");
    app.add_flag("--foreground", foreground, "accepted, and means nothing: sipnatd never forks");
    app.set_version_flag("--version", SIPNAT_VERSION);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked) {  // help, version
        return app.exit(asked);
    } catch (const CLI::ParseError& fault) {
        app.exit(fault);
        return kUsage;
    }
    if (only_release) return release(file);
    return only_check ? check(file) : run(file);
}
