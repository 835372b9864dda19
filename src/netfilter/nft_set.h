// Sets and maps of nf_tables as libnftnl has them: what the codecs of their elements share. No I/O.
#pragma once

#include <libnftnl/set.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "netfilter/wire.h"

namespace sipnat::netfilter {

struct FreeSet {
    void operator()(nftnl_set* set) const noexcept { nftnl_set_free(set); }
};
using Set = std::unique_ptr<nftnl_set, FreeSet>;

/// An object without elements that names this set; null if libnftnl is out of memory.
[[nodiscard]] Set make_set(const std::string& table, const std::string& name);

/// A new element of the set, which frees it, with this key. Null if libnftnl is out of memory.
[[nodiscard]] nftnl_set_elem* add_element(nftnl_set* set, Bytes key);
void set_lifetime(nftnl_set_elem* element, std::chrono::milliseconds lifetime);

/// Address and port as the part of a key or value that `ipv4_addr . inet_service` is: each begins on
/// a 32-bit boundary.
void append_endpoint(Buffer& bytes, const Endpoint& endpoint);

/// The message (NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM) with all elements of the set, at `place`,
/// which has room_for_elements().
nlmsghdr* write_elements(char* place, const nftnl_set* set, std::uint16_t type, std::uint16_t flags,
                         std::uint32_t sequence);
/// Bytes that such a message takes at the most, with elements of up to `each` bytes.
[[nodiscard]] constexpr std::size_t room_for_elements(std::size_t count, std::size_t each) {
    return 512 + count * each;
}

}  // namespace sipnat::netfilter
