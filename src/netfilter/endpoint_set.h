// One nf_tables batch that removes and adds elements of a set, as bytes. No I/O.
#pragma once

#include "netfilter/wire.h"
#include "sipnat/base/result.h"
#include "sipnat/netfilter/ruleset.h"

namespace sipnat::netfilter {

struct SetName {
    std::string table;
    std::string set;
};

/// How a removal treats elements that are not there: the kernel fails the batch over one, unless
/// it was added in the same batch.
enum class Removal : std::uint8_t { exact, add_first };

/// Fails with EAFNOSUPPORT on an IPv6 endpoint, ENOMEM where libnftnl is out of memory.
[[nodiscard]] Result<Buffer> encode_set_update(const SetName& name, std::uint32_t sequence,
                                               std::span<const Endpoint> remove,
                                               std::span<const SetElement> add, Removal removal);

}  // namespace sipnat::netfilter
