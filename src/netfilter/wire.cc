#include "netfilter/wire.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <algorithm>

namespace sipnat::netfilter {

std::uint8_t address_family(Family family) {
    return family == Family::ipv4 ? AF_INET : AF_INET6;
}

nlmsghdr* begin_message(char* place, std::uint16_t type, int flags, std::uint32_t sequence) {
    nlmsghdr* message = mnl_nlmsg_put_header(place);
    message->nlmsg_type = type;
    message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    message->nlmsg_seq = sequence;
    return message;
}

nlmsghdr* begin_netfilter_message(char* place, std::uint16_t type, int flags,
                                  std::uint32_t sequence, std::uint8_t family) {
    nlmsghdr* message = begin_message(place, type, flags, sequence);
    static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)))->nfgen_family =
        family;
    return message;
}

const nlmsghdr* next_message(Bytes& rest) {
    // mnl_nlmsg_ok() takes a length of 2 GB and more for a negative one, which always fits.
    if (rest.size() < sizeof(nlmsghdr)) {
        return nullptr;
    }
    const auto* message = reinterpret_cast<const nlmsghdr*>(rest.data());
    const std::size_t length = message->nlmsg_len;
    if (length < sizeof(nlmsghdr) || length > rest.size()) {
        return nullptr;
    }
    rest = rest.subspan(std::min<std::size_t>(MNL_ALIGN(length), rest.size()));
    return message;
}

Bytes netfilter_attributes(const nlmsghdr& message) {
    const Bytes body(static_cast<const std::uint8_t*>(mnl_nlmsg_get_payload(&message)),
                     mnl_nlmsg_get_payload_len(&message));
    return body.subspan(std::min(sizeof(nfgenmsg), body.size()));
}

Bytes payload_of(const nlattr* attribute) {
    if (attribute == nullptr) {
        return {};
    }
    return {static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute)),
            mnl_attr_get_payload_len(attribute)};
}

std::optional<std::uint32_t> host32(const nlattr* attribute) {
    if (attribute == nullptr || mnl_attr_validate(attribute, MNL_TYPE_U32) < 0) {
        return std::nullopt;
    }
    return mnl_attr_get_u32(attribute);
}

std::optional<std::uint32_t> be32(const nlattr* attribute) {
    const auto value = host32(attribute);
    return value ? std::optional(ntohl(*value)) : std::nullopt;
}

std::optional<std::uint64_t> be64(const nlattr* attribute) {
    if (attribute == nullptr || mnl_attr_validate(attribute, MNL_TYPE_U64) < 0) {
        return std::nullopt;
    }
    return be64toh(mnl_attr_get_u64(attribute));
}

std::string_view text_of(const nlattr* attribute) {
    const Bytes bytes = payload_of(attribute);
    const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return all.substr(0, all.find('\0'));
}

}  // namespace sipnat::netfilter
