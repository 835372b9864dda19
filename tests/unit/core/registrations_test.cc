// Bindings: what a registrar granted, by its 2xx alone.
//
//     phone 192.168.77.2:5060 ── 203.0.113.1:1024 ── registrar 203.0.113.10:5060
#include "lab.h"
#include "sipnat/sip/uri.h"

namespace sipnat {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

std::string registering(int cseq, std::string_view more, std::string_view aor = "alice@example.com",
                        std::string_view call_id = "r-1") {
    const auto number = std::to_string(cseq);
    return sip_text(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 192.168.77.2;rport;branch="
        "z9hG4bK" +
        std::string(call_id) + number + "\nFrom: <sip:" + std::string(aor) +
        ">;tag=a\nTo: <sip:" + std::string(aor) + ">\nCall-ID: " + std::string(call_id) +
        "\nCSeq: " + number + " REGISTER\n" + std::string(more));
}

/// Of the request as it reached the registrar, with the headers of its own.
std::string answered(const std::string& request, int status, std::string_view more = {}) {
    auto text = answer(request, status, "r");
    const auto begin = text.find("Contact: ");
    if (begin != std::string::npos) text.erase(begin, text.find("\r\n", begin) + 2 - begin);
    return text.insert(text.find("Content-Length"), crlf(more));
}

class Bindings : public testing::Test {
  protected:
    /// A REGISTER and its 200.
    void enrol(int cseq, std::string_view asked, std::string_view granted,
               std::string_view aor = "alice@example.com") {
        const auto sent = line.out(registering(cseq, asked, aor));
        (void)line.in(answered(sent.text, 200, granted));
    }

    std::vector<std::string> known() const {
        std::vector<std::string> all;
        for (const auto& binding : gateway.engine.bindings()) {
            const auto left =
                std::chrono::duration_cast<std::chrono::seconds>(binding.until - gateway.now);
            all.push_back(binding.name.aor + " " + binding.name.contact + " " +
                          std::to_string(left.count()));
        }
        return all;
    }

