#include "daemon/kernel_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "sipnat/netfilter/ruleset.h"

namespace sipnat::daemon {

namespace {

constexpr unsigned kExpectationsACall = 4;    // RTP and RTCP, inbound and outbound
constexpr unsigned kExpectationsABucket = 4;  // the kernel's own ratio (nf_conntrack_expect_init)
constexpr unsigned kLongestChain = 16;        // of expectations, on average, before it is a fault

netfilter::QueueNumber first_queue(const config::QueueConfiguration& queue) {
    return static_cast<netfilter::QueueNumber>(queue.first);
}

}  // namespace

std::string queue_text(const config::QueueConfiguration& queue) {
    if (queue.count == 1) return std::to_string(queue.first);
    return fmt::format("{}-{}", queue.first, queue.first + queue.count - 1);
}

tl::expected<netfilter::Probe, std::vector<std::string>> probe(
    const config::Configuration& configuration) {
    auto probe = netfilter::probe_kernel(first_queue(configuration.queue));
    if (!probe) return tl::unexpected(std::vector{probe.error().text()});
    if (probe->complete()) return *std::move(probe);
    std::vector<std::string> faults;
    for (const auto& piece : probe->missing) {
        faults.push_back(
            fmt::format("missing: {}: {} (remedy: {})", piece.what, piece.why, piece.remedy));
    }
    return tl::unexpected(std::move(faults));
}

Result<netfilter::Queue> open_queue(const config::QueueConfiguration& queue) {
    netfilter::QueueSettings settings;
    settings.first = first_queue(queue);
    settings.count = queue.count;
    settings.when_full = queue.fail_open ? netfilter::WhenFull::accept : netfilter::WhenFull::drop;
    return netfilter::Queue::open(settings);
}

Result<void> load_table(const config::Configuration& configuration) {
    std::string ports;
    for (const auto port : configuration.udp_ports) {
        ports += (ports.empty() ? "" : ", ") + std::to_string(number(port));
    }
    const std::vector<netfilter::RulesetVariable> variables{
        {"udp_ports", "{ " + ports + " }"},
        {"gateway_ports", configuration.gateway_pbx ? "{ " + ports + " }" : "{}"},
        {"queues", queue_text(configuration.queue)}};
    return netfilter::load_ruleset(configuration.paths.ruleset, variables);
}

Result<std::vector<netfilter::PortForward>> overlapping_forwards(const PortRange& media) {
    auto forwards = netfilter::port_forwards();
    if (!forwards) return forwards;
    std::erase_if(*forwards, [&](const netfilter::PortForward& forward) {
        return forward.ports.high < media.low || forward.ports.low > media.high;
    });
    return forwards;
}

std::string overlap_text(const netfilter::PortForward& forward) {
    return fmt::format(
        "nat.media_ports: UDP ports {}-{} are forwarded ({}); media does not get them",
        number(forward.ports.low), number(forward.ports.high), forward.rule);
}

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

std::vector<std::string> warnings_of(const config::Configuration& configuration) {
    auto warnings = shortages(netfilter::expectation_limits(), configuration.settings.calls);
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
