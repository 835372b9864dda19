#include "netfilter/helper_codec.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_cthelper.h>
#include <linux/netlink.h>

namespace sipnat::netfilter {
namespace {

// In the order of enum ExpectClass: a policy's place is its class.
constexpr std::array kPolicies{"signalling", "audio", "video", "other"};

// With a maximum of N the kernel silently evicts the oldest over it, permanent ones too.
constexpr std::uint32_t kUnlimited = 0;
constexpr std::uint32_t kTimeoutSeconds = 86400;

}  // namespace

void encode_register_helper(Buffer& out, std::uint32_t sequence,
                            const HelperRegistration& registration) {
    MessageWriter message(out,
                          {message_type(NFNL_SUBSYS_CTHELPER, NFNL_MSG_CTHELPER_NEW),
                           NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK, sequence},
                          {address_family(registration.scope.family), 0});
    message.put_text(NFCTH_NAME, registration.name);
    message.put_be32(NFCTH_QUEUE_NUM, number(registration.queue));
    message.nest(NFCTH_TUPLE, [&] {
        message.put_be16(NFCTH_TUPLE_L3PROTONUM, address_family(registration.scope.family));
        message.put_u8(NFCTH_TUPLE_L4PROTONUM,
                       static_cast<std::uint8_t>(registration.scope.transport));
    });
    message.nest(NFCTH_POLICY, [&] {
        message.put_be32(NFCTH_POLICY_SET_NUM, kPolicies.size());
        for (std::size_t i = 0; i < kPolicies.size(); ++i) {
            message.nest(static_cast<std::uint16_t>(NFCTH_POLICY_SET1 + i), [&] {
                message.put_text(NFCTH_POLICY_NAME, kPolicies[i]);
                message.put_be32(NFCTH_POLICY_EXPECT_MAX, kUnlimited);
                message.put_be32(NFCTH_POLICY_EXPECT_TIMEOUT, kTimeoutSeconds);
            });
        }
    });
    // Not optional, 0 included: without it EINVAL.
    message.put_be32(NFCTH_PRIV_DATA_LEN, registration.private_length);
    message.put_be32(NFCTH_STATUS, NFCT_HELPER_STATUS_DISABLED);
}

}  // namespace sipnat::netfilter
