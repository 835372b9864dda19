// Latencies of packets, and what is told of them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

namespace bench {

class Latencies {
  public:
    void add(std::chrono::nanoseconds latency) { samples_.push_back(latency.count()); }
    void merge(const Latencies& other) {
        samples_.insert(samples_.end(), other.samples_.begin(), other.samples_.end());
    }
    /// Percentiles in microseconds; empty without a sample.
    [[nodiscard]] nlohmann::json to_json() {
        auto result = nlohmann::json::object();
        if (samples_.empty()) return result;
        std::ranges::sort(samples_);
        for (const auto& [name, share] : {std::pair{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}}) {
            const auto last = static_cast<double>(samples_.size() - 1);
            const auto index = static_cast<std::size_t>(share * last);
            result[name] = static_cast<double>(samples_[index]) / 1000;
        }
        result["samples"] = samples_.size();
        return result;
    }

  private:
    std::vector<std::int64_t> samples_;
};

}  // namespace bench
