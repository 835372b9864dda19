// What a restart finds again, and what becomes of a file that was damaged.
#include "daemon/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "temp_dir.h"

namespace sipnat::daemon {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

const std::string kBoot = "5d2c7a7e-1111-4222-8333-444455556666";

IpAddress address(std::string_view text) {
    return IpAddress::parse(text).value();
}
Endpoint endpoint(std::string_view text) {
    return Endpoint::parse(text).value();
}

/// When lines are written, and when they are read.
const Clocks kWritten{Time{10s}, std::chrono::sys_days(std::chrono::year(2026) / 1 / 1)};
const Clocks kRead{Time{40s}, kWritten.wall + 100s};

std::string encode_state(const SavedState& state) {
    return encode_state(state, kWritten);
}
ReadState decode_state(const std::string& text, const std::string& boot = kBoot) {
    return decode_state(text, boot, kRead);
}

// --- states -------------------------------------------------------------------------------------

MediaKey key(std::string_view outside, std::string_view inside,
             Transport transport = Transport::udp) {
    return {address(outside), transport, endpoint(inside)};
}

/// A call with every field off its default: two forks, one of them confirmed and being ended; a
/// re-INVITE under way; a held stream; holes with and without a remote side.
Call forked_call() {
    const auto rtp = key("203.0.113.1", "192.168.77.2:4000");
    const auto rtcp = key("203.0.113.1", "192.168.77.2:4001");
    const OwnStream audio{ExpectClass::audio, {rtp, rtcp}, true, false, true, {rtcp}};
    const OwnStream held{ExpectClass::video, {}, false, true, false, {}};
    const RemoteStream remote{{endpoint("203.0.113.10:7000"), endpoint("203.0.113.10:7001")},
                              true,
                              {{1, endpoint("198.51.100.7:7002")}}};
    RemoteStream refused;
    refused.rejected = true;
    refused.quiet = true;
    refused.way = Way::direct;

    Dialog root;
    root.own.pending = {{{true, 1}, {audio}}};
    Dialog first;
    first.tag = "fork-1";
    first.own.agreed = {audio, held};
    first.remote.agreed = {remote};
    first.remote.pending = {{{false, 4294967295U}, {remote, refused}}, {{true, 2}, {}}};
    first.own.settled = {{true, 1}, {false, 4294967295U}};
    first.confirmed = true;
    first.bye_until = Time{123456789ms};
    Dialog second;
    second.tag = "fork 2 \"quoted\"\\";
    second.own.agreed = {held};

    Call call;
    call.inside = address("192.168.77.2");
    call.remote = address("203.0.113.10");
    call.call_id = "call@192.168.77.2";
    call.inside_initiated = true;
    call.initiator_tag = "alice";
    call.master = {endpoint("192.168.77.2:5060"), endpoint("203.0.113.10:5060"), Transport::tcp};
    call.inside_sends = FlowDirection::reply;
    call.state = Call::State::established;
    call.invite_cseq = 4294967295U;
    call.dialogs = {root, first, second};
    call.root_until = Time{987654321ms};
    call.deadline = Time{1'000'000'000'000ms};
    call.heard = Time{999'999'999'999ms};
    call.session_until = Time{1'000'000'000'001ms};
    call.media_prolongs = true;
    call.counted = 7;
    call.signalling = {{key("203.0.113.1", "192.168.77.2:5062"), std::nullopt, call.remote}};
    call.holes = {{rtp, std::nullopt},
                  {rtp, endpoint("192.168.77.3:4000"), std::nullopt, Way::direct},
                  {rtp, endpoint("203.0.113.1:10002"), std::nullopt, Way::hairpin},
                  {rtp, endpoint("203.0.113.10:7000")},
                  {rtcp, std::nullopt}};
    return call;
}

Call ipv6_call() {
    Call call;
    call.inside = address("fd00::2");
    call.remote = address("2001:db8::10");
    call.call_id = "six";
    call.initiator_tag = "bob";
    call.master = {endpoint("[2001:db8::10]:5060"), endpoint("[2001:db8::1]:5060"), Transport::udp};
    call.deadline = Time{1ms};
    call.holes = {
        {key("2001:db8::1", "[fd00::2]:4000", Transport::tcp), endpoint("[2001:db8::10]:9000")}};
    return call;
}

SavedState::SavedMapping mapping(const MediaKey& of, std::string_view outside,
                                 ExpectClass media = ExpectClass::audio) {
    SavedState::SavedMapping saved;
    saved.key = of;
    saved.mapping.outside = endpoint(outside);
    saved.mapping.master = {endpoint("192.168.77.2:5060"), endpoint("203.0.113.10:5060"),
                            Transport::tcp};
    saved.mapping.inside_sends = FlowDirection::reply;
    saved.mapping.media = media;
    saved.mapping.owner = of.inside.address;
    if (media == ExpectClass::audio) saved.mapping.from = address("203.0.113.10");
    return saved;
}

Lease lease(const MediaKey& of, const std::string& subject = "lease") {
    const auto remote = address("203.0.113.10");
    return {{of.inside.address, remote, subject, of},
            {{of, std::nullopt, remote}, {of, endpoint("203.0.113.10:5060")}},
            Time{77ms},
            std::chrono::seconds(600)};
}

Binding binding(const std::string& aor, std::chrono::seconds left = 600s) {
    const Tuple flow{endpoint("192.168.77.2:5060"), endpoint("203.0.113.10:5060"), Transport::udp};
    const auto until = kWritten.engine + left;
    return {{flow, aor, "alice@192.168.77.2:5062"},
            {flow, {flow.destination, endpoint("203.0.113.1:1024"), Transport::udp}},
            flow.source,
            endpoint("203.0.113.1:1024"),
            flow.destination,
            until,
            until};
}

SavedStream stream(const char* source) {
    const auto flow = endpoint(source);
    return {{flow, flow, Transport::tcp}, {1, 0xff, 0, 0x10, 0xab}};
}

SavedState rich_state() {
    const auto contact = key("203.0.113.1", "192.168.77.2:5062");
    return {
        {forked_call(), ipv6_call()},
        {mapping(key("203.0.113.1", "192.168.77.2:4000"), "203.0.113.1:10000"),
         mapping(key("203.0.113.1", "192.168.77.2:4001"), "203.0.113.1:10001", ExpectClass::other),
         mapping(key("2001:db8::1", "[fd00::2]:4000", Transport::tcp), "[2001:db8::1]:10002",
                 ExpectClass::video),
         mapping(contact, "203.0.113.1:10004", ExpectClass::signalling)},
        {lease(contact), lease(contact, "second \xff")},
        {binding("alice@example.com"), binding("\xff")},
        {},
        {stream("192.168.77.2:40000"), stream("[fd00::2]:40000")}};
}

Call plain_call(const std::string& call_id) {
    auto call = ipv6_call();
    call.call_id = call_id;
    call.holes.clear();
    return call;
}

// --- comparing: a new member breaks these bindings, and wants a place in the file ----------------

template <class Stream>
void expect_same(const Negotiated<Stream>& one, const Negotiated<Stream>& other) {
    const auto& [agreed, pending, settled] = one;
    EXPECT_EQ(agreed, other.agreed);
    EXPECT_EQ(settled, other.settled);
    ASSERT_EQ(pending.size(), other.pending.size());
    for (std::size_t i = 0; i < pending.size(); ++i) {
        const auto& [transaction, streams] = pending[i];
        EXPECT_EQ(transaction, other.pending[i].transaction);
        EXPECT_EQ(streams, other.pending[i].streams);
    }
}

void expect_same(const Dialog& one, const Dialog& other) {
    const auto& [tag, confirmed, own, remote, bye_until] = one;
    EXPECT_EQ(tag, other.tag);
    EXPECT_EQ(confirmed, other.confirmed);
    expect_same(own, other.own);
    expect_same(remote, other.remote);
    EXPECT_EQ(bye_until, other.bye_until);
}

void expect_same(const Call& one, const Call& other) {
    const auto& [inside, remote, call_id, inside_initiated, charged_to_inside, from_outside,
                 initiator_tag, master, inside_sends, state, invite_cseq, invite_branch, dialogs,
                 root_until, deadline, heard, session_until, media_prolongs, counted, counted_by,
                 saved_deadline, sources_due, latch_until, unheard, signalling, holes] = one;
    EXPECT_EQ(inside, other.inside);
    EXPECT_EQ(remote, other.remote);
    EXPECT_EQ(call_id, other.call_id);
    EXPECT_EQ(inside_initiated, other.inside_initiated);
    EXPECT_EQ(charged_to_inside, other.charged_to_inside);
    EXPECT_EQ(from_outside, other.from_outside);
    EXPECT_EQ(initiator_tag, other.initiator_tag);
    EXPECT_EQ(master, other.master);
    EXPECT_EQ(inside_sends, other.inside_sends);
    EXPECT_EQ(state, other.state);
    EXPECT_EQ(invite_cseq, other.invite_cseq);
    EXPECT_EQ(invite_branch, other.invite_branch);
    EXPECT_EQ(root_until, other.root_until);
    EXPECT_EQ(deadline, other.deadline);
    EXPECT_EQ(heard, other.heard);
    EXPECT_EQ(session_until, other.session_until);
    EXPECT_EQ(media_prolongs, other.media_prolongs);
    (void)sources_due;
    (void)latch_until;
    (void)unheard;  // who may send is with the mappings, and listened to anew
    (void)saved_deadline;
    (void)counted_by;
    (void)counted;  // not in the file: the first look after a restart compares with nothing
    EXPECT_EQ(signalling, other.signalling);
    EXPECT_EQ(holes, other.holes);
    ASSERT_EQ(dialogs.size(), other.dialogs.size());
    for (std::size_t i = 0; i < dialogs.size(); ++i)
        expect_same(dialogs[i], other.dialogs[i]);
}

void expect_same(const SavedState::SavedMapping& one, const SavedState::SavedMapping& other) {
    const auto& [saved_key, saved] = one;
    EXPECT_EQ(saved_key, other.key);
    EXPECT_EQ(saved.outside, other.mapping.outside);
    EXPECT_EQ(saved.master, other.mapping.master);
    EXPECT_EQ(saved.inside_sends, other.mapping.inside_sends);
    EXPECT_EQ(saved.media, other.mapping.media);
    EXPECT_EQ(saved.owner, other.mapping.owner);
    EXPECT_EQ(saved.from, other.mapping.from);
}

const Call* find_call(const SavedState& state, const std::string& call_id) {
    const auto found = std::ranges::find(state.calls, call_id, &Call::call_id);
    return found == state.calls.end() ? nullptr : &*found;
}

std::vector<std::string> call_ids(const SavedState& state) {
    std::vector<std::string> ids;
    for (const auto& call : state.calls)
        ids.push_back(call.call_id);
    std::ranges::sort(ids);
    return ids;
}

void expect_same(const SavedState& one, const SavedState& other) {
    ASSERT_EQ(call_ids(one), call_ids(other));
    for (const auto& call : one.calls)
        expect_same(call, *find_call(other, call.call_id));
    ASSERT_EQ(one.mappings.size(), other.mappings.size());
    for (const auto& saved : one.mappings) {
        const auto found =
            std::ranges::find(other.mappings, saved.key, &SavedState::SavedMapping::key);
        ASSERT_NE(found, other.mappings.end());
        expect_same(saved, *found);
    }
    EXPECT_THAT(one.leases, testing::UnorderedElementsAreArray(other.leases));
    EXPECT_THAT(one.bindings, testing::UnorderedElementsAreArray(other.bindings));
    EXPECT_THAT(one.streams, testing::UnorderedElementsAreArray(other.streams));
}

// --- lines --------------------------------------------------------------------------------------

ReadState decode(const std::vector<SavedState>& lines, const std::string& more = {}) {
    auto text = state_header(kBoot);
    for (const auto& line : lines)
        text += encode_state(line);
    return decode_state(text + more, kBoot);
}

/// A line with a good checksum.
std::string line_of(const std::string& body) {
    const auto sum =
        crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
    return std::to_string(sum) + " " + body + "\n";
}

json body_of(const SavedState& state) {
    const auto line = encode_state(state);
    return json::parse(line.substr(line.find(' ') + 1));
}

TEST(StateLines, ComeBackAsTheyWent) {
    const auto read = decode({rich_state()});
    EXPECT_TRUE(read.complete) << read.fault;
    EXPECT_EQ(read.fault, "");
    expect_same(rich_state(), read.state);
}

TEST(StateLines, NoCallsAreCompleteAsWell) {
    for (const auto& read : {decode({}), decode({SavedState{}})}) {
        EXPECT_TRUE(read.complete);
        EXPECT_EQ(read.fault, "");
        EXPECT_THAT(read.state.calls, IsEmpty());
        EXPECT_THAT(read.state.mappings, IsEmpty());
    }
}

TEST(StateLines, ALeaseWithoutHolesHasEnded) {
    auto ended = lease(key("203.0.113.1", "192.168.77.2:5062"));
    ended.holes.clear();
    const auto read = decode({rich_state(), {{}, {}, {ended}}});
    EXPECT_TRUE(read.complete) << read.fault;
    ASSERT_THAT(read.state.leases, SizeIs(1));
    EXPECT_EQ(read.state.leases.front().name.subject, "second \xff");
}

TEST(StateLines, AnEndedBindingIsGone) {
    const auto later = binding("alice@example.com", 1200s);
    const auto read = decode({rich_state(), {{}, {}, {}, {later}, {binding("\xff").name}}});
    EXPECT_TRUE(read.complete) << read.fault;
    EXPECT_THAT(read.state.bindings, testing::ElementsAre(later));
}

TEST(StateLines, AnEndedStreamIsGoneAndAChangedOneHasItsLastMemo) {
    auto later = stream("192.168.77.2:40000");
    later.memo.back() = 9;
    SavedState changes;
    changes.streams = {later};
    changes.ended_streams = {stream("[fd00::2]:40000").flow};
    const auto read = decode({rich_state(), changes});
    EXPECT_TRUE(read.complete) << read.fault;
    EXPECT_THAT(read.state.streams, testing::ElementsAre(later));
}

TEST(StateLines, OneFlowIsEndedAndBegunInOneLine) {
    SavedState changes;
    changes.ended_streams = {stream("192.168.77.2:40000").flow};
    changes.streams = {stream("192.168.77.2:40000")};
    EXPECT_THAT(decode({rich_state(), changes}).state.streams, SizeIs(2));
}

TEST(StateLines, LaterOnesReplaceWhatEarlierOnesSay) {
    auto changed = forked_call();
    changed.dialogs.pop_back();
    changed.deadline = Time{42ms};
    auto moved = mapping(key("203.0.113.1", "192.168.77.2:4000"), "203.0.113.1:20000");
    const auto read = decode({rich_state(), {{changed}, {moved}}});
    EXPECT_TRUE(read.complete) << read.fault;
    auto expected = rich_state();
    expected.calls[0] = changed;
    expected.mappings[0] = moved;
    expect_same(expected, read.state);
}

TEST(StateLines, OneCallIdCanBeSeveralCalls) {
    auto state = SavedState{std::vector(5, plain_call("shared")), {}};
    state.calls[1].inside = address("fd00::3");
    state.calls[2].remote = address("2001:db8::11");
    state.calls[3].inside_initiated = true;
    state.calls[4].initiator_tag = "carol";
    EXPECT_THAT(decode({state, state}).state.calls, SizeIs(5));
}

TEST(StateLines, AnEndedCallIsGoneWithItsMappings) {
    auto ended = forked_call();
    ended.state = Call::State::ended;
    ended.holes.clear();
    auto begun = rich_state();
    begun.leases.clear();
    const auto read = decode({begun, {{ended}, {}}});
    EXPECT_TRUE(read.complete) << read.fault;
    EXPECT_EQ(call_ids(read.state), std::vector<std::string>{"six"});
    ASSERT_THAT(read.state.mappings, SizeIs(1));
    EXPECT_EQ(read.state.mappings.front().mapping.outside, endpoint("[2001:db8::1]:10002"));
}

TEST(StateLines, AMappingWithoutAHoleIsLeftOut) {
    auto state = rich_state();
    state.calls.pop_back();
    state.leases.clear();
    EXPECT_THAT(decode({state}).state.mappings, SizeIs(2));
}

TEST(StateLines, AHoleWithoutAMappingIsTheEnginesToJudge) {
    auto state = rich_state();
    state.mappings.clear();
    const auto read = decode({state});
    EXPECT_TRUE(read.complete);
    EXPECT_THAT(find_call(read.state, "call@192.168.77.2")->holes, SizeIs(5));
}

TEST(StateLines, BytesThatAreNoUtf8AreThoseThatWereWritten) {
    std::string every;
    for (int byte = 0; byte < 256; ++byte)
        every += static_cast<char>(byte);
    auto call = plain_call(every);
    call.initiator_tag = "\x80";
    call.dialogs.resize(1);
    call.dialogs.front().tag = "\xc3";
    const auto line = encode_state({{call, plain_call("good")}, {}});
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    const auto read = decode_state(state_header(kBoot) + line, kBoot);
    EXPECT_TRUE(read.complete) << read.fault;
    ASSERT_THAT(read.state.calls, SizeIs(2));
    ASSERT_NE(find_call(read.state, every), nullptr);
    expect_same(call, *find_call(read.state, every));
    EXPECT_NE(find_call(read.state, "good"), nullptr);

    call.state = Call::State::ended;
    const auto after = decode({{{call, plain_call("good")}, {}}, {{call}, {}}});
    EXPECT_EQ(call_ids(after.state), std::vector<std::string>{"good"});
}

// --- damage -------------------------------------------------------------------------------------

/// Lines 2 and 3 are good, `bad` is line 4, and nothing of it or behind it is to be seen.
void expect_fault(const std::string& bad, const std::string& fault, const std::string& what) {
    const auto behind = encode_state({{plain_call("behind")}, {}});
    const auto read = decode({{{plain_call("one")}, {}}, {{plain_call("two")}, {}}}, bad + behind);
    EXPECT_FALSE(read.complete) << what;
    EXPECT_THAT(read.fault, StartsWith("line 4: " + fault)) << what;
    EXPECT_EQ(call_ids(read.state), (std::vector<std::string>{"one", "two"})) << what;
}

TEST(DamagedState, ALineWhoseChecksumIsWrong) {
    const auto good = encode_state({{plain_call("three")}, {}});
    auto flipped = good;
    flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 1);
    const auto body = good.substr(good.find(' ') + 1);
    for (const auto& bad :
         {flipped, "0 " + body, " " + body, body, "x" + good, std::string("\n"), std::string("7\n"),
          good.substr(0, good.find(' ') + 1) + "\n", good.substr(0, good.size() - 2) + "\n"}) {
        expect_fault(bad, "the checksum is wrong", bad);
    }
}

TEST(DamagedState, ALastLineThatIsCutShortAnywhere) {
    const auto text = state_header(kBoot) + encode_state({{plain_call("one")}, {}});
    const auto line = encode_state({{plain_call("two")}, {}});
    for (std::size_t length = 1; length < line.size() - 1; ++length) {
        const auto read = decode_state(text + line.substr(0, length), kBoot);
        EXPECT_FALSE(read.complete) << length;
        EXPECT_EQ(read.fault, "line 3: the checksum is wrong") << length;
        EXPECT_EQ(call_ids(read.state), std::vector<std::string>{"one"}) << length;
    }
    EXPECT_THAT(decode_state(text + line.substr(0, line.size() - 1), kBoot).state.calls, SizeIs(2))
        << "only its end of line is missing";
}

TEST(DamagedState, JsonOfAnotherShape) {
    for (const char* body : {"{", "null", "7", "[]", "{}"}) {
        expect_fault(line_of(body), "", body);
    }
    const auto good = body_of({});
    for (const auto& [name, value] : good.items()) {
        for (const json& other :
             {json(), json(7), json::array({7}), json::array({json::object()})}) {
            auto bad = good;
            bad[name] = other;
            if (other.is_null()) bad.erase(name);
            expect_fault(line_of(bad.dump()), "", name + " is " + other.dump());
        }
    }
}

TEST(DamagedState, ABindingWithoutOneOfItsMembers) {
    const auto good = body_of(rich_state());
    for (const auto& [name, value] : good["bindings"][0].items()) {
        auto bad = good;
        bad["bindings"][0].erase(name);
        expect_fault(line_of(bad.dump()), "", "without " + name);
    }
}

TEST(DamagedState, ACallWithoutOneOfItsMembers) {
    const auto good = body_of({{forked_call()}, {}});
    for (const auto& [name, value] : good["calls"][0].items()) {
        auto bad = good;
        bad["calls"][0].erase(name);
        expect_fault(line_of(bad.dump()), "", "without " + name);
    }
    for (const auto& [name, value] : good["calls"][0]["dialogs"][1].items()) {
        auto bad = good;
        bad["calls"][0]["dialogs"][1].erase(name);
        expect_fault(line_of(bad.dump()), "", "without a dialog's " + name);
    }
}

TEST(DamagedState, AMappingWithoutOneOfItsMembers) {
    const auto good = body_of({{}, {rich_state().mappings.front()}});
    for (const auto& [name, value] : good["mappings"][0].items()) {
        auto bad = good;
        bad["mappings"][0].erase(name);
        expect_fault(line_of(bad.dump()), "", "without " + name);
    }
}

struct BadValue {
    const char* where;  // JSON pointer
    json value;
    const char* fault;
};

TEST(DamagedState, AValueThatCantBe) {
    const auto good = body_of(rich_state());
    ASSERT_EQ(good["calls"][0]["call_id"], "call@192.168.77.2");
    const char* number = "a number is off";
    const char* unreadable = "an address can't be read";
    const std::vector<BadValue> values = {
        {"/calls/0/inside_sends", 2, number},
        {"/calls/0/inside_sends", -1, number},
        {"/calls/0/state", 3, number},
        {"/calls/0/master/2", 1, number},
        {"/calls/0/holes/0/0/1", 132, number},
        {"/calls/0/dialogs/1/own/agreed/0/media", 4, number},
        {"/mappings/0/media", 4, number},
        {"/mappings/0/inside_sends", 2, number},
        {"/calls/0/inside", "192.168.77", unreadable},
        {"/calls/0/remote", "", unreadable},
        {"/calls/0/master/0", "192.168.77.2", unreadable},
        {"/calls/0/master/1", "192.168.77.2:65536", unreadable},
        {"/calls/0/holes/1/1", "phone:4000", unreadable},
        {"/calls/0/dialogs/1/remote/agreed/0/components/0", "fd00::2:4000", unreadable},
        {"/mappings/0/outside", "[203.0.113.1]:1", unreadable},
        {"/mappings/0/key/0", "203.0.113.1:1", unreadable},
        {"/calls/0/deadline", nullptr, unreadable},
        {"/calls/0/call_id", 7, ""},
        {"/calls/0/call_id", "\xe2\x82\xac", "a character is no byte"},
        {"/calls/0/inside_initiated", "yes", ""},
        {"/calls/0/master", json::array(), ""},
        {"/calls/0/holes/0", json::array(), ""},
        {"/streams/0/0/2", 1, number},
        {"/streams/0/1", std::string(62, '0'), "a memo's length"},
        {"/streams/0/1", std::string(63, '0') + "g", "a memo can't be read"},
        {"/ended_streams/0", json::array(), ""},
    };
    for (const auto& one : values) {
        auto bad = good;
        bad[json::json_pointer(one.where)] = one.value;
        expect_fault(line_of(bad.dump()), one.fault, one.where);
    }
}

TEST(DamagedState, NothingOfADamagedLineCounts) {
    auto body = body_of({{plain_call("good"), plain_call("bad")}, {}});
    body["calls"][1]["inside"] = "nowhere";
    expect_fault(line_of(body.dump()), "an address can't be read", "its first call was good");
    body = body_of({{plain_call("good")}, {rich_state().mappings.front()}});
    body["mappings"][0]["outside"] = "nowhere";
    expect_fault(line_of(body.dump()), "an address can't be read", "its calls were good");
}

TEST(StateHeader, OfAnotherVersionOrNoneIsAFault) {
    const auto line = encode_state({{plain_call("one")}, {}});
    const auto fault = [&](const std::string& header) {
        const auto read = decode_state(header + line, kBoot);
        EXPECT_FALSE(read.complete) << header;
        EXPECT_THAT(read.state.calls, IsEmpty()) << header;
        return read.fault;
    };
    EXPECT_EQ(fault("sipnat-state 1 " + kBoot + "\n"), "another version");
    EXPECT_EQ(fault("sipnat-state 0 other-boot\n"), "another version");
    EXPECT_EQ(fault(""), "no header");
    EXPECT_EQ(fault("\n"), "no header");
    EXPECT_EQ(fault("sipnat-state 2\n"), "no header");
    EXPECT_EQ(fault("sipnat-state one " + kBoot + "\n"), "no header");
    EXPECT_EQ(fault("siproxd-state 1 " + kBoot + "\n"), "no header");
    EXPECT_EQ(decode_state("", kBoot).fault, "no header");
    EXPECT_EQ(decode_state(std::string("\0\0\0\0", 4), kBoot).fault, "no header");
}

// --- of another boot ----------------------------------------------------------------------------

ReadState after_reboot(const SavedState& state, const Clocks& now) {
    return decode_state(state_header("another-boot") + encode_state(state), kBoot, now);
}

TEST(AfterAReboot, OnlyRegistrationsHold) {
    auto state = rich_state();
    for (auto& lease : state.leases)
        lease.until = kWritten.engine + 300s;
    const auto read = after_reboot(state, kRead);
    EXPECT_FALSE(read.complete) << "there are no calls to be complete";
    EXPECT_EQ(read.fault, "");
    EXPECT_THAT(read.state.calls, IsEmpty());
    ASSERT_THAT(read.state.leases, SizeIs(2));
    EXPECT_EQ(read.state.leases.front().until, kRead.engine + 200s);
    ASSERT_THAT(read.state.mappings, SizeIs(1));
    EXPECT_EQ(read.state.mappings.front().mapping.outside, endpoint("203.0.113.1:10004"));
    ASSERT_THAT(read.state.bindings, SizeIs(2));
    const auto& kept = read.state.bindings.front();
    EXPECT_EQ(kept.name, binding("alice@example.com").name);
    EXPECT_EQ(kept.outside, binding("alice@example.com").outside);
    EXPECT_EQ(kept.until, kRead.engine + 500s) << "100 s have passed";
}

TEST(AfterAReboot, WhatEndedMeanwhileIsGone) {
    auto state = SavedState{{}, {}, {}, {binding("short", 100s), binding("long", 101s)}};
    state.leases = rich_state().leases;
    const auto read = after_reboot(state, kRead);
    EXPECT_THAT(read.state.leases, IsEmpty());
    ASSERT_THAT(read.state.bindings, SizeIs(1));
    EXPECT_EQ(read.state.bindings.front().name.aor, "long");
}

TEST(StateLines, ABindingThatEndedMeanwhileIsGone) {
    auto now = kWritten;
    now.engine += 200s;
    const SavedState state{{}, {}, {}, {binding("short", 200s), binding("long", 201s)}};
    const auto read = decode_state(state_header(kBoot) + encode_state(state), kBoot, now);
    EXPECT_TRUE(read.complete);
    EXPECT_THAT(read.state.bindings, SizeIs(1));
}

TEST(AfterAReboot, AClockThatWasSetBackTakesNothingAway) {
    const SavedState state{{}, {}, {}, {binding("alice@example.com")}};
    const auto read = after_reboot(state, {Time{40s}, {}});
    ASSERT_THAT(read.state.bindings, SizeIs(1));
    EXPECT_EQ(read.state.bindings.front().until, Time{640s});
}

// --- the boot ------------------------------------------------------------------------------------

TEST(BootId, IsTheKernelsAndStays) {
    const auto id = boot_id();
    ASSERT_TRUE(id) << id.error().text();
    EXPECT_THAT(*id, SizeIs(36));
    EXPECT_EQ(*id, *boot_id());
}

// --- the file -----------------------------------------------------------------------------------

class StateFileTest : public testing::Test {
  protected:
    [[nodiscard]] ReadState read() const { return StateFile::read(path_, kBoot); }
    [[nodiscard]] std::string contents() const {
        std::ifstream stream(path_, std::ios::binary);
        std::ostringstream text;
        text << stream.rdbuf();
        return text.str();
    }

