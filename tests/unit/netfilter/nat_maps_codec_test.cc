// nft-map mode on the wire: batches of elements, their dump, and iptables' queue target.
#include "netfilter/nat_maps_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "netfilter/bytes.h"

namespace sipnat::netfilter {
namespace {

using namespace std::chrono_literals;

Endpoint endpoint(const char* text) {
    return Endpoint::parse(text).value();
}

NatElement out_element() {
    return {NatSet::out,
            endpoint("192.168.77.2:4000"),
            endpoint("203.0.113.1:20000"),
            std::nullopt,
            "wan0",
            60s};
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
    const std::array remove{contact_element()};
    const std::array add{out_element(), media_element()};
    const auto out = encode_nat_batch(1, kMapTable, remove, add);
    ASSERT_TRUE(out);
    EXPECT_EQ(*out, from_hex(R"(
        14000000 1000 0100 01000000 00000000 00 00 000a   # BATCH_BEGIN for nf_tables

        6c000000 0c0a 0104 02000000 00000000 01 00 0000   # NEWSETELEM, REQUEST|CREATE, inet
        0d00 0200 636f6e746163747300 000000               # SET "contacts"
        1000 0100 7369706e61745f6d61707300                # TABLE "sipnat_maps"
        3800 0380                                         # ELEMENTS
          3400 0180                                       #   one
            0c00 0400 00000000006ddd00                    #     TIMEOUT 7,200,000 ms
            1400 0180 1000 0100                           #     KEY
              cb00710a cb007101 13c40000                  #       203.0.113.10 . 203.0.113.1 . 5060
            1000 0280 0c00 0100 c0a84d02 13c60000         #     DATA 192.168.77.2 . 5062

        50000000 0e0a 0100 03000000 00000000 01 00 0000   # DELSETELEM
        0d00 0200 636f6e746163747300 000000
        1000 0100 7369706e61745f6d61707300
        1c00 0380 1800 0180
            1400 0180 1000 0100 cb00710a cb007101 13c40000

        70000000 0c0a 0104 04000000 00000000 01 00 0000   # NEWSETELEM
        0800 0200 6f757400                                # SET "out"
        1000 0100 7369706e61745f6d61707300
        4400 0380 4000 0180
            0c00 0400 000000000000ea60                    #     TIMEOUT 60,000 ms
            2000 0180 1c00 0100                           #     KEY
              77616e30 00000000 00000000 00000000         #       "wan0" in 16 bytes
              c0a84d02 0fa00000                           #       192.168.77.2 . 4000
            1000 0280 0c00 0100 cb007101 4e200000         #     DATA 203.0.113.1 . 20000

        54000000 0c0a 0504 05000000 00000000 01 00 0000   # NEWSETELEM, REQUEST|ACK|CREATE: the last
        0a00 0200 6d6564696100 0000                       # SET "media"
        1000 0100 7369706e61745f6d61707300
        2400 0380 2000 0180
            0c00 0400 000000000000ea60
            1000 0180 0c00 0100 cb007101 4e200000         #     KEY 203.0.113.1 . 20000

        14000000 1100 0100 06000000 00000000 00 00 000a   # BATCH_END
    )"));
}

TEST(NatBatch, RefusesElementsThatTheirSetCantHold) {
    const auto code = [](const NatElement& element) {
        const std::array one{element};
        const auto added = encode_nat_batch(1, kMapTable, {}, one);
        const auto removed = encode_nat_batch(1, kMapTable, one, {});
        EXPECT_EQ(added.has_value(), removed.has_value());
        return added ? 0 : added.error().code;
    };
    EXPECT_EQ(code(out_element()), 0);
    EXPECT_EQ(code(contact_element()), 0);
    EXPECT_EQ(code(media_element()), 0);
    EXPECT_EQ(code({NatSet::hairpin, endpoint("192.168.77.2:4000"), endpoint("203.0.113.1:20000"),
                    IpAddress::parse("203.0.113.1").value(), "", 60s}),
              0);
    EXPECT_EQ(code({NatSet::forwarded, endpoint("203.0.113.1:5060"), {}, {}, "", {}}), 0);
    auto changed = out_element();
    changed.key = endpoint("[2001:db8::1]:4000");
    EXPECT_EQ(code(changed), EAFNOSUPPORT);
    changed = out_element();
    changed.target = endpoint("[2001:db8::1]:4000");
    EXPECT_EQ(code(changed), EAFNOSUPPORT);
    changed = contact_element();
    changed.address = IpAddress::parse("::1").value();
    EXPECT_EQ(code(changed), EAFNOSUPPORT);
    changed = out_element();
    changed.target.reset();
    EXPECT_EQ(code(changed), EINVAL);
    changed = out_element();
    changed.interface.clear();
    EXPECT_EQ(code(changed), EINVAL);
    changed = out_element();
    changed.interface = "sixteen-letters0";
    EXPECT_EQ(code(changed), EINVAL);
    changed = contact_element();
    changed.address.reset();
    EXPECT_EQ(code(changed), EINVAL);
    changed = media_element();
    changed.target = endpoint("192.168.77.2:4000");
    EXPECT_EQ(code(changed), EINVAL);
    changed = media_element();
    changed.interface = "wan0";
    EXPECT_EQ(code(changed), EINVAL);
}

TEST(NatList, AsksForOneSet) {
    Buffer out;
    encode_list_set(out, 7, kMapTable, NatSet::contacts);
    EXPECT_EQ(out, from_hex(R"(
        34000000 0d0a 0103 07000000 00000000 01 00 0000   # GETSETELEM, REQUEST|DUMP, inet
        1000 0100 7369706e61745f6d61707300                # TABLE "sipnat_maps"
        0d00 0200 636f6e746163747300 000000               # SET "contacts"
    )"));
}

// Answers of a kernel, after their nfgenmsg.
constexpr const char* kContacts = R"(
    1000 0100 7369706e61745f6d61707300 0d00 0200 636f6e746163747300 000000
    4400 0300                                             # ELEMENTS
      4000 0100
        1400 0100 1000 0100 cb00710a cb007101 04000000    # KEY 203.0.113.10 . 203.0.113.1 . 1024
        1000 0200 0c00 0100 c0a84d02 13c40000             # DATA 192.168.77.2 . 5060
        0c00 0400 00000000006ddd00                        # TIMEOUT 7,200,000 ms
        0c00 0500 00000000006ddc1c                        # EXPIRATION 7,199,772 ms
)";
constexpr const char* kOut = R"(
    1000 0100 7369706e61745f6d61707300 0800 0200 6f757400
    9c00 0300
      4c00 0100
        2000 0100 1c00 0100 77616e31000000000000000000000000 c0a84d03 13c40000
        1000 0200 0c00 0100 cb007101 04010000
        0c00 0400 00000000006ddd00 0c00 0500 00000000006ddc14
      4c00 0100
        2000 0100 1c00 0100 77616e30000000000000000000000000 c0a84d02 13c40000
        1000 0200 0c00 0100 cb007101 04000000
        0c00 0400 00000000006ddd00 0c00 0500 00000000006ddc14
)";

TEST(NatList, ReadsKeysTargetsAndWhatIsLeft) {
    std::vector<NatElement> elements;
    ASSERT_TRUE(decode_elements(from_hex(kContacts), NatSet::contacts, elements));
    ASSERT_EQ(elements.size(), 1U);
    EXPECT_EQ(elements[0], (NatElement{NatSet::contacts, endpoint("203.0.113.1:1024"),
                                       endpoint("192.168.77.2:5060"),
                                       IpAddress::parse("203.0.113.10").value(), "", 7199772ms}));
    elements.clear();
    ASSERT_TRUE(decode_elements(from_hex(kOut), NatSet::out, elements));
    ASSERT_EQ(elements.size(), 2U);
    EXPECT_EQ(elements[1],
              (NatElement{NatSet::out, endpoint("192.168.77.2:5060"), endpoint("203.0.113.1:1024"),
                          std::nullopt, "wan0", 7199764ms}));
    EXPECT_TRUE(decode_elements({}, NatSet::out, elements)) << "an empty set's answer";
}

TEST(NatList, RefusesKeysOfAnotherSet) {
    std::vector<NatElement> elements;
    for (const NatSet set :
         {NatSet::in, NatSet::out, NatSet::media, NatSet::streams, NatSet::forwarded}) {
        EXPECT_FALSE(decode_elements(from_hex(kContacts), set, elements)) << name_of(set);
    }
}

TEST(NatList, SurvivesDamage) {
    with_damaged(from_hex(kOut), [](Bytes bytes) {
        std::vector<NatElement> elements;
        (void)decode_elements(bytes, NatSet::out, elements);
    });
}

TEST(QueueTarget, TakesTheChainsPlaceWithBypass) {
    const auto out = encode_queue_target(1, "to_sipnatd", static_cast<QueueNumber>(5060), 4);
    ASSERT_TRUE(out);
    EXPECT_EQ(*out, from_hex(R"(
        14000000 1000 0100 01000000 00000000 00 00 000a
        34000000 080a 0100 02000000 00000000 01 00 0000   # DELRULE without a handle: all
        1000 0100 7369706e61745f6d61707300                # TABLE
        0f00 0200 746f5f7369706e61746400 00               # CHAIN "to_sipnatd"

        6c000000 060a 050c 03000000 00000000 01 00 0000   # NEWRULE, REQUEST|ACK|CREATE|APPEND
        1000 0100 7369706e61745f6d61707300
        0f00 0200 746f5f7369706e61746400 00
        3800 0480 3400 0180                               # EXPRESSIONS, one
          0b00 0100 74617267657400 00                     #   NAME "target"
          2400 0280
            0c00 0100 4e46515545554500                    #     NAME "NFQUEUE"
            0800 0200 00000003                            #     REV 3
            0c00 0300 c413 0400 0100 0000                 #     INFO 5060, 4 queues, bypass

        14000000 1100 0100 04000000 00000000 00 00 000a
    )"));
}

}  // namespace
}  // namespace sipnat::netfilter
