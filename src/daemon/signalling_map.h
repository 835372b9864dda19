// nft-map mode: which outside port stands for which phone's signalling, and who may use it.
//
//     wan0  192.168.77.2:5060 ──► 203.0.113.1:5060      senders 203.0.113.10, 203.0.113.20
//
// One outside port for each inside endpoint and outside address, whoever the phone talks to (RFC
// 4787 4.1); towards it only those may open a flow whom the phone has talked to (5). A mapping ends
// after kSilence without a packet, as a registration does. What it says must be in the kernel's maps
// is returned as changes: this object does no I/O.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "sipnat/base/time.h"
#include "sipnat/netfilter/nat_maps.h"

namespace sipnat::daemon {

class SignallingMap {
  public:
    /// Above what registrars grant (3600 s), since a phone registers again before that.
    static constexpr std::chrono::seconds kSilence{4000};
    /// Elements are put again when they are so old, with a life of kElementLife: they outlive
    /// kSilence also when sipnatd is down for a while.
    static constexpr std::chrono::seconds kPutAgain{1800};
    static constexpr std::chrono::seconds kElementLife{7200};

    struct Limits {
        std::size_t of_a_host = 64;     ///< mappings of one inside address
        std::size_t all = 16384;        ///< mappings
        std::size_t of_a_mapping = 16;  ///< senders
    };

    struct Mapping {
        struct Use {
            Time last{};
            Time put{};
        };
        std::string interface;
        Endpoint inside;
        Endpoint outside;
        std::map<IpAddress, Use> senders;
        Time last{};
    };

    SignallingMap() = default;
    explicit SignallingMap(Limits limits) : limits_(limits) {}

    /// Nothing when there is none. Ends with the next call.
    [[nodiscard]] const Mapping* find(const IpAddress& outside, const Endpoint& inside) const;
    [[nodiscard]] const Mapping* find_outside(const Endpoint& outside) const;

    struct Added {
        bool added = false;             ///< false: a limit is reached, or an end is mapped already
        netfilter::NatChanges changes;  ///< what had to go for it: the host's most silent mapping
    };
    [[nodiscard]] Added add(const std::string& interface, const Endpoint& inside,
                            const Endpoint& outside, Time now);

    /// A packet between a mapping, which must be there, and `sender`: what has to be put into the
    /// kernel for it. Over the limit of senders the most silent one goes.
    [[nodiscard]] netfilter::NatChanges touch(const Endpoint& outside, const IpAddress& sender,
                                              Time now);
    /// The changes of the last touch() did not get into the kernel: the next one says them again.
    void not_put(const Endpoint& outside, const IpAddress& sender);

    /// Ends what has been silent too long.
    [[nodiscard]] netfilter::NatChanges expire(Time now);
    /// All of it, as put now.
    [[nodiscard]] std::vector<netfilter::NatElement> all(Time now);
    /// Takes back what `contacts` holds, with the time that its elements have left.
    void restore(const std::vector<netfilter::NatElement>& contacts,
                 const std::function<std::optional<std::string>(const IpAddress&)>& interface_of,
                 Time now);

    /// Ends this mapping, if it is there, and leaves its elements: they are another's.
    void forget(const Endpoint& outside);

    /// Outside endpoints of media of calls that perhaps are up, though nothing is known of them:
    /// nobody else may get them.
    void set_left(std::set<Endpoint> endpoints) { left_ = std::move(endpoints); }
    [[nodiscard]] const std::set<Endpoint>& left() const { return left_; }
    [[nodiscard]] bool is_left(const Endpoint& outside) const { return left_.contains(outside); }

    [[nodiscard]] std::size_t size() const { return mappings_.size(); }
    /// Mappings that a limit refused.
    [[nodiscard]] std::uint64_t refused() const { return refused_; }

  private:
    using Key = std::pair<IpAddress, Endpoint>;  // outside address, inside endpoint

    [[nodiscard]] Mapping* at(const Endpoint& outside);
    void end(const Key& key, netfilter::NatChanges& changes);
    [[nodiscard]] Key most_silent_of(const std::set<Key>& keys) const;

    Limits limits_;
    std::map<Key, Mapping> mappings_;
    std::map<Endpoint, Key> by_outside_;
    std::map<IpAddress, std::set<Key>> of_host_;
    std::set<Endpoint> left_;
    std::uint64_t refused_ = 0;
};

/// The outside port for a phone's signalling: its own if that is one (1024 and up) and free, else
/// the highest of `range` that is, since media takes the lowest. `is_ours` says which ones need no
/// question; `is_free`, which asks the kernel, is called for at most 1,001 ports.
[[nodiscard]] std::optional<Port> choose_signalling_port(Port own, const PortRange& range,
                                                         const std::function<bool(Port)>& is_ours,
                                                         const std::function<bool(Port)>& is_free);

}  // namespace sipnat::daemon
