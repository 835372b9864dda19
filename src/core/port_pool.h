// Which outside ports are taken: one bit a port for each outside address and transport.
//
// Ports are handed out in runs that begin even (RTP, RTCP, RTP, RTCP, …; RFC 3550 11): the wanted
// one if it lies in the range and is free, else the lowest. The number of addresses is that of the
// gateway's own outside addresses.
#pragma once

#include <bitset>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "sipnat/core/settings.h"
#include "sipnat/net/address.h"

namespace sipnat {

class PortPool {
  public:
    explicit PortPool(PortRange range) : range_(range) {}

    /// Takes `length` ports in a row. `wanted` must be even for a run of more than one to be kept.
    [[nodiscard]] std::optional<Port> take_run(const IpAddress& address, Transport transport,
                                               std::optional<Port> wanted, int length);
    /// Takes this very port, in the range or not; false when it is taken already.
    bool take(const Endpoint& endpoint, Transport transport);
    void give_back(const Endpoint& endpoint, Transport transport);
    /// Ports taken before stay taken, also outside the new range.
    void set_range(PortRange range);
    /// These are given out on no address, in the place of those excluded before.
    void exclude(const std::vector<PortRange>& ranges);
    /// Nor are these endpoints, which others use, in the place of those named before.
    void set_foreign(std::map<Transport, std::set<Endpoint>> endpoints);
    [[nodiscard]] std::size_t taken() const;

  private:
    struct Space {
        std::bitset<65536> taken;
        int first_hope = 0;  // no even pair below is free
    };
    using Key = std::pair<IpAddress, Transport>;

    [[nodiscard]] bool run_is_free(const Key& key, const Space& space, int first, int length) const;

    PortRange range_;
    std::bitset<65536> excluded_;
    std::map<Transport, std::set<Endpoint>> foreign_;
    std::map<Key, Space> spaces_;
};

}  // namespace sipnat
