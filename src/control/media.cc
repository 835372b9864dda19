#include "sipnat/control/media.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "control/table.h"

namespace sipnat::control {

namespace {

using Json = nlohmann::ordered_json;

}  // namespace

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
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<std::vector<MediaMapping>> parse_media(std::string_view json) {
    try {
        std::vector<MediaMapping> mappings;
        const auto reply = Json::parse(json);
        for (const auto& one : reply.at("media")) {
            mappings.push_back({one.at("outside"), one.at("inside"), one.at("protocol"),
                                one.at("class"), one.at("state"), one.at("remote"),
                                one.at("signalling")});
        }
        return mappings;
    } catch (const Json::exception&) {
        return std::nullopt;
    }
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
