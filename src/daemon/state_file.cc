#include "daemon/state_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "daemon/clock.h"

namespace sipnat::daemon {

namespace {

using Json = nlohmann::json;

constexpr const char* kMagic = "sipnat-state";
constexpr int kVersion = 8;
/// Entries of one kind in one line, when all are written: what is read of a line is in memory as a JSON
/// document, which takes many times its length.
constexpr std::size_t kMostOfALine = 256;
/// Below this a file is not worth replacing.
constexpr std::uint64_t kWorthReplacing = 1U << 20U;

std::string checksum(std::string_view text) {
    return std::to_string(
        crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size())));
}

// --- writing -----------------------------------------------------------------------------------
//
// Straight into text, since it is done for each message of a call: a JSON document in between takes
// seven times as long.

void put(std::string& out, bool value) {
    out += value ? "true" : "false";
}

template <class Integer>
requires std::is_integral_v<Integer>
void put(std::string& out, Integer value) {
    out += fmt::format_int(value).c_str();
}

template <class Enum>
requires std::is_enum_v<Enum>
void put(std::string& out, Enum value) {
    put(out, static_cast<int>(value));
}

/// Tags and Call-IDs are a peer's bytes, not necessarily UTF-8: each byte stands as the character of
/// its number, and text_of() makes it that byte again.
void put(std::string& out, std::string_view text) {
    const auto is_plain = [](char c) { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; };
    out += '"';
    while (!text.empty()) {
        const auto plain = std::ranges::find_if_not(text, is_plain) - text.begin();
        out.append(text, 0, static_cast<std::size_t>(plain));
        text.remove_prefix(static_cast<std::size_t>(plain));
        if (text.empty()) break;
        fmt::format_to(std::back_inserter(out), "\\u{:04x}",
                       static_cast<unsigned char>(text.front()));
        text.remove_prefix(1);
    }
    out += '"';
}

void put(std::string& out, const IpAddress& address) {
    out.append(1, '"').append(address.text()).append(1, '"');
}

void put(std::string& out, const Endpoint& endpoint) {
    out.append(1, '"').append(endpoint.text()).append(1, '"');
}

void put(std::string& out, Time time) {
    put(out, time.time_since_epoch().count());
}

template <class T>
void put(std::string& out, const std::optional<T>& value) {
    value ? put(out, *value) : void(out += "null");
}

// What holds others of these: declared before the templates that put them.
void put(std::string& out, const Tuple& tuple);
void put(std::string& out, const MediaKey& key);
void put(std::string& out, const HoleKey& key);
void put(std::string& out, const TransactionId& transaction);
void put(std::string& out, const OwnStream& stream);
void put(std::string& out, const RemoteStream& stream);
void put(std::string& out, const RemoteStream::Candidate& candidate);
void put(std::string& out, const Dialog& dialog);
void put(std::string& out, const Call& call);
void put(std::string& out, const Lease& lease);
void put(std::string& out, const BindingName& name);
void put(std::string& out, const Binding& binding);
void put(std::string& out, const Clocks& clocks);
void put(std::string& out, const SavedState::SavedMapping& saved);
void put(std::string& out, const SavedStream& stream);
template <class Stream>
void put(std::string& out, const Negotiated<Stream>& side);

template <class T>
void put(std::string& out, std::span<const T> list) {
    out += '[';
    for (const auto& element : list) {
        if (out.back() != '[') out += ',';
        put(out, element);
    }
    out += ']';
}

template <class T>
void put(std::string& out, const std::vector<T>& list) {
    put(out, std::span<const T>(list));
}

template <class... Values>
void put_list(std::string& out, const Values&... values) {
    out += '[';
    ((put(out, values), out += ','), ...);
    out.back() = ']';
}

void put_members(std::string&) {}

template <class Value, class... Rest>
void put_members(std::string& out, std::string_view name, const Value& value, const Rest&... rest) {
    if (out.back() != '{') out += ',';
    out.append(1, '"').append(name).append("\":");
    put(out, value);
    put_members(out, rest...);
}

/// Of names and values in turn.
template <class... Members>
void put_object(std::string& out, const Members&... members) {
    out += '{';
    put_members(out, members...);
    out += '}';
}

void put(std::string& out, const Tuple& tuple) {
    put_list(out, tuple.source, tuple.destination, tuple.transport);
}

