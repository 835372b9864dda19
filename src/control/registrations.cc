#include "sipnat/control/registrations.h"

#include <nlohmann/json.hpp>

#include "control/table.h"

namespace sipnat::control {

namespace {

using Json = nlohmann::ordered_json;

}  // namespace

std::string to_json(const std::vector<Registration>& registrations) {
    auto list = Json::array();
    for (const auto& one : registrations) {
        list.push_back({{"aor", one.aor},
                        {"contact", one.contact},
                        {"inside", one.inside},
                        {"outside", one.outside},
                        {"registrar", one.registrar},
                        {"protocol", one.protocol},
                        {"expires_in", one.expires_in},
                        {"stale", one.stale}});
    }
    const Json json = {{"registrations", list}};
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<std::vector<Registration>> parse_registrations(std::string_view json) {
    try {
        std::vector<Registration> registrations;
        const auto reply = Json::parse(json);
        for (const auto& one : reply.at("registrations")) {
            registrations.push_back({one.at("aor"), one.at("contact"), one.at("inside"),
                                     one.at("outside"), one.at("registrar"), one.at("protocol"),
                                     one.at("expires_in"), one.at("stale")});
        }
        return registrations;
    } catch (const Json::exception&) {
        return std::nullopt;
    }
}

std::string to_text(const std::vector<Registration>& registrations) {
    if (registrations.empty()) return "no registrations\n";
    std::vector<std::vector<std::string>> rows{
        {"address of record", "contact", "flow", "registrar", "over", "expires in"}};
    for (const auto& one : registrations) {
        rows.push_back({one.aor, one.contact, one.inside + " = " + one.outside, one.registrar,
                        one.protocol, std::to_string(one.expires_in) + " s"});
        if (one.stale) rows.back().emplace_back("STALE: no call comes in until it registers again");
    }
    return to_table(rows);
}

}  // namespace sipnat::control
