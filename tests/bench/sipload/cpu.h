// CPU time that a measurement took, by who took it.
//
// A packet's way through a gateway is run by whoever pushed it: the generator's send call carries it
// up to the queue (or through), the verdict's send call carries it on, ksoftirqd does what is left.
// So the generator's own figure holds most of the kernel's work as well, and the sum of the three is
// what the messages cost; the generator's share of it is the same for all gateways.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <vector>

namespace bench {

using Seconds = std::chrono::duration<double>;

struct Accounts {
    std::vector<int> daemon;   ///< process ids of the gateway's program
    std::vector<int> softirq;  ///< of ksoftirqd/N
};

struct CpuTimes {
    Seconds generator{};  ///< this process
    Seconds daemon{};
    Seconds softirq{};  ///< the ksoftirqd threads
    Seconds busy{};     ///< the whole machine, other people's work included (ticks of 10 ms)
    Seconds steal{};    ///< what the hypervisor gave to others

    [[nodiscard]] static CpuTimes sample(const Accounts& accounts);
    [[nodiscard]] CpuTimes since(const CpuTimes& earlier) const;
    [[nodiscard]] nlohmann::json to_json() const;
};

}  // namespace bench
