// Port forwards of the administrator's own ruleset: UDP ports whose packets some nft rule sends
// elsewhere. Expectations come before such rules, so these ports are not ours to give out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sipnat/base/result.h"
#include "sipnat/net/address.h"

namespace sipnat::netfilter {

struct PortForward {
    PortRange ports;
    std::string rule;  ///< where it stands: "table ip nat, chain prerouting"
    /// Where they go, if that is one address; without a port they keep theirs.
    std::optional<IpAddress> address = std::nullopt;
    std::optional<Port> port = std::nullopt;

    bool operator==(const PortForward&) const = default;
};

/// From the text of `nft -j list ruleset`: rules with dnat or redirect, iptables-nft's among them,
/// that match UDP destination ports, given as a number, a range, or an anonymous set or map of
/// these. Named sets and maps are not looked into; ports that an extension of iptables hides
/// (multiport) and rules of iptables-legacy can't be seen. Text that is not such JSON holds none.
[[nodiscard]] std::vector<PortForward> find_port_forwards(std::string_view json);

/// Of this network namespace.
[[nodiscard]] Result<std::vector<PortForward>> port_forwards();

}  // namespace sipnat::netfilter