void put(std::string& out, const SavedStream& stream) {
    std::string memo;
    for (const auto byte : stream.memo)
        fmt::format_to(std::back_inserter(memo), "{:02x}", byte);
    put_list(out, stream.flow, std::string_view(memo));
}

void put(std::string& out, const MediaKey& key) {
    put_list(out, key.outside, key.transport, key.inside);
}

void put(std::string& out, const HoleKey& key) {
    put_list(out, key.mapping, key.remote, key.from, key.way);
}

void put(std::string& out, const TransactionId& transaction) {
    put_list(out, transaction.by_inside, transaction.cseq);
}

void put(std::string& out, const OwnStream& stream) {
    put_object(out, "media", stream.media, "components", stream.components, "mux", stream.mux,
               "held", stream.held, "quiet", stream.quiet, "candidates", stream.candidates);
}

void put(std::string& out, const RemoteStream::Candidate& candidate) {
    put_list(out, candidate.component, candidate.at);
}

void put(std::string& out, const RemoteStream& stream) {
    put_object(out, "components", stream.components, "mux", stream.mux, "candidates",
               stream.candidates, "way", stream.way, "rejected", stream.rejected, "quiet",
               stream.quiet);
}

template <class Stream>
void put(std::string& out, const Negotiated<Stream>& side) {
    out += R"({"agreed":)";
    put(out, side.agreed);
    out += R"(,"pending":[)";
    for (const auto& entry : side.pending) {
        if (out.back() != '[') out += ',';
        put_object(out, "transaction", entry.transaction, "streams", entry.streams);
    }
    out += R"(],"settled":)";
    put(out, side.settled);
    out += '}';
}

void put(std::string& out, const Dialog& dialog) {
    put_object(out, "tag", std::string_view(dialog.tag), "confirmed", dialog.confirmed, "own",
               dialog.own, "remote", dialog.remote, "bye_until", dialog.bye_until);
}

void put(std::string& out, const Call& call) {
    put_object(out, "inside", call.inside, "remote", call.remote, "call_id",
               std::string_view(call.call_id), "inside_initiated", call.inside_initiated,
               "charged_to_inside", call.charged_to_inside, "from_outside", call.from_outside,
               "initiator_tag", std::string_view(call.initiator_tag), "master", call.master,
               "inside_sends", call.inside_sends, "state", call.state, "invite_cseq",
               call.invite_cseq, "invite_branch", std::string_view(call.invite_branch), "dialogs",
               call.dialogs, "root_until", call.root_until, "deadline", call.deadline, "heard",
               call.heard, "session_until", call.session_until, "media_prolongs",
               call.media_prolongs, "signalling", call.signalling, "holes", call.holes);
}

void put(std::string& out, const Lease& lease) {
    put_object(out, "inside", lease.name.inside, "remote", lease.name.remote, "subject",
               std::string_view(lease.name.subject), "mapping", lease.name.mapping, "holes",
               lease.holes, "until", lease.until, "asked", lease.asked.count());
}

void put(std::string& out, const BindingName& name) {
    put_list(out, name.flow, std::string_view(name.aor), std::string_view(name.contact));
}

void put(std::string& out, const Binding& binding) {
    put_object(out, "name", binding.name, "reply", binding.flow.reply, "inside", binding.inside,
               "outside", binding.outside, "registrar", binding.registrar, "until", binding.until);
}

void put(std::string& out, const Clocks& clocks) {
    put_list(out, clocks.engine, clocks.wall.time_since_epoch().count());
}

void put(std::string& out, const SavedState::SavedMapping& saved) {
    put_object(out, "key", saved.key, "outside", saved.mapping.outside, "master",
               saved.mapping.master, "inside_sends", saved.mapping.inside_sends, "media",
               saved.mapping.media, "owner", saved.mapping.owner, "from", saved.mapping.from);
}

// --- reading: whatever is not as written throws, and its whole line counts as damaged ------------

template <class T>
T value_of(std::optional<T> value) {
    if (!value) throw std::runtime_error("an address can't be read");
    return *std::move(value);
}

template <class Enum>
Enum enum_of(const Json& json, Enum last) {
    const auto number = json.get<int>();
    if (number < 0 || number > static_cast<int>(last)) throw std::runtime_error("a number is off");
    return static_cast<Enum>(number);
}

