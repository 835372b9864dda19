// IPCTNL_MSG_EXP_*: expectations as netlink messages and back. No I/O.
//
// With libmnl alone. libnetfilter_conntrack's builder leaves out CLASS, NAT and FN, which are what
// counts here; of its parsers see conntrack_codec.h.
#pragma once

#include <string>

#include "netfilter/wire.h"
#include "sipnat/core/kernel.h"

namespace sipnat::netfilter {

struct DecodedExpectation {
    Expectation expectation;
    std::uint32_t id = 0;  ///< CTA_EXPECT_ID
    std::string helper;    ///< the master's on most kernels, not CTA_EXPECT_HELP_NAME as created
    bool sip_function = false;

    bool operator==(const DecodedExpectation&) const = default;
};

/// What to do with one that is there already (kernel: ctnetlink_new_expect): EEXIST, or its time
/// begins anew.
enum class Present : bool { fails, is_renewed };
void encode_create_expectation(Buffer& out, std::uint32_t sequence, const Expectation& expectation,
                               Present present = Present::fails);
void encode_find_expectation(Buffer& out, std::uint32_t sequence, const Tuple& match);
/// With an id only that very one.
void encode_remove_expectation(Buffer& out, std::uint32_t sequence, const Tuple& match,
                               std::optional<std::uint32_t> id);
void encode_dump_expectations(Buffer& out, std::uint32_t sequence, Family family);

/// Reads the CTA_EXPECT_* attributes of a message. Nothing if a tuple is missing or not of UDP or
/// TCP, or if the class is none of ours.
[[nodiscard]] std::optional<DecodedExpectation> decode_expectation(Bytes attributes);

}  // namespace sipnat::netfilter
