// The budget of one message in user space, stage by stage, in the terms of docs/architecture.md.
//
//     queue message ─ decode ─► index ─► session ─► second opinion ─► … handle(), settle() ─► journal ─► encode ─► verdict
//
// Each benchmark gives the time of one message and, as a counter, the heap allocations it made. What a
// stage leaves behind (calls, ports) is removed outside of the measured time, so that every message
// meets the same engine.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/second_opinion.h"
#include "daemon/state_file.h"
#include "messages.h"
#include "netfilter/queue_codec.h"
#include "netfilter/tuple_codec.h"
#include "shapes.h"
#include "sipnat/core/engine.h"
#include "sipnat/core/stream.h"
#include "sipnat/net/packet.h"
#include "sipnat/sdp/session.h"
#include "sipnat/sip/message.h"

namespace {
std::uint64_t allocations = 0;  // not atomic, which would take longer: there is one thread
}

// Counted, and otherwise what the library's would do. Inlined by halves they look mismatched to g++.
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace sipnat {
namespace {

using netfilter::Buffer;
using netfilter::Bytes;

constexpr std::size_t kBatch = 32;  // messages between two looks at the clock
constexpr Time kStart{std::chrono::seconds(1000)};

// --- messages -----------------------------------------------------------------------------------

enum class Kind : std::uint8_t { invite, invite_ok, registration, options, untouched };
constexpr std::array kKinds{Kind::invite, Kind::invite_ok, Kind::registration, Kind::options,
                            Kind::untouched};

std::string_view name_of(Kind kind) {
    switch (kind) {
        case Kind::invite:
            return "INVITE with SDP";
        case Kind::invite_ok:
            return "200 with SDP";
        case Kind::registration:
            return "REGISTER";
        case Kind::options:
            return "OPTIONS";
        case Kind::untouched:
            return "untouched";
    }
    std::abort();
}

const Names kInside;
const Names kOutside{"203.0.113.1:1024", "203.0.113.10", 7000};
const Names kNamed{"phone.example.com", "", 0};

std::string invite(const std::string& call, int port) {
    auto names = kInside;
    names.port = port;
    // As long as the INVITE of the other measurements: 665 bytes.
    static const std::size_t length =
        request("INVITE", call, kInside, {.body = session(kInside)}).size();
    constexpr std::size_t kWanted = 665;
    constexpr std::string_view kAllow = "Allow: ";
    std::string more(kAllow);
    more.resize(kWanted - length - 2, 'x');
    more += '\n';
    const auto text = request("INVITE", call, names, {.more = more, .body = session(names)});
    if (text.size() != kWanted) throw std::logic_error("INVITE of " + std::to_string(text.size()));
    return text;
}

std::string message(Kind kind, const std::string& call, int port = kInside.port) {
    switch (kind) {
        case Kind::invite:
            return invite(call, port);
        case Kind::invite_ok:
            return answer("INVITE", call, kOutside, {.body = session(kOutside)});
        case Kind::registration:
            return request("REGISTER", call, kInside, {.more = "Expires: 3600\n"});
        case Kind::options:
            return request("OPTIONS", call, kInside);
        case Kind::untouched:
            return request("OPTIONS", call, kNamed);
    }
    std::abort();
}

/// A message without anything to edit, of `length` bytes; its many headers are read all the same.
std::string long_message(std::size_t length) {
    // 200 headers at most: longer messages have longer lines.
    const auto line = std::max<std::size_t>(64, length / 200);
    std::string more;
    const auto bare = request("OPTIONS", "long", kNamed).size();
    while (bare + more.size() + 2 * line < length)
        more += "X-Header: " + std::string(line - 12, 'x') + "\n";
    return request("OPTIONS", "long", kNamed, {.more = more});
}

std::string call_name(std::size_t number) {
    auto digits = std::to_string(number);
    return std::string(8 - digits.size(), '0') + digits;
}

// --- packets ------------------------------------------------------------------------------------

Endpoint endpoint(std::string_view text) {
    return Endpoint::parse(text).value();
}

const FlowTuples kFlow{
    {endpoint("192.168.77.2:5060"), endpoint("203.0.113.10:5060"), Transport::udp},
    {endpoint("203.0.113.10:5060"), endpoint("203.0.113.1:1024"), Transport::udp}};

FlowDirection direction_of(Kind kind) {
    return kind == Kind::invite_ok ? FlowDirection::reply : FlowDirection::original;
}

/// IPv4 and UDP around a payload. No checksums: nobody on this way looks at them.
std::vector<std::uint8_t> ip_packet(std::string_view payload) {
    const auto udp = payload.size() + 8;
    const auto total = udp + 20;
    const auto high = [](std::size_t value) { return static_cast<std::uint8_t>(value >> 8U); };
    const auto low = [](std::size_t value) { return static_cast<std::uint8_t>(value); };
    const std::array<std::uint8_t, 28> head{
        0x45, 0, high(total), low(total), 0,         0,        0x40, 0, 63,  17,
        0,    0, 203,         0,          113,       1,        203,  0, 113, 10,
        4,    0, 0x13,        0xc4,       high(udp), low(udp), 0,    0};
    std::vector<std::uint8_t> packet(total);
    std::ranges::copy(payload, std::ranges::copy(head, packet.begin()).out);
    return packet;
}

/// An NFQNL_MSG_PACKET as the kernel sends it (attributes as in a capture of 6.12).
Buffer queue_message(const std::vector<std::uint8_t>& packet) {
    Buffer out;
    netfilter::append_message(out, packet.size() + 1024, [&](char* place) {
        nlmsghdr* message = netfilter::begin_netfilter_message(
            place, netfilter::message_type(NFNL_SUBSYS_QUEUE, NFQNL_MSG_PACKET), 0, 0, AF_INET);
        const std::array<std::uint8_t, 7> head{0, 0, 0, 1, 8, 0, 4};
        const std::array<std::uint8_t, 12> hardware{0, 6};
        mnl_attr_put(message, NFQA_PACKET_HDR, head.size(), head.data());
        mnl_attr_put_u32(message, NFQA_IFINDEX_INDEV, htonl(2));
        mnl_attr_put_u32(message, NFQA_IFINDEX_OUTDEV, htonl(5));
        mnl_attr_put(message, NFQA_HWADDR, hardware.size(), hardware.data());
        netfilter::put_nest(message, NFQA_CT, [&] {
            netfilter::put_tuple(message, CTA_TUPLE_ORIG, kFlow.original);
            netfilter::put_tuple(message, CTA_TUPLE_REPLY, kFlow.reply);
            mnl_attr_put_u32(message, CTA_ID, htonl(0x2b58bd1c));
            mnl_attr_put_u32(message, CTA_STATUS, htonl(0x21 << 4U | 0xeU));
            mnl_attr_put_u32(message, CTA_TIMEOUT, htonl(3600));
            netfilter::put_nest(message, CTA_HELP,
                                [&] { mnl_attr_put_strz(message, CTA_HELP_NAME, "sipnat"); });
            mnl_attr_put_u32(message, CTA_MARK, 0);
        });
        mnl_attr_put_u32(message, NFQA_CT_INFO, 0);
        mnl_attr_put(message, NFQA_PAYLOAD, packet.size(), packet.data());
        return message;
    });
    return out;
}

// --- measuring ----------------------------------------------------------------------------------

/// CPU time of this thread: what others do on the machine does not count.
std::chrono::nanoseconds cpu_time() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

/// Runs `prepare` unmeasured and `work` measured, over batches of messages numbered 0 … kBatch-1.
void measure(benchmark::State& state, std::size_t bytes, const std::function<void()>& prepare,
             const std::function<void(std::size_t)>& work) {
    std::uint64_t made = 0;
    for ([[maybe_unused]] auto _ : state) {
        prepare();
        const auto before = allocations;
        const auto start = cpu_time();
        for (std::size_t i = 0; i < kBatch; ++i)
            work(i);
        const auto end = cpu_time();
        made += allocations - before;
        state.SetIterationTime(std::chrono::duration<double>(end - start).count());
    }
    const auto messages = state.iterations() * static_cast<std::int64_t>(kBatch);
    state.SetItemsProcessed(messages);
    state.counters["allocations"] = static_cast<double>(made) / static_cast<double>(messages);
    state.counters["bytes"] = static_cast<double>(bytes);
}

void nothing() {}

void decode(benchmark::State& state, const std::string& text) {
    const auto datagram = queue_message(ip_packet(text));
    netfilter::QueuedPacket packet;
    measure(state, text.size(), nothing, [&](std::size_t) {
        Bytes rest(datagram);
        const auto message = netfilter::next_message(rest);
        if (!netfilter::decode_packet(*message, packet)) std::abort();
        auto view = PacketView::parse(packet.packet);
        benchmark::DoNotOptimize(view);
    });
}

void index(benchmark::State& state, const std::string& text) {
    measure(state, text.size(), nothing, [&](std::size_t) {
        auto message = sip::Message::parse(text);
        benchmark::DoNotOptimize(message);
    });
}

void read_session(benchmark::State& state, const std::string& text) {
    const auto body = sip::Message::parse(text).value().body();
    measure(state, text.size(), nothing, [&](std::size_t) {
        auto session = sdp::parse(text, body);
        benchmark::DoNotOptimize(session);
    });
}

void opinion(benchmark::State& state, const std::string& text) {
    const auto parsed = sip::Message::parse(text).value();
    std::vector<sdp::Session> bodies;
    for (const auto part : sip::sdp_parts(parsed))
        bodies.push_back(sdp::parse(text, part).value());
    measure(state, text.size(), nothing, [&](std::size_t) {
        auto read = second_opinion(parsed, bodies);
        benchmark::DoNotOptimize(read);
    });
}

/// An engine, and the calls of one batch: each with ports of its own, as calls of many phones have.
class Bench {
  public:
    Bench() {
        for (std::size_t i = 0; i < kBatch; ++i)
            ports_.push_back(static_cast<int>(10000 + 2 * i));
    }

    /// Whole: handle(), and settle() for what opened something.
    Decision pass(std::string_view text, FlowDirection direction) {
        const Packet packet{kFlow, direction, FlowStanding::helped, text};
        auto decision = engine_.handle(packet, now_);
        if (decision.needs_kernel()) decision = engine_.settle(packet, {}, now_);
        return decision;
    }

    /// The calls of the last batch end and are forgotten, and there are messages of new ones.
    void next_batch(Kind kind) {
        for (std::size_t i = 0; i < texts_.size() && is_call(kind); ++i)
            hang_up(i);
        // Past the rest of a port and the memory of an ended call.
        now_ += std::chrono::seconds(120);
        while (engine_.next_due() && *engine_.next_due() <= now_)
            (void)engine_.tick(now_);
        (void)take_changes();
        texts_.clear();
        for (std::size_t i = 0; i < kBatch; ++i) {
            const auto call = call_name(first_ + i);
            texts_.push_back(message(kind, call, ports_[i]));
            if (kind == Kind::invite_ok) {
                (void)pass(message(Kind::invite, call, ports_[i]), FlowDirection::original);
            }
        }
        first_ += kBatch;
    }

    [[nodiscard]] const std::string& text(std::size_t i) const { return texts_[i]; }
    /// What the messages since the last time changed.
    [[nodiscard]] SavedState take_changes() { return engine_.take_changes(); }

  private:
    static bool is_call(Kind kind) { return kind == Kind::invite || kind == Kind::invite_ok; }

    void hang_up(std::size_t i) {
        const auto call = call_name(first_ - kBatch + i);
        const Further bye{.cseq = 2, .to_tag = ";tag=b"};
        (void)pass(answer("INVITE", call, kOutside), FlowDirection::reply);
        (void)pass(request("BYE", call, kInside, bye), FlowDirection::original);
        (void)pass(answer("BYE", call, kOutside, bye), FlowDirection::reply);
    }

    /// unless_digest, since that reads all credentials.
    static Settings settings() {
        Settings settings;
        settings.rewrite_request_uri = RewriteRequestUri::unless_digest;
        return settings;
    }

    Engine engine_{settings()};
    Time now_ = kStart;
    std::vector<int> ports_;
    std::vector<std::string> texts_;
    std::size_t first_ = 0;
};

void whole_engine(benchmark::State& state, Kind kind) {
    Bench bench;
    bench.next_batch(kind);
    const auto direction = direction_of(kind);
    const auto check = bench.pass(bench.text(0), direction);
    if ((kind == Kind::untouched) != (check.reason == Reason::unchanged)) {
        state.SkipWithError("the message did not go the way that it should");
        return;
    }
    measure(
        state, bench.text(0).size(), [&] { bench.next_batch(kind); },
        [&](std::size_t i) {
            auto decision = bench.pass(bench.text(i), direction);
            benchmark::DoNotOptimize(decision);
        });
}

/// The state file's lines, one a message; in a batch of the daemon's the messages of a call share one.
void journal(benchmark::State& state, Kind kind) {
    Bench bench;
    std::vector<SavedState> changes;
    const auto prepare = [&] {
        bench.next_batch(kind);
        (void)bench.take_changes();
        changes.clear();
        for (std::size_t i = 0; i < kBatch; ++i) {
            (void)bench.pass(bench.text(i), direction_of(kind));
            changes.push_back(bench.take_changes());
        }
    };
    measure(state, message(kind, call_name(0)).size(), prepare, [&](std::size_t i) {
        auto line = daemon::encode_state(changes[i], {});
        benchmark::DoNotOptimize(line);
    });
}

void encode(benchmark::State& state, Kind kind) {
    Bench bench;
    bench.next_batch(kind);
    const auto decision = bench.pass(bench.text(0), direction_of(kind));
    const auto packet = ip_packet(bench.text(0));
    const auto view = PacketView::parse(packet).value();
    Buffer out;
    measure(
        state, bench.text(0).size(), [&] { out.clear(); },
        [&](std::size_t) {
            const netfilter::PacketId id{static_cast<netfilter::QueueNumber>(5060), 1};
            if (decision.edits.empty()) {
                netfilter::encode_accept(out, id, {}, {decision.flow_timeout});
                return;
            }
            const auto changed =
                with_payload(packet, view, apply_edits(view.payload, decision.edits));
            netfilter::encode_accept(out, id, *changed, {decision.flow_timeout});
        });
}

/// A connection of its own, whose messages all grow and are all acknowledged. What becomes of them is known
/// beforehand, and the kernel's part is not there.
class StreamBench : public StreamHost {
  public:
    explicit StreamBench(std::string text) : text_(std::move(text)), edited_(text_ + "\r\n") {
        TcpSegment syn;
        syn.syn = true;
        take(FlowDirection::original, syn);
        take(FlowDirection::reply, syn);
    }

    /// `segments` of them bring the message, which leaves with the last.
    void pass(std::size_t segments) {
        const auto length = text_.size() / segments + 1;
        for (std::size_t at = 0; at < text_.size(); at += length) {
            TcpSegment segment;
            segment.sequence = sequence_ + static_cast<std::int64_t>(at);
            segment.payload = std::string_view(text_).substr(at, length);
            take(FlowDirection::original, segment);
        }
        sequence_ = sequence_ + static_cast<std::int64_t>(text_.size());
        acknowledged_ = acknowledged_ + static_cast<std::int64_t>(edited_.size());
        TcpSegment answer;
        answer.ack = true;
        answer.sequence = SequenceNumber{1};
        answer.acknowledged = acknowledged_;
        answer.window = 0xffff;
        take(FlowDirection::reply, answer);
    }
    /// All came out, and each had its shift.
    [[nodiscard]] bool is_right(std::size_t messages) const {
        return shifts_ == messages && stream_.held_segments() == 0 && stream_.kept_bytes() == 0;
    }

    std::optional<std::string> edit(FlowDirection /*direction*/,
                                    std::string_view /*message*/) override {
        return edited_;
    }
    void send(const std::vector<SegmentVerdict>& /*verdicts*/) override {}
    bool shift(FlowDirection /*direction*/, const SequenceShift& /*shift*/) override {
        ++shifts_;
        return true;
    }
    void note(StreamEvent /*event*/) override {}

  private:
    void take(FlowDirection direction, const TcpSegment& segment) {
        auto verdicts =
            stream_.take(direction, segment, static_cast<SegmentId>(++last_), kStart, *this);
        benchmark::DoNotOptimize(verdicts);
    }

    std::string text_;
    std::string edited_;
    Stream stream_;
    SequenceNumber sequence_{1};
    SequenceNumber acknowledged_{1};
    std::uint64_t last_ = 0;
    std::size_t shifts_ = 0;
};

/// A message of so many segments, and its acknowledgement.
template <std::size_t segments>
void stream(benchmark::State& state, const std::string& text) {
    StreamBench bench(text);
    std::size_t messages = 0;
    measure(state, text.size(), nothing, [&](std::size_t) {
        bench.pass(segments);
        ++messages;
    });
    if (!bench.is_right(messages)) state.SkipWithError("not all messages went through");
}

void engine_of_length(benchmark::State& state, const std::string& text) {
    Bench bench;
    measure(state, text.size(), nothing, [&](std::size_t) {
        auto decision = bench.pass(text, FlowDirection::original);
        benchmark::DoNotOptimize(decision);
    });
}

template <class Function, class Argument>
void add(const std::string& name, Function function, const Argument& argument) {
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
        function(state, argument);
    })->UseManualTime();
}