/// What put() made of bytes. The parser gives UTF-8, in which a byte over 127 is two.
std::string text_of(const Json& json) {
    const auto& utf8 = json.get_ref<const std::string&>();
    std::string bytes;
    for (std::size_t i = 0; i < utf8.size(); ++i) {
        const auto c = static_cast<unsigned char>(utf8[i]);
        if (c < 0x80) {
            bytes += utf8[i];
        } else if (c > 0xc3 || i + 1 == utf8.size()) {
            throw std::runtime_error("a character is no byte");
        } else {
            bytes +=
                static_cast<char>((c & 3U) << 6U | (static_cast<unsigned char>(utf8[++i]) & 0x3fU));
        }
    }
    return bytes;
}

IpAddress address_of(const Json& json) {
    return value_of(IpAddress::parse(json.get<std::string>()));
}
Endpoint endpoint_of(const Json& json) {
    return value_of(Endpoint::parse(json.get<std::string>()));
}
Transport transport_of(const Json& json) {
    for (const auto transport : {Transport::tcp, Transport::udp}) {
        if (json.get<int>() == static_cast<int>(transport)) return transport;
    }
    throw std::runtime_error("a number is off");
}
std::optional<Time> time_of(const Json& json) {
    if (json.is_null()) return std::nullopt;
    return Time(EngineClock::duration(json.get<EngineClock::rep>()));
}
Tuple tuple_of(const Json& json) {
    return {endpoint_of(json.at(0)), endpoint_of(json.at(1)), transport_of(json.at(2))};
}
MediaKey media_key_of(const Json& json) {
    return {address_of(json.at(0)), transport_of(json.at(1)), endpoint_of(json.at(2))};
}

std::vector<HoleKey> hole_keys_of(const Json& json) {
    std::vector<HoleKey> keys;
    for (const auto& hole : json) {
        auto& key = keys.emplace_back(HoleKey{media_key_of(hole.at(0)), std::nullopt});
        if (!hole.at(1).is_null()) key.remote = endpoint_of(hole.at(1));
        if (!hole.at(2).is_null()) key.from = address_of(hole.at(2));
        key.way = enum_of(hole.at(3), Way::hairpin);
    }
    return keys;
}

TransactionId transaction_of(const Json& json) {
    return {json.at(0), json.at(1)};
}

void read(const Json& json, OwnStream& stream) {
    stream.media = enum_of(json.at("media"), ExpectClass::other);
    for (const auto& key : json.at("components"))
        stream.components.push_back(media_key_of(key));
    stream.mux = json.at("mux");
    stream.held = json.at("held");
    stream.quiet = json.at("quiet");
    for (const auto& key : json.at("candidates"))
        stream.candidates.push_back(media_key_of(key));
}

void read(const Json& json, RemoteStream& stream) {
    for (const auto& endpoint : json.at("components")) {
        stream.components.push_back(endpoint_of(endpoint));
    }
    stream.mux = json.at("mux");
    for (const auto& candidate : json.at("candidates")) {
        stream.candidates.push_back({candidate.at(0), endpoint_of(candidate.at(1))});
    }
    stream.way = enum_of(json.at("way"), Way::hairpin);
    stream.rejected = json.at("rejected");
    stream.quiet = json.at("quiet");
}

template <class Stream>
void read(const Json& json, std::vector<Stream>& streams) {
    for (const auto& entry : json)
        read(entry, streams.emplace_back());
}

template <class Stream>
void read(const Json& json, Negotiated<Stream>& side) {
    read(json.at("agreed"), side.agreed);
    for (const auto& entry : json.at("pending")) {
        auto& pending = side.pending.emplace_back();
        pending.transaction = transaction_of(entry.at("transaction"));
        read(entry.at("streams"), pending.streams);
    }
    for (const auto& transaction : json.at("settled"))
        side.settled.push_back(transaction_of(transaction));
}

Dialog dialog_of(const Json& json) {
    Dialog dialog;
    dialog.tag = text_of(json.at("tag"));
    dialog.confirmed = json.at("confirmed");
    read(json.at("own"), dialog.own);
    read(json.at("remote"), dialog.remote);
    dialog.bye_until = time_of(json.at("bye_until"));
    return dialog;
}

