// nf_tables batches and dumps of nft-map mode, as bytes. No I/O.
#pragma once

#include "netfilter/wire.h"
#include "sipnat/base/result.h"
#include "sipnat/netfilter/nat_maps.h"

namespace sipnat::netfilter {

[[nodiscard]] const char* name_of(NatSet set);

/// Sequence numbers that one batch may use.
inline constexpr std::uint32_t kBatchSequences = 3 * std::uint32_t{kAllNatSets.size()} + 2;

/// One batch, from `sequence` on. Elements of one set must fit into 64 kB: some 1,000. Only the last
/// message asks for an ACK.
/// Fails with EAFNOSUPPORT on an IPv6 address, EINVAL on a target too many or too few, ENOMEM.
[[nodiscard]] Result<Buffer> encode_nat_batch(std::uint32_t sequence, const char* table,
                                              std::span<const NatElement> remove,
                                              std::span<const NatElement> add);

void encode_list_set(Buffer& out, std::uint32_t sequence, const char* table, NatSet set);
/// Appends the elements of one answer's attributes. False if they can't be read.
[[nodiscard]] bool decode_elements(Bytes attributes, NatSet set, std::vector<NatElement>& elements);

/// Empties `chain` and appends NFQUEUE (revision 3) with bypass.
[[nodiscard]] Result<Buffer> encode_queue_target(std::uint32_t sequence, const char* chain,
                                                 QueueNumber first, std::uint16_t count);
inline constexpr std::uint32_t kTargetSequences = 4;

}  // namespace sipnat::netfilter
