#include "ctl/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string_view>
#include <utility>

#include "ctl/capture.h"
#include "ctl/decision_print.h"
#include "ctl/link_layer.h"
#include "ctl/source_nat.h"
#include "sipnat/base/ascii.h"
#include "sipnat/core/engine.h"
#include "sipnat/net/big_endian.h"
#include "sipnat/net/fragments.h"
#include "sipnat/net/packet.h"
#include "sipnat/sip/message.h"

namespace sipnat::ctl {

namespace {

using Bytes = std::span<const std::uint8_t>;
using sip::HeaderKind;

/// As often as the daemon looks which ports of the gateway others use.
constexpr std::chrono::seconds kForeignLook{1};

/// "INVITE", "200 INVITE"; "-" for what is no message.
std::string kind_of(std::string_view payload) {
    const auto message = sip::Message::parse(payload);
    if (!message) return "-";
    const auto cseq = message->value(HeaderKind::cseq);
    const std::string method(cseq.substr(cseq.find_last_of(" \t\r\n") + 1));  // a token: plain
    return message->is_request() ? method : std::to_string(message->status()) + " " + method;
}

class Replay {
  public:
    Replay(const ReplayOptions& options, LinkLayer link, std::optional<CaptureWriter> out)
        : options_(options), link_(link), out_(std::move(out)), nat_(options.nat) {}

    void take(const Frame& frame) {
        if (packets_++ == 0) begun_ = frame.time;
        // Merged captures step back; the engine's time does not.
        now_ = std::max(now_, Time{std::chrono::floor<Time::duration>(frame.time)});
        run_timers();
        if (frame.bytes.size() < frame.length) {
            ++cut_off_;
            write(frame);
            return;
        }
        const auto ip = find_ip(link_, frame.bytes);
        if (!ip) {
            ++not_ip_;
            write(frame);
            return;
        }
        const auto added = fragments_.add(frame.bytes.subspan(ip->offset), now_);
        switch (added.outcome) {
            case Reassembly::Outcome::no_fragment:
                take(frame, *ip, frame.bytes.subspan(ip->offset), false);
                break;
            case Reassembly::Outcome::whole:
                ++put_together_;
                take(frame, *ip, added.packet, true);
                break;
            case Reassembly::Outcome::held:
            case Reassembly::Outcome::dropped:
                break;
        }
    }

    [[nodiscard]] Result<void> finish() {
        if (options_.output != Output::json) summarize();
        return out_ ? out_->finish() : Result<void>{};
    }

  private:
    void take(const Frame& frame, const IpInFrame& ip, Bytes packet, bool put_together) {
        const auto view = PacketView::parse(packet);
        const auto way = view ? nat_.way_of(view->tuple) : std::nullopt;
        if (!way) {
            ++(view ? no_port_ : unread_);
            write(frame, ip, packet, put_together);
            return;
        }
        std::string payload(view->payload);
        if (is_sip(view->tuple)) {
            const auto decision = decide(frame, *view, *way);
            if (decision.verdict == Verdict::drop) return;
            // What comes in is edited behind the point where the outside is captured.
            const bool outgoing = way->direction == FlowDirection::original;
            if (outgoing) payload = apply_edits(view->payload, decision.edits);
        }
        const auto outside = way->outside();
        if (outside == view->tuple && payload == view->payload) {
            write(frame, ip, packet, put_together);
            return;
        }
        const auto changed = with_tuple(packet, *view, outside, payload);
        if (!changed) std::cerr << "packet " << packets_ << ": " << changed.error().text() << "\n";
        ++translated_;
        write(frame, ip, changed ? Bytes(*changed) : packet, true);
    }

    bool is_sip(const Tuple& tuple) {
        const auto is_one = [&](Port port) {
            return std::ranges::find(options_.sip_ports, port) != options_.sip_ports.end();
        };
        if (!is_one(tuple.source.port) && !is_one(tuple.destination.port)) return false;
        if (tuple.transport == Transport::udp) return true;
        ++tcp_;
        return false;
    }

