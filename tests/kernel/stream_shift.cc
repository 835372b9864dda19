// stream_shift [--by-verdict]: edits SIP over TCP in flight, IPv4 and IPv6, by a rule that is about lengths alone.
//
//     Subject: inside 0012      becomes as many letters as the number says:      Subject: oooooooooooo
//
// It does so with sipnatd's parts, queue, daemon/tcp_streams and helpers, without what sipnatd has to know of addresses:
// what the kernel makes of changed lengths is tried apart from that. With --by-verdict the kernel adjusts sequence
// numbers by itself, as it does for a verdict with another length and a change of the flow (nfqnl_recv_verdict); then a
// segment has to be one message.
//
// Prints "ready" when packets are queued, and what a connection's entry says of its numbers each time that it is new:
//
//     shift original 0x5b2f10aa 0 50      position, before, after (SequenceShift)
//
// Until SIGTERM. Helpers are one for all network namespaces: nothing else may use them meanwhile.
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "daemon/clock.h"
#include "daemon/tcp_streams.h"
#include "sipnat/netfilter/helper.h"
#include "sipnat/netfilter/queue.h"

namespace {

using namespace sipnat;

constexpr netfilter::QueueNumber kQueue{5060};
constexpr std::array kScopes{netfilter::HelperScope{Family::ipv4, Transport::tcp},
                             netfilter::HelperScope{Family::ipv6, Transport::tcp}};

enum class Adjustment : std::uint8_t { by_ctnetlink, by_verdict };

std::optional<std::string> edit(std::string_view message) {
    constexpr std::string_view kWord = "inside ";
    const auto at = message.find(kWord);
    if (at == std::string_view::npos) return std::nullopt;
    const auto digits = message.substr(at + kWord.size());
    std::size_t length = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (error != std::errc{}) return std::nullopt;
    std::string edited(message.substr(0, at));
    edited.append(length, 'o');
    return edited.append(end, message.data() + message.size());
}

void say(const std::string& text) {
    std::puts(text.c_str());
    std::fflush(stdout);
}

class Editor {
  public:
    Editor(netfilter::Queue queue, daemon::TcpStreams streams, Adjustment adjustment)
        : queue_(std::move(queue)), streams_(std::move(streams)), adjustment_(adjustment) {}

    [[nodiscard]] int fd() const { return queue_.fd(); }

    [[nodiscard]] Result<void> serve() {
        const auto batch = queue_.receive_batch();
        if (!batch) return tl::unexpected(batch.error());
        for (const auto& queued : *batch)
            take(queued);
        return queue_.flush();
    }

    [[nodiscard]] Result<void> expire() {
        streams_.expire(turn());
        return queue_.flush();
    }

    /// Milliseconds for poll.
    [[nodiscard]] int wait() const {
        const auto due = streams_.next_due();
        if (!due) return -1;
        const auto left = *due - daemon::now_by_clock();
        return static_cast<int>(std::max(left, EngineClock::duration::zero()).count()) + 1;
    }

  private:
    void take(const netfilter::QueuedPacket& queued) {
        const auto view = PacketView::parse(queued.packet);
        if (!view || !queued.flow || view->tuple.transport != Transport::tcp) {
            queue_.accept(queued.id);
            return;
        }
        show_shifts(*queued.flow);
        if (adjustment_ == Adjustment::by_verdict) return take_alone(queued, *view);
        const auto standing = queued.first ? FlowStanding::first : FlowStanding::helped;
        const daemon::KnownFlow flow{queued.flow->tuples, queued.direction, standing};
        streams_.take(queued, *view, flow, turn());
    }

    void take_alone(const netfilter::QueuedPacket& queued, const PacketView& view) {
        const auto edited = edit(view.payload);
        if (!edited) {
            queue_.accept(queued.id);
            return;
        }
        const auto packet = with_payload(queued.packet, view, *edited);
        if (!packet) {
            say(packet.error().text());
            queue_.drop(queued.id);
            return;
        }
        // It is about there being a change, whichever.
        netfilter::FlowChange change;
        change.memo = StreamMemo{1};
        queue_.accept(queued.id, *packet, change);
    }

    void show_shifts(const FlowEntry& flow) {
        auto& known = shifts_[flow.tuples.original];
        for (const auto direction : {FlowDirection::original, FlowDirection::reply}) {
            const auto index = static_cast<std::size_t>(direction);
            const auto& shift = flow.shifts.at(index);
            if (shift == known.at(index)) continue;
            say(fmt::format("shift {} {:#010x} {} {}",
                            direction == FlowDirection::original ? "original" : "reply",
                            static_cast<std::uint32_t>(shift.position), shift.before, shift.after));
        }
        known = flow.shifts;
    }

    [[nodiscard]] daemon::TcpStreams::Turn turn() {
        return {verdicts_,
                [](const daemon::KnownFlow&, FlowDirection, std::string_view message) {
                    return edit(message);
                },
                say, daemon::now_by_clock()};
    }

    netfilter::Queue queue_;
    daemon::QueueVerdicts verdicts_{queue_, [this] {
                                        if (auto sent = queue_.flush(); !sent)
                                            say(sent.error().text());
                                    }};
    daemon::TcpStreams streams_;
    Adjustment adjustment_;
    std::unordered_map<Tuple, SequenceShifts> shifts_;
};

Result<void> edit_until(int signal_fd, Editor& editor) {
    for (;;) {
        std::array<pollfd, 2> sources{pollfd{editor.fd(), POLLIN, 0}, pollfd{signal_fd, POLLIN, 0}};
        if (poll(sources.data(), sources.size(), editor.wait()) < 0 && errno != EINTR)
            return fail_errno("wait for", "packets", errno);
        if (sources[0].revents != 0) {
            if (auto served = editor.serve(); !served) return served;
        }
        if (auto expired = editor.expire(); !expired) return expired;
        if (sources[1].revents != 0) return {};
    }
}

Result<void> run(Adjustment adjustment) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (signal_fd < 0) return fail_errno("open", "signalfd", errno);

    netfilter::QueueSettings settings;
    settings.first = kQueue;
    auto queue = netfilter::Queue::open(settings);
    if (!queue) return tl::unexpected(queue.error());
    auto streams = daemon::TcpStreams::open();
    if (!streams) return tl::unexpected(streams.error());
    Editor editor(*std::move(queue), *std::move(streams), adjustment);
    using netfilter::register_helpers, netfilter::StreamQueueing;
    if (auto on = register_helpers(kQueue, StreamQueueing::on, kScopes); !on) return on;
    say("ready");
    auto done = edit_until(signal_fd, editor);
    auto off = register_helpers(kQueue, StreamQueueing::off, kScopes);
    return done ? off : done;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view argument = argc > 1 ? argv[1] : "";
    if (argc > 2 || (argc == 2 && argument != "--by-verdict")) {
        std::fputs("usage: stream_shift [--by-verdict]\n", stderr);
        return 2;
    }
    const auto done = run(argument.empty() ? Adjustment::by_ctnetlink : Adjustment::by_verdict);
    if (done) return 0;
    std::fprintf(stderr, "stream_shift: %s\n", done.error().text().c_str());
    return 1;
}
