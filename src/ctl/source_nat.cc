#include "ctl/source_nat.h"

#include <algorithm>

namespace sipnat::ctl {

namespace {

constexpr std::uint16_t kFirstPort = 1024;
constexpr std::uint16_t kLastPort = 65535;

/// What no gateway forwards through its NAT.
bool stays_on_the_link(const IpAddress& address) {
    return !address.is_host() || address.is_link_local();
}

}  // namespace

std::optional<NatRule> NatRule::parse(std::string_view text) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const auto network = Network::parse(text.substr(0, equals), HostBits::ignored);
    const auto outside = IpAddress::parse(text.substr(equals + 1));
    if (!network || !outside || network->address().family() != outside->family()) {
        return std::nullopt;
    }
    return NatRule{*network, *outside};
}

const NatRule* SourceNat::rule_of(const IpAddress& address) const {
    const auto rule = std::ranges::find_if(
        rules_, [&](const NatRule& one) { return one.network.contains(address); });
    return rule == rules_.end() ? nullptr : &*rule;
}

std::optional<SourceNat::Way> SourceNat::way_of(const Tuple& seen) {
    for (const auto direction : {FlowDirection::original, FlowDirection::reply}) {
        const auto known =
            flows_.find(direction == FlowDirection::original ? seen : seen.reversed());
        if (known == flows_.end()) continue;
        ++known->second.packets;
        return Way{{known->first, known->second.reply}, direction};
    }
    if (flows_.size() == most_flows_) return std::nullopt;
    const bool stays =
        stays_on_the_link(seen.source.address) || stays_on_the_link(seen.destination.address);
    const auto* of_source = stays ? nullptr : rule_of(seen.source.address);
    const auto* of_destination = stays ? nullptr : rule_of(seen.destination.address);
    const bool plain = (of_source == nullptr) == (of_destination == nullptr);
    const bool outwards = plain || of_source != nullptr;
    const auto original = outwards ? seen : seen.reversed();
    const auto reply =
        plain ? original.reversed() : translate(original, *(outwards ? of_source : of_destination));
    if (!reply) return std::nullopt;
    flows_[original] = {*reply, 1};
    replies_.insert(*reply);
    return Way{{original, *reply}, outwards ? FlowDirection::original : FlowDirection::reply};
}

std::optional<Tuple> SourceNat::translate(const Tuple& original, const NatRule& rule) {
    const auto reply_to = [&](const Endpoint& outside) {
        return Tuple{original.destination, outside, original.transport};
    };
    const auto hole = holes_.find({original.source, original.transport});
    if (hole != holes_.end() && !replies_.contains(reply_to(hole->second.outside))) {
        return reply_to(hole->second.outside);
    }
    const auto present = present_port(original);
    if (present && is_free(*present, original)) return reply_to(*present);
    Endpoint outside{rule.outside, original.source.port};
    if (is_free(outside, original)) return reply_to(outside);
    for (int tries = 0; tries <= kLastPort - kFirstPort; ++tries) {
        last_chosen_ = last_chosen_ == kLastPort ? kFirstPort : last_chosen_ + 1;
        outside.port = static_cast<Port>(last_chosen_);
        if (is_free(outside, original)) return reply_to(outside);
    }
    return std::nullopt;
}

std::pair<SourceNat::Flows::const_iterator, SourceNat::Flows::const_iterator> SourceNat::flows_of(
    const Endpoint& inside) const {
    const auto first = flows_.lower_bound(Tuple{inside, {}, Transport::tcp});
    auto last = first;
    while (last != flows_.end() && last->first.source == inside)
        ++last;
    return {first, last};
}

std::optional<Endpoint> SourceNat::present_port(const Tuple& original) const {
    for (auto [flow, end] = flows_of(original.source); flow != end; ++flow) {
        const auto& [other, state] = *flow;
        const bool translated = state.reply.destination != other.source;
        if (translated && other.transport == original.transport) return state.reply.destination;
    }
    return std::nullopt;
}

bool SourceNat::is_free(const Endpoint& outside, const Tuple& original) const {
    return !hole_ports_.contains({outside, original.transport}) &&
           !replies_.contains({original.destination, outside, original.transport});
}

template <class Which>
void SourceNat::forget(const Inside& inside, Which which) {
    for (auto [flow, end] = flows_of(inside.first); flow != end;) {
        const auto& [original, state] = *flow;
        if (original.transport == inside.second && which(state.reply.destination)) {
            replies_.erase(state.reply);
            flow = flows_.erase(flow);
        } else {
            ++flow;
        }
    }
}

void SourceNat::open(const Hole& hole) {
    if (hole.inside == hole.outside) return;
    const Inside inside{hole.inside, hole.transport};
    auto& use = holes_[inside];
    use.outside = hole.outside;
    ++use.holes;
    hole_ports_.insert({hole.outside, hole.transport});
    forget(inside, [&](const Endpoint& outside) { return outside != hole.outside; });
}

void SourceNat::close(const Hole& hole) {
    const auto use = holes_.find({hole.inside, hole.transport});
    if (use == holes_.end() || --use->second.holes > 0) return;
    hole_ports_.erase({use->second.outside, hole.transport});
    holes_.erase(use);
}

void SourceNat::sweep(const MediaFlows& media) {
    forget({media.inside, media.transport},
           [&](const Endpoint& outside) { return outside == media.outside; });
}

std::uint64_t SourceNat::packets_of(const MediaFlows& media) const {
    std::uint64_t packets = 0;
    for (auto [flow, end] = flows_of(media.inside); flow != end; ++flow) {
        const auto& [original, state] = *flow;
        const bool is_one =
            original.transport == media.transport && state.reply.destination == media.outside;
        if (is_one) packets += state.packets;
    }
    return packets;
}

std::set<Endpoint> SourceNat::foreign() const {
    std::set<Endpoint> endpoints;
    for (const auto& [original, state] : flows_) {
        const auto& outside = state.reply.destination;
        const bool counts = original.transport == Transport::udp && outside != original.source &&
                            !hole_ports_.contains({outside, Transport::udp});
        if (counts) endpoints.insert(outside);
    }
    return endpoints;
}

}  // namespace sipnat::ctl
