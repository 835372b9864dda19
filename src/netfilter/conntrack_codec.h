// IPCTNL_MSG_CT_*: conntrack entries as netlink messages and back. No I/O.
//
// libnetfilter_conntrack builds the entries that we create. The rest is on libmnl: that library
// knows neither CTA_ID in a request nor CTA_FILTER, and on an attribute of an unexpected length its
// parsers end the process (abi_breakage()).
#pragma once

#include "netfilter/wire.h"
#include "sipnat/netfilter/conntrack.h"

namespace sipnat::netfilter {

/// An entry and the kernel's name for it, which no later entry of the same tuples has.
struct DecodedFlow {
    FlowEntry flow;
    std::uint32_t id = 0;  ///< CTA_ID, as opaque as the kernel means it

    bool operator==(const DecodedFlow&) const = default;
};

/// How much of a dump's filtering is left to the kernel.
enum class KernelFilter : std::uint8_t { full, family_only };

void encode_create_flow(Buffer& out, std::uint32_t sequence, const FlowEntry& flow);
/// Without effect on anything but the timeout (kernel: ctnetlink_change_timeout).
void encode_prolong_flow(Buffer& out, std::uint32_t sequence, const Tuple& original,
                         std::uint32_t timeout);
/// Sets both directions' shifts and the helper's private data, and has the window tracking be liberal (kernel:
/// ctnetlink_change_seq_adj, nfnl_cthelper_from_nlattr, nlattr_to_tcp).
void encode_shift_flow(Buffer& out, std::uint32_t sequence, const Tuple& original,
                       const SequenceShifts& shifts, const std::optional<StreamMemo>& memo);
void encode_find_flow(Buffer& out, std::uint32_t sequence, const Tuple& tuple);
/// With an id only that very entry.
void encode_remove_flow(Buffer& out, std::uint32_t sequence, const Tuple& tuple,
                        std::optional<std::uint32_t> id);
void encode_dump_flows(Buffer& out, std::uint32_t sequence, const FlowFilter& filter,
                       KernelFilter kernel);

/// CTA_HELP with our helper's name and private data.
void put_memo(nlmsghdr* message, const StreamMemo& memo);

/// Reads the CTA_* attributes of an entry: a ctnetlink message's, or an NFQA_CT nest's, where a
/// flow's first packet shows an entry without kConfirmed. Nothing if a tuple is missing or not of
/// UDP or TCP.
[[nodiscard]] std::optional<DecodedFlow> decode_flow(Bytes attributes);

}  // namespace sipnat::netfilter
