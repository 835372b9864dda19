#include "sipnat/netfilter/port_forwards.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "sipnat/netfilter/ruleset.h"

namespace sipnat::netfilter {
namespace {

using Json = nlohmann::json;

std::optional<Port> port_of(const Json& json) {
    if (!json.is_number_integer()) return std::nullopt;
    const auto value = json.get<std::int64_t>();
    if (value < 0 || value > 65535) return std::nullopt;
    return static_cast<Port>(value);
}

/// 4000, {"range":[4000,4010]} or {"set":[4000,{"range":…}]}.
void add_ports(const Json& json, std::vector<PortRange>& ranges) {
    if (const auto port = port_of(json)) {
        ranges.push_back({*port, *port});
    } else if (json.is_object() && json.contains("range") && json["range"].size() == 2) {
        const auto low = port_of(json["range"][0]);
        const auto high = port_of(json["range"][1]);
        if (low && high) ranges.push_back({*low, *high});
    } else if (json.is_object() && json.contains("set") && json["set"].is_array()) {
        for (const auto& element : json["set"]) {
            if (!element.is_object() || !element.contains("set")) add_ports(element, ranges);
        }
    }
}

/// {"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":…}}; "th" is
/// the ports of any transport.
void add_matched_ports(const Json& statement, std::vector<PortRange>& ranges) {
    const Json none;
    const auto& match = statement.value("match", none);
    if (!match.is_object() || match.value("op", "") == "!=") return;
    const auto& left = match.value("left", none);
    const auto& payload = left.is_object() ? left.value("payload", none) : none;
    if (!payload.is_object() || payload.value("field", "") != "dport") return;
    const auto protocol = payload.value("protocol", "");
    if (protocol == "udp" || protocol == "th") add_ports(match.value("right", none), ranges);
}

/// {"dnat":{"addr":"192.168.77.2","port":5060}}: a target that is the same for all packets.
void read_target(const Json& dnat, PortForward& forward) {
    const Json none;
    const auto& address = dnat.value("addr", none);
    if (address.is_string()) forward.address = IpAddress::parse(address.get<std::string>());
    if (dnat.contains("port")) {
        forward.port = port_of(dnat["port"]);
        if (!forward.port) forward.address.reset();
    }
}

void add_forwards(const Json& rule, std::vector<PortForward>& forwards) {
    bool forwarded = false;
    PortForward forward;
    std::vector<PortRange> ranges;
    for (const auto& statement : rule.at("expr")) {
        if (!statement.is_object()) continue;
        forwarded = forwarded || statement.contains("dnat") || statement.contains("redirect");
        if (statement.contains("dnat")) read_target(statement["dnat"], forward);
        add_matched_ports(statement, ranges);
    }
    if (!forwarded) return;
    forward.rule = "table " + rule.value("family", "") + " " + rule.value("table", "") +
                   ", chain " + rule.value("chain", "");
    for (const auto& range : ranges) {
        forward.ports = range;
        forwards.push_back(forward);
    }
}

}  // namespace

std::vector<PortForward> find_port_forwards(std::string_view json) {
    std::vector<PortForward> forwards;
    const auto ruleset = Json::parse(json, nullptr, /*allow_exceptions=*/false);
    if (!ruleset.is_object() || !ruleset.value("nftables", Json()).is_array()) return forwards;
    for (const auto& object : ruleset["nftables"]) {
        try {
            if (object.contains("rule")) add_forwards(object["rule"], forwards);
        } catch (const Json::exception&) {
            continue;  // a rule of a kind that is not known here
        }
    }
    return forwards;
}

Result<std::vector<PortForward>> port_forwards() {
    auto json = ruleset_as_json();
    if (!json) return tl::unexpected(json.error());
    return find_port_forwards(*json);
}

}  // namespace sipnat::netfilter
