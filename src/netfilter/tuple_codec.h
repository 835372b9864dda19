// CTA_TUPLE_*: the form in which ctnetlink writes a tuple everywhere (entries, expectations, masks,
// the NAT part of an expectation).
//
//     CTA_TUPLE_xxx { CTA_TUPLE_IP { SRC, DST }, CTA_TUPLE_PROTO { NUM, SRC_PORT, DST_PORT } }
#pragma once

#include "netfilter/wire.h"

namespace sipnat::netfilter {

void put_tuple(nlmsghdr* message, std::uint16_t type, const Tuple& tuple);

/// The tuple in such a nest. Nothing if there is no nest, if a part is missing, if the families of
/// the two addresses differ, or if the transport is not one of ours (ICMP has entries too).
[[nodiscard]] std::optional<Tuple> read_tuple(const nlattr* nest);

}  // namespace sipnat::netfilter
