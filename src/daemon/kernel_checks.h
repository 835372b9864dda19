// What both modes ask the kernel before they open media, and do after it has ended.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "daemon/media_gate.h"
#include "sipnat/netfilter/conntrack.h"
#include "sipnat/netfilter/route.h"

namespace sipnat::daemon {

/// The kernel's fault as its answer: nothing that another port would mend.
[[nodiscard]] KernelAnswer refused(const Error& error);

/// Why one of the decision's holes can't be opened: a socket holds its port, or no route leads to
/// its remote end beside the signalling peer. Changes nothing.
[[nodiscard]] std::optional<KernelAnswer> find_obstacle(const Decision& decision,
                                                        netfilter::Routes& routes);

/// An inside endpoint that is to get signalling has a translated flow to that peer already. Another
/// outside port for it would clash with that flow, whose reply tuple is the same.
[[nodiscard]] std::optional<KernelAnswer> find_signalling_flow(std::span<const Hole> holes,
                                                               netfilter::Conntrack& conntrack);

/// Deletes the flows with this tuple, in either direction, that the condition holds for.
using RemoveFlow = std::function<Result<void>(
    const Tuple& tuple, const std::function<bool(const FlowEntry&)>& condition)>;

/// Media that ran ahead of this hole made an entry that knows nothing of it: each of its packets would
/// refresh that, and expectations and maps are looked up for new flows only. `origin`: of the hole's own.
[[nodiscard]] Result<void> forget_early_media(const Hole& hole, netfilter::FlowOrigin origin,
                                              const RemoveFlow& remove_if);

/// A flow of this outbound hole has packets from its remote endpoint.
[[nodiscard]] Result<bool> has_heard(const Hole& hole, netfilter::Conntrack& conntrack);

/// Deletes the flows of this origin that went through these mappings.
[[nodiscard]] Result<void> delete_flows(netfilter::Conntrack& conntrack,
                                        std::span<const MediaFlows> ended,
                                        netfilter::FlowOrigin origin);

/// Deletes the flows of this origin that somebody else than `from` began towards these inbound holes.
[[nodiscard]] Result<void> evict(netfilter::Conntrack& conntrack, std::span<const Hole> holes,
                                 netfilter::FlowOrigin origin);

/// Adds up the packets of the flows of this origin that go through each of these mappings. Takes as long
/// as conntrack's table is.
[[nodiscard]] Result<MediaCounts> count_packets(netfilter::Conntrack& conntrack,
                                                std::span<const MediaFlows> media,
                                                netfilter::FlowOrigin origin);

/// Of a signalling flow's entry: seconds without packets.
inline constexpr std::uint32_t kEntryTimeout = 3600;

/// The outside endpoints that translated flows, of `transport` or of any, are answered at, without
/// those of `media`.
[[nodiscard]] Result<OutsideEndpoints> reply_destinations(netfilter::Conntrack& conntrack,
                                                          const MediaTable& media,
                                                          std::optional<Transport> transport);

}  // namespace sipnat::daemon