    Gateway gateway;
    Line line = gateway.line();
};

constexpr auto kContact = "Contact: <sip:alice@192.168.77.2>\n";
constexpr auto kListed = "Contact: <sip:alice@203.0.113.1:1024>;expires=600\n";

TEST_F(Bindings, AreMadeByThe2xxWithWhatItGrants) {
    const auto sent = line.out(registering(1, std::string(kContact) + "Expires: 3600\n"));
    EXPECT_THAT(known(), IsEmpty());
    (void)line.in(answered(sent.text, 200, kListed));
    EXPECT_THAT(known(), ElementsAre("alice@example.com alice@192.168.77.2:5060 600"));
    const auto binding = gateway.engine.bindings().front();
    EXPECT_EQ(binding.inside.text(), "192.168.77.2:5060");
    EXPECT_EQ(binding.outside.text(), "203.0.113.1:1024");
    EXPECT_EQ(binding.registrar.text(), "203.0.113.10:5060");
}

TEST_F(Bindings, ContactsBeyondAllMeasureAreNotRead) {
    const std::string others = "Contact: <sip:x@198.51.100.1>\n";
    std::string many;
    for (std::size_t i = 0; i + 1 < sip::kMostAddresses; ++i)
        many += others;
    constexpr auto kAlice = "alice@example.com alice@192.168.77.2:5060 600";
    enrol(1, many + others + kContact, many + others + kListed);
    EXPECT_THAT(known(), Not(Contains(kAlice)));
    enrol(2, many + kContact, many + kListed);
    EXPECT_THAT(known(), Contains(kAlice));
}

TEST_F(Bindings, TakeTheTimeThatIsSaidNearest) {
    const std::string bare = "Contact: <sip:alice@203.0.113.1:1024>\n";
    enrol(1, std::string(kContact) + "Expires: 100\n", bare + "Expires: 90\n");
    EXPECT_THAT(known(), ElementsAre(testing::EndsWith(" 90")));
    enrol(2, std::string(kContact) + "Expires: 100\n", bare);
    EXPECT_THAT(known(), ElementsAre(testing::EndsWith(" 100")));
    enrol(3, kContact, bare);
    EXPECT_THAT(known(), ElementsAre(testing::EndsWith(" 3600")));
    enrol(4, "Contact: <sip:alice@192.168.77.2>;expires=70\nExpires: 100\n", "");
    EXPECT_THAT(known(), ElementsAre(testing::EndsWith(" 70")));
}

TEST_F(Bindings, TellTheStateFileOnlyOfNews) {
    const auto told = [this] { return gateway.engine.take_changes().bindings.size(); };
    enrol(1, kContact, kListed);
    EXPECT_EQ(told(), 1U);
    gateway.now += 30s;
    enrol(2, kContact, kListed);
    EXPECT_EQ(told(), 0U) << "30 s more are none";
    gateway.now += 31s;
    enrol(3, kContact, kListed);
    EXPECT_EQ(told(), 1U);
    for (int cseq = 4; cseq < 10; ++cseq) {
        enrol(cseq, kContact, "Contact: <sip:alice@203.0.113.1:1024>;expires=60\n");
        EXPECT_EQ(told(), 1U) << "it ends before, or 30 s are much";
        gateway.now += 30s;
    }
}

// Without NAT both ends count as inside, and the flow is one.
TEST(BindingsWithoutNat, OfOneNameMayMoveToAnotherHost) {
    Gateway gateway;
    const auto line = gateway.line("198.51.100.2:5060", "198.51.100.2:5060");
    constexpr auto kName = "Contact: <sip:alice@phone.example.com>;expires=60\n";
    const auto first = line.out(registering(1, kName));
    (void)line.in(answered(first.text, 200, kName));
    const auto second = line.in(registering(1, kName, "alice@example.com", "r-2"));
    (void)line.out(answered(second.text, 200, kName));
    ASSERT_EQ(gateway.engine.bindings().size(), 1U);
    EXPECT_EQ(gateway.engine.bindings().front().inside.text(), "203.0.113.10:5060");
    (void)gateway.wait(61s);
    EXPECT_THAT(gateway.engine.bindings(), IsEmpty());
}

TEST_F(Bindings, NeedTheirFlowAndNoOther) {
    enrol(1, kContact, kListed);
    const auto flow = gateway.engine.bindings().front().flow;
    auto elsewhere = flow;
    elsewhere.reply.destination.port = Port{1};
    EXPECT_THAT(gateway.engine.needed(std::vector{elsewhere, flow}), ElementsAre(flow));
    (void)gateway.wait(600s);
    EXPECT_THAT(gateway.engine.needed(std::vector{flow}), IsEmpty());
}

TEST_F(Bindings, EndWithTheirTime) {
    enrol(1, kContact, kListed);
    (void)gateway.wait(600s - 1ms);
    EXPECT_EQ(known().size(), 1U);
    (void)gateway.wait(1ms);
    EXPECT_THAT(known(), IsEmpty());
}

TEST_F(Bindings, LiveOnWithEachRefresh) {
    enrol(1, kContact, kListed);
    (void)gateway.wait(500s);
    enrol(2, kContact, kListed);
    (void)gateway.wait(500s);
    EXPECT_THAT(known(), ElementsAre(testing::EndsWith(" 100")));
}

TEST_F(Bindings, EndEarlierWhenARefreshGrantsLess) {
    enrol(1, kContact, kListed);
    enrol(2, kContact, "Contact: <sip:alice@203.0.113.1:1024>;expires=60\n");
    (void)gateway.wait(60s - 1ms);
    EXPECT_EQ(known().size(), 1U);
    (void)gateway.wait(1ms);
    EXPECT_THAT(known(), IsEmpty());
    EXPECT_FALSE(gateway.engine.next_due());
}

TEST_F(Bindings, OfOneFlowComeAndGoInAnyOrder) {
    const std::vector<std::string> names = {"b", "a", "c"};
    for (const auto& [gone, left] : {std::pair{0U, "a c"}, {1U, "b c"}, {2U, "a b"}}) {
        int cseq = 0;
        for (const auto& name : names)
            enrol(++cseq, kContact, kListed, name);
        enrol(++cseq, std::string(kContact) + "Expires: 0\n", "", names.at(gone));
        std::string after;
        for (const auto& binding : gateway.engine.bindings())
            after += (after.empty() ? "" : " ") + binding.name.aor.substr(0, 1);
        EXPECT_EQ(after, left);
        // Each is found by a refresh, too, and in the end none is left.
        for (const auto& name : names) {
            enrol(++cseq, kContact, kListed, name);
            enrol(++cseq, std::string(kContact) + "Expires: 0\n", "", name);
        }
        EXPECT_THAT(known(), IsEmpty());
        EXPECT_FALSE(gateway.engine.next_due());
    }
}

TEST_F(Bindings, EndWithExpiresZero) {
    enrol(1, kContact, kListed);
    enrol(2, std::string(kContact) + "Expires: 0\n", "");
    EXPECT_THAT(known(), IsEmpty());
}

TEST_F(Bindings, OfOneAddressOfRecordEndWithAStar) {
    enrol(1, kContact, kListed);
    enrol(2, kContact, kListed, "office@example.com");
    enrol(3, "Contact: *\nExpires: 0\n", "");
    EXPECT_THAT(known(), ElementsAre("office@example.com alice@192.168.77.2:5060 600"));
}

TEST_F(Bindings, AreAsManyAsContactsAndAddressesOfRecord) {
    const std::string two = "Contact: <sip:alice@192.168.77.2>, <sip:desk@192.168.77.2>\n";
    enrol(1, two,
          "Contact: <sip:alice@203.0.113.1:1024>;expires=60, "
          "<sip:desk@203.0.113.1:1024>;expires=90\n");
    enrol(2, kContact, kListed, "office@example.com");
    EXPECT_THAT(known(), ElementsAre("alice@example.com alice@192.168.77.2:5060 60",
                                     "alice@example.com desk@192.168.77.2:5060 90",
                                     "office@example.com alice@192.168.77.2:5060 600"));
}

TEST_F(Bindings, ThatTheRegistrarListsNoMoreAreOver) {
    const std::string two = "Contact: <sip:alice@192.168.77.2>, <sip:desk@192.168.77.2>\n";
    enrol(1, two,
          "Contact: <sip:alice@203.0.113.1:1024>;expires=60, "
          "<sip:desk@203.0.113.1:1024>;expires=90\n");
    enrol(2, kContact, kListed);
    EXPECT_THAT(known(), ElementsAre(testing::StartsWith("alice@example.com alice@")));
}

TEST_F(Bindings, AreTakenFromAFetch) {
    enrol(1, kContact, kListed);
    enrol(2, "", "Contact: <sip:alice@203.0.113.1:1024>;expires=77\n");
    EXPECT_THAT(known(), ElementsAre(testing::EndsWith(" 77")));
    enrol(3, "", "");
    EXPECT_THAT(known(), IsEmpty());
}

TEST_F(Bindings, StayWhenARefreshFails) {
    enrol(1, kContact, kListed);
    int cseq = 2;
    for (const int status : {401, 407, 423, 403, 500, 100}) {
        const auto sent = line.out(registering(cseq++, std::string(kContact) + "Expires: 0\n"));
        (void)line.in(answered(sent.text, status, ""));
    }
    EXPECT_THAT(known(), ElementsAre(testing::EndsWith(" 600")));
}

TEST_F(Bindings, AreNoBusinessOfOthers) {
    enrol(1, kContact, kListed);
    auto other = gateway.line("192.168.77.3:5060");
    const auto sent = other.out(registering(2, "Contact: *\nExpires: 0\n"));
    (void)other.in(answered(sent.text, 200, ""));
    // What nobody asked has no answer, and an answer on another flow is none.
    (void)line.in(answered(registering(9, std::string(kContact) + "Expires: 0\n"), 200, ""));
    const auto mine = line.out(registering(10, std::string(kContact) + "Expires: 0\n"));
    (void)other.in(answered(mine.text, 200, ""));
    EXPECT_THAT(known(), ElementsAre(testing::EndsWith(" 600")));
}

TEST_F(Bindings, KnowAContactOnAPortOfItsOwn) {
    const auto sent = line.out(registering(1, "Contact: <sip:alice@192.168.77.2:5062>\n"));
    (void)line.in(answered(sent.text, 200, "Contact: <sip:alice@203.0.113.1:10000>;expires=60\n"));
    EXPECT_THAT(known(), ElementsAre("alice@example.com alice@192.168.77.2:5062 60"));
}

// Without rport the answer goes to the port that the Via names (RFC 3261 18.2.2): another flow.
TEST_F(Bindings, AreOfTheRegistersFlowWhereverItsAnswerComes) {
    const std::string contact = "Contact: <sip:alice@192.168.77.2:5062>\n";
    auto text = registering(1, contact);
    text.replace(text.find("192.168.77.2;rport"), 18, "192.168.77.2:5062");
    const auto sent = line.out(text);
    auto listening = gateway.forwarded("192.168.77.2:5062", "203.0.113.1:10000");
    (void)listening.in(
        answered(sent.text, 200, "Contact: <sip:alice@203.0.113.1:10000>;expires=60\n"));
    EXPECT_THAT(known(), ElementsAre("alice@example.com alice@192.168.77.2:5062 60"));
    EXPECT_EQ(gateway.engine.bindings().front().inside.port, Port{5060});
}

TEST_F(Bindings, KeepTheirFlowUp) {
    enrol(1, kContact, "Contact: <sip:alice@203.0.113.1:1024>;expires=7200\n");
    std::size_t kept = 0;
    for (int minutes = 0; minutes < 180; minutes += 5) {
        const auto flows = gateway.wait(5min).keep_up;
        kept += flows.size();
        for (const auto& flow : flows)
            EXPECT_EQ(flow.source.text(), "192.168.77.2:5060");
    }
    EXPECT_EQ(kept, 5U);  // each 20 minutes of two hours, the last of which ends with the binding
    EXPECT_FALSE(gateway.engine.next_due());
}

TEST_F(Bindings, ThatAreOverLeaveNothingBehind) {
    enrol(1, kContact, kListed);
    EXPECT_TRUE(gateway.engine.next_due());
    enrol(2, std::string(kContact) + "Expires: 0\n", "");
    EXPECT_FALSE(gateway.engine.next_due());
}

TEST_F(Bindings, AreLimitedForAHostAndForAll) {
    auto settings = lab_settings();
    settings.bindings_per_host = 2;
    settings.bindings = 3;
    gateway.engine.set_settings(settings);
    auto other = gateway.line("192.168.77.3:5060");
    for (const auto* host : {"2", "3"}) {
        auto& on = *host == '2' ? line : other;
        for (int cseq = 1; cseq <= 3; ++cseq) {
            const auto aor = "aor" + std::to_string(cseq) + "@example.com";
            const std::string contact = "Contact: <sip:a@192.168.77." + std::string(host) + ">\n";
            const auto sent = on.out(registering(cseq, contact, aor, host));
            (void)on.in(answered(sent.text, 200, ""));
        }
    }
    EXPECT_EQ(known().size(), 3U);
    EXPECT_EQ(gateway.engine.counters().refused_bindings, 3U);
}

}  // namespace
}  // namespace sipnat
