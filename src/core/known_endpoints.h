// Endpoints of inside hosts, and what each is called outside: those of the packet's flow, of mappings
// for signalling, and of flows that the same host opened to the same remote one.
//
//     REGISTER from 192.168.77.2:40000 (shown as 203.0.113.1:1030), Contact <sip:a@192.168.77.2>
//
//     192.168.77.2:40000   the flow's own
//     192.168.77.2:5060    a mapping's, or another flow's on which the phone has spoken already
//
// A URI without word of its transport names UDP (RFC 3263 4.1: a numeric host, no transport), whatever
// carries it: a phone that registers over UDP sends a long INVITE by TCP and keeps its Contact (RFC
// 3261 18.1.1). Phones that speak TCP alone write it too. Kamailio and Asterisk then call over UDP,
// or, told to mend NAT, by the connection that the REGISTER came on, and neither tries TCP to that
// port. So with such a URI
//
//     the sender means     its UDP endpoint, if that is known; else its own of this very flow
//     the receiver reads   the same, and after that its TCP endpoint with that port
//
// Flows are only remembered, and strangers can't add any: what is forgotten is asked of the kernel.
#pragma once

#include <optional>

#include "core/bounded_table.h"
#include "core/endpoint_text.h"
#include "sipnat/base/time.h"
#include "sipnat/core/media_table.h"
#include "sipnat/core/nat_view.h"

namespace sipnat {

/// An inside party's end of a packet's flow.
struct FlowEnd {
    const Party& inside;
    const IpAddress& remote;
    Transport transport = Transport::udp;
};

class KnownEndpoints {
  public:
    explicit KnownEndpoints(const MediaTable& mappings) : mappings_(mappings) {}

    /// A packet of this flow, which its inside party opened.
    void note_flow(const FlowEnd& flow, Time now);
    /// It is no more: nobody reaches its inside party by it.
    void note_ended(const FlowTuples& flow);

    /// What port `real` of the inside party's host is called by the remote one, or was until a moment
    /// ago.
    [[nodiscard]] std::optional<Party> by_real(const FlowEnd& own, Port real, SaidTransport said,
                                               Time now);
    [[nodiscard]] std::optional<Party> by_real(const FlowEnd& own, Port real, Transport transport,
                                               Time now);
    /// The same, if it has a flow to the remote one.
    [[nodiscard]] std::optional<Party> by_flow(const FlowEnd& own, Port real, Transport transport,
                                               Time now);
    /// Which endpoint of the inside party's host the remote one calls port `shown` of its outside
    /// address.
    [[nodiscard]] std::optional<Party> by_shown(const FlowEnd& own, Port shown, SaidTransport said,
                                                Time now);
    [[nodiscard]] std::optional<Party> by_shown(const FlowEnd& own, Port shown, Transport transport,
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
        bool has_ended = false;
    };

    [[nodiscard]] std::optional<Party> flow(const Key& key, Time now);

    static constexpr std::size_t kCapacity = 32768;  // two for each flow; some 150 bytes each
    const MediaTable& mappings_;
    BoundedTable<Key, Flow, Hash> flows_{kCapacity};
};

}  // namespace sipnat
