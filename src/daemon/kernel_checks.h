// What both modes ask the kernel before they open media, and do after it has ended.
#pragma once

#include <optional>
#include <span>

#include "daemon/media_gate.h"
#include "sipnat/netfilter/conntrack.h"
#include "sipnat/netfilter/route.h"

namespace sipnat::daemon {

/// Why one of the decision's holes can't be opened: a socket holds its port, or no route leads to
/// its remote end beside the signalling peer. Changes nothing.
[[nodiscard]] std::optional<KernelAnswer> find_obstacle(const Decision& decision,
                                                        netfilter::Routes& routes);

/// Deletes the flows of this origin that went through these mappings.
[[nodiscard]] Result<void> delete_flows(netfilter::Conntrack& conntrack,
                                        std::span<const EndedMedia> ended,
                                        netfilter::FlowOrigin origin);

/// Adds the outside endpoints that conntrack's UDP flows are answered at.
void add_reply_destinations(netfilter::Conntrack& conntrack, TakenOver& taken);

}  // namespace sipnat::daemon
