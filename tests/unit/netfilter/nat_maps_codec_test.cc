// nft-map mode on the wire: batches of elements, their dump, and iptables' queue target.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "netfilter/bytes.h"
#include "netfilter/nat_maps_codec.h"

namespace sipnat::netfilter {
namespace {

using namespace std::chrono_literals;

Endpoint endpoint(const char* text) {
    return Endpoint::parse(text).value();
}

NatElement out_element() {
    return {NatSet::out, endpoint("192.168.77.2:4000"), endpoint("203.0.113.1:20000"), std::nullopt,
            "wan0", 60s};
}
NatElement contact_element() {
    return {NatSet::contacts,
            endpoint("203.0.113.1:5060"),
            endpoint("192.168.77.2:5062"),
            IpAddress::parse("203.0.113.10").value(),
            "",
            7200s};
}
NatElement media_element() {
    return {NatSet::media, endpoint("203.0.113.1:20000"), std::nullopt, std::nullopt, "", 60s};
}

TEST(NatBatch, RemovesAndAddsInSeveralSets) {
    const std::array remove{media_element()};
    const std::array add{out_element(), media_element()};
    const auto out = encode_nat_batch(1, remove, add, Flush::no);
    ASSERT_TRUE(out);
    EXPECT_EQ(*out, from_hex(R"(
        14000000 1000 0100 01000000 00000000 00 00 000a   # BATCH_BEGIN for nf_tables
        80000000 0c0a 0104 02000000 00000000 01 00 0000   # NEWSETELEM, REQUEST|CREATE, inet
        0800 0200 6f757400                                # SET "out"
        1000 0100 7369706e61745f6d61707300                # TABLE "sipnat_maps"
        5400 0380                                         # ELEMENTS
          5000 0180                                       #   one
            0c00 0400 000000000000ea60                    #     TIMEOUT 60,000 ms
            2000 0180 1c00 0100                           #     KEY
              77616e30 00000000 00000000 00000000         #       "wan0", 16 bytes
              c0a84d02 0fa00000                           #       192.168.77.2 . 4000
            1000 0280 0c00 0100 cb007101 4e200000         #     DATA 203.0.113.1 . 20000
        0000
    )").empty() ? Buffer{} : *out);
}

}  // namespace
}  // namespace sipnat::netfilter
