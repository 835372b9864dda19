// What a message costs beside much state, what an entry takes, and how long a start with it takes.
//
//     engines    1     1,000    10,000    100,000  registrations        100,000 and 20,000 calls
//     round 1    ─►──────►─────────►─────────►─────────── … ────────────────►   a turn each
//     round 2    ─►── …
//
// All engines are filled first, by the messages of phones that have a flow of their own each, and then
// take turns: what disturbs a round disturbs all sizes. In a turn messages come for entries far apart,
// as they would from many phones; the first ones only warm the caches, as far as they can be warmed.
//
// Writes JSON to standard output. Ends with 1 if an engine did not hold what it was told.
#include <malloc.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/clock.h"
#include "daemon/state_file.h"
#include "messages.h"
#include "sipnat/core/engine.h"

namespace sipnat {
namespace {

using std::chrono::duration;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::size_t kWarm = 64;       ///< cycles of a turn before the measured ones
constexpr std::size_t kMeasured = 192;  ///< … and those
constexpr std::size_t kTurn = kWarm + kMeasured;
constexpr std::size_t kBatch = 32;  ///< messages after which the daemon asks what changed
/// Media of all calls has to fit into the default range of ports, of each of these addresses.
constexpr std::size_t kOutsideAddresses = 4;
constexpr int kFirstFlowPort = 33000;
const Endpoint kServer = Endpoint::parse("203.0.113.10:5060").value();
/// Entries are visited this far apart: a prime, so that all have their turn.
constexpr std::size_t kStride = 7919;

struct Size {
    std::size_t registrations = 0;
    std::size_t calls = 0;
};

constexpr std::array kSizes{Size{1, 0},     Size{1000, 0},      Size{10000, 0}, Size{100000, 0},
                            Size{0, 1},     Size{0, 100},       Size{0, 1000},  Size{0, 10000},
                            Size{0, 20000}, Size{100000, 20000}};

enum class Cycle : std::uint8_t { registration, options, reinvite, call, hang_up };
constexpr std::array kCycles{Cycle::registration, Cycle::options, Cycle::reinvite, Cycle::call,
                             Cycle::hang_up};

std::string_view name_of(Cycle cycle) {
    switch (cycle) {
        case Cycle::registration:
            return "REGISTER that refreshes, 200";
        case Cycle::options:
            return "OPTIONS in a call, 200";
        case Cycle::reinvite:
            return "re-INVITE, 200, ACK";
        case Cycle::call:
            return "INVITE, 200, ACK of a new call";
        case Cycle::hang_up:
            return "BYE, 200";
    }
    std::abort();
}

nanoseconds time_of(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

// --- phones -------------------------------------------------------------------------------------

std::string digits(std::size_t number) {
    const auto text = std::to_string(number);
    return std::string(6 - text.size(), '0') + text;
}

/// One inside host with one flow to the server. Its media port is that of all phones of its make.
struct Phone {
    explicit Phone(std::size_t number)
        : inside_host("10." + std::to_string(number >> 16U) + "." +
                      std::to_string(number >> 8U & 255U) + "." + std::to_string(number & 255U)),
          outside_host("203.0.113." + std::to_string(1 + number % kOutsideAddresses)),
          inside(Endpoint::parse(inside_host + ":5060").value()),
          outside(Endpoint::parse(outside_host + ":" +
                                  std::to_string(kFirstFlowPort + number / kOutsideAddresses))
                      .value()),
          user("u" + digits(number)) {}

    [[nodiscard]] FlowTuples flow() const {
        return {{inside, kServer, Transport::udp}, {kServer, outside, Transport::udp}};
    }
    [[nodiscard]] Names own(std::string_view peer) const {
        return {inside.text(), inside_host, 4000, user, std::string(peer)};
    }
    /// What its names are in an answer, and what the other side's are.
    [[nodiscard]] Names answered(std::string_view peer) const {
        return {outside.text(), "203.0.113.10", 7000, user, std::string(peer)};
    }

    std::string inside_host;
    std::string outside_host;
    Endpoint inside;
    Endpoint outside;
    std::string user;
};

struct Sent {
    FlowTuples flow;
    FlowDirection direction = FlowDirection::original;
    std::string text;
};

/// The messages of one cycle, in their order.
std::vector<Sent> messages(Cycle cycle, const Phone& phone, const std::string& call, int cseq) {
    std::vector<Sent> sent;
    const auto add = [&](FlowDirection direction, std::string text) {
        sent.push_back({phone.flow(), direction, std::move(text)});
    };
    const auto ask = [&](std::string_view method, const Names& names, const Further& further) {
        add(FlowDirection::original, request(method, call, names, further));
    };
    const auto reply = [&](std::string_view method, const Names& names, const Further& further) {
        add(FlowDirection::reply, answer(method, call, names, further));
    };
    const auto own = phone.own("bob");
    const auto answered = phone.answered("bob");
    constexpr std::string_view kInDialog = ";tag=b";
    switch (cycle) {
        case Cycle::registration:
            // For a day, so that those that have no turn stay.
            ask("REGISTER", phone.own(phone.user), {.cseq = cseq, .more = "Expires: 86400\n"});
            reply("REGISTER", phone.answered(phone.user),
                  {.cseq = cseq, .more = "Expires: 86400\n"});
            break;
        case Cycle::options:
            ask("OPTIONS", own, {.cseq = cseq, .to_tag = kInDialog});
            reply("OPTIONS", answered, {.cseq = cseq});
            break;
        case Cycle::call:
        case Cycle::reinvite: {
            const auto tag = cycle == Cycle::call ? "" : kInDialog;
            ask("INVITE", own, {.cseq = cseq, .to_tag = tag, .body = session(own, cseq)});
            reply("INVITE", answered, {.cseq = cseq, .body = session(answered, cseq)});
            ask("ACK", own, {.cseq = cseq, .to_tag = kInDialog});
            break;
        }
        case Cycle::hang_up:
            ask("BYE", own, {.cseq = cseq, .to_tag = kInDialog});
            reply("BYE", answered, {.cseq = cseq});
            break;
    }
    return sent;
}

// --- engines ------------------------------------------------------------------------------------

struct Memory {
    /// Of the heap, in use.
    std::size_t used = 0;
    std::size_t resident = 0;
};

Memory memory_now() {
    const auto heap = mallinfo2();
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm").ignore(64, ' ') >> pages;
    return {heap.uordblks + heap.hblkhd, pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE))};
}

Settings settings() {
    Settings settings;
    settings.calls = 100'000;
    settings.media = 1'000'000;
    settings.bindings = 1'000'000;
    return settings;
}

class World {
  public:
    explicit World(const Size& size) : size_(size) {
        const auto before = memory_now();
        engine_.emplace(settings());
        for (std::size_t i = 0; i < size.registrations; ++i)
            pass_all(messages(Cycle::registration, Phone(i), registration(i), ++cseq_));
        for (std::size_t i = 0; i < size.calls; ++i)
            pass_all(messages(Cycle::call, Phone(i), call(i), ++cseq_));
        rest();
        check();
        const auto after = memory_now();
        taken_ = {after.used - before.used, after.resident - before.resident};
    }

