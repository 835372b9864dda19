#include "sipnat/control/status.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>

#include "control/json.h"

namespace sipnat::control {

namespace {

using Counts = std::vector<std::pair<std::string, std::uint64_t>>;

Json to_object(const Counts& counts) {
    auto object = Json::object();
    for (const auto& [name, count] : counts)
        object[name] = count;
    return object;
}

Counts read_counts(const Json& object) {
    Counts counts;
    for (const auto& [name, count] : object.items())
        counts.emplace_back(name, count.get<std::uint64_t>());
    return counts;
}

Status read(const Json& json) {
    Status status;
    json.at("version").get_to(status.version);
    json.at("mode").get_to(status.mode);
    json.at("mode_why").get_to(status.mode_why);
    json.at("notes").get_to(status.notes);
    json.at("outside").get_to(status.outside);
    json.at("table").get_to(status.table);
    json.at("warnings").get_to(status.warnings);
    json.at("udp_ports").get_to(status.udp_ports);
    json.at("gateway_pbx").get_to(status.gateway_pbx);
    json.at("queues").get_to(status.queues);
    json.at("media_ports").get_to(status.media_ports);
    json.at("table_loaded").get_to(status.table_loaded);
    if (!json.at("expect_max").is_null()) status.expect_max = json.at("expect_max").get<unsigned>();
    json.at("uptime").get_to(status.uptime);
    json.at("calls").get_to(status.calls);
    json.at("signalling_mappings").get_to(status.signalling_mappings);
    json.at("media_mappings").get_to(status.media_mappings);
    json.at("holes_opened").get_to(status.holes_opened);
    json.at("holes_closed").get_to(status.holes_closed);
    json.at("queue_overruns").get_to(status.queue_overruns);
    json.at("refused_verdicts").get_to(status.refused_verdicts);
    json.at("stricter_message").get_to(status.stricter_message);
    json.at("stricter_sdp").get_to(status.stricter_sdp);
    json.at("short_lengths").get_to(status.short_lengths);
    json.at("broken_digests").get_to(status.broken_digests);
    json.at("unreachable_msrp").get_to(status.unreachable_msrp);
    json.at("other_family").get_to(status.other_family);
    json.at("registrations_over_limits").get_to(status.registrations_over_limits);
    json.at("tcp_ports").get_to(status.tcp_ports);
    json.at("tcp_streams").get_to(status.tcp_streams);
    status.tcp_events = read_counts(json.at("tcp_events"));
    status.packets = read_counts(json.at("packets"));
    return status;
}

}  // namespace

std::string to_json(const Status& status) {
    Json json = {{"version", status.version},
                 {"mode", status.mode},
                 {"mode_why", status.mode_why},
                 {"notes", status.notes},
                 {"outside", status.outside},
                 {"table", status.table},
                 {"warnings", status.warnings},
                 {"udp_ports", status.udp_ports},
                 {"gateway_pbx", status.gateway_pbx},
                 {"queues", status.queues},
                 {"media_ports", status.media_ports},
                 {"table_loaded", status.table_loaded},
                 {"expect_max", nullptr},
                 {"uptime", status.uptime},
                 {"calls", status.calls},
                 {"signalling_mappings", status.signalling_mappings},
                 {"media_mappings", status.media_mappings},
                 {"holes_opened", status.holes_opened},
                 {"holes_closed", status.holes_closed},
                 {"queue_overruns", status.queue_overruns},
                 {"refused_verdicts", status.refused_verdicts},
                 {"stricter_message", status.stricter_message},
                 {"stricter_sdp", status.stricter_sdp},
                 {"short_lengths", status.short_lengths},
                 {"broken_digests", status.broken_digests},
                 {"unreachable_msrp", status.unreachable_msrp},
                 {"other_family", status.other_family},
                 {"registrations_over_limits", status.registrations_over_limits},
                 {"tcp_ports", status.tcp_ports},
                 {"tcp_streams", status.tcp_streams},
                 {"tcp_events", to_object(status.tcp_events)},
                 {"packets", to_object(status.packets)}};
    if (status.expect_max) json["expect_max"] = *status.expect_max;
    return in_one_line(json);
}

std::optional<Status> parse_status(std::string_view json) {
    return parse(json, read);
}

std::string to_text(const Status& status) {
    std::string text;
    const auto line = [&text](std::string_view name, const std::string& value) {
        fmt::format_to(std::back_inserter(text), "{:<14}{}\n", name, value);
    };
    line("sipnatd", fmt::format("{}, up {} s", status.version, status.uptime));
    line("mode", fmt::format("{} ({})", status.mode, status.mode_why));
    for (const auto& note : status.notes)
        line("", note);
    for (const auto& outside : status.outside)
        line("outside", outside);
    const bool maps = status.mode == "maps";
    line("signalling",
         fmt::format("udp {}{}{}, queue {}, table {} {}{}", fmt::join(status.udp_ports, ", "),
                     status.tcp_ports.empty()
                         ? ""
                         : fmt::format(", tcp {}", fmt::join(status.tcp_ports, ", ")),
                     status.gateway_pbx ? " (with a PBX on the gateway)" : "", status.queues,
                     status.table, status.table_loaded ? "loaded" : "MISSING",
                     maps ? fmt::format(", {} mapped", status.signalling_mappings) : ""));
    line("media", fmt::format("ports {}, {} mapped, {} {} made, {} removed", status.media_ports,
                              status.media_mappings, status.holes_opened,
                              maps ? "holes" : "expectations", status.holes_closed));
    line("calls", std::to_string(status.calls));
    for (const auto& [reason, count] : status.packets) {
        line("messages", fmt::format("{} {}", count, reason));
    }
    if (!status.tcp_ports.empty()) {
        auto streams = fmt::format("{} connections", status.tcp_streams);
        for (const auto& [event, count] : status.tcp_events) {
            if (count > 0) fmt::format_to(std::back_inserter(streams), ", {} {}", count, event);
        }
        line("tcp", streams);
    }
    if (status.queue_overruns + status.refused_verdicts > 0) {
        line("queue", fmt::format("{} overruns, {} refused verdicts", status.queue_overruns,
                                  status.refused_verdicts));
    }
    if (status.stricter_message + status.stricter_sdp > 0) {
        line("libosip2", fmt::format("refused {} messages and {} SDP bodies that opened media",
                                     status.stricter_message, status.stricter_sdp));
    }
    if (status.short_lengths > 0) {
        line("length", fmt::format("{} messages have more body than their Content-Length says",
                                   status.short_lengths));
    }
    if (status.broken_digests > 0) {
        line("auth-int", fmt::format("{} edited bodies are covered by their sender's digest",
                                     status.broken_digests));
    }
    if (status.unreachable_msrp > 0) {
        line("msrp", fmt::format("{} paths name an inside address, without msrp-cema",
                                 status.unreachable_msrp));
    }
    if (status.other_family > 0) {
        line("family", fmt::format("{} messages have media of another family than they came over",
                                   status.other_family));
    }
    if (status.registrations_over_limits > 0) {
        line("bindings",
             fmt::format("{} over limits.bindings: calls do not reach them after a reboot",
                         status.registrations_over_limits));
    }
    for (const auto& warning : status.warnings)
        line("warning", warning);
    return text;
}

}  // namespace sipnat::control