    Decision decide(const Frame& frame, const PacketView& view, const SourceNat::Way& way) {
        if (now_ >= look_again_) {
            engine_.set_foreign_endpoints({{Transport::udp, nat_.foreign()}});
            look_again_ = now_ + kForeignLook;
        }
        const Packet packet{way.flow, way.direction, FlowStanding::helped, view.payload};
        auto decision = engine_.handle(packet, now_);
        if (decision.needs_kernel()) decision = engine_.settle(packet, {}, now_);
        for (const auto& hole : decision.open)
            nat_.open(hole);
        close(decision.close);
        opened_ += decision.open.size();
        show(frame, view, decision);
        return decision;
    }

    void run_timers() {
        for (auto due = engine_.next_due(); due && *due <= now_; due = engine_.next_due()) {
            const auto at = std::max(*due, timers_ran_);
            const bool stuck = std::exchange(timers_ran_, at) == at;
            run_timers(at);
            if (stuck) break;
        }
    }

    void run_timers(Time at) {
        const auto due = engine_.tick(at);
        std::vector<IdleAnswer> answers;
        for (const auto& question : due.idle) {
            std::uint64_t packets = 0;
            for (const auto& media : question.media)
                packets += nat_.packets_of(media);
            answers.push_back({question.call, packets});
        }
        auto closed = due.close;
        const auto idle = engine_.settle_idle(answers, at);
        closed.insert(closed.end(), idle.begin(), idle.end());
        close(closed);
        for (const auto& media : due.sweep)
            nat_.sweep(media);
        if (!closed.empty()) show(at.time_since_epoch(), closed);
    }

    void close(const std::vector<Hole>& holes) {
        for (const auto& hole : holes)
            nat_.close(hole);
        closed_ += holes.size();
    }

    // --- what is written ----------------------------------------------------------------------

    void write(const Frame& frame) {
        if (out_) out_->write(frame);
    }

    /// The packet behind the frame's link layer; `changed` when it is not the frame's own.
    void write(const Frame& frame, const IpInFrame& ip, Bytes packet, bool changed) {
        if (!changed) {
            write(frame);
            return;
        }
        const auto link = frame.bytes.first(ip.offset);
        std::vector<std::uint8_t> bytes(link.begin(), link.end());
        if (ip.pppoe_length) {
            const auto behind = link.size() - (*ip.pppoe_length + 2) + packet.size();
            store_be16(bytes, *ip.pppoe_length, behind);
        }
        bytes.insert(bytes.end(), packet.begin(), packet.end());
        write({frame.time, bytes, bytes.size()});
    }

    // --- what is shown ------------------------------------------------------------------------

    [[nodiscard]] double since_begin(std::chrono::nanoseconds time) const {
        return std::chrono::duration<double>(time - begun_).count();
    }

    void show(const Frame& frame, const PacketView& view, const Decision& decision) {
        ++reasons_.at(static_cast<std::size_t>(decision.reason));
        if (options_.output == Output::json) {
            std::cout << to_json({packets_, frame.time, view.tuple}, decision, view.payload)
                      << "\n";
            return;
        }
        auto line =
            fmt::format("{:>6} {:>12.6f}  {} -> {}  {}  {}", packets_, since_begin(frame.time),
                        view.tuple.source.text(), view.tuple.destination.text(),
                        kind_of(view.payload), to_text(decision.reason));
        if (!decision.detail.empty()) line += " (" + printable(decision.detail) + ")";
        const auto add = [&line](std::size_t count, std::string_view what) {
            if (count > 0) line += fmt::format(", {} {}", count, what);
        };
        add(decision.edits.size(), decision.edits.size() == 1 ? "edit" : "edits");
        add(decision.open.size(), "opened");
        add(decision.close.size(), "closed");
        std::cout << line << "\n";
    }

