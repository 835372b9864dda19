#include "sipnat/control/registrations.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>

namespace sipnat::control {

namespace {

using Json = nlohmann::ordered_json;
using Row = std::array<std::string, 6>;

Row row_of(const Registration& one) {
    return {one.aor,       one.contact,  one.inside + " = " + one.outside,
            one.registrar, one.protocol, std::to_string(one.expires_in) + " s"};
}

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
                        {"expires_in", one.expires_in}});
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
                                     one.at("expires_in")});
        }
        return registrations;
    } catch (const Json::exception&) {
        return std::nullopt;
    }
}

std::string to_text(const std::vector<Registration>& registrations) {
    if (registrations.empty()) return "no registrations\n";
    std::vector<Row> rows{
        {"address of record", "contact", "flow", "registrar", "over", "expires in"}};
    for (const auto& one : registrations)
        rows.push_back(row_of(one));
    std::array<std::size_t, std::tuple_size_v<Row>> widths{};
    for (const auto& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i)
            widths.at(i) = std::max(widths.at(i), row.at(i).size());
    }
    std::string text;
    for (const auto& row : rows) {
        for (std::size_t i = 0; i + 1 < row.size(); ++i)
            fmt::format_to(std::back_inserter(text), "{:<{}}  ", row.at(i), widths.at(i));
        text += row.back() + "\n";
    }
    return text;
}

}  // namespace sipnat::control