void add_all() {
    for (const auto kind : kKinds) {
        const std::string name(name_of(kind));
        const auto text = message(kind, call_name(0));
        const bool has_session = kind == Kind::invite || kind == Kind::invite_ok;
        add(name + "/decode", decode, text);
        add(name + "/index", index, text);
        if (has_session) {
            add(name + "/session", read_session, text);
            add(name + "/second opinion", opinion, text);
            add(name + "/journal", journal, kind);
        }
        add(name + "/engine", whole_engine, kind);
        add(name + "/encode", encode, kind);
    }
    const auto over_tcp = message(Kind::invite, call_name(0));
    add("over TCP in 1 segment/stream", stream<1>, over_tcp);
    add("over TCP in 3 segments/stream", stream<3>, over_tcp);
    for (const std::size_t length : {512U, 1024U, 2048U, 4096U, 8192U, 16384U, 32768U, 65000U}) {
        const auto text = long_message(length);
        add("length " + std::to_string(length) + "/index", index, text);
        add("length " + std::to_string(length) + "/engine", engine_of_length, text);
    }
    // A retransmission, so that the second opinion is not in it: that has a figure of its own.
    for (const auto& shape : shapes()) {
        for (const std::size_t length : {1000U, 4000U, 16000U, 64000U}) {
            const auto text = shape.message(length);
            if (text.size() > sip::kLargestMessage) throw std::logic_error(std::string(shape.name));
            const auto name = "shape " + std::string(shape.name) + " " + std::to_string(length);
            add(name + "/engine", engine_of_length, text);
            add(name + "/second opinion", opinion, text);
        }
    }
}

}  // namespace
}  // namespace sipnat

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    sipnat::add_all();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