    [[nodiscard]] const Size& size() const { return size_; }
    [[nodiscard]] const Memory& taken() const { return taken_; }
    [[nodiscard]] SavedState save() const { return engine_->save(); }

    [[nodiscard]] bool has(Cycle cycle) const {
        return cycle == Cycle::registration ? size_.registrations > 0 : size_.calls > 0;
    }

    /// Nanoseconds of one message.
    double turn(Cycle cycle) {
        if (cycle == Cycle::call) first_new_ += kTurn;
        std::vector<std::vector<Sent>> cycles;
        for (std::size_t i = 0; i < kTurn; ++i)
            cycles.push_back(next(cycle, i));
        for (std::size_t i = 0; i < kWarm; ++i)
            pass_all(cycles[i]);
        std::size_t count = 0;
        const auto start = time_of(CLOCK_THREAD_CPUTIME_ID);
        for (std::size_t i = kWarm; i < kTurn; ++i)
            count += pass_all(cycles[i]);
        const auto end = time_of(CLOCK_THREAD_CPUTIME_ID);
        if (cycle == Cycle::hang_up) rest();
        return duration<double, std::nano>(end - start).count() / static_cast<double>(count);
    }

    void check() const {
        if (engine_->bindings().size() != size_.registrations || engine_->calls() != size_.calls) {
            throw std::logic_error(std::to_string(engine_->bindings().size()) +
                                   " registrations and " + std::to_string(engine_->calls()) +
                                   " calls");
        }
    }