Call call_of(const Json& json) {
    Call call;
    call.inside = address_of(json.at("inside"));
    call.remote = address_of(json.at("remote"));
    call.call_id = text_of(json.at("call_id"));
    call.inside_initiated = json.at("inside_initiated");
    call.charged_to_inside = json.at("charged_to_inside");
    call.from_outside = json.at("from_outside");
    call.initiator_tag = text_of(json.at("initiator_tag"));
    call.master = tuple_of(json.at("master"));
    call.inside_sends = enum_of(json.at("inside_sends"), FlowDirection::reply);
    call.state = enum_of(json.at("state"), Call::State::ended);
    call.invite_cseq = json.at("invite_cseq");
    call.invite_branch = text_of(json.at("invite_branch"));
    for (const auto& dialog : json.at("dialogs"))
        call.dialogs.push_back(dialog_of(dialog));
    call.root_until = time_of(json.at("root_until"));
    call.deadline = value_of(time_of(json.at("deadline")));
    call.heard = value_of(time_of(json.at("heard")));
    call.session_until = time_of(json.at("session_until"));
    call.media_prolongs = json.at("media_prolongs");
    call.signalling = hole_keys_of(json.at("signalling"));
    call.holes = hole_keys_of(json.at("holes"));
    return call;
}

Lease lease_of(const Json& json) {
    Lease lease;
    lease.name = {address_of(json.at("inside")), address_of(json.at("remote")),
                  text_of(json.at("subject")), media_key_of(json.at("mapping"))};
    lease.holes = hole_keys_of(json.at("holes"));
    lease.until = value_of(time_of(json.at("until")));
    lease.asked = std::chrono::seconds(json.at("asked").get<std::int64_t>());
    return lease;
}

BindingName binding_name_of(const Json& json) {
    return {tuple_of(json.at(0)), text_of(json.at(1)), text_of(json.at(2))};
}

Binding binding_of(const Json& json) {
    Binding binding;
    binding.name = binding_name_of(json.at("name"));
    binding.flow = {binding.name.flow, tuple_of(json.at("reply"))};
    binding.inside = endpoint_of(json.at("inside"));
    binding.outside = endpoint_of(json.at("outside"));
    binding.registrar = endpoint_of(json.at("registrar"));
    binding.until = value_of(time_of(json.at("until")));
    return binding;
}

SavedStream stream_of(const Json& json) {
    SavedStream stream{tuple_of(json.at(0))};
    const auto memo = text_of(json.at(1));
    if (memo.size() != 2 * stream.memo.size()) throw std::invalid_argument("a memo's length");
    for (std::size_t i = 0; i < stream.memo.size(); ++i) {
        const auto* digits = memo.data() + 2 * i;
        const auto [end, error] = std::from_chars(digits, digits + 2, stream.memo[i], 16);
        if (error != std::errc{} || end != digits + 2)
            throw std::invalid_argument("a memo can't be read");
    }
    return stream;
}

Clocks clocks_of(const Json& json) {
    Clocks clocks;
    clocks.engine = value_of(time_of(json.at(0)));
    clocks.wall += std::chrono::milliseconds(json.at(1).get<std::int64_t>());
    return clocks;
}

/// A time of another boot, by the engine's clock of now. A clock of the wall that was set back meanwhile
/// (a router without a battery begins in 1970) makes it as if no time had passed.
Time rebased(Time time, const Clocks& written, const Clocks& now) {
    const auto passed = std::max(now.wall - written.wall, std::chrono::milliseconds(0));
    return now.engine + (time - written.engine) - passed;
}

SavedState::SavedMapping mapping_of(const Json& json) {
    SavedState::SavedMapping saved;
    saved.key = media_key_of(json.at("key"));
    saved.mapping.outside = endpoint_of(json.at("outside"));
    saved.mapping.master = tuple_of(json.at("master"));
    saved.mapping.inside_sends = enum_of(json.at("inside_sends"), FlowDirection::reply);
    saved.mapping.media = enum_of(json.at("media"), ExpectClass::other);
    saved.mapping.owner = address_of(json.at("owner"));
    if (!json.at("from").is_null()) saved.mapping.from = address_of(json.at("from"));
    return saved;
}

/// A call's identity: what Call::owns() and the book's hosts compare.
using CallName =
    std::tuple<IpAddress, IpAddress, std::string, bool, std::string, std::string, std::uint32_t>;
CallName name_of(const Call& call) {
    return {call.inside,        call.remote,        call.call_id,    call.inside_initiated,
            call.initiator_tag, call.invite_branch, call.invite_cseq};
}

struct Known {
    std::map<CallName, Call> calls;
    std::map<LeaseName, Lease> leases;
    std::map<BindingName, Binding> bindings;
    std::map<MediaKey, Mapping> mappings;
    std::map<Tuple, StreamMemo> streams;
};