    void show(std::chrono::nanoseconds time, const std::vector<Hole>& closed) const {
        if (options_.output == Output::json) {
            std::cout << to_json(time, closed) << "\n";
        } else {
            std::cout << fmt::format("{:>6} {:>12.6f}  timer, {} closed\n", "", since_begin(time),
                                     closed.size());
        }
    }

    void summarize() const {
        std::string sip;
        std::size_t messages = 0;
        for (std::size_t i = 0; i < reasons_.size(); ++i) {
            if (reasons_.at(i) == 0) continue;
            messages += reasons_.at(i);
            sip += fmt::format("{} {} {}", sip.empty() ? ":" : ",", reasons_.at(i),
                               to_text(static_cast<Reason>(i)));
        }
        std::cout << fmt::format("{} packets, {} on SIP ports{}\n", packets_, messages, sip)
                  << fmt::format("{} holes opened, {} closed\n", opened_, closed_)
                  << fmt::format("{} packets translated\n", translated_);
        const auto tell = [](std::size_t count, std::string_view what) {
            if (count > 0) std::cout << count << " " << what << "\n";
        };
        tell(cut_off_, "packets cut off by the capture: passed unread");
        tell(not_ip_, "frames without IP: passed");
        tell(unread_, "IP packets neither UDP nor TCP, or unreadable: passed");
        tell(no_port_, "packets beyond the limit of flows, or without a free port: passed");
        tell(tcp_, "TCP segments on a SIP port: not looked into");
        tell(put_together_, "packets put together from fragments");
        tell(fragments_.waiting() + fragments_.given_up(), "packets whose fragments are not whole");
    }

    const ReplayOptions& options_;
    LinkLayer link_;
    std::optional<CaptureWriter> out_;
    SourceNat nat_;
    Reassembly fragments_;
    Engine engine_{Settings{}};

    Time now_{};
    Time timers_ran_{};
    Time look_again_{};
    std::chrono::nanoseconds begun_{};  ///< time of the first packet

    std::array<std::size_t, kReasons> reasons_{};
    std::size_t packets_ = 0;
    std::size_t opened_ = 0;
    std::size_t closed_ = 0;
    std::size_t translated_ = 0;
    std::size_t cut_off_ = 0;
    std::size_t not_ip_ = 0;
    std::size_t unread_ = 0;
    std::size_t no_port_ = 0;
    std::size_t tcp_ = 0;
    std::size_t put_together_ = 0;
};

bool is_same_file(const std::string& a, const std::string& b) {
    std::error_code none;
    return std::filesystem::equivalent(a, b, none);
}

}  // namespace

Exit replay(const ReplayOptions& options) {
    if (!options.out.empty() && (options.out == "-" || is_same_file(options.file, options.out))) {
        std::cerr << "--out: has to be a file, and another than that which is read\n";
        return Exit::usage;
    }
    auto capture = CaptureReader::open(options.file);
    if (!capture) {
        std::cerr << capture.error().text() << "\n";
        return capture.error().code != 0 ? Exit::usage : Exit::refused;
    }
    std::optional<CaptureWriter> out;
    if (!options.out.empty()) {
        auto created = CaptureWriter::create(options.out, *capture);
        if (!created) {
            std::cerr << created.error().text() << "\n";
            return Exit::usage;
        }
        out = *std::move(created);
    }
    Replay replay(options, capture->link(), std::move(out));
    auto exit = Exit::good;
    for (;;) {
        const auto frame = capture->next();
        if (!frame) {
            std::cerr << frame.error().text() << "\n";
            exit = Exit::refused;
            break;
        }
        if (!*frame) break;
        replay.take(**frame);
    }
    if (const auto finished = replay.finish(); !finished) {
        std::cerr << finished.error().text() << "\n";
        exit = Exit::refused;
    }
    return exit;
}

}  // namespace sipnat::ctl
