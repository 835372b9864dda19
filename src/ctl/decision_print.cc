#include "ctl/decision_print.h"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "sipnat/base/ascii.h"
namespace sipnat::ctl {

namespace {

using Json = nlohmann::ordered_json;

Json edit_json(const Edit& edit, std::string_view message) {
    return {{"offset", edit.span.offset},   {"length", edit.span.length},
            {"old", edit.span.in(message)}, {"new", edit.replacement},
            {"where", to_text(edit.place)}, {"why", to_text(edit.why)}};
}

Json hole_json(const Hole& hole) {
    return {{"class", to_text(hole.media)},
            {"inside", hole.inside.text()},
            {"outside", hole.outside.text()},
            {"remote", remote_text(hole)},
            {"protocol", to_text(hole.transport)}};
}

Json holes_json(const std::vector<Hole>& holes) {
    auto list = Json::array();
    for (const auto& hole : holes)
        list.push_back(hole_json(hole));
    return list;
}

void add_decision(Json& json, const Decision& decision, std::string_view message) {
    auto edits = Json::array();
    for (const auto& edit : decision.edits)
        edits.push_back(edit_json(edit, message));
    json["verdict"] = to_text(decision.verdict);
    json["reason"] = to_text(decision.reason);
    json["edits"] = std::move(edits);
    json["open"] = holes_json(decision.open);
    json["close"] = holes_json(decision.close);
}

/// Nanoseconds since 1970 are more than a double holds; their two halves are not.
double in_seconds(std::chrono::nanoseconds time) {
    const auto whole = std::chrono::floor<std::chrono::seconds>(time);
    return static_cast<double>(whole.count()) + static_cast<double>((time - whole).count()) / 1e9;
}

std::string in_one_line(const Json& json) {
    // Messages may hold bytes that are no UTF-8.
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void explain_holes(const std::vector<Hole>& holes, std::string_view what, std::string& text) {
    for (const auto& hole : holes) {
        fmt::format_to(std::back_inserter(text), "{} {}/{}: inside {}, outside {}, remote {}\n",
                       what, to_text(hole.media), to_text(hole.transport), hole.inside.text(),
                       hole.outside.text(), remote_text(hole));
    }
}

}  // namespace

std::string to_json(const Decision& decision, std::string_view message) {
    auto json = Json::object();
    add_decision(json, decision, message);
    return in_one_line(json);
}

std::string to_json(const CapturedPacket& packet, const Decision& decision,
                    std::string_view message) {
    Json json = {{"packet", packet.number},
                 {"time", in_seconds(packet.time)},
                 {"src", packet.tuple.source.text()},
                 {"dst", packet.tuple.destination.text()}};
    add_decision(json, decision, message);
    return in_one_line(json);
}

std::string to_json(std::chrono::nanoseconds time, const std::vector<Hole>& closed) {
    return in_one_line({{"time", in_seconds(time)},
                        {"reason", "timer"},
                        {"edits", Json::array()},
                        {"open", Json::array()},
                        {"close", holes_json(closed)}});
}

std::string to_explanation(const Decision& decision, std::string_view message) {
    std::string text;
    for (const auto& edit : decision.edits) {
        fmt::format_to(std::back_inserter(text), "{} at byte {}: {} -> {} ({})\n",
                       to_text(edit.place), edit.span.offset, printable(edit.span.in(message)),
                       printable(edit.replacement), to_text(edit.why));
    }
    explain_holes(decision.open, "opens", text);
    explain_holes(decision.close, "closes", text);
    if (decision.beyond_body > 0) {
        fmt::format_to(std::back_inserter(text),
                       "wrong Content-Length: {} bytes stand behind the body that it gives\n",
                       decision.beyond_body);
    }
    if (decision.other_family) {
        text += "media of another address family than the signalling: nothing is opened for it\n";
    }
    if (decision.breaks_digest) text += "the sender's digest covers the body (auth-int)\n";
    if (decision.breaks_msrp) text += "an a=path names an inside address, without msrp-cema\n";
    if (text.empty()) text = fmt::format("nothing to do: {}\n", to_text(decision.reason));
    return text;
}

}  // namespace sipnat::ctl