    TempDir folder_;
    std::string path_ = folder_.file("state");
    StateFile file_{path_, kBoot};
};

TEST_F(StateFileTest, ThatIsMissingReadsAsNothing) {
    const auto missing = read();
    EXPECT_FALSE(missing.complete);
    EXPECT_EQ(missing.fault, "");
    EXPECT_THAT(missing.state.calls, IsEmpty());
}

TEST_F(StateFileTest, IsReplacedAtOnceAndForRootOnly) {
    std::ofstream(path_) << "old";
    std::filesystem::create_hard_link(path_, folder_.file("old"));
    auto state = rich_state();
    state.bindings.clear();  // they end by the real clock
    ASSERT_TRUE(file_.replace(state));
    EXPECT_EQ(std::filesystem::file_size(folder_.file("old")), 3U)
        << "another file is in its place";
    EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
    struct stat status {};
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    EXPECT_TRUE(read().complete);
    expect_same(state, read().state);
}

TEST_F(StateFileTest, GrowsByALineAChange) {
    ASSERT_TRUE(file_.replace({{plain_call("one")}, {}}));
    const auto begun = contents();
    ASSERT_TRUE(file_.append({{plain_call("two")}, {}}));
    EXPECT_THAT(contents(), StartsWith(begun));
    EXPECT_EQ(std::ranges::count(contents(), '\n'), std::ranges::count(begun, '\n') + 1);
    ASSERT_TRUE(file_.sync());
    EXPECT_EQ(call_ids(read().state), (std::vector<std::string>{"one", "two"}));

    ASSERT_TRUE(file_.replace({{plain_call("three")}, {}}));
    ASSERT_TRUE(file_.append({{plain_call("four")}, {}}));
    EXPECT_EQ(call_ids(read().state), (std::vector<std::string>{"four", "three"}));
}

TEST_F(StateFileTest, OfManyEntriesHasSeveralLines) {
    SavedState state;
    for (int i = 0; i < 1000; ++i)
        state.calls.push_back(plain_call("call " + std::to_string(1000 + i)));
    const auto mapping = rich_state().mappings.front();
    state.mappings.assign(1, mapping);
    state.calls.back().holes = {{mapping.key, std::nullopt}};
    ASSERT_TRUE(file_.replace(state));
    EXPECT_GT(std::ranges::count(contents(), '\n'), 2);
    const auto back = read();
    EXPECT_TRUE(back.complete);
    expect_same(state, back.state);

    // The last line is cut: those before hold.
    auto text = contents();
    text.pop_back();
    std::ofstream(path_, std::ios::binary) << text.substr(0, text.size() - 1);
    const auto rest = read();
    EXPECT_FALSE(rest.complete);
    EXPECT_GT(rest.state.calls.size(), 0U);
    EXPECT_LT(rest.state.calls.size(), 1000U);
}

TEST_F(StateFileTest, HasToBeBegunFirst) {
    const auto appended = file_.append({{plain_call("one")}, {}});
    ASSERT_FALSE(appended);
    EXPECT_EQ(appended.error().text(), "append to " + path_ + ": it was never begun");
    EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(StateFileTest, InAFolderThatIsNotThereFails) {
    StateFile nowhere(folder_.file("none/state"), kBoot);
    const auto replaced = nowhere.replace({});
    ASSERT_FALSE(replaced);
    EXPECT_EQ(replaced.error().text(),
              "write " + folder_.file("none/state.new") + ": No such file or directory");
}

TEST_F(StateFileTest, KeepsTheOldOneWhenItCantBeReplaced) {
    ASSERT_TRUE(file_.replace({{plain_call("one")}, {}}));
    std::filesystem::create_directory(path_ + ".new");
    EXPECT_FALSE(file_.replace({{plain_call("two")}, {}}));
    ASSERT_TRUE(file_.append({{plain_call("three")}, {}}));
    EXPECT_EQ(call_ids(read().state), (std::vector<std::string>{"one", "three"}));
}

TEST_F(StateFileTest, IsOutgrownByAMegabyteOverWhatItBeganWith) {
    constexpr std::size_t kMegabyte = 1U << 20U;
    const SavedState big{{plain_call(std::string(100'000, 'x'))}, {}};
    EXPECT_FALSE(file_.is_outgrown());
    ASSERT_TRUE(file_.replace(big));
    const auto begun = contents().size();
    std::size_t appended = 0;
    while (!file_.is_outgrown()) {
        ASSERT_LE(appended, kMegabyte + begun) << "it never is";
        ASSERT_TRUE(file_.append(big));
        appended += encode_state(big).size();
    }
    EXPECT_GT(appended, kMegabyte + begun);
    ASSERT_TRUE(file_.replace(big));
    EXPECT_FALSE(file_.is_outgrown());
}

/// No file of this process can grow beyond `bytes`, as on a full disk.
class FileSizeLimit {
  public:
    explicit FileSizeLimit(std::uintmax_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        (void)getrlimit(RLIMIT_FSIZE, &before_);
        auto limit = before_;
        limit.rlim_cur = bytes;
        (void)setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() {
        (void)setrlimit(RLIMIT_FSIZE, &before_);
        (void)std::signal(SIGXFSZ, handler_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

  private:
    rlimit before_{};
    void (*handler_)(int);
};

TEST_F(StateFileTest, WantsToBeWrittenAnewAfterALineThatWasCutShort) {
    ASSERT_TRUE(file_.replace({{plain_call("one")}, {}}));
    {
        const FileSizeLimit limit(std::filesystem::file_size(path_) + 10);
        const auto appended = file_.append({{plain_call("two")}, {}});
        ASSERT_FALSE(appended);
        EXPECT_EQ(appended.error().text(), "write " + path_ + ": File too large");
    }
    EXPECT_TRUE(file_.is_outgrown()) << "or all that comes behind the torn line is lost";
    ASSERT_TRUE(file_.replace({{plain_call("one"), plain_call("two")}, {}}));
    EXPECT_FALSE(file_.is_outgrown());
    ASSERT_TRUE(file_.append({{plain_call("three")}, {}}));
    EXPECT_TRUE(read().complete);
    EXPECT_THAT(read().state.calls, SizeIs(3));
}

}  // namespace
}  // namespace sipnat::daemon
