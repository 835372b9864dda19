#include "sipnat/control/stats.h"

#include "control/json.h"
#include "control/table.h"

namespace sipnat::control {

std::string to_json(const Stats& stats) {
    auto json = Json::object();
    for (const auto& [name, count] : stats)
        json[name] = count;
    return in_one_line(json);
}

std::optional<Stats> parse_stats(std::string_view json) {
    return parse(json, [](const Json& reply) {
        Stats stats;
        for (const auto& [name, count] : reply.get_ref<const Json::object_t&>())
            stats.emplace_back(name, count.get<std::uint64_t>());
        return stats;
    });
}

std::string to_text(const Stats& stats) {
    std::vector<std::vector<std::string>> rows;
    for (const auto& [name, count] : stats)
        rows.push_back({name, std::to_string(count)});
    return to_table(rows);
}

}  // namespace sipnat::control
