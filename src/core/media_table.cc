#include "sipnat/core/media_table.h"

#include <algorithm>
#include <cstdlib>
#include <tuple>
#include <utility>

#include "core/port_pool.h"

namespace sipnat {

namespace {

auto use_of(Mapping& mapping, const HoleKey& key) {
    return std::ranges::find_if(mapping.uses, [&key](const Mapping::Use& use) {
        return use.remote == key.remote && use.from == key.from && use.way == key.way;
    });
}

bool is_signalling(ExpectClass media) {
    return media == ExpectClass::signalling;
}

void doubt(Mapping& mapping) {
    const bool is_connection = mapping.master.transport == Transport::tcp;
    if (is_connection && mapping.footing == Footing::held) mapping.footing = Footing::unsure;
}

bool needs_port(const MediaKey& key) {
    return key.outside != key.inside.address;
}

}  // namespace

Reason reason_of(Mapped mapped) {
    return mapped == Mapped::no_quota ? Reason::media_limit : Reason::no_media_port;
}

MediaTable::MediaTable(const Settings& settings)
    : pool_(std::make_unique<PortPool>(settings.media_ports)),
      keep_ports_(settings.keep_ports),
      most_per_host_(settings.media_per_host),
      most_(settings.media) {}

MediaTable::~MediaTable() = default;

void MediaTable::set_limits(const Settings& settings) {
    pool_->set_range(settings.media_ports);
    keep_ports_ = settings.keep_ports;
    most_per_host_ = settings.media_per_host;
    most_ = settings.media;
}

void MediaTable::exclude(const std::vector<PortRange>& ranges) {
    pool_->exclude(ranges);
}

const Mapping* MediaTable::find(const MediaKey& key) const {
    const auto found = mappings_.find(key);
    return found == mappings_.end() ? nullptr : &found->second;
}

std::optional<MediaKey> MediaTable::find_outside(const Endpoint& outside,
                                                 Transport transport) const {
    const auto found = by_outside_.find({outside, transport});
    return found == by_outside_.end() ? std::nullopt : std::optional(found->second);
}

bool MediaTable::has_quota(const IpAddress& host, std::size_t more) const {
    const auto of_host = per_host_.find(host);
    const auto present = of_host == per_host_.end() ? 0 : of_host->second;
    return present + more <= most_per_host_ && charged_ + more <= most_;
}

void MediaTable::charge(const IpAddress& host) {
    ++per_host_[host];
    ++charged_;
}

void MediaTable::discharge(const IpAddress& host) {
    const auto of_host = per_host_.find(host);
    if (--of_host->second == 0) per_host_.erase(of_host);
    --charged_;
}

Mapped MediaTable::map(std::span<const MediaKey> keys, ExpectClass media, const Anchor& anchor) {
    std::vector<MediaKey> missing;
    for (const auto& key : keys) {
        const auto found = mappings_.find(key);
        if (found == mappings_.end()) {
            // RTCP on RTP's own port (a=rtcp beside a=rtcp-mux) is one component.
            if (missing.empty()) missing.reserve(keys.size());
            if (std::ranges::count(missing, key) == 0) missing.push_back(key);
        } else if (found->second.uses.empty() && found->second.unused_since) {
            // A resting one comes back to life for its own endpoint, on the flow that needs it now.
            found->second.master = anchor.master;
            found->second.inside_sends = anchor.inside_sends;
            found->second.formers.clear();
            found->second.footing = Footing::held;
            found->second.media = media;
        } else if (is_signalling(found->second.media) != is_signalling(media)) {
            return Mapped::no_port;
        } else if (is_signalling(media)) {
            // The phone may have been restarted, and the flow of before end any time.
            move(found->second, anchor);
        }
    }
    if (missing.empty()) return Mapped::done;
    if (!has_quota(anchor.owner, missing.size())) return Mapped::no_quota;
    if (!needs_port(keys.front())) {
        for (const auto& key : missing)
            add(key, key.inside.port, media, anchor);
        return Mapped::done;
    }
    if (const auto* rtp = find(keys.front()); rtp != nullptr) {
        return map_beside(keys, rtp->outside.port, media, anchor);
    }
    const auto wanted = keep_ports_ ? std::optional(missing.front().inside.port) : std::nullopt;
    const auto run = pool_->take_run(missing.front().outside, missing.front().transport, wanted,
                                     static_cast<int>(missing.size()));
    if (!run) return Mapped::no_port;
    for (std::size_t i = 0; i < missing.size(); ++i) {
        add(missing[i], above(*run, static_cast<int>(i)), media, anchor);
    }
    return Mapped::done;
}

/// The rest of a stream whose RTP has a port: RTCP belongs right above it (nothing in SDP without
/// a=rtcp says otherwise), and goes elsewhere only if somebody else took that.
Mapped MediaTable::map_beside(std::span<const MediaKey> keys, Port rtp, ExpectClass media,
                              const Anchor& anchor) {
    for (std::size_t i = 1; i < keys.size(); ++i) {
        const auto& key = keys[i];
        if (mappings_.contains(key)) continue;
        const auto beside = above(rtp, static_cast<int>(i));
        const auto port = pool_->take_run(key.outside, key.transport, beside, 1);
        if (!port) {
            for (const auto& made : keys)
                drop_unused(made);
            return Mapped::no_port;
        }
        add(key, *port, media, anchor);
    }
    return Mapped::done;
}

void MediaTable::add(const MediaKey& key, Port port, ExpectClass media, const Anchor& anchor) {
    Mapping mapping;
    mapping.outside = {key.outside, port};
    mapping.master = anchor.master;
    mapping.inside_sends = anchor.inside_sends;
    mapping.media = media;
    by_outside_.emplace(std::pair{mapping.outside, key.transport}, key);
    mapping.owner = anchor.owner;
    mappings_.emplace(key, std::move(mapping));
    charge(anchor.owner);
}

void MediaTable::move(Mapping& mapping, const Anchor& anchor) {
    auto& formers = mapping.formers;
    if (mapping.master != anchor.master) {
        std::erase_if(formers, [&](const auto& former) { return former.first == anchor.master; });
        if (mapping.footing != Footing::lost && formers.size() < kMostFormers) {
            formers.emplace_back(mapping.master, mapping.inside_sends);
        }
        mapping.master = anchor.master;
        mapping.inside_sends = anchor.inside_sends;
    }
    if (std::exchange(mapping.footing, Footing::held) != Footing::held) {
        to_renew_.insert(mapping.master);
    }
}

void MediaTable::follow(const MediaKey& key, const Anchor& anchor) {
    auto& mapping = mappings_.at(key);
    if (mapping.master.transport == Transport::tcp) move(mapping, anchor);
}

void MediaTable::note_ended(const std::unordered_set<Tuple>& flows) {
    for (auto& [key, mapping] : mappings_) {
        if (mapping.uses.empty()) continue;
        auto& formers = mapping.formers;
        const auto lost = std::erase_if(
            formers, [&flows](const auto& former) { return flows.contains(former.first); });
        if (!flows.contains(mapping.master)) {
            if (lost > 0) to_renew_.insert(mapping.master);
        } else if (mapping.master.transport == Transport::udp) {
            continue;
        } else if (formers.empty()) {
            mapping.footing = Footing::lost;
        } else {
            std::tie(mapping.master, mapping.inside_sends) = formers.back();
            formers.pop_back();
            to_renew_.insert(mapping.master);
        }
    }
}

void MediaTable::doubt_connections() {
    for (auto& [key, mapping] : mappings_)
        doubt(mapping);
}

bool MediaTable::acquire(const HoleKey& key) {
    auto& mapping = mappings_.at(key.mapping);
    if (const auto use = use_of(mapping, key); use != mapping.uses.end()) {
        ++use->users;
        return false;
    }
    if (mapping.uses.empty() && mapping.unused_since) mapping.from.reset();  // it rested
    mapping.uses.push_back({key.remote, key.from, key.way, 1});
    return true;
}

bool MediaTable::release(const HoleKey& key, Time now) {
    auto& mapping = mappings_.at(key.mapping);
    const auto use = use_of(mapping, key);
    if (use == mapping.uses.end()) std::abort();
    if (--use->users > 0) return false;
    mapping.uses.erase(use);
    if (mapping.uses.empty()) {
        mapping.unused_since = now;
        mapping.swept = false;
        to_sweep_.push_back({now, key.mapping});
        resting_.push_back({now, key.mapping});
    }
    return true;
}

void MediaTable::undo(const HoleKey& key) {
    auto& mapping = mappings_.at(key.mapping);
    const auto use = use_of(mapping, key);
    if (use == mapping.uses.end()) std::abort();
    if (--use->users == 0) mapping.uses.erase(use);
    drop_unused(key.mapping);
}

Hole MediaTable::hole(const HoleKey& key) const {
    const auto& mapping = mappings_.at(key.mapping);
    Hole hole;
    hole.master = mapping.master;
    hole.inside_sends = mapping.inside_sends;
    hole.transport = key.mapping.transport;
    hole.media = mapping.media;
    hole.inside = key.mapping.inside;
    hole.outside = key.way == Way::direct ? key.mapping.inside : mapping.outside;
    hole.remote = key.remote;
    hole.from = key.from || key.remote ? key.from : mapping.from;
    hole.way = key.way;
    hole.shares_port = std::ranges::any_of(mapping.uses, [&key](const Mapping::Use& use) {
        if (!key.remote) return !use.remote && use.from != key.from;
        return key.way == Way::hairpin && use.way == Way::hairpin && use.remote != key.remote &&
               use.remote->address == key.remote->address;
    });
    return hole;
}

std::optional<Admission> MediaTable::admit(const MediaKey& key,
                                           const std::optional<IpAddress>& from) {
    auto& mapping = mappings_.at(key);
    if (mapping.from == from) return std::nullopt;
    Admission admission;
    admission.before = hole({key, std::nullopt});
    mapping.from = from;
    admission.after = hole({key, std::nullopt});
    return admission;
}

void MediaTable::erase(const MediaKey& key) {
    const auto found = mappings_.find(key);
    if (needs_port(key)) pool_->give_back(found->second.outside, key.transport);
    // Without NAT its port may be another's as well: the kernel refuses that.
    const auto leads = by_outside_.find({found->second.outside, key.transport});
    if (leads != by_outside_.end() && leads->second == key) by_outside_.erase(leads);
    discharge(found->second.owner);
    mappings_.erase(found);
}

void MediaTable::drop_unused(const MediaKey& key) {
    const auto found = mappings_.find(key);
    const bool fresh =
        found != mappings_.end() && found->second.uses.empty() && !found->second.unused_since;
    if (fresh) erase(key);
}

void MediaTable::block(const Endpoint& outside, Transport transport, Time now) {
    // Who rests on a port that was lost to somebody else has to get another.
    if (const auto key = find_outside(outside, transport)) {
        if (mappings_.at(*key).uses.empty()) erase(*key);
    }
    if (!pool_->take(outside, transport)) return;
    blocked_.emplace(now + kRest, Blocked{outside, transport, std::nullopt});
}

void MediaTable::claim(const IpAddress& host, const Endpoint& outside, Transport transport,
                       Time now) {
    if (!has_quota(host, 1) || !pool_->take(outside, transport)) return;
    charge(host);
    blocked_.emplace(now + kClaim, Blocked{outside, transport, host});
}

void MediaTable::set_foreign(OutsideEndpoints endpoints) {
    pool_->set_foreign(std::move(endpoints));
}

bool MediaTable::restore(const MediaKey& key, const Mapping& mapping) {
    if (mappings_.contains(key)) return true;
    if (needs_port(key) && !pool_->take(mapping.outside, key.transport)) return false;
    by_outside_.emplace(std::pair{mapping.outside, key.transport}, key);
    auto& restored = mappings_.emplace(key, mapping).first->second;
    doubt(restored);
    charge(mapping.owner);
    return true;
}

void MediaTable::collect_due(Time now, Due& due) {
    const auto unused_since = [this](const Timer& timer) {
        const auto found = mappings_.find(timer.key);
        const bool still = found != mappings_.end() && found->second.uses.empty() &&
                           found->second.unused_since == timer.since;
        return still ? &found->second : nullptr;
    };
    for (; !to_sweep_.empty() && to_sweep_.front().since + kGrace <= now; to_sweep_.pop_front()) {
        const auto& timer = to_sweep_.front();
        if (Mapping* mapping = unused_since(timer); mapping != nullptr && !mapping->swept) {
            mapping->swept = true;
            // A connection is not over with the registration or the call, and its two ends would wait.
            if (is_signalling(mapping->media) && timer.key.transport == Transport::tcp) continue;
            due.sweep.push_back({timer.key.transport, timer.key.inside, mapping->outside});
        }
    }
    for (; !resting_.empty() && resting_.front().since + kRest <= now; resting_.pop_front()) {
        const auto timer = resting_.front();
        if (unused_since(timer) != nullptr) erase(timer.key);
    }
    due.renew.assign(to_renew_.begin(), to_renew_.end());
    to_renew_.clear();
    while (!blocked_.empty() && blocked_.begin()->first <= now) {
        const auto& blocked = blocked_.begin()->second;
        pool_->give_back(blocked.endpoint, blocked.transport);
        if (blocked.host) discharge(*blocked.host);
        blocked_.erase(blocked_.begin());
    }
}

std::optional<Time> MediaTable::next_due() const {
    std::optional<Time> next;
    const auto consider = [&next](Time time) { next = next ? std::min(*next, time) : time; };
    if (!to_renew_.empty()) consider(Time{});
    if (!to_sweep_.empty()) consider(to_sweep_.front().since + kGrace);
    if (!resting_.empty()) consider(resting_.front().since + kRest);
    if (!blocked_.empty()) consider(blocked_.begin()->first);
    return next;
}

}  // namespace sipnat
