// Netlink messages with libmnl: what the codecs of this folder share. No I/O.
//
//      nlmsghdr (16)  length, type, flags, sequence, port id        host order
//      nfgenmsg (4)   family, version, resource id                  the id in network order
//      nlattr  (4+n)  length, type, payload, zeros up to 4 bytes    ctnetlink's in network order
//
// libmnl and the netfilter libraries write without asking how much room there is, and read numbers
// and texts without asking whether they are all there: append_message() and the readers below do.
// A message begins on a multiple of 4 bytes. What is read points into the message.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "sipnat/net/address.h"

namespace sipnat::netfilter {

using Bytes = std::span<const std::uint8_t>;
using Buffer = std::vector<std::uint8_t>;

/// AF_INET or AF_INET6, as nfgenmsg and rtmsg carry it.
[[nodiscard]] std::uint8_t address_family(Family family);

/// nlmsg_type of an nfnetlink message (NFNL_SUBSYS_*, its own number).
[[nodiscard]] constexpr std::uint16_t message_type(unsigned subsystem, unsigned message) {
    return static_cast<std::uint16_t>(subsystem << 8U | message);
}

/// Appends the message that `write(place)` writes and returns. The place is a char* with room for
/// `room` bytes, all zero; a message longer than that breaks an invariant: abort.
template <class Write>
void append_message(Buffer& out, std::size_t room, Write&& write) {
    const std::size_t start = out.size();
    out.resize(start + MNL_ALIGN(room));
    const nlmsghdr* message =
        std::forward<Write>(write)(reinterpret_cast<char*>(out.data() + start));
    if (message->nlmsg_len > room) {
        std::abort();
    }
    out.resize(start + MNL_ALIGN(message->nlmsg_len));
}

/// A message's nlmsghdr; NLM_F_REQUEST is always among its flags.
nlmsghdr* begin_message(char* place, std::uint16_t type, int flags, std::uint32_t sequence);
/// The same with an nfgenmsg for resource 0; `family` is AF_*.
nlmsghdr* begin_netfilter_message(char* place, std::uint16_t type, int flags,
                                  std::uint32_t sequence, std::uint8_t family);

template <class Fill>
void put_nest(nlmsghdr* message, std::uint16_t type, Fill&& fill) {
    nlattr* nest = mnl_attr_nest_start(message, type);
    std::forward<Fill>(fill)();
    mnl_attr_nest_end(message, nest);
}

/// Takes the first message off `rest`. Nothing if `rest` is empty or begins with a length that is
/// impossible; `rest` is empty only in the first case.
[[nodiscard]] const nlmsghdr* next_message(Bytes& rest);

/// The attributes after an nfgenmsg; empty if there is no room for one.
[[nodiscard]] Bytes netfilter_attributes(const nlmsghdr& message);

/// By type, the last one of each, null where there is none. What follows an impossible length is
/// not read.
template <std::size_t kMax>
[[nodiscard]] std::array<const nlattr*, kMax + 1> attributes_in(Bytes bytes) {
    using Table = std::array<const nlattr*, kMax + 1>;
    Table table{};
    const auto keep = [](const nlattr* attribute, void* data) {
        if (mnl_attr_get_type(attribute) <= kMax) {
            (*static_cast<Table*>(data))[mnl_attr_get_type(attribute)] = attribute;
        }
        return MNL_CB_OK;
    };
    (void)mnl_attr_parse_payload(bytes.data(), bytes.size(), keep, &table);
    return table;
}

/// Empty where there is no attribute.
[[nodiscard]] Bytes payload_of(const nlattr* attribute);
/// Nothing where there is no attribute or none of four bytes. Host order is rtnetlink's.
[[nodiscard]] std::optional<std::uint32_t> be32(const nlattr* attribute);
[[nodiscard]] std::optional<std::uint32_t> host32(const nlattr* attribute);
[[nodiscard]] std::optional<std::uint64_t> be64(const nlattr* attribute);  ///< of eight bytes
/// Up to the first zero byte; empty where there is no attribute.
[[nodiscard]] std::string_view text_of(const nlattr* attribute);

}  // namespace sipnat::netfilter
