// Netlink messages as bytes: the writer and the reader below every codec of this folder.
//
//      nlmsghdr (16)  length, type, flags, sequence, port id        host order
//      nfgenmsg (4)   family, version, resource id                  the id in network order
//      nlattr  (4+n)  length, type, payload, zeros up to 4 bytes    ctnetlink's in network order
//
// The reader works on spans of exactly the bytes at hand and assumes no alignment, so that garbage
// from a capture or a fuzzer is refused and never overread. Neither does I/O.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "sipnat/net/address.h"

namespace sipnat::netfilter {

using Bytes = std::span<const std::uint8_t>;
using Buffer = std::vector<std::uint8_t>;

[[nodiscard]] constexpr std::size_t aligned(std::size_t length) {
    return (length + 3U) & ~std::size_t{3};
}

/// AF_INET or AF_INET6, as nfgenmsg and rtmsg carry it.
[[nodiscard]] std::uint8_t address_family(Family family);

/// nlmsg_type of an nfnetlink message (NFNL_SUBSYS_*, its own number).
[[nodiscard]] constexpr std::uint16_t message_type(unsigned subsystem, unsigned message) {
    return static_cast<std::uint16_t>(subsystem << 8U | message);
}

struct MessageHead {
    std::uint16_t type = 0;
    std::uint16_t flags = 0;  ///< NLM_F_*
    std::uint32_t sequence = 0;
};

struct NetfilterHead {
    std::uint8_t family = 0;
    std::uint16_t resource = 0;  ///< host order; the queue's number for nfnetlink_queue
};

/// One message at the end of a buffer. Its length is right once it is destroyed, so that several
/// can follow one another in one buffer. Attributes longer than 64 kB break an invariant: abort.
class MessageWriter {
  public:
    MessageWriter(Buffer& out, const MessageHead& head);
    MessageWriter(Buffer& out, const MessageHead& head, const NetfilterHead& netfilter);
    ~MessageWriter();
    MessageWriter(const MessageWriter&) = delete;
    MessageWriter& operator=(const MessageWriter&) = delete;

    /// A protocol's own header, before any attribute.
    void put_raw(Bytes bytes);
    void put(std::uint16_t type, Bytes payload);
    void put_u8(std::uint16_t type, std::uint8_t value);
    void put_be16(std::uint16_t type, std::uint16_t value);
    void put_be32(std::uint16_t type, std::uint32_t value);
    /// With the terminating zero that the kernel's NLA_NUL_STRING wants.
    void put_text(std::uint16_t type, std::string_view text);

    template <class Fill>
    void nest(std::uint16_t type, Fill&& fill) {
        const std::size_t start = open_nest(type);
        std::forward<Fill>(fill)();
        close_attribute(start);
    }

  private:
    std::size_t open_nest(std::uint16_t type);
    void close_attribute(std::size_t start);

    Buffer& out_;
    std::size_t start_;
};

/// One attribute; the payload points into what was read.
struct Attribute {
    std::uint16_t type = 0;  ///< without NLA_F_NESTED and NLA_F_NET_BYTEORDER
    Bytes payload;

    [[nodiscard]] std::optional<std::uint8_t> u8() const;
    [[nodiscard]] std::optional<std::uint16_t> be16() const;
    [[nodiscard]] std::optional<std::uint32_t> be32() const;
    /// Host order, as rtnetlink writes its numbers.
    [[nodiscard]] std::optional<std::uint32_t> host32() const;
    /// Up to the first zero byte.
    [[nodiscard]] std::string_view text() const;
};

/// Takes the first attribute off `rest`. Nothing if `rest` is empty or begins with a length that is
/// impossible; `rest` is empty only in the first case.
[[nodiscard]] std::optional<Attribute> next_attribute(Bytes& rest);

/// Calls `visit(attribute)` for each; false if the bytes do not end with a whole attribute.
template <class Visit>
[[nodiscard]] bool for_each_attribute(Bytes bytes, Visit&& visit) {
    while (const auto attribute = next_attribute(bytes)) {
        visit(*attribute);
    }
    return bytes.empty();
}

/// One message of a datagram; the body follows nlmsghdr.
struct MessageView {
    MessageHead head;
    Bytes body;

    /// The attributes after an nfgenmsg; nothing if the body is too short for one.
    [[nodiscard]] std::optional<Bytes> netfilter_attributes() const;
    /// nfgenmsg's resource id in host order, 0 if the body is too short.
    [[nodiscard]] std::uint16_t resource() const;
};

/// Takes the first message off `rest`, as next_attribute does.
[[nodiscard]] std::optional<MessageView> next_message(Bytes& rest);

}  // namespace sipnat::netfilter
