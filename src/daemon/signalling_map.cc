#include "daemon/signalling_map.h"

#include <algorithm>

namespace sipnat::daemon {

namespace {

using netfilter::NatChanges;
using netfilter::NatElement;
using netfilter::NatSet;

constexpr int kMostTries = 1000;

NatElement contact(const SignallingMap::Mapping& mapping, const IpAddress& sender) {
    return {NatSet::contacts,           mapping.outside, mapping.inside, sender, "",
            SignallingMap::kElementLife};
}

NatElement out(const SignallingMap::Mapping& mapping) {
    return {NatSet::out,  mapping.inside,    mapping.outside,
            std::nullopt, mapping.interface, SignallingMap::kElementLife};
}

NatElement signalling(const SignallingMap::Mapping& mapping) {
    return {NatSet::signalling,         mapping.outside, std::nullopt, std::nullopt, "",
            SignallingMap::kElementLife};
}

template <class Uses>
auto most_silent(Uses& senders) {
    return std::ranges::min_element(senders, {},
                                    [](const auto& sender) { return sender.second.last; });
}

}  // namespace

const SignallingMap::Mapping* SignallingMap::find(const IpAddress& outside,
                                                  const Endpoint& inside) const {
    const auto found = mappings_.find({outside, inside});
    return found == mappings_.end() ? nullptr : &found->second;
}

const SignallingMap::Mapping* SignallingMap::find_outside(const Endpoint& outside) const {
    const auto found = by_outside_.find(outside);
    return found == by_outside_.end() ? nullptr : &mappings_.at(found->second);
}

SignallingMap::Mapping* SignallingMap::at(const Endpoint& outside) {
    const auto found = by_outside_.find(outside);
    return found == by_outside_.end() ? nullptr : &mappings_.at(found->second);
}

SignallingMap::Added SignallingMap::add(const std::string& interface, const Endpoint& inside,
                                        const Endpoint& outside, Time now) {
    Added result;
    if (by_outside_.contains(outside) || mappings_.contains({outside.address, inside}))
        return result;
    const auto host = of_host_.find(inside.address);
    if (host != of_host_.end() && host->second.size() >= limits_.of_a_host) {
        end(most_silent_of(host->second), result.changes);
    }
    if (mappings_.size() >= limits_.all) {
        ++refused_;
        return result;
    }
    const Key key{outside.address, inside};
    mappings_[key] = {interface, inside, outside, {}, now};
    by_outside_[outside] = key;
    of_host_[inside.address].insert(key);
    result.added = true;
    return result;
}

SignallingMap::Key SignallingMap::most_silent_of(const std::set<Key>& keys) const {
    return *std::ranges::min_element(keys, {},
                                     [this](const Key& key) { return mappings_.at(key).last; });
}

NatChanges SignallingMap::touch(const Endpoint& outside, const IpAddress& sender, Time now) {
    NatChanges changes;
    auto* mapping = at(outside);
    if (mapping == nullptr) return changes;
    mapping->last = now;
    auto known = mapping->senders.find(sender);
    if (known != mapping->senders.end() && now - known->second.put < kPutAgain) {
        known->second.last = now;
        return changes;
    }
    if (known == mapping->senders.end() && mapping->senders.size() >= limits_.of_a_mapping) {
        const auto oldest = most_silent(mapping->senders);
        changes.remove.push_back(contact(*mapping, oldest->first));
        mapping->senders.erase(oldest);
    }
    mapping->senders[sender] = {now, now};
    for (const auto& element : {contact(*mapping, sender), out(*mapping), signalling(*mapping)}) {
        changes.remove.push_back(element);  // or it would keep the life that it has
        changes.add.push_back(element);
    }
    return changes;
}

void SignallingMap::not_put(const Endpoint& outside, const IpAddress& sender) {
    auto* mapping = at(outside);
    if (mapping == nullptr) return;
    mapping->senders.erase(sender);
    if (!mapping->senders.empty()) return;
    NatChanges nothing;
    end({outside.address, mapping->inside}, nothing);
}

void SignallingMap::end(const Key& key, NatChanges& changes) {
    const auto found = mappings_.find(key);
    const auto& mapping = found->second;
    for (const auto& [sender, use] : mapping.senders)
        changes.remove.push_back(contact(mapping, sender));
    changes.remove.push_back(out(mapping));
    changes.remove.push_back(signalling(mapping));
    by_outside_.erase(mapping.outside);
    const auto host = of_host_.find(mapping.inside.address);
    host->second.erase(key);
    if (host->second.empty()) of_host_.erase(host);
    mappings_.erase(found);
}

void SignallingMap::forget(const Endpoint& outside) {
    const auto found = by_outside_.find(outside);
    if (found == by_outside_.end()) return;
    NatChanges theirs;
    end(Key(found->second), theirs);
}

NatChanges SignallingMap::expire(Time now) {
    NatChanges changes;
    std::vector<Key> over;
    for (auto& [key, mapping] : mappings_) {
        if (now - mapping.last >= kSilence) {
            over.push_back(key);
            continue;
        }
        for (auto sender = mapping.senders.begin(); sender != mapping.senders.end();) {
            if (now - sender->second.last < kSilence) {
                ++sender;
                continue;
            }
            changes.remove.push_back(contact(mapping, sender->first));
            sender = mapping.senders.erase(sender);
        }
    }
    for (const auto& key : over)
        end(key, changes);
    return changes;
}

std::vector<NatElement> SignallingMap::all(Time now) {
    std::vector<NatElement> elements;
    for (auto& [key, mapping] : mappings_) {
        for (auto& [sender, use] : mapping.senders) {
            use.put = now;
            elements.push_back(contact(mapping, sender));
        }
        elements.push_back(out(mapping));
        elements.push_back(signalling(mapping));
    }
    return elements;
}

void SignallingMap::restore(
    const std::vector<NatElement>& contacts,
    const std::function<std::optional<std::string>(const IpAddress&)>& interface_of, Time now) {
    for (const auto& element : contacts) {
        if (!element.target || !element.address || !element.lifetime) continue;
        const auto interface = interface_of(element.key.address);
        if (!interface) continue;
        const auto* mapping = find_outside(element.key);
        if (mapping == nullptr) {
            if (!add(*interface, *element.target, element.key, Time{}).added) continue;
        } else if (mapping->inside != *element.target) {
            continue;
        }
        // When it was put is when it was last used, or up to kPutAgain before that.
        const auto age = std::chrono::duration_cast<EngineClock::duration>(
            std::max<std::chrono::milliseconds>(kElementLife - *element.lifetime, {}));
        auto* restored = at(element.key);
        const auto put = now - age;
        restored->senders[*element.address] = {put, put};
        restored->last = std::max(restored->last, put);
    }
}

std::optional<Port> choose_signalling_port(Port own, const PortRange& range,
                                           const std::function<bool(Port)>& is_ours,
                                           const std::function<bool(Port)>& is_free) {
    if (own >= kFirstUserPort && !is_ours(own) && is_free(own)) return own;
    int tries = 0;
    for (int at = number(range.high); at >= number(range.low) && tries < kMostTries; --at) {
        const auto port = static_cast<Port>(at);
        if (is_ours(port)) continue;
        if (is_free(port)) return port;
        ++tries;
    }
    return std::nullopt;
}

}  // namespace sipnat::daemon
