#include "sipnat/control/reload.h"

#include "control/json.h"

namespace sipnat::control {

std::string to_json(const Reloaded& reloaded) {
    const Json json = {{"reloaded", reloaded.faults.empty()},
                       {"faults", reloaded.faults},
                       {"warnings", reloaded.warnings}};
    return in_one_line(json);
}

std::optional<Reloaded> parse_reloaded(std::string_view json) {
    return parse(json, [](const Json& reply) {
        return Reloaded{reply.at("faults"), reply.at("warnings")};
    });
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
