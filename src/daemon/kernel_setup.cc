#include "daemon/kernel_setup.h"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <vector>

#include "sipnat/netfilter/nat_maps.h"
#include "sipnat/netfilter/route.h"
#include "sipnat/netfilter/ruleset.h"

namespace sipnat::daemon {

namespace {

constexpr unsigned kExpectationsACall = 4;    // RTP and RTCP, inbound and outbound
constexpr unsigned kExpectationsABucket = 4;  // the kernel's own ratio (nf_conntrack_expect_init)
constexpr unsigned kLongestChain = 16;        // of expectations, on average, before it is a fault

netfilter::QueueNumber first_queue(const config::QueueConfiguration& queue) {
    return static_cast<netfilter::QueueNumber>(queue.first);
}

template <class Items, class Text>
std::string as_nft_set(const Items& items, Text text) {
    std::string all;
    for (const auto& item : items)
        all += (all.empty() ? "" : ", ") + text(item);
    return all.empty() ? "{}" : "{ " + all + " }";
}

std::string as_nft_set(const std::vector<Port>& ports) {
    return as_nft_set(ports, [](Port port) { return std::to_string(number(port)); });
}

netfilter::RulesetVariable udp_ports(const config::Configuration& configuration) {
    return {"udp_ports", as_nft_set(configuration.udp_ports)};
}

Result<void> load_expectations(const config::Configuration& configuration) {
    const auto ports = udp_ports(configuration);
    const std::vector<netfilter::RulesetVariable> variables{
        ports,
        {"tcp_ports", as_nft_set(configuration.tcp_ports)},
        {"gateway_ports", configuration.gateway_pbx ? ports.value : "{}"},
        {"queues", queue_text(configuration.queue)}};
    return netfilter::load_ruleset(configuration.paths.ruleset, variables);
}

Result<void> load_maps(const config::Configuration& configuration) {
    std::vector<Network> inside;
    for (const auto& way : configuration.outside)
        inside.insert(inside.end(), way.inside.begin(), way.inside.end());
    const std::vector<netfilter::RulesetVariable> variables{
        udp_ports(configuration),
        {"tcp_ports", as_nft_set(configuration.tcp_ports)},
        {"interfaces",
         as_nft_set(configuration.outside,
                    [](const config::Outside& way) { return "\"" + way.interface + "\""; })},
        {"inside", as_nft_set(inside, [](const Network& network) { return network.text(); })},
        {"media_mark", fmt::format("{:#x}", configuration.mark.mark)},
        {"unmask", fmt::format("{:#x}", ~configuration.mark.mask)}};
    auto loaded = netfilter::load_ruleset(configuration.paths.maps_ruleset, variables);
    if (!loaded) return loaded;
    const auto fed =
        netfilter::feed_queue(first_queue(configuration.queue), configuration.queue.count);
    if (!fed) return tl::unexpected(fed.error());
    return {};
}

Result<void> remove_table(const char* table) {
    const auto there = netfilter::table_exists(table);
    if (!there) return tl::unexpected(there.error());
    if (!*there) return {};
    return netfilter::run_ruleset(fmt::format("delete table inet {}\n", table),
                                  netfilter::RulesetMode::load);
}

}  // namespace

std::string queue_text(const config::QueueConfiguration& queue) {
    if (queue.count == 1) return std::to_string(queue.first);
    return fmt::format("{}-{}", queue.first, queue.first + queue.count - 1);
}

Result<netfilter::Probe> probe(const config::Configuration& configuration) {
    if (configuration.mode == config::ModeSetting::maps) return netfilter::Probe{};
    return netfilter::probe_kernel(first_queue(configuration.queue));
}

Result<netfilter::Queue> open_queue(Mode mode, const config::QueueConfiguration& queue) {
    netfilter::QueueSettings settings;
    settings.first = first_queue(queue);
    settings.count = queue.count;
    settings.when_full = queue.fail_open ? netfilter::WhenFull::accept : netfilter::WhenFull::drop;
    settings.flows = mode == Mode::expectations ? netfilter::FlowInformation::required
                                                : netfilter::FlowInformation::absent;
    settings.receive_buffer = queue.receive_buffer;
    return netfilter::Queue::open(settings);
}

Result<void> queue_streams(const config::QueueConfiguration& queue,
                           netfilter::StreamQueueing streams) {
    return netfilter::register_helpers(first_queue(queue), streams);
}

const char* table_of(Mode mode) {
    return mode == Mode::expectations ? netfilter::kTable : netfilter::kMapTable;
}

Result<void> load_table(Mode mode, const config::Configuration& configuration) {
    // The other mode's table would feed the same queue.
    const auto other = mode == Mode::maps ? Mode::expectations : Mode::maps;
    if (auto done = remove_table(table_of(other)); !done) return done;
    return mode == Mode::maps ? load_maps(configuration) : load_expectations(configuration);
}

std::vector<netfilter::PortForward> overlapping(std::vector<netfilter::PortForward> forwards,
                                                const PortRange& media) {
    std::erase_if(forwards, [&](const netfilter::PortForward& forward) {
        return forward.ports.high < media.low || forward.ports.low > media.high;
    });
    return forwards;
}

Result<std::vector<netfilter::PortForward>> overlapping_forwards(const PortRange& media) {
    auto forwards = netfilter::port_forwards();
    if (!forwards) return forwards;
    return overlapping(*std::move(forwards), media);
}

std::string overlap_text(const netfilter::PortForward& forward) {
    return fmt::format(
        "nat.media_ports: UDP ports {}-{} are forwarded ({}); media does not get them",
        number(forward.ports.low), number(forward.ports.high), forward.rule);
}

namespace {

/// What [[outside]] says and this machine does not bear out, as after a change of address.
void warn_of_outside(const std::vector<config::Outside>& outside,
                     std::vector<std::string>& warnings) {
    auto routes = netfilter::Routes::open();
    for (const auto& way : outside) {
        if (if_nametoindex(way.interface.c_str()) == 0) {
            warnings.push_back("outside.interface: there is no " + way.interface);
        }
        const auto route =
            routes.and_then([&](netfilter::Routes& opened) { return opened.lookup(way.address); });
        if (!route) {
            warnings.push_back(route.error().text());
        } else if (route->type != netfilter::RouteType::local) {
            warnings.push_back("outside.address: " + way.address.text() +
                               " is none of this gateway's");
        }
    }
}

}  // namespace

std::vector<std::string> shortages(const netfilter::ExpectationLimits& limits, std::size_t calls) {
    std::vector<std::string> texts;
    if (limits.most && *limits.most / kExpectationsACall < calls) {
        texts.push_back(fmt::format(
            "net.netfilter.nf_conntrack_expect_max is {}: enough for {} calls at once, {} are "
            "allowed (set it with sysctl, in the initial network namespace)",
            *limits.most, *limits.most / kExpectationsACall, calls));
    }
    const auto wanted = calls * kExpectationsACall / kLongestChain;
    if (limits.hash_size && *limits.hash_size < wanted) {
        texts.push_back(fmt::format(
            "nf_conntrack's expect_hashsize is {}: with {} calls each new flow of this gateway is "
            "compared with {} expectations (load nf_conntrack with expect_hashsize={})",
            *limits.hash_size, calls, calls * kExpectationsACall / std::max(1U, *limits.hash_size),
            calls * kExpectationsACall / kExpectationsABucket));
    }
    return texts;
}

std::optional<std::string> fullness(const netfilter::FlowLimits& limits) {
    constexpr unsigned kNearly = 20;  // parts, of which one is left
    if (!limits.count || !limits.most) return std::nullopt;
    if (*limits.count < *limits.most - *limits.most / kNearly) return std::nullopt;
    return fmt::format(
        "conntrack's table is full, or nearly: {} of {} flows (net.netfilter.nf_conntrack_max); "
        "the "
        "kernel drops what would be new ones",
        *limits.count, *limits.most);
}

std::vector<std::string> warnings_of(Mode mode, const config::Configuration& configuration) {
    std::vector<std::string> warnings;
    if (mode == Mode::expectations) {
        warnings = shortages(netfilter::expectation_limits(), configuration.settings.calls);
    } else {
        warn_of_outside(configuration.outside, warnings);
    }
    if (auto full = fullness(netfilter::flow_limits())) warnings.push_back(*std::move(full));
    const auto forwards = overlapping_forwards(configuration.settings.media_ports);
    if (!forwards) {
        warnings.push_back(forwards.error().text());
        return warnings;
    }
    for (const auto& forward : *forwards)
        warnings.push_back(overlap_text(forward));
    return warnings;
}

}  // namespace sipnat::daemon