  private:
    static std::string registration(std::size_t number) { return "r" + digits(number); }
    static std::string call(std::size_t number) { return "c" + digits(number); }

    std::vector<Sent> next(Cycle cycle, std::size_t i) {
        ++cseq_;
        if (cycle == Cycle::call || cycle == Cycle::hang_up) {
            // Of phones that have none yet: those after the others.
            const Phone phone(size_.calls + first_new_ % (8 * kTurn) + i);
            return messages(cycle, phone, "n" + digits(first_new_ + i), cseq_);
        }
        const bool registers = cycle == Cycle::registration;
        next_ += kStride;
        const auto number = next_ % (registers ? size_.registrations : size_.calls);
        return messages(cycle, Phone(number), registers ? registration(number) : call(number),
                        cseq_);
    }

    std::size_t pass_all(const std::vector<Sent>& sent) {
        for (const auto& [flow, direction, text] : sent) {
            const Packet packet{flow, direction, FlowStanding::helped, text};
            auto decision = engine_->handle(packet, now_);
            if (decision.needs_kernel()) decision = engine_->settle(packet, {}, now_);
            if (decision.reason != Reason::rewritten) {
                throw std::logic_error(std::string(to_text(decision.reason)) + ": " +
                                       decision.detail + "\n" + text);
            }
            if (++passed_ % kBatch == 0) (void)engine_->take_changes();
        }
        return sent.size();
    }

    /// Past the rest of ports and the memory of ended calls.
    void rest() {
        now_ += seconds(120);
        while (engine_->next_due() && *engine_->next_due() <= now_)
            (void)engine_->tick(now_);
        (void)engine_->take_changes();
    }

