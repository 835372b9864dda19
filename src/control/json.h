// What all answers of the daemon have in common as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace sipnat::control {

using Json = nlohmann::ordered_json;

/// One line; of a stranger's bytes those that are no UTF-8 are replaced.
inline std::string in_one_line(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// What `read` makes of it. Nothing when it is no JSON, or when `read` misses something in it.
template <class Read>
std::optional<std::invoke_result_t<Read, const Json&>> parse(std::string_view text, Read read) {
    try {
        return read(Json::parse(text));
    } catch (const Json::exception&) {
        return std::nullopt;
    }
}

/// Of each element of the list `name`.
template <class Read>
std::optional<std::vector<std::invoke_result_t<Read, const Json&>>> parse_list(
    std::string_view text, const char* name, Read read) {
    return parse(text, [&](const Json& json) {
        std::vector<std::invoke_result_t<Read, const Json&>> list;
        for (const auto& element : json.at(name))
            list.push_back(read(element));
        return list;
    });
}

}  // namespace sipnat::control
