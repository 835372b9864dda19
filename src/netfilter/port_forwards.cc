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

/// {"payload":{"protocol":"udp","field":"dport"}}; "th" is the ports of any transport.
bool is_udp_destination_port(const Json& expression) {
    if (!expression.is_object()) return false;
    const auto payload = expression.value("payload", Json());
    if (!payload.is_object() || payload.value("field", "") != "dport") return false;
    const auto protocol = payload.value("protocol", "");
    return protocol == "udp" || protocol == "th";
}

/// {"match":{"op":"==","left":PORT,"right":4000}}
void add_matched_ports(const Json& statement, std::vector<PortRange>& ranges) {
    const auto match = statement.value("match", Json());
    if (!match.is_object() || match.value("op", "") == "!=") return;
    if (is_udp_destination_port(match.value("left", Json()))) {
        add_ports(match.value("right", Json()), ranges);
    }
}

/// {"dnat":{"addr":{"map":{"key":PORT,"data":{"set":[[4000,"192.168.77.3"],…]}}}}}
void add_mapped_ports(const Json& statement, std::vector<PortRange>& ranges) {
    const Json::json_pointer map("/dnat/addr/map");
    if (!statement.contains(map)) return;
    const auto& mapped = statement[map];
    const auto elements = mapped.value("data", Json());  // the name of a named map is a string
    if (!elements.is_object() || !is_udp_destination_port(mapped.value("key", Json()))) return;
    for (const auto& pair : elements.at("set"))
        add_ports(pair.at(0), ranges);
}

/// nft's own statements, and what iptables-nft has for them.
bool is_forward(const Json& statement) {
    if (statement.contains("dnat") || statement.contains("redirect")) return true;
    const auto extension = statement.value("xt", Json());
    const auto name = extension.is_object() ? extension.value("name", "") : std::string();
    return name == "DNAT" || name == "REDIRECT";
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
        forwarded = forwarded || is_forward(statement);
        if (statement.contains("dnat")) read_target(statement["dnat"], forward);
        add_matched_ports(statement, ranges);
        add_mapped_ports(statement, ranges);
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
