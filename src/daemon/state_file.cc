#include "daemon/state_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <utility>

namespace sipnat::daemon {

namespace {

using Json = nlohmann::json;

constexpr const char* kMagic = "sipnat-state";
constexpr int kVersion = 1;
/// Below this a file is not worth replacing.
constexpr std::uint64_t kWorthReplacing = 1U << 20U;

std::string checksum(std::string_view text) {
    return std::to_string(
        crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size())));
}

// --- writing -----------------------------------------------------------------------------------

Json json_of(const std::optional<Endpoint>& endpoint) {
    return endpoint ? Json(endpoint->text()) : Json(nullptr);
}

Json json_of(const std::optional<Time>& time) {
    return time ? Json(time->time_since_epoch().count()) : Json(nullptr);
}

Json json_of(const Tuple& tuple) {
    return {tuple.source.text(), tuple.destination.text(), static_cast<int>(tuple.transport)};
}

Json json_of(const MediaKey& key) {
    return {key.outside.text(), static_cast<int>(key.transport), key.inside.text()};
}

Json json_of(const OwnStream& stream) {
    auto components = Json::array();
    for (const auto& key : stream.components)
        components.push_back(json_of(key));
    auto further = Json::array();
    for (const auto& key : stream.further)
        further.push_back(json_of(key));
    return {{"media", static_cast<int>(stream.media)},
            {"components", std::move(components)},
            {"mux", stream.mux},
            {"held", stream.held},
            {"further", std::move(further)}};
}

Json json_of(const RemoteStream& stream) {
    auto components = Json::array();
    for (const auto& endpoint : stream.components)
        components.push_back(endpoint.text());
    auto candidates = Json::array();
    for (const auto& candidate : stream.candidates)
        candidates.push_back({candidate.component, candidate.at.text()});
    return {{"components", std::move(components)},
            {"mux", stream.mux},
            {"candidates", std::move(candidates)}};
}

template <class Stream>
Json json_of(const std::vector<Stream>& streams) {
    auto list = Json::array();
    for (const auto& stream : streams)
        list.push_back(json_of(stream));
    return list;
}

template <class Stream>
Json json_of(const Negotiated<Stream>& side) {
    auto pending = Json::array();
    for (const auto& entry : side.pending) {
        pending.push_back({{"by_inside", entry.transaction.by_inside},
                           {"cseq", entry.transaction.cseq},
                           {"streams", json_of(entry.streams)}});
    }
    return {{"agreed", json_of(side.agreed)}, {"pending", std::move(pending)}};
}

Json json_of(const Dialog& dialog) {
    return {{"tag", dialog.tag},
            {"confirmed", dialog.confirmed},
            {"own", json_of(dialog.own)},
            {"remote", json_of(dialog.remote)},
            {"bye_until", json_of(dialog.bye_until)}};
}

Json json_of(const Call& call) {
    auto dialogs = Json::array();
    for (const auto& dialog : call.dialogs)
        dialogs.push_back(json_of(dialog));
    auto holes = Json::array();
    for (const auto& key : call.holes) {
        holes.push_back({json_of(key.mapping), json_of(key.remote)});
    }
    return {{"inside", call.inside.text()},
            {"remote", call.remote.text()},
            {"call_id", call.call_id},
            {"inside_initiated", call.inside_initiated},
            {"charged_to_inside", call.charged_to_inside},
            {"initiator_tag", call.initiator_tag},
            {"master", json_of(call.master)},
            {"inside_sends", static_cast<int>(call.inside_sends)},
            {"state", static_cast<int>(call.state)},
            {"invite_cseq", call.invite_cseq},
            {"invite_branch", call.invite_branch},
            {"dialogs", std::move(dialogs)},
            {"root_until", json_of(call.root_until)},
            {"deadline", json_of(std::optional(call.deadline))},
            {"media_prolongs", call.media_prolongs},
            {"holes", std::move(holes)}};
}

Json json_of(const SavedState::SavedMapping& saved) {
    return {{"key", json_of(saved.key)},
            {"outside", saved.mapping.outside.text()},
            {"master", json_of(saved.mapping.master)},
            {"inside_sends", static_cast<int>(saved.mapping.inside_sends)},
            {"media", static_cast<int>(saved.mapping.media)}};
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

void read(const Json& json, OwnStream& stream) {
    stream.media = enum_of(json.at("media"), ExpectClass::other);
    for (const auto& key : json.at("components"))
        stream.components.push_back(media_key_of(key));
    stream.mux = json.at("mux");
    stream.held = json.at("held");
    for (const auto& key : json.at("further"))
        stream.further.push_back(media_key_of(key));
}

void read(const Json& json, RemoteStream& stream) {
    for (const auto& endpoint : json.at("components")) {
        stream.components.push_back(endpoint_of(endpoint));
    }
    stream.mux = json.at("mux");
    for (const auto& candidate : json.at("candidates")) {
        stream.candidates.push_back({candidate.at(0), endpoint_of(candidate.at(1))});
    }
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
        pending.transaction = {entry.at("by_inside"), entry.at("cseq")};
        read(entry.at("streams"), pending.streams);
    }
}