/// All of a line, or nothing of it. `now` is given for a line of another boot.
void learn(const Json& json, const std::optional<Clocks>& now, Known& known) {
    SavedState line;
    const auto written = clocks_of(json.at("clock"));
    const auto by_now = [&](Time time) { return now ? rebased(time, written, *now) : time; };
    for (const auto& entry : json.at("calls"))
        line.calls.push_back(call_of(entry));
    for (const auto& entry : json.at("mappings"))
        line.mappings.push_back(mapping_of(entry));
    for (const auto& entry : json.at("leases"))
        line.leases.push_back(lease_of(entry));
    for (const auto& entry : json.at("bindings"))
        line.bindings.push_back(binding_of(entry));
    for (const auto& entry : json.at("ended_bindings"))
        line.ended_bindings.push_back(binding_name_of(entry));
    for (const auto& entry : json.at("streams"))
        line.streams.push_back(stream_of(entry));
    for (const auto& entry : json.at("ended_streams"))
        line.ended_streams.push_back(tuple_of(entry));
    for (auto& call : line.calls) {
        if (call.state == Call::State::ended) {
            known.calls.erase(name_of(call));
        } else {
            known.calls.insert_or_assign(name_of(call), std::move(call));
        }
    }
    for (auto& lease : line.leases) {
        if (lease.holes.empty()) {
            known.leases.erase(lease.name);
        } else {
            lease.until = by_now(lease.until);
            known.leases.insert_or_assign(lease.name, std::move(lease));
        }
    }
    for (const auto& name : line.ended_bindings)
        known.bindings.erase(name);
    for (auto& binding : line.bindings) {
        binding.until = binding.saved_until = by_now(binding.until);
        known.bindings.insert_or_assign(binding.name, std::move(binding));
    }
    for (auto& saved : line.mappings) {
        known.mappings.insert_or_assign(saved.key, std::move(saved.mapping));
    }
    for (const auto& flow : line.ended_streams)
        known.streams.erase(flow);
    for (const auto& [flow, memo] : line.streams)
        known.streams.insert_or_assign(flow, memo);
}

/// Without mappings that no call and no lease uses any more.
SavedState state_of(Known known) {
    SavedState state;
    std::set<MediaKey> used;
    for (auto& [name, call] : known.calls) {
        for (const auto& hole : call.holes)
            used.insert(hole.mapping);
        state.calls.push_back(std::move(call));
    }
    for (auto& [name, binding] : known.bindings)
        state.bindings.push_back(std::move(binding));
    for (const auto& [flow, memo] : known.streams)
        state.streams.push_back({flow, memo});
    for (auto& [name, lease] : known.leases) {
        used.insert(name.mapping);
        state.leases.push_back(std::move(lease));
    }
    for (const auto& key : used) {
        const auto mapping = known.mappings.find(key);
        if (mapping != known.mappings.end()) state.mappings.push_back({key, mapping->second});
    }
    return state;
}

/// What stands in one line.
struct Part {
    std::span<const Call> calls;
    std::span<const SavedState::SavedMapping> mappings;
    std::span<const Lease> leases;
    std::span<const Binding> bindings;
    std::span<const BindingName> ended_bindings;
    std::span<const SavedStream> streams;
    std::span<const Tuple> ended_streams;

    explicit Part(const SavedState& state)
        : calls(state.calls),
          mappings(state.mappings),
          leases(state.leases),
          bindings(state.bindings),
          ended_bindings(state.ended_bindings),
          streams(state.streams),
          ended_streams(state.ended_streams) {}

    [[nodiscard]] bool is_empty() const {
        return calls.empty() && mappings.empty() && leases.empty() && bindings.empty() &&
               ended_bindings.empty() && streams.empty() && ended_streams.empty();
    }
};

std::string line_of(const Part& part, const Clocks& now) {
    std::string body;
    put_object(body, "clock", now, "calls", part.calls, "mappings", part.mappings, "leases",
               part.leases, "bindings", part.bindings, "ended_bindings", part.ended_bindings,
               "streams", part.streams, "ended_streams", part.ended_streams);
    return checksum(body) + " " + body + "\n";
}

/// The first ones, which are no longer in `rest`.
template <class T>
std::span<const T> take(std::span<const T>& rest) {
    const auto first = rest.first(std::min(rest.size(), kMostOfALine));
    rest = rest.subspan(first.size());
    return first;
}

