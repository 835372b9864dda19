// The fuzzer's own account of the holes that are open: from decisions alone, compared with what the
// engine's table says.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "property.h"
#include "sipnat/core/decision.h"
#include "sipnat/core/media_table.h"

namespace sipnat::fuzz {

/// One end of a signalling flow.
struct Side {
    Endpoint real;
    Endpoint shown;
    bool inside = false;
};

class HoleLedger {
  public:
    explicit HoleLedger(PortRange range) : low_(number(range.low)), high_(number(range.high)) {}

    void allow(PortRange range) {
        low_ = std::min(low_, number(range.low));
        high_ = std::max(high_, number(range.high));
    }

    /// `holes` of a message from `sender` to `receiver`.
    void open(const std::vector<Hole>& holes, const Side& sender, const Side& receiver) {
        for (const auto& hole : holes) {
            const bool of_sender = sender.inside && hole.inside.address == sender.real.address;
            const bool of_receiver =
                receiver.inside && hole.inside.address == receiver.real.address;
            require(of_sender || of_receiver, "a hole leads to a party of the flow");
            check_inside(hole, of_sender ? sender : receiver);
            check_remote(hole, of_sender ? sender : receiver, of_sender ? receiver : sender);
            require(open_.emplace(key(hole), hole).second, "an open hole is not opened again");
        }
    }

    void close(const std::vector<Hole>& holes) {
        for (const auto& hole : holes) {
            const auto found = open_.find(key(hole));
            require(found != open_.end(), "only open holes are closed");
            auto opened = found->second;
            opened.shares_port = hole.shares_port;
            // Signalling moves to the flow that its port was named on last, and all that hangs on a
            // connection to the flow that its call goes on on.
            if (is_signalling(hole) || opened.master.transport == Transport::tcp) {
                opened.master = hole.master;
                opened.inside_sends = hole.inside_sends;
            }
            require(opened == hole, "a hole is closed as it was opened");
            open_.erase(found);
            if (hole.remote) continue;
            const bool is_shared = std::ranges::any_of(open_, [&hole](const auto& other) {
                return !other.second.remote && has_same_port(other.second, hole);
            });
            require(hole.shares_port == is_shared, "the last one of a port is known as the last");
        }
    }

    void admit(const std::vector<Admission>& admissions) {
        for (const auto& [before, after] : admissions) {
            require(open_.erase(key(before)) == 1, "only open holes are made somebody else's");
            require(!is_signalling(after) && !after.remote, "who may send is a matter of media");
            require(open_.emplace(key(after), after).second, "one hole for one sender");
        }
    }

    void check_sweep(const std::vector<MediaFlows>& ended) const {
        for (const auto& media : ended) {
            for (const auto& [key, hole] : open_) {
                require(hole.transport != media.transport || hole.inside != media.inside ||
                            hole.outside != media.outside,
                        "no stream is swept while it is open");
            }
        }
    }

    /// What has to hold whenever no decision is under way.
    void check(const MediaTable& table) const {
        require(keys_of(table) == keys(), "the table knows the open holes and no others");
        std::map<std::pair<Transport, Endpoint>, Endpoint> inside_of;
        std::map<std::tuple<Transport, Endpoint, IpAddress>, Endpoint> outside_of;
        for (const auto& [key, hole] : open_) {
            if (hole.way == Way::direct) continue;
            const auto inside = inside_of.try_emplace({hole.transport, hole.outside}, hole.inside);
            require(inside.first->second == hole.inside, "an outside port leads to one endpoint");
            const auto outside = outside_of.try_emplace(
                {hole.transport, hole.inside, hole.outside.address}, hole.outside);
            require(outside.first->second == hole.outside, "an endpoint has one outside port");
            const auto& own = hole;
            const bool can_receive = std::ranges::any_of(open_, [&own](const auto& other) {
                return !other.second.remote && has_same_port(other.second, own);
            });
            require(can_receive, "what sends can also receive");
            require(!is_signalling(hole) || hole.from || hole.remote,
                    "signalling is from its peer");
        }
    }

    [[nodiscard]] std::size_t size() const { return open_.size(); }

  private:
    using Key = std::tuple<Transport, Endpoint, Endpoint, std::optional<Endpoint>,
                           std::optional<IpAddress>, Way>;

    static Key key(const Hole& hole) {
        return {hole.transport, hole.inside, hole.outside, hole.remote, hole.from, hole.way};
    }
    static bool has_same_port(const Hole& one, const Hole& other) {
        return one.transport == other.transport && one.outside == other.outside;
    }

    [[nodiscard]] std::set<Key> keys() const {
        std::set<Key> all;
        for (const auto& [key, hole] : open_) {
            all.insert(key);
        }
        return all;
    }

    static std::set<Key> keys_of(const MediaTable& table) {
        std::set<Key> all;
        for (const auto& [name, mapping] : table.mappings()) {
            for (const auto& use : mapping.uses) {
                require(use.users > 0, "a hole in the table has users");
                const auto hole = table.hole({name, use.remote, use.from, use.way});
                require(all.insert(key(hole)).second, "a hole stands in the table once");
            }
        }
        return all;
    }

    void check_inside(const Hole& hole, const Side& owner) const {
        require(number(hole.inside.port) >= 1024, "no hole leads to a server's port");
        if (hole.way == Way::direct) {
            require(hole.outside == hole.inside && hole.remote,
                    "past the NAT both ends are the same");
            return;
        }
        require(hole.outside.address == owner.shown.address, "a hole is on the owner's outside");
        if (owner.real.address == owner.shown.address) {
            require(hole.outside == hole.inside, "without NAT both ends are the same");
        } else {
            require(number(hole.outside.port) >= low_ && number(hole.outside.port) <= high_,
                    "outside ports are of the range");
        }
    }

    static void check_remote(const Hole& hole, const Side& owner, const Side& peer) {
        if (!hole.remote) return;
        const auto& address = hole.remote->address;
        const auto bytes = address_bytes(address);
        const auto byte = [&bytes](std::size_t at) {
            return static_cast<unsigned char>(bytes.at(at));
        };
        require(number(hole.remote->port) >= 1024, "no hole leads to a remote server's port");
        if (hole.way != Way::nat) {
            require(owner.real.address != owner.shown.address, "past the NAT is who is behind one");
            return;
        }
        require(address != owner.real.address && address != owner.shown.address,
                "no hole leads back to where it comes from");
        require(address.family() == owner.real.address.family(), "a hole has one family");
        if (bytes.size() == 4) {
            const bool link = byte(0) == 169 && byte(1) == 254;
            require(byte(0) != 0 && byte(0) != 127 && byte(0) < 224 && !link,
                    "a hole leads to a host");
            const bool local = byte(0) == 10 || (byte(0) == 192 && byte(1) == 168) ||
                               (byte(0) == 172 && byte(1) / 16 == 1);
            require(!local || address == peer.real.address, "a hole leads to no other inside host");
        } else {
            require(byte(0) != 0xff && bytes.substr(0, 15) != std::string(15, '\0'),
                    "a hole leads to a host");
        }
    }

    std::uint16_t low_;
    std::uint16_t high_;
    std::map<Key, Hole> open_;
};

}  // namespace sipnat::fuzz
