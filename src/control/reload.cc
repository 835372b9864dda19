#include "sipnat/control/reload.h"

#include <nlohmann/json.hpp>

namespace sipnat::control {

namespace {

using Json = nlohmann::ordered_json;

}  // namespace

std::string to_json(const Reloaded& reloaded) {
    const Json json = {{"reloaded", reloaded.faults.empty()},
                       {"faults", reloaded.faults},
                       {"warnings", reloaded.warnings}};
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<Reloaded> parse_reloaded(std::string_view json) {
    try {
        const auto reply = Json::parse(json);
        return Reloaded{reply.at("faults"), reply.at("warnings")};
    } catch (const Json::exception&) {
        return std::nullopt;
    }
}

std::string to_text(const Reloaded& reloaded) {
    std::string text;
    for (const auto* list : {&reloaded.faults, &reloaded.warnings}) {
        for (const auto& line : *list)
            text += line + "\n";
    }
    return text + (reloaded.faults.empty() ? "settings reloaded\n" : "the running settings stay\n");
}

}  // namespace sipnat::control
