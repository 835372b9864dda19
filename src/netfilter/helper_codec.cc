#include "netfilter/helper_codec.h"

// The header says nothing of C++.
extern "C" {
#include <libnetfilter_cthelper/libnetfilter_cthelper.h>
}
#include <linux/netlink.h>

#include <memory>
#include <new>
#include <string>

namespace sipnat::netfilter {
namespace {

// In the order of enum ExpectClass: a policy's place is its class.
constexpr std::array kPolicies{"signalling", "audio", "video", "other"};

// With a maximum of N the kernel silently evicts the oldest over it, permanent ones too.
constexpr std::uint32_t kUnlimited = 0;
constexpr std::uint32_t kTimeoutSeconds = 86400;

struct FreeHelper {
    void operator()(nfct_helper* helper) const noexcept { nfct_helper_free(helper); }
};
using HelperObject = std::unique_ptr<nfct_helper, FreeHelper>;

/// The helper frees it.
void add_policy(nfct_helper& helper, std::size_t place, const char* name) {
    nfct_helper_policy* policy = nfct_helper_policy_alloc();
    if (policy == nullptr) {
        throw std::bad_alloc();
    }
    nfct_helper_policy_attr_set_str(policy, NFCTH_ATTR_POLICY_NAME, name);
    nfct_helper_policy_attr_set_u32(policy, NFCTH_ATTR_POLICY_MAX, kUnlimited);
    nfct_helper_policy_attr_set_u32(policy, NFCTH_ATTR_POLICY_TIMEOUT, kTimeoutSeconds);
    nfct_helper_attr_set(&helper, static_cast<nfct_helper_attr_type>(NFCTH_ATTR_POLICY1 + place),
                         policy);
}

}  // namespace

void encode_register_helper(Buffer& out, std::uint32_t sequence,
                            const HelperRegistration& registration) {
    const HelperObject helper(nfct_helper_alloc());
    if (!helper) {
        throw std::bad_alloc();
    }
    nfct_helper_attr_set_str(helper.get(), NFCTH_ATTR_NAME, std::string(registration.name).c_str());
    nfct_helper_attr_set_u32(helper.get(), NFCTH_ATTR_QUEUE_NUM, number(registration.queue));
    nfct_helper_attr_set_u16(helper.get(), NFCTH_ATTR_PROTO_L3NUM,
                             address_family(registration.scope.family));
    nfct_helper_attr_set_u8(helper.get(), NFCTH_ATTR_PROTO_L4NUM,
                            static_cast<std::uint8_t>(registration.scope.transport));
    for (std::size_t i = 0; i < kPolicies.size(); ++i) {
        add_policy(*helper, i, kPolicies[i]);
    }
    // Not optional, 0 included: without it EINVAL.
    nfct_helper_attr_set_u32(helper.get(), NFCTH_ATTR_PRIV_DATA_LEN, registration.private_length);
    if (registration.is_enabled) {
        nfct_helper_attr_set_u32(
            helper.get(), NFCTH_ATTR_STATUS,
            *registration.is_enabled ? NFCT_HELPER_STATUS_ENABLED : NFCT_HELPER_STATUS_DISABLED);
    }
    append_message(out, 512, [&](char* place) {
        nlmsghdr* message = nfct_helper_nlmsg_build_hdr(place, NFNL_MSG_CTHELPER_NEW,
                                                        NLM_F_CREATE | NLM_F_ACK, sequence);
        nfct_helper_nlmsg_build_payload(message, helper.get());
        return message;
    });
}

}  // namespace sipnat::netfilter
