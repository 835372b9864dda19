#include "sipnat/control/calls.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>

#include "control/json.h"
#include "control/table.h"
#include "sipnat/base/ascii.h"

namespace sipnat::control {

namespace {

/// So many packets the other way, and it is no stream that only just began.
constexpr std::uint64_t kSecondOfAudio = 50;

Json json_of(const std::optional<std::uint64_t>& count) {
    return count ? Json(*count) : Json();
}

std::optional<std::uint64_t> count_of(const Json& json) {
    return json.is_null() ? std::nullopt : std::optional(json.get<std::uint64_t>());
}

Json json_of(const CallStream& stream) {
    const char* direction[] = {nullptr, "in", "out"};
    const auto* missing = direction[static_cast<int>(one_way(stream))];
    return {{"media", stream.media},
            {"component", stream.component},
            {"protocol", stream.protocol},
            {"inside", stream.inside},
            {"outside", stream.outside},
            {"remote", stream.remote},
            {"packets_sent", json_of(stream.sent)},
            {"packets_received", json_of(stream.received)},
            {"direct", stream.direct},
            {"nothing_goes", missing == nullptr ? Json() : Json(missing)}};
}

CallStream stream_of(const Json& json) {
    return {json.at("media"),
            json.at("component"),
            json.at("protocol"),
            json.at("inside"),
            json.at("outside"),
            json.at("remote"),
            count_of(json.at("packets_sent")),
            count_of(json.at("packets_received")),
            json.at("direct")};
}

std::string packets_of(const CallStream& stream) {
    if (stream.direct) return "direct";
    const auto text = [](const std::optional<std::uint64_t>& count) {
        return count ? std::to_string(*count) : "?";
    };
    return text(stream.sent) + " out, " + text(stream.received) + " in";
}

std::string warning_of(const CallStream& stream) {
    switch (one_way(stream)) {
        case OneWay::nothing_comes_in:
            return "ONE-WAY: nothing comes in";
        case OneWay::nothing_goes_out:
            return "ONE-WAY: nothing goes out";
        case OneWay::no:
            break;
    }
    return "";
}

}  // namespace

OneWay one_way(const CallStream& stream) {
    if (stream.component != "rtp" || !stream.sent || !stream.received) return OneWay::no;
    if (*stream.received == 0 && *stream.sent >= kSecondOfAudio) return OneWay::nothing_comes_in;
    if (*stream.sent == 0 && *stream.received >= kSecondOfAudio) return OneWay::nothing_goes_out;
    return OneWay::no;
}

std::string to_json(const std::vector<Call>& calls) {
    auto list = Json::array();
    for (const auto& call : calls) {
        auto streams = Json::array();
        for (const auto& stream : call.streams)
            streams.push_back(json_of(stream));
        list.push_back({{"call_id", call.call_id},
                        {"state", call.state},
                        {"begun_by", call.begun_by},
                        {"inside", call.inside},
                        {"remote", call.remote},
                        {"streams", streams}});
    }
    const Json json = {{"calls", list}};
    return in_one_line(json);
}

std::optional<std::vector<Call>> parse_calls(std::string_view json) {
    return parse_list(json, "calls", [](const Json& one) {
        Call call{one.at("call_id"), one.at("state"),  one.at("begun_by"),
                  one.at("inside"),  one.at("remote"), {}};
        for (const auto& stream : one.at("streams"))
            call.streams.push_back(stream_of(stream));
        return call;
    });
}

std::string to_text(const std::vector<Call>& calls) {
    if (calls.empty()) return "no calls\n";
    std::string text;
    for (const auto& call : calls) {
        if (!text.empty()) text += "\n";
        fmt::format_to(std::back_inserter(text), "{}  {}, begun {}, {} with {}\n",
                       printable(call.call_id), call.state, call.begun_by, call.inside,
                       call.remote);
        std::vector<std::vector<std::string>> rows;
        for (const auto& stream : call.streams) {
            rows.push_back(
                {"  " + stream.media + " " + stream.component, stream.protocol,
                 stream.inside + " = " + stream.outside,
                 stream.remote.empty() ? "-" : fmt::format("{}", fmt::join(stream.remote, " ")),
                 packets_of(stream), warning_of(stream)});
        }
        for (auto& row : rows) {
            if (row.back().empty()) row.pop_back();
        }
        text += to_table(rows);
    }
    return text;
}

}  // namespace sipnat::control