Part take_some(Part& rest) {
    auto some = rest;
    some.calls = take(rest.calls);
    some.mappings = take(rest.mappings);
    some.leases = take(rest.leases);
    some.bindings = take(rest.bindings);
    some.ended_bindings = take(rest.ended_bindings);
    some.streams = take(rest.streams);
    some.ended_streams = take(rest.ended_streams);
    return some;
}

/// The first one, without its end, which is no longer in `rest`.
std::string_view take_line(std::string_view& rest) {
    const auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    return line;
}

Result<void> write_all(int file, std::string_view text, const std::string& path) {
    while (!text.empty()) {
        const auto written = write(file, text.data(), text.size());
        if (written < 0) return fail_errno("write", path, errno);
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

}  // namespace

Result<std::string> boot_id() {
    const std::string path = "/proc/sys/kernel/random/boot_id";
    std::ifstream stream(path);
    std::string id;
    if (!(stream >> id)) return fail("read", path, "no boot id");
    return id;
}

std::string state_header(const std::string& boot) {
    return std::string(kMagic) + " " + std::to_string(kVersion) + " " + boot + "\n";
}

Clocks clocks_now() {
    using std::chrono::system_clock;
    return {now_by_clock(), std::chrono::floor<std::chrono::milliseconds>(system_clock::now())};
}

std::string encode_state(const SavedState& state, const Clocks& now) {
    return line_of(Part(state), now);
}

ReadState decode_state(const std::string& text, const std::string& boot, const Clocks& now) {
    std::string_view lines = text;
    std::string magic, id;
    int version = 0;
    const std::string header(take_line(lines));
    if (!(std::istringstream(header) >> magic >> version >> id) || magic != kMagic) {
        return {false, {}, "no header"};
    }
    if (version != kVersion) return {false, {}, "another version"};
    const bool is_of_this_boot = id == boot;
    const auto other = is_of_this_boot ? std::nullopt : std::optional(now);
    Known known;
    std::string fault;
    for (int number = 2; fault.empty() && !lines.empty(); ++number) {
        const auto line = take_line(lines);
        const auto blank = std::min(line.find(' '), line.size());
        const auto body = line.substr(std::min(blank + 1, line.size()));
        const auto where = "line " + std::to_string(number) + ": ";
        if (body.empty() || checksum(body) != line.substr(0, blank)) {
            fault = where + "the checksum is wrong";
            break;
        }
        try {
            learn(Json::parse(body), other, known);
        } catch (const std::exception& error) {
            fault = where + error.what();
        }
    }
    if (other) {
        known.calls.clear();
        known.streams.clear();
        std::erase_if(known.leases,
                      [&](const auto& one) { return one.second.until <= now.engine; });
    }
    // Their flows would be made anew.
    std::erase_if(known.bindings, [&](const auto& one) { return one.second.until <= now.engine; });
    return {fault.empty() && is_of_this_boot, state_of(std::move(known)), fault};
}

ReadState StateFile::read(const std::string& path, const std::string& boot) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) return {};
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    return decode_state(text, boot, clocks_now());
}

Result<void> StateFile::replace(const SavedState& all) {
    const auto fresh = path_ + ".new";
    control::Descriptor file(open(
        fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (file.number() < 0) return fail_errno("write", fresh, errno);
    auto text = state_header(boot_);
    std::uint64_t bytes = 0;
    const auto now = clocks_now();
    Part rest(all);
    do {
        text += line_of(take_some(rest), now);
        if (auto written = write_all(file.number(), text, fresh); !written) return written;
        bytes += text.size();
        text.clear();
    } while (!rest.is_empty());
    // No fsync, for which packets would have to wait: see sync().
    if (std::rename(fresh.c_str(), path_.c_str()) != 0) return fail_errno("replace", path_, errno);
    file_ = std::move(file);
    begun_with_ = bytes;
    appended_ = 0;
    damaged_ = false;
    return {};
}

Result<void> StateFile::append(const SavedState& changes) {
    if (file_.number() < 0) return fail("append to", path_, "it was never begun");
    const auto line = encode_state(changes, clocks_now());
    appended_ += line.size();
    auto written = write_all(file_.number(), line, path_);
    if (!written) damaged_ = true;
    return written;
}

Result<void> StateFile::sync() {
    if (file_.number() < 0) return fail("write", path_, "it was never begun");
    if (fdatasync(file_.number()) != 0) return fail_errno("write", path_, errno);
    return {};
}

bool StateFile::is_outgrown() const {
    return damaged_ || appended_ > kWorthReplacing + begun_with_;
}

}  // namespace sipnat::daemon
