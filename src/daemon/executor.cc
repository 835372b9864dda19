#include "daemon/executor.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "daemon/kernel_checks.h"
#include "sipnat/netfilter/helper.h"

namespace sipnat::daemon {

namespace {

using Kind = KernelAnswer::Kind;

KernelAnswer refused_expectation(const Error& error) {
    auto answer = refused(error);
    // "Too many open files", as the kernel has it, sends an administrator the wrong way.
    if (error.code == EMFILE) {
        answer.text += " (net.netfilter.nf_conntrack_expect_max is reached)";
    }
    return answer;
}

KernelAnswer refused_entry(const Error& error) {
    auto answer = refused(error);
    if (error.code == ENOMEM) answer.text += " (net.netfilter.nf_conntrack_max is reached)";
    return answer;
}

/// This hole is the first, or the last, to use its outside port, which has a place in a set.
bool is_in_set(const Hole& hole) {
    return !hole.remote && !hole.shares_port && hole.inside != hole.outside &&
           hole.outside.address.family() == Family::ipv4;
}

/// Where a packet that nobody expects would make an entry. A TCP connection that nobody expects gets a
/// reset.
std::vector<Endpoint> guarded(std::span<const Hole> holes) {
    std::vector<Endpoint> endpoints;
    for (const auto& hole : holes) {
        if (hole.transport == Transport::udp && is_in_set(hole)) endpoints.push_back(hole.outside);
    }
    return endpoints;
}

std::vector<Endpoint> signalling_over(Transport transport, std::span<const Hole> holes) {
    std::vector<Endpoint> endpoints;
    for (const auto& hole : holes) {
        const bool is_that = is_signalling(hole) && hole.transport == transport;
        if (is_that && is_in_set(hole)) endpoints.push_back(hole.outside);
    }
    return endpoints;
}

std::vector<netfilter::SetElement> elements(
    const std::vector<Endpoint>& endpoints,
    std::optional<std::chrono::milliseconds> lifetime = std::nullopt) {
    std::vector<netfilter::SetElement> set;
    set.reserve(endpoints.size());
    for (const auto& endpoint : endpoints)
        set.push_back({endpoint, lifetime});
    return set;
}

bool is_expected(const Hole& hole) {
    return hole.way != Way::hairpin;
}

std::vector<Expectation> needed_expectations(
    const MediaTable& media,
    const std::function<bool(const Mapping&)>& condition = [](const Mapping&) { return true; }) {
    std::vector<Expectation> needed;
    for (const auto& [key, mapping] : media.mappings()) {
        if (!condition(mapping)) continue;
        for (const auto& use : mapping.uses) {
            const auto hole = media.hole({key, use.remote, use.from, use.way});
            if (is_expected(hole)) needed.push_back(to_expectation(hole));
        }
    }
    return needed;
}

/// Those that wait for what none of the others waits for.
std::vector<Expectation> without(std::vector<Expectation> some,
                                 const std::vector<Expectation>& others) {
    std::set<Tuple> matches;
    for (const auto& expectation : others)
        matches.insert(expectation.match);
    std::erase_if(some, [&matches](const Expectation& expectation) {
        return matches.contains(expectation.match);
    });
    return some;
}

/// What comes to the receiver's outside port is expected by the receiver's call, and has the sender's
/// inside endpoint as its source: that expectation has no pair. A map gives it the outside one.
netfilter::NatElement hairpin_element(const Hole& hole) {
    return {netfilter::NatSet::hairpin, hole.inside, hole.outside,
            hole.remote->address,       "",          std::nullopt};
}

std::vector<netfilter::NatElement> hairpin_elements(std::span<const Hole> holes) {
    std::vector<netfilter::NatElement> elements;
    std::set<std::pair<Endpoint, IpAddress>> named;  // two of one message may lead to one address
    for (const auto& hole : holes) {
        if (hole.way != Way::hairpin || hole.shares_port) continue;
        if (named.emplace(hole.inside, hole.remote->address).second) {
            elements.push_back(hairpin_element(hole));
        }
    }
    return elements;
}

}  // namespace

Executor::Executor(netfilter::Conntrack conntrack, netfilter::Expectations expectations,
                   netfilter::Routes routes, netfilter::MediaGuard guard, SignallingSets signalling,
                   netfilter::NatMaps hairpin)
    : conntrack_(std::move(conntrack)),
      expectations_(std::move(expectations)),
      routes_(std::move(routes)),
      guard_(std::move(guard)),
      signalling_(std::move(signalling)),
      hairpin_(std::move(hairpin)) {}

Result<Executor> Executor::open() {
    auto conntrack = netfilter::Conntrack::open();
    if (!conntrack) return tl::unexpected(conntrack.error());
    auto expectations = netfilter::Expectations::open();
    if (!expectations) return tl::unexpected(expectations.error());
    auto routes = netfilter::Routes::open();
    if (!routes) return tl::unexpected(routes.error());
    auto guard = netfilter::MediaGuard::open(netfilter::kMediaSet);
    if (!guard) return tl::unexpected(guard.error());
    auto udp = netfilter::EndpointSet::open(netfilter::kSignallingSet);
    if (!udp) return tl::unexpected(udp.error());
    auto tcp = netfilter::EndpointSet::open(netfilter::kTcpSignallingSet);
    if (!tcp) return tl::unexpected(tcp.error());
    auto hairpin = netfilter::NatMaps::open(netfilter::kTable);
    if (!hairpin) return tl::unexpected(hairpin.error());
    return Executor(*std::move(conntrack), *std::move(expectations), *std::move(routes),
                    *std::move(guard), {*std::move(udp), *std::move(tcp)}, *std::move(hairpin));
}

KernelAnswer Executor::open_holes(const Decision& decision, std::uint32_t mark) {
    if (auto obstacle = find_obstacle(decision, routes_)) return *obstacle;
    if (auto flow = find_signalling_flow(decision.open, conntrack_)) return *flow;

    // From here on a packet to one of these ports that nobody expects makes no entry.
    const auto ports = guarded(decision.open);
    if (!ports.empty()) {
        // One that rests from an earlier call loses its lifetime.
        if (auto done = guard_.update(ports, elements(ports)); !done) return refused(done.error());
    }
    auto answer = open_guarded(decision, mark);
    if (answer.kind == Kind::done) {
        auto done = update_signalling(decision.open, true);
        if (!done) answer.text = done.error().text();
    }
    if (answer.kind != Kind::done && !ports.empty()) {
        // They are given back, perhaps to a service of the gateway's.
        if (auto done = guard_.update(ports, {}); !done) answer.text += "; " + done.error().text();
    }
    return answer;
}

KernelAnswer Executor::open_guarded(const Decision& decision, std::uint32_t mark) {
    if (decision.entry && !entry_made_) {
        if (auto obstacle = make_entry(*decision.entry, mark)) return *obstacle;
        entry_made_ = true;
    }
    auto answer = expect(decision.open);
    if (answer.kind != Kind::done) return answer;
    const auto hairpins = hairpin_elements(decision.open);
    if (!hairpins.empty()) {
        // Without it the media comes all the same, from an address that the receiver was not told.
        auto done = hairpin_.update({hairpins, hairpins});
        if (!done) answer.text = done.error().text();
    }
    // The holes are open; what ran ahead of them can't be a reason to close them again.
    if (auto done = forget_early_media(decision.open); !done) answer.text = done.error().text();
    return answer;
}

/// An expectation needs a confirmed master that has the helper. A flow's first packet is neither,
/// and until it is confirmed its outside port is anybody's: so the entry is made here, and the
/// packet adopts it (kernel: __nf_conntrack_update). EEXIST: another flow has that port.
std::optional<KernelAnswer> Executor::make_entry(const EntryRequest& request, std::uint32_t mark) {
    if (request.replaces) {
        auto removed = conntrack_.remove(request.tuples.original);
        if (!removed) return refused(removed.error());
    }
    FlowEntry entry;
    entry.tuples = request.tuples;
    entry.helper = netfilter::kSignallingHelper;
    entry.timeout = kEntryTimeout;
    entry.mark = mark;
    auto made = conntrack_.create(entry);
    if (made) return std::nullopt;
    if (made.error().code == EEXIST) return KernelAnswer{Kind::entry_exists, {}, ""};
    return refused_entry(made.error());
}

KernelAnswer Executor::expect(std::span<const Hole> all) {
    std::vector<const Hole*> holes;
    std::vector<Expectation> expectations;
    holes.reserve(all.size());
    expectations.reserve(all.size());
    for (const auto& hole : all) {
        if (!is_expected(hole)) continue;
        holes.push_back(&hole);
        expectations.push_back(to_expectation(hole));
    }
    for (std::size_t attempt = 0; attempt <= holes.size(); ++attempt) {
        const auto made = expectations_.create_all(expectations);
        if (made) return {};
        const auto& [index, error] = made.error();
        const bool overlaps = error.code == EEXIST || error.code == EBUSY;
        if (!overlaps) return refused_expectation(error);
        const auto& hole = *holes[index];
        if (!hole.remote && hole.inside == hole.outside) {
            // No other port can be had for it: it is the one that its program listens on.
            return {
                Kind::refused, {}, hole.outside.text() + " is the outside port of another's media"};
        }
        if (!hole.remote) return {Kind::port_taken, hole.outside, ""};
        // Between an inside endpoint of ours and that remote one: left over by an earlier process.
        if (auto done = expectations_.remove(expectations[index]); !done) {
            return refused(done.error());
        }
    }
    return {Kind::refused, {}, "an expectation between the same endpoints can't be removed"};
}

Result<void> Executor::update_signalling(std::span<const Hole> holes, bool are_open) {
    Result<void> result;
    for (const auto& [transport, set] : {std::pair(Transport::udp, &signalling_.udp),
                                         std::pair(Transport::tcp, &signalling_.tcp)}) {
        const auto endpoints = signalling_over(transport, holes);
        if (endpoints.empty()) continue;
        auto done = set->update(
            endpoints, are_open ? elements(endpoints) : std::vector<netfilter::SetElement>{});
        if (!done) result = done;
    }
    return result;
}

Result<void> Executor::forget_early_media(const std::vector<Hole>& holes) {
    for (const auto& hole : holes) {
        auto done = daemon::forget_early_media(
            hole, netfilter::FlowOrigin::expected,
            [this](const auto& tuple, const auto& condition) -> Result<void> {
                auto removed = conntrack_.remove_if(tuple, condition);
                if (!removed) return tl::unexpected(removed.error());
                return {};
            });
        if (!done) return done;
    }
    return {};
}

Result<void> Executor::close_holes(std::span<const Hole> holes) {
    Result<void> result;
    for (const auto& hole : holes) {
        if (!is_expected(hole)) continue;
        if (auto done = expectations_.remove(to_expectation(hole)); !done) result = done;
        if (hole.way != Way::direct) continue;
        // Nothing of it has an outside endpoint, by which sweep() finds flows.
        const Tuple there{hole.inside, *hole.remote, hole.transport};
        auto done =
            conntrack_.remove_if(there, [](const FlowEntry& flow) { return flow.expected; });
        if (!done) result = tl::unexpected(done.error());
    }
    const auto hairpins = hairpin_elements(holes);
    if (!hairpins.empty()) {
        if (auto done = hairpin_.update({hairpins, {}}); !done) result = done;
    }
    if (auto done = update_signalling(holes, false); !done) result = done;
    const auto ports = guarded(holes);
    if (ports.empty()) return result;
    if (auto done = guard_.update(ports, elements(ports, kRest)); !done) result = done;
    return result;
}

/// A narrower expectation beside a wider one is not made, and the kernel calls that a success: the old
/// one has to go first. With NAT the port is guarded meanwhile.
std::vector<MediaGate::Refused> Executor::admit(std::span<const Admission> admissions) {
    std::vector<Refused> refused;
    for (const auto& admission : admissions) {
        auto done = expectations_.remove(to_expectation(admission.before));
        if (done) {
            done = expectations_.create(to_expectation(admission.after));
            if (!done) (void)expectations_.create(to_expectation(admission.before));
        }
        if (!done) refused.push_back({admission, done.error()});
    }
    return refused;
}

Result<void> Executor::evict(std::span<const Hole> holes) {
    return daemon::evict(conntrack_, holes, netfilter::FlowOrigin::expected);
}

Result<bool> Executor::has_heard(const Hole& hole) {
    return daemon::has_heard(hole, conntrack_);
}

Result<void> Executor::sweep(std::span<const MediaFlows> ended) {
    return delete_flows(conntrack_, ended, netfilter::FlowOrigin::expected);
}

Result<MediaCounts> Executor::count(std::span<const MediaFlows> media) {
    return count_packets(conntrack_, media, netfilter::FlowOrigin::expected);
}

std::vector<Error> Executor::take_over(const MediaTable& media, Knowledge knowledge) {
    std::vector<Error> faults;
    if (auto done = put_again(media); !done) faults.push_back(done.error());
    knowledge_ = knowledge;
    if (knowledge == Knowledge::some_calls) return faults;
    const auto present = expectations_.dump();
    if (!present) {
        faults.push_back(present.error());
        return faults;
    }
    // The last process may have ended between a change here and the state file, either way.
    const auto needed = needed_expectations(media);
    for (const auto& stale : without(*present, needed)) {
        if (auto done = expectations_.remove(stale); !done) faults.push_back(done.error());
    }
    if (auto done = expectations_.renew(without(needed, *present)); !done) {
        faults.push_back(done.error());
    }
    return faults;
}

Result<OutsideEndpoints> Executor::foreign_endpoints(const MediaTable& media) {
    auto endpoints = reply_destinations(conntrack_, media, std::nullopt);
    if (!endpoints || knowledge_ == Knowledge::all_calls) return endpoints;
    const auto unknown = unknown_expectations(media);
    if (!unknown) return tl::unexpected(unknown.error());
    for (const auto& expectation : *unknown) {
        const auto& [source, outside, transport] = expectation.match;
        const bool inbound = number(source.port) == 0;
        if (inbound) (*endpoints)[transport].insert(outside);
    }
    return endpoints;
}

Result<void> Executor::renew(const MediaTable& media, const std::set<Tuple>& masters) {
    return renew_if(media,
                    [&](const Mapping& mapping) { return masters.contains(mapping.master); });
}

Result<void> Executor::keep_up(const MediaTable& media, Time /*now*/) {
    return renew_if(
        media, [](const Mapping& mapping) { return mapping.media == ExpectClass::signalling; });
}

Result<void> Executor::renew_if(const MediaTable& media,
                                const std::function<bool(const Mapping&)>& condition) {
    return expectations_.renew(needed_expectations(media, condition));
}

/// Guards the ports of these mappings, resting ones for their rest, and no others.
Result<void> Executor::put_again(const MediaTable& media) {
    std::string flush;
    for (const auto* set :
         {netfilter::kMediaSet, netfilter::kSignallingSet, netfilter::kTcpSignallingSet}) {
        flush += "flush set inet " + std::string(netfilter::kTable) + " " + set + "\n";
    }
    flush += "flush map inet " + std::string(netfilter::kTable) + " hairpin\n";
    if (auto done = netfilter::run_ruleset(flush, netfilter::RulesetMode::load); !done) return done;
    std::vector<netfilter::SetElement> ports, udp, tcp;
    std::vector<Hole> hairpins;
    for (const auto& [key, mapping] : media.mappings()) {
        if (key.inside == mapping.outside) continue;
        const auto lifetime = mapping.uses.empty() ? std::optional(kRest) : std::nullopt;
        if (mapping.media == ExpectClass::signalling && !lifetime) {
            auto& signalling = key.transport == Transport::udp ? udp : tcp;
            signalling.push_back({mapping.outside, std::nullopt});
        }
        if (key.transport != Transport::udp) continue;
        ports.push_back({mapping.outside, lifetime});
        for (const auto& use : mapping.uses) {
            if (use.way != Way::hairpin) continue;
            hairpins.push_back(media.hole({key, use.remote, use.from, use.way}));
            hairpins.back().shares_port = false;
        }
    }
    if (auto done = guard_.update({}, ports); !done) return done;
    if (auto done = signalling_.udp.update({}, udp); !done) return done;
    if (auto done = signalling_.tcp.update({}, tcp); !done) return done;
    return hairpin_.update({{}, hairpin_elements(hairpins)});
}

/// Those that no call of ours has. If the state file does not tell, perhaps of calls that are up.
Result<std::vector<Expectation>> Executor::unknown_expectations(const MediaTable& media) {
    auto expectations = expectations_.dump();
    if (!expectations) return expectations;
    return without(*std::move(expectations), needed_expectations(media));
}

}  // namespace sipnat::daemon