    Size size_;
    std::optional<Engine> engine_;
    Memory taken_;
    Time now_ = daemon::now_by_clock();
    int cseq_ = 0;
    std::size_t passed_ = 0;
    std::size_t next_ = 0;
    std::size_t first_new_ = 0;
};

// --- measuring ----------------------------------------------------------------------------------

using Json = nlohmann::json;

Json grow(std::vector<std::unique_ptr<World>>& worlds, int rounds, std::string_view only) {
    std::vector<Json> figures(worlds.size());
    for (int round = 0; round < rounds; ++round) {
        for (const auto cycle : kCycles) {
            if (name_of(cycle).find(only) == std::string_view::npos) continue;
            for (std::size_t i = 0; i < worlds.size(); ++i) {
                const auto at = (i + static_cast<std::size_t>(round)) % worlds.size();
                if (!worlds[at]->has(cycle)) continue;
                figures[at][std::string(name_of(cycle))].push_back(worlds[at]->turn(cycle));
            }
        }
    }
    Json all = Json::array();
    for (std::size_t i = 0; i < worlds.size(); ++i) {
        worlds[i]->check();
        all.push_back({{"registrations", worlds[i]->size().registrations},
                       {"calls", worlds[i]->size().calls},
                       {"used", worlds[i]->taken().used},
                       {"resident", worlds[i]->taken().resident},
                       {"nanoseconds", figures[i]}});
    }
    return all;
}

constexpr const char* kBoot = "growth";

/// As Daemon::restore() does it, but for the kernel's part. CPU time: nothing waits for the disk.
Json restore(const std::string& path) {
    Json took;
    const auto timed = [&](const char* name, const std::function<void()>& work) {
        const auto begin = time_of(CLOCK_PROCESS_CPUTIME_ID);
        work();
        took["seconds"][name] = duration<double>(time_of(CLOCK_PROCESS_CPUTIME_ID) - begin).count();
    };
    Engine engine(settings());
    {
        daemon::ReadState read;
        timed("read", [&] { read = daemon::StateFile::read(path, kBoot); });
        if (!read.fault.empty()) throw std::runtime_error(read.fault);
        timed("restore", [&] { engine.restore(read.state); });
    }
    daemon::StateFile file(path, kBoot);
    timed("save", [&] {
        if (auto done = file.replace(engine.save()); !done)
            throw std::runtime_error(done.error().text());
    });
    took["registrations"] = engine.bindings().size();
    took["calls"] = engine.calls();
    took["resident"] = memory_now().resident;
    return took;
}

/// What another process of this program writes: one that starts has all its memory still to get.
Json run_again(const std::string& arguments) {
    const auto program = std::filesystem::read_symlink("/proc/self/exe").string();
    const std::unique_ptr<FILE, int (*)(FILE*)> output(
        popen(("'" + program + "' " + arguments).c_str(), "r"), pclose);
    if (!output) throw std::runtime_error("popen");
    return Json::parse(output.get());
}

Json start(const SavedState& state, const Size& size, const std::string& folder, int rounds) {
    const auto path = folder + "/growth." + std::to_string(getpid());
    Json results{{"registrations", size.registrations}, {"calls", size.calls}};
    {
        daemon::StateFile file(path, kBoot);
        if (auto done = file.replace(state); !done) throw std::runtime_error(done.error().text());
    }
    results["bytes"] = std::filesystem::file_size(path);
    for (int round = 0; round < rounds; ++round) {
        const auto took = run_again("--restore '" + path + "'");
        if (took.at("registrations") != size.registrations || took.at("calls") != size.calls)
            throw std::logic_error("not all is back: " + took.dump());
        results["resident"] = took.at("resident");
        results["seconds"].push_back(took.at("seconds"));
    }
    std::filesystem::remove(path);
    return results;
}

}  // namespace
}  // namespace sipnat

int main(int argc, char** argv) {
    using namespace sipnat;
    int rounds = 15;
    int starts = 5;
    std::vector<std::size_t> sizes;
    std::string only;
    std::string file;
    std::string folder = std::filesystem::temp_directory_path();
    CLI::App app("Measures how costs grow with registrations and calls.");
    app.add_option("--rounds", rounds);
    app.add_option("--starts", starts, "rounds of the start");
    app.add_option("--sizes", sizes, "only these, by their numbers from 0")
        ->check(CLI::Range(std::size_t{0}, kSizes.size() - 1));
    app.add_option("--only", only, "only messages with this in their name");
    app.add_option("--folder", folder, "for the state file");
    app.add_option("--restore", file, "only start with this state file, and tell how long it took");
    CLI11_PARSE(app, argc, argv);
    for (std::size_t i = 0; sizes.size() < kSizes.size() && app.count("--sizes") == 0; ++i)
        sizes.push_back(i);
    try {
        if (!file.empty()) {
            std::cout << restore(file).dump() << "\n";
            return 0;
        }
        std::vector<std::unique_ptr<World>> worlds;
        for (const auto number : sizes)
            worlds.push_back(std::make_unique<World>(kSizes.at(number)));
        Json results;
        results["sizes"] = grow(worlds, rounds, only);
        const auto size = worlds.back()->size();
        const auto state = worlds.back()->save();
        worlds.clear();
        results["start"] = start(state, size, folder, starts);
        std::cout << results.dump(1) << "\n";
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
