#include "sipnat/control/media.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/json.h"
#include "control/table.h"

namespace sipnat::control {

std::string to_json(const std::vector<MediaMapping>& mappings) {
    auto list = Json::array();
    for (const auto& one : mappings) {
        list.push_back({{"outside", one.outside},
                        {"inside", one.inside},
                        {"protocol", one.protocol},
                        {"class", one.media},
                        {"state", one.state},
                        {"remote", one.remote},
                        {"signalling", one.signalling}});
    }
    const Json json = {{"media", list}};
    return in_one_line(json);
}

std::optional<std::vector<MediaMapping>> parse_media(std::string_view json) {
    return parse_list(json, "media", [](const Json& one) {
        return MediaMapping{one.at("outside"),   one.at("inside"), one.at("protocol"),
                            one.at("class"),     one.at("state"),  one.at("remote"),
                            one.at("signalling")};
    });
}

std::string to_text(const std::vector<MediaMapping>& mappings) {
    if (mappings.empty()) return "no media\n";
    std::vector<std::vector<std::string>> rows{
        {"outside", "inside", "over", "class", "state", "remote"}};
    for (const auto& one : mappings) {
        rows.push_back({one.outside, one.inside, one.protocol, one.media, one.state,
                        fmt::format("{}", fmt::join(one.remote, " "))});
    }
    return to_table(rows);
}

}  // namespace sipnat::control
