#include "sipnat/control/registrations.h"

#include "control/json.h"
#include "control/table.h"

namespace sipnat::control {

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
    return in_one_line(json);
}

std::optional<std::vector<Registration>> parse_registrations(std::string_view json) {
    return parse_list(json, "registrations", [](const Json& one) {
        return Registration{one.at("aor"),        one.at("contact"),   one.at("inside"),
                            one.at("outside"),    one.at("registrar"), one.at("protocol"),
                            one.at("expires_in"), one.at("stale")};
    });
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
