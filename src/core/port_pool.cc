#include "core/port_pool.h"

#include <algorithm>

namespace sipnat {

bool PortPool::run_is_free(const Key& key, const Space& space, int first, int length) const {
    if (first < number(range_.low) || first + length - 1 > number(range_.high)) return false;
    for (int port = first; port < first + length; ++port) {
        const auto index = static_cast<std::size_t>(port);
        if (space.taken.test(index) || excluded_.test(index)) return false;
    }
    const auto foreign = foreign_.find(key.second);
    if (foreign == foreign_.end()) return true;
    const auto next = foreign->second.lower_bound({key.first, static_cast<Port>(first)});
    return next == foreign->second.end() || next->address != key.first ||
           number(next->port) >= first + length;
}

std::optional<Port> PortPool::take_run(const IpAddress& address, Transport transport,
                                       std::optional<Port> wanted, int length) {
    const Key key{address, transport};
    auto& space = spaces_[key];
    const auto take_all = [&](int first) {
        for (int port = first; port < first + length; ++port) {
            space.taken.set(static_cast<std::size_t>(port));
        }
        return static_cast<Port>(first);
    };
    if (wanted && (length == 1 || number(*wanted) % 2 == 0) &&
        run_is_free(key, space, number(*wanted), length)) {
        return take_all(number(*wanted));
    }
    const int low = number(range_.low) + number(range_.low) % 2;
    const int start = length == 1 ? low : std::max(low, space.first_hope);
    bool pair_passed = false;  // a longer run may pass over pairs that stay free
    for (int first = start; first <= number(range_.high); first += 2) {
        if (run_is_free(key, space, first, length)) {
            if (length > 1 && !pair_passed) space.first_hope = first;
            return take_all(first);
        }
        pair_passed = pair_passed || run_is_free(key, space, first, 2);
    }
    return std::nullopt;
}

bool PortPool::take(const Endpoint& endpoint, Transport transport) {
    auto& space = spaces_[{endpoint.address, transport}];
    const auto port = number(endpoint.port);
    if (space.taken.test(port)) return false;
    space.taken.set(port);
    return true;
}

void PortPool::give_back(const Endpoint& endpoint, Transport transport) {
    const auto space = spaces_.find({endpoint.address, transport});
    if (space == spaces_.end()) return;
    const int port = number(endpoint.port);
    space->second.taken.reset(static_cast<std::size_t>(port));
    space->second.first_hope = std::min(space->second.first_hope, port - port % 2);
}

void PortPool::set_range(PortRange range) {
    range_ = range;
    for (auto& [key, space] : spaces_)
        space.first_hope = 0;
}

void PortPool::exclude(const std::vector<PortRange>& ranges) {
    excluded_.reset();
    for (const auto& range : ranges) {
        for (int port = number(range.low); port <= number(range.high); ++port) {
            excluded_.set(static_cast<std::size_t>(port));
        }
    }
    set_range(range_);
}

void PortPool::set_foreign(std::map<Transport, std::set<Endpoint>> endpoints) {
    foreign_ = std::move(endpoints);
    set_range(range_);
}

std::size_t PortPool::taken() const {
    std::size_t count = 0;
    for (const auto& [key, space] : spaces_)
        count += space.taken.count();
    return count;
}

}  // namespace sipnat
