#include "cpu.h"

#include <unistd.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace bench {
namespace {

/// All threads of a process, kernel time included, to the nanosecond.
Seconds of_process(int process) {
    std::int64_t nanoseconds = 0;
    const auto tasks = "/proc/" + std::to_string(process) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks)) {
        std::ifstream file(task.path() / "schedstat");
        std::int64_t ran = 0;
        if (!(file >> ran)) throw std::runtime_error("no schedstat in " + task.path().string());
        nanoseconds += ran;
    }
    return std::chrono::nanoseconds(nanoseconds);
}

Seconds of_processes(const std::vector<int>& processes) {
    Seconds sum{};
    for (const int process : processes)
        sum += of_process(process);
    return sum;
}

}  // namespace

CpuTimes CpuTimes::sample(const Accounts& accounts) {
    CpuTimes times;
    timespec own{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    times.generator = std::chrono::seconds(own.tv_sec) + std::chrono::nanoseconds(own.tv_nsec);
    times.daemon = of_processes(accounts.daemon);
    times.softirq = of_processes(accounts.softirq);
    // cpu user nice system idle iowait irq softirq steal …
    std::ifstream file("/proc/stat");
    std::string name;
    std::array<double, 8> ticks{};
    file >> name;
    for (auto& value : ticks)
        file >> value;
    const auto rate = static_cast<double>(sysconf(_SC_CLK_TCK));
    times.busy = Seconds((ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / rate);
    times.steal = Seconds(ticks[7] / rate);
    return times;
}

CpuTimes CpuTimes::since(const CpuTimes& earlier) const {
    return {generator - earlier.generator, daemon - earlier.daemon, softirq - earlier.softirq,
            busy - earlier.busy, steal - earlier.steal};
}

nlohmann::json CpuTimes::to_json() const {
    return {{"generator", generator.count()},
            {"daemon", daemon.count()},
            {"softirq", softirq.count()},
            {"busy", busy.count()},
            {"steal", steal.count()}};
}

}  // namespace bench
