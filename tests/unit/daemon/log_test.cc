// The limit on lines that strangers cause.
#include "daemon/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

namespace sipnat::daemon {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Time kStart{1h};

class PacketLogTest : public testing::Test {
  protected:
    void note(Reason reason, const std::string& text, Time now) { log_.note(reason, text, now); }
    void note(Reason reason, int times, Time now) {
        for (int i = 0; i < times; ++i)
            note(reason, "text", now);
    }
    /// What was written since this was asked last.
    static std::vector<std::string> lines() {
        std::istringstream text(testing::internal::GetCapturedStderr());
        testing::internal::CaptureStderr();
        std::vector<std::string> lines;
        for (std::string line; std::getline(text, line);)
            lines.push_back(line);
        return lines;
    }
    void SetUp() override { testing::internal::CaptureStderr(); }
    void TearDown() override { (void)testing::internal::GetCapturedStderr(); }

  private:
    PacketLog log_;
};

TEST_F(PacketLogTest, NamesReasonAndWhat) {
    note(Reason::malformed, "10.0.0.1:5060 > 10.0.0.2:5060/udp: no method", kStart);
    const auto written = lines();
    ASSERT_THAT(written, SizeIs(1));
    EXPECT_THAT(written.front(),
                HasSubstr("malformed: 10.0.0.1:5060 > 10.0.0.2:5060/udp: no method"));
}

TEST_F(PacketLogTest, APeersBytesStayInTheirLine) {
    note(Reason::second_opinion, "Call-ID: \"a\r\n<3>sipnatd: forged\x1b[2J\x7f\" and \"\xc3\xa4\"",
         kStart);
    EXPECT_THAT(lines(),
                ElementsAre(HasSubstr("Call-ID: \"a\?\?<3>sipnatd: forged?[2J?\" and \"\?\?\"")));
}

TEST_F(PacketLogTest, StopsAfterTenLinesAMinute) {
    note(Reason::malformed, 1000, kStart);
    EXPECT_THAT(lines(), SizeIs(10));
    note(Reason::malformed, 1000, kStart + 59999ms);
    EXPECT_THAT(lines(), IsEmpty());
}

TEST_F(PacketLogTest, TellsInTheNextMinuteWhatItLeftOut) {
    note(Reason::malformed, 25, kStart);
    (void)lines();
    note(Reason::malformed, "next", kStart + 60s);
    EXPECT_THAT(lines(), ElementsAre(HasSubstr("malformed: 15 more messages in the minute before"),
                                     HasSubstr("malformed: next")));
    note(Reason::malformed, "later", kStart + 120s);
    EXPECT_THAT(lines(), ElementsAre(HasSubstr("malformed: later"))) << "nothing was left out";
}

TEST_F(PacketLogTest, LimitsEachReasonAlone) {
    note(Reason::malformed, 1000, kStart);
    note(Reason::second_opinion, 3, kStart);
    EXPECT_THAT(lines(), SizeIs(13));
}

TEST_F(PacketLogTest, LimitsTheMinuteAfterBootAsWell) {
    note(Reason::malformed, 1000, Time{5s});
    EXPECT_THAT(lines(), SizeIs(10));
}

TEST(FaultLog, TellsTenAMinute) {
    FaultLog faults;
    testing::internal::CaptureStderr();
    for (int i = 0; i < 20; ++i)
        faults.note("table is gone " + std::to_string(i), kStart + 59s);
    faults.note("still gone", kStart + 119s);
    const auto written = testing::internal::GetCapturedStderr();
    EXPECT_EQ(std::ranges::count(written, '\n'), 11);
    EXPECT_THAT(written, HasSubstr("table is gone 9\n"));
    EXPECT_THAT(written, HasSubstr("still gone\n"));
}

}  // namespace
}  // namespace sipnat::daemon
