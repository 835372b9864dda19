// What an admin is told before calls are lost for it.
#include "daemon/kernel_setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sipnat::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Shortages, AreNoneWithTheShippedValues) {
    EXPECT_THAT(shortages({81920, 20480}, 20000), IsEmpty());
}

TEST(Shortages, OfExpectationsNameTheNumberOfCalls) {
    EXPECT_THAT(shortages({4096, 20480}, 20000),
                ElementsAre(HasSubstr("nf_conntrack_expect_max is 4096: enough for 1024 calls")));
    EXPECT_THAT(shortages({4096, 20480}, 1024), IsEmpty());
}

TEST(Shortages, OfBucketsNameTheValueToSet) {
    EXPECT_THAT(
        shortages({81920, 256}, 20000),
        ElementsAre(AllOf(HasSubstr("expect_hashsize is 256"), HasSubstr("312 expectations"),
                          HasSubstr("expect_hashsize=20000"))));
    EXPECT_THAT(shortages({81920, 256}, 1024), IsEmpty());
}

TEST(Shortages, OfWhatCantBeReadAreNone) {
    EXPECT_THAT(shortages({}, 20000), IsEmpty());
}

TEST(Fullness, IsToldWhenATwentiethIsLeft) {
    EXPECT_EQ(fullness({949, 1000}), std::nullopt);
    EXPECT_THAT(*fullness({950, 1000}), HasSubstr("950 of 1000 flows"));
    EXPECT_TRUE(fullness({7, 7}));
    EXPECT_EQ(fullness({6, 7}), std::nullopt);
    EXPECT_EQ(fullness({}), std::nullopt) << "can't be read";
}

}  // namespace
}  // namespace sipnat::daemon
