#include "sipnat/control/stats.h"

#include <nlohmann/json.hpp>

#include "control/table.h"

namespace sipnat::control {

namespace {

using Json = nlohmann::ordered_json;

}  // namespace

std::string to_json(const Stats& stats) {
    auto json = Json::object();
    for (const auto& [name, count] : stats)
        json[name] = count;
    return json.dump();
}

std::optional<Stats> parse_stats(std::string_view json) {
    try {
        const auto reply = Json::parse(json);
        if (!reply.is_object()) return std::nullopt;
        Stats stats;
        for (const auto& [name, count] : reply.items())
            stats.emplace_back(name, count.get<std::uint64_t>());
        return stats;
    } catch (const Json::exception&) {
        return std::nullopt;
    }
}

std::string to_text(const Stats& stats) {
    std::vector<std::vector<std::string>> rows;
    for (const auto& [name, count] : stats)
        rows.push_back({name, std::to_string(count)});
    return to_table(rows);
}

}  // namespace sipnat::control
