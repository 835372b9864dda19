// The maps of nft-map mode as the kernel keeps them: what a transaction may not do fails all of it.
#pragma once

#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "sipnat/netfilter/nat_maps.h"

namespace sipnat::daemon {

class FakeMaps {
  public:
    using Key = std::tuple<netfilter::NatSet, std::string, std::optional<IpAddress>, Endpoint>;

    [[nodiscard]] Result<void> update(const netfilter::NatChanges& changes) {
        auto next = elements_;
        // As one batch has it: a removal is put there first, and is no removal twice.
        for (const auto& element : changes.remove) {
            if (!put(next, element)) return fail_errno("update nft maps", "", EEXIST);
        }
        for (const auto& element : changes.remove) {
            if (next.erase(key_of(element)) == 0) return fail_errno("update nft maps", "", ENOENT);
        }
        for (const auto& element : changes.add) {
            if (!put(next, element)) return fail_errno("update nft maps", "", EEXIST);
        }
        elements_ = std::move(next);
        return {};
    }
    [[nodiscard]] std::vector<netfilter::NatElement> list(netfilter::NatSet set) const {
        std::vector<netfilter::NatElement> listed;
        for (const auto& [key, element] : elements_) {
            if (element.set == set) listed.push_back(element);
        }
        return listed;
    }
    [[nodiscard]] const netfilter::NatElement* find(const netfilter::NatElement& like) const {
        const auto found = elements_.find(key_of(like));
        return found == elements_.end() ? nullptr : &found->second;
    }
    [[nodiscard]] const std::map<Key, netfilter::NatElement>& elements() const { return elements_; }

  private:
    static Key key_of(const netfilter::NatElement& element) {
        return {element.set, element.interface, element.address, element.key};
    }
    static bool put(std::map<Key, netfilter::NatElement>& elements,
                    const netfilter::NatElement& element) {
        const auto [at, is_new] = elements.emplace(key_of(element), element);
        return is_new || at->second.target == element.target;
    }

    std::map<Key, netfilter::NatElement> elements_;
};

}  // namespace sipnat::daemon
