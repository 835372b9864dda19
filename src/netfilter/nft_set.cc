#include "netfilter/nft_set.h"

#include <libnftnl/common.h>
#include <linux/netfilter.h>

namespace sipnat::netfilter {

Set make_set(const std::string& table, const std::string& name) {
    Set set(nftnl_set_alloc());
    if (set && (nftnl_set_set_str(set.get(), NFTNL_SET_TABLE, table.c_str()) != 0 ||
                nftnl_set_set_str(set.get(), NFTNL_SET_NAME, name.c_str()) != 0)) {
        set.reset();
    }
    return set;
}

nftnl_set_elem* add_element(nftnl_set* set, Bytes key) {
    nftnl_set_elem* element = nftnl_set_elem_alloc();
    if (element == nullptr) {
        return nullptr;
    }
    nftnl_set_elem_add(set, element);
    const int failed = nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, key.data(),
                                          static_cast<std::uint32_t>(key.size()));
    return failed == 0 ? element : nullptr;
}

void set_lifetime(nftnl_set_elem* element, std::chrono::milliseconds lifetime) {
    nftnl_set_elem_set_u64(element, NFTNL_SET_ELEM_TIMEOUT,
                           static_cast<std::uint64_t>(lifetime.count()));
}

void append_endpoint(Buffer& bytes, const Endpoint& endpoint) {
    const auto address = endpoint.address.bytes();
    bytes.insert(bytes.end(), address.begin(), address.end());
    bytes.push_back(static_cast<std::uint8_t>(number(endpoint.port) >> 8U));
    bytes.push_back(static_cast<std::uint8_t>(number(endpoint.port)));
    bytes.insert(bytes.end(), {0, 0});
}

nlmsghdr* write_elements(char* place, const nftnl_set* set, std::uint16_t type, std::uint16_t flags,
                         std::uint32_t sequence) {
    nlmsghdr* message = nftnl_nlmsg_build_hdr(place, type, NFPROTO_INET, flags, sequence);
    nftnl_set_elems_nlmsg_build_payload(message, const_cast<nftnl_set*>(set));
    return message;
}

}  // namespace sipnat::netfilter
