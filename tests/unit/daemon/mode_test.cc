// Which mode, and what an administrator reads about it; and the elements of a media stream.
#include "daemon/mode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/map_gate.h"

namespace sipnat::daemon {
namespace {

using config::ModeSetting;
using testing::ElementsAre;
using testing::HasSubstr;

netfilter::Probe lacking() {
    netfilter::Probe probe;
    probe.missing = {{"glue", "not there", "modprobe glue"}, {"paste", "nor this", "buy some"}};
    return probe;
}

config::Configuration configuration(ModeSetting mode, bool with_outside) {
    config::Configuration made;
    made.mode = mode;
    if (with_outside) made.outside.emplace_back();
    return made;
}

TEST(ChooseMode, ACompleteKernelHasExpectations) {
    for (const auto setting : {ModeSetting::automatic, ModeSetting::expectations}) {
        for (const bool with_outside : {false, true}) {
            const auto chosen = choose_mode(configuration(setting, with_outside), {});
            ASSERT_TRUE(chosen);
            EXPECT_EQ(chosen->mode, Mode::expectations);
            EXPECT_THAT(chosen->why, HasSubstr("user-space helpers"));
        }
    }
}

TEST(ChooseMode, AnotherKernelHasMapsWhereTheWayOutIsKnown) {
    EXPECT_EQ(choose_mode(configuration(ModeSetting::automatic, true), lacking()),
              (ChosenMode{Mode::maps, "this kernel lacks glue, paste"}));
    const auto without = choose_mode(configuration(ModeSetting::automatic, false), lacking());
    ASSERT_FALSE(without);
    EXPECT_THAT(
        without.error(),
        ElementsAre(
            "missing: glue: not there (remedy: modprobe glue)",
            "missing: paste: nor this (remedy: buy some)",
            "or do without them, in nft-map mode (remedy: an [[outside]] in the settings)"));
}

TEST(ChooseMode, TheSettingDecides) {
    EXPECT_EQ(choose_mode(configuration(ModeSetting::maps, true), {}),
              (ChosenMode{Mode::maps, "nat.mode says so"}));
    EXPECT_EQ(choose_mode(configuration(ModeSetting::maps, true), lacking()),
              (ChosenMode{Mode::maps, "nat.mode says so"}));
    EXPECT_EQ(choose_mode(configuration(ModeSetting::expectations, true), lacking()).error().size(),
              2U)
        << "what is missing, and no word of maps";
}

TEST(ChooseMode, ModesHaveNames) {
    EXPECT_EQ(to_text(Mode::expectations), "expectations");
    EXPECT_EQ(to_text(Mode::maps), "maps");
}

TEST(MediaElements, LeadBothWays) {
    using netfilter::NatElement;
    using netfilter::NatSet;
    const auto inside = Endpoint::parse("192.168.77.2:4000").value();
    const auto outside = Endpoint::parse("203.0.113.1:20000").value();
    EXPECT_THAT(
        media_elements(inside, outside, "wan0"),
        ElementsAre(
            NatElement{NatSet::in, outside, inside, std::nullopt, "", kMediaElementLife},
            NatElement{NatSet::out, inside, outside, std::nullopt, "wan0", kMediaElementLife},
            NatElement{NatSet::hairpin, inside, outside, outside.address, "", kMediaElementLife},
            NatElement{NatSet::streams, inside, std::nullopt, std::nullopt, "",
                       kMediaElementLife}));
    EXPECT_EQ(media_guard(outside), (NatElement{NatSet::media, outside, std::nullopt, std::nullopt,
                                                "", kMediaElementLife}));
    EXPECT_EQ(resting_guard(outside).lifetime, kRest);
}

}  // namespace
}  // namespace sipnat::daemon
