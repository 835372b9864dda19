// Endpoints of inside hosts, and what each is called outside: those of the packet's flow, of mappings
// for signalling, and of flows that the same host opened to the same remote one.
//
//     REGISTER from 192.168.77.2:40000 (shown as 203.0.113.1:1030), Contact <sip:a@192.168.77.2>
//
//     192.168.77.2:40000   the flow's own
//     192.168.77.2:5060    a mapping's, or another flow's on which the phone has spoken already
//
// Flows are only remembered, and strangers can't add any: what is forgotten is asked of the kernel.
#pragma once

#include <optional>

#include "core/bounded_table.h"
#include "sipnat/base/time.h"
#include "sipnat/core/media_table.h"
#include "sipnat/core/nat_view.h"

namespace sipnat {

class KnownEndpoints {
  public:
    explicit KnownEndpoints(const MediaTable& mappings) : mappings_(mappings) {}

    /// A packet of a flow that `inside` opened to `remote`.
    void note_flow(const Party& inside, const IpAddress& remote, Transport transport, Time now);

    /// What port `real` of the inside party's host is called by `remote`, or was until a moment ago.
    [[nodiscard]] std::optional<Party> by_real(const Party& inside, Port real,
                                               const IpAddress& remote, Transport transport,
                                               Time now);
    /// The same, if it has a flow to `remote`.
    [[nodiscard]] std::optional<Party> by_flow(const Party& inside, Port real,
                                               const IpAddress& remote, Transport transport,
                                               Time now);
    /// Which endpoint of the inside party's host `remote` calls port `shown` of its outside address.
    [[nodiscard]] std::optional<Party> by_shown(const Party& inside, Port shown,
                                                const IpAddress& remote, Transport transport,
                                                Time now);

  private:
    /// An inside endpoint, or an outside one: a flow is found by either.
    struct Key {
        Endpoint endpoint;
        IpAddress remote;
        Transport transport = Transport::udp;
        bool operator==(const Key&) const = default;
    };
    struct Hash {
        std::size_t operator()(const Key& key) const noexcept;
    };
    struct Flow {
        Party inside;
        Time last{};
    };

    [[nodiscard]] std::optional<Party> flow(const Key& key, Time now);

    static constexpr std::size_t kCapacity = 32768;  // two for each flow; some 150 bytes each
    const MediaTable& mappings_;
    BoundedTable<Key, Flow, Hash> flows_{kCapacity};
};

}  // namespace sipnat