Dialog dialog_of(const Json& json) {
    Dialog dialog;
    dialog.tag = json.at("tag");
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
    call.call_id = json.at("call_id");
    call.inside_initiated = json.at("inside_initiated");
    call.charged_to_inside = json.at("charged_to_inside");
    call.initiator_tag = json.at("initiator_tag");
    call.master = tuple_of(json.at("master"));
    call.inside_sends = enum_of(json.at("inside_sends"), FlowDirection::reply);
    call.state = enum_of(json.at("state"), Call::State::ended);
    call.invite_cseq = json.at("invite_cseq");
    call.invite_branch = json.at("invite_branch");
    for (const auto& dialog : json.at("dialogs"))
        call.dialogs.push_back(dialog_of(dialog));
    call.root_until = time_of(json.at("root_until"));
    call.deadline = value_of(time_of(json.at("deadline")));
    call.media_prolongs = json.at("media_prolongs");
    for (const auto& hole : json.at("holes")) {
        HoleKey key{media_key_of(hole.at(0)), std::nullopt};
        if (!hole.at(1).is_null()) key.remote = endpoint_of(hole.at(1));
        call.holes.push_back(key);
    }
    return call;
}

SavedState::SavedMapping mapping_of(const Json& json) {
    SavedState::SavedMapping saved;
    saved.key = media_key_of(json.at("key"));
    saved.mapping.outside = endpoint_of(json.at("outside"));
    saved.mapping.master = tuple_of(json.at("master"));
    saved.mapping.inside_sends = enum_of(json.at("inside_sends"), FlowDirection::reply);
    saved.mapping.media = enum_of(json.at("media"), ExpectClass::other);
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
    std::map<MediaKey, Mapping> mappings;
};

/// All of a line, or nothing of it.
void learn(const Json& json, Known& known) {
    SavedState line;
    for (const auto& entry : json.at("calls"))
        line.calls.push_back(call_of(entry));
    for (const auto& entry : json.at("mappings"))
        line.mappings.push_back(mapping_of(entry));
    for (auto& call : line.calls) {
        if (call.state == Call::State::ended) {
            known.calls.erase(name_of(call));
        } else {
            known.calls.insert_or_assign(name_of(call), std::move(call));
        }
    }
    for (auto& saved : line.mappings) {
        known.mappings.insert_or_assign(saved.key, std::move(saved.mapping));
    }
}

/// Without mappings that no call uses any more.
SavedState state_of(Known known) {
    SavedState state;
    std::set<MediaKey> used;
    for (auto& [name, call] : known.calls) {
        for (const auto& hole : call.holes)
            used.insert(hole.mapping);
        state.calls.push_back(std::move(call));
    }
    for (const auto& key : used) {
        const auto mapping = known.mappings.find(key);
        if (mapping != known.mappings.end()) state.mappings.push_back({key, mapping->second});
    }
    return state;
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

std::string encode_state(const SavedState& state) {
    auto calls = Json::array();
    for (const auto& call : state.calls)
        calls.push_back(json_of(call));
    auto mappings = Json::array();
    for (const auto& saved : state.mappings)
        mappings.push_back(json_of(saved));
    // Tags and Call-IDs are a peer's bytes, not necessarily UTF-8: what is replaced here is a call
    // that a restart does not find again.
    const auto body = Json{{"calls", std::move(calls)}, {"mappings", std::move(mappings)}}.dump(
        -1, ' ', false, Json::error_handler_t::replace);
    return checksum(body) + " " + body + "\n";
}

ReadState decode_state(const std::string& text, const std::string& boot) {
    std::istringstream lines(text);
    std::string line, magic, id;
    int version = 0;
    std::getline(lines, line);
    if (!(std::istringstream(line) >> magic >> version >> id) || magic != kMagic) {
        return {false, {}, "no header"};
    }
    if (version != kVersion) return {false, {}, "another version"};
    if (id != boot) return {};
    Known known;
    std::string fault;
    for (int number = 2; fault.empty() && std::getline(lines, line); ++number) {
        const auto blank = line.find(' ');
        const auto body = blank == std::string::npos ? std::string{} : line.substr(blank + 1);
        const auto where = "line " + std::to_string(number) + ": ";
        if (body.empty() || checksum(body) != line.substr(0, blank)) {
            fault = where + "the checksum is wrong";
            break;
        }
        try {
            learn(Json::parse(body), known);
        } catch (const std::exception& error) {
            fault = where + error.what();
        }
    }
    return {fault.empty(), state_of(std::move(known)), fault};
}

ReadState StateFile::read(const std::string& path, const std::string& boot) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) return {};
    std::ostringstream text;
    text << stream.rdbuf();
    return decode_state(text.str(), boot);
}

Result<void> StateFile::replace(const SavedState& all) {
    const auto fresh = path_ + ".new";
    control::Descriptor file(open(
        fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (file.number() < 0) return fail_errno("write", fresh, errno);
    const auto text = state_header(boot_) + encode_state(all);
    if (auto written = write_all(file.number(), text, fresh); !written) return written;
    // No fsync: after a crash of the machine the file is of another boot anyway.
    if (std::rename(fresh.c_str(), path_.c_str()) != 0) return fail_errno("replace", path_, errno);
    file_ = std::move(file);
    begun_with_ = text.size();
    appended_ = 0;
    damaged_ = false;
    return {};
}

Result<void> StateFile::append(const SavedState& changes) {
    if (file_.number() < 0) return fail("append to", path_, "it was never begun");
    const auto line = encode_state(changes);
    appended_ += line.size();
    auto written = write_all(file_.number(), line, path_);
    if (!written) damaged_ = true;
    return written;
}

bool StateFile::is_outgrown() const {
    return damaged_ || appended_ > kWorthReplacing + begun_with_;
}

}  // namespace sipnat::daemon
