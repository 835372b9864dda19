// The engine under sequences of messages, kernel answers and time.
//
//     input     settings, then steps until it ends: see Scenario::step() and traffic.h
//     oracle    its own account of open holes, its own reading of the messages that come out
//
// With SIPNAT_FUZZ_TRACE set in the environment each message, what became of it and each passing of
// time is printed: to understand one input, not to fuzz.
//
// What must hold of every decision stands in check_decision(), of the state between two of them in
// check_state().
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "choices.h"
#include "exact.h"
#include "hole_ledger.h"
#include "plain_message.h"
#include "property.h"
#include "sipnat/core/engine.h"
#include "sipnat/sip/message.h"
#include "traffic.h"

namespace sipnat::fuzz {

namespace {

using namespace std::chrono_literals;

constexpr int kMostRounds = 100;
constexpr std::size_t kMostMessages = 64;

struct Circumstances {
    Settings settings;
    Carriage carriage = Carriage::udp;
};

Circumstances read_circumstances(Choices& choices) {
    Circumstances all;
    auto& settings = all.settings;
    static constexpr std::array kHighest{10031, 10003, 10000, 32767};
    settings.media_ports = {Port{10000}, static_cast<Port>(choices.one_of(kHighest))};
    const auto kind = choices.pick(8);
    settings.keep_ports = kind % 2 == 0;
    if (kind >= 4) all.carriage = kind >= 6 ? Carriage::mixed : Carriage::tcp;
    settings.on_no_media = static_cast<OnNoMedia>(choices.pick(3));
    settings.on_malformed = static_cast<OnMalformed>(choices.pick(2));
    settings.calls_per_host = choices.pick(2) == 0 ? 500 : 2;
    settings.calls = choices.pick(2) == 0 ? 20000 : 3;
    settings.local_media = settings.calls == 3 ? LocalMedia::hairpin : LocalMedia::direct;
    return all;
}

/// A kernel that keeps to what it said: an address without a route has none later, and what it
/// refuses of a message it refuses of its retransmission.
class Kernel {
  public:
    explicit Kernel(Choices& choices) : choices_(choices) {}

    void begin_message() {
        stubborn_ = false;
        refuses_ = false;
    }
    void begin_retransmission() { settled_ = true; }
    void end_message() { settled_ = false; }

    KernelAnswer answer(const Decision& decision) {
        for (const auto& [receiver, host] : decision.neighbours) {
            // This one is on an interface of its own.
            if (host == far_ || receiver == far_) {
                return {KernelAnswer::Kind::not_neighbours, {host, Port{}}, ""};
            }
        }
        if (decision.open.empty()) return {};
        for (const auto& hole : decision.open) {
            if (hole.remote && unroutable_.contains(hole.remote->address)) {
                return {KernelAnswer::Kind::no_route, *hole.remote, "no route"};
            }
        }
        if (refuses_ && (settled_ || stubborn_)) return refusal();
        if (settled_) return {};
        const auto choice = stubborn_ ? 4 : choices_.pick(10);
        stubborn_ = stubborn_ || choice >= 8;
        const auto& hole =
            decision.open.at(stubborn_ ? 0 : choices_.pick(4) % decision.open.size());
        switch (choice) {
            case 4:
            case 8:
                return {KernelAnswer::Kind::port_taken, hole.outside, "in use"};
            case 5:
                return no_route(decision);
            case 6:
            case 9:
                refuses_ = true;
                return refusal();
            case 7:
                if (decision.entry) return {KernelAnswer::Kind::entry_exists, {}, "File exists"};
                return {};
            case 3:
                return flow_exists(hole);
            default:
                return {};
        }
    }

  private:
    static KernelAnswer refusal() { return {KernelAnswer::Kind::refused, {}, "refused"}; }

    static KernelAnswer flow_exists(const Hole& hole) {
        if (!is_signalling(hole) || hole.transport == Transport::tcp) return {};
        const Endpoint outside{hole.outside.address, Port{5070}};
        return {KernelAnswer::Kind::flow_exists, outside, "", hole.inside};
    }

    KernelAnswer no_route(const Decision& decision) {
        for (const auto& hole : decision.open) {
            if (!hole.remote) continue;
            unroutable_.insert(hole.remote->address);
            return {KernelAnswer::Kind::no_route, *hole.remote, "no route"};
        }
        return {};
    }

    Choices& choices_;
    std::set<IpAddress> unroutable_;
    const IpAddress far_ = IpAddress::parse("192.168.77.3").value();
    bool stubborn_ = false;
    bool refuses_ = false;
    bool settled_ = false;
};

/// What left the gateway.
struct Outcome {
    Verdict verdict = Verdict::accept;
    Reason reason = Reason::unchanged;
    std::string text;

    bool operator==(const Outcome&) const = default;
};

/// One that went through, for what may follow it.
struct Sent {
    Request request;
    std::string text;
    std::string arrived;
    bool intact = false;  ///< as traffic.h wrote it
};

std::string edited(std::string_view text, const std::vector<Edit>& edits) {
    std::string result(text);
    for (auto edit = edits.rbegin(); edit != edits.rend(); ++edit) {
        result.replace(edit->span.offset, edit->span.length, edit->replacement);
    }
    return result;
}

/// a=rtcp, where only the NAT made it necessary.
bool is_new_line(const Edit& edit) {
    return edit.span.length == 0 && edit.place == Place::sdp_rtcp;
}

void check_rewritten(std::string_view before, const std::vector<Edit>& edits) {
    const auto after = edited(before, edits);
    const ExactText exact(after);
    const auto message = sip::Message::parse(exact.view());
    require(message.has_value(), "a rewritten message can be read");
    const auto old = read_plainly(before);
    const auto now = read_plainly(after);
    require(old.length.has_value() == now.length.has_value(), "Content-Length stays or is absent");
    require(!now.length || old.length.value() - before.size() + old.body ==
                               now.length.value() - after.size() + now.body,
            "Content-Length is the body's");
    require(message->body().offset == now.body, "the body is where it should be");
    require(std::ranges::count(before, '\n') + std::ranges::count_if(edits, is_new_line) ==
                std::ranges::count(after, '\n'),
            "no other lines come, and none goes");
}

void check_decision(std::string_view payload, const Decision& decision) {
    std::uint64_t done = 0;
    for (const auto& edit : decision.edits) {
        require(edit.span.offset >= done, "edits are ascending and disjoint");
        done = std::uint64_t{edit.span.offset} + edit.span.length;
        require(done <= payload.size(), "edits are inside the message");
        require(payload.substr(edit.span.offset, edit.span.length) != edit.replacement,
                "an edit changes something");
    }
    const bool has_edits = !decision.edits.empty();
    switch (decision.reason) {
        case Reason::rewritten:
            require(has_edits, "a rewritten message has edits");
            break;
        case Reason::unchanged:
        case Reason::keepalive:
        case Reason::not_sip:
        case Reason::malformed:
        case Reason::entry_exists:
            require(!has_edits, "an unchanged message has no edits");
            break;
        default:
            break;
    }
    const bool whole = decision.reason == Reason::rewritten || decision.reason == Reason::unchanged;
    // It may lack a Contact's port while its call opens what an earlier one asked for.
    const bool has_media = payload.find("\nm=") != std::string_view::npos;
    require(whole || !has_media || std::ranges::all_of(decision.open, is_signalling),
            "media that is not wholly rewritten opens none");
    if (has_edits) check_rewritten(payload, decision.edits);
}

const bool kTrace = std::getenv("SIPNAT_FUZZ_TRACE") != nullptr;

void print(std::string_view title, const std::vector<Hole>& holes) {
    for (const auto& hole : holes) {
        std::fprintf(stderr, "%.*s %s=%s %s\n", static_cast<int>(title.size()), title.data(),
                     hole.inside.text().c_str(), hole.outside.text().c_str(),
                     remote_text(hole).c_str());
    }
}

void print(const Packet& packet, const Side& sender, const Side& receiver,
           const Decision& decision) {
    if (!kTrace) return;
    std::fprintf(stderr, "---- %s > %s: %s %s\n%s\n", sender.real.text().c_str(),
                 receiver.real.text().c_str(), std::string(to_text(decision.reason)).c_str(),
                 decision.detail.c_str(), edited(packet.payload, decision.edits).c_str());
    print("open ", decision.open);
    print("close", decision.close);
}

class Scenario {
  public:
    explicit Scenario(std::string_view input)
        : choices_(input),
          traffic_(choices_),
          kernel_(choices_),
          circumstances_(read_circumstances(choices_)),
          engine_(settings_),
          ledger_(settings_.media_ports) {
        traffic_.set_carriage(circumstances_.carriage);
    }

    void run() {
        while (!choices_.empty() && messages_ < kMostMessages) {
            step();
            check_state();
        }
        restart();
        over_ = true;
        pass(48h);
        pass(2min);
        pass(2min);
        require(ledger_.size() == 0, "holes end with time");
        require(engine_.media().mappings().empty(), "mappings end with time");
        require(engine_.calls() == 0, "calls end with time");
        require(!engine_.next_due(), "nothing stays due for ever");
    }

  private:
    void step() {
        switch (choices_.pick(9)) {
            case 0:
                request(traffic_.new_request());
                break;
            case 1:
            case 2:
                answer();
                break;
            case 3:
                if (!sent_.empty()) request(traffic_.next(sent_.back().request, to_tag_));
                break;
            case 4:
                resend();
                break;
            case 5:
                raw();
                break;
            case 6:
                let_time_pass();
                break;
            case 7:
                restart();
                break;
            default:
                reconfigure();
                break;
        }
    }

    // --- messages -----------------------------------------------------------------------------

    void request(const Request& request) {
        const auto written = traffic_.text(request);
        const auto text = traffic_.mutated(written);
        const auto outcome = send(request.line, request.direction, text);
        sent_.push_back({request, text, outcome.text, text == written});
        if (!request.to_tag.empty()) to_tag_ = request.to_tag;
        answerable_ = outcome.verdict == Verdict::accept;
    }

    void answer() {
        if (sent_.empty()) return;
        const auto last = sent_.back();
        const auto answer = traffic_.answer(last.request, last.arrived);
        to_tag_ = answer.to_tag;
        const auto text = traffic_.mutated(answer.text);
        const auto outcome = send(last.request.line, opposite(last.request.direction), text);
        const bool intact = last.intact && text == answer.text;
        const bool whole =
            outcome.reason == Reason::rewritten || outcome.reason == Reason::unchanged;
        if (intact && whole && answerable_) {
            check_there_and_back(last, answer, outcome.text);
        }
    }

    /// Who sent a request through NAT reads its own words in the answer, whichever of its endpoints
    /// it named, and the endpoint that it named as the source.
    static void check_there_and_back(const Sent& sent, const Traffic::Answer& answer,
                                     std::string_view arrived) {
        const auto& line = lines().at(sent.request.line);
        const auto& sender = line.sender(sent.request.direction);
        const auto& receiver = line.receiver(sent.request.direction);
        if (sender.real == sender.shown || receiver.real != receiver.shown) return;
        for (const auto* name : {"From", "Call-ID", "CSeq"}) {
            require(header_line(arrived, name) == header_line(sent.text, name),
                    "there and back gives the same");
        }
        require(header_line(arrived, "To").starts_with(header_line(sent.text, "To")),
                "there and back gives the same To");
        std::string via(header_line(sent.text, "Via"));
        const bool translated = header_line(sent.arrived, "Via") != via;
        if (answer.names_source) {
            via = Traffic::with_source(via, translated ? sender.real : sender.shown);
        }
        require(header_line(arrived, "Via") == via, "there and back gives the same Via");
    }

    void resend() {
        if (sent_.empty()) return;
        const auto& old = sent_.at(choices_.pick(static_cast<unsigned>(sent_.size())));
        (void)send(old.request.line, old.request.direction, old.text);
        answerable_ = false;
    }

    void raw() {
        const auto line = choices_.pick(static_cast<unsigned>(lines().size()));
        const auto direction = static_cast<FlowDirection>(choices_.pick(2));
        (void)send(line, direction, choices_.until('\xff'));
        answerable_ = false;
    }

    Outcome send(unsigned line, FlowDirection direction, std::string_view text) {
        ++messages_;
        const auto options = choices_.pick(8);
        static constexpr std::array kStandings{FlowStanding::helped, FlowStanding::first,
                                               FlowStanding::unhelped, FlowStanding::helped};
        const ExactText payload(text);
        const Packet packet{lines().at(line).tuples(traffic_.transport(line)), direction,
                            kStandings.at(options % 4), payload.view()};
        kernel_.begin_message();
        const auto outcome = decide(packet, lines().at(line));
        if (options >= 4 && outcome.reason != Reason::entry_exists) {
            check_state();
            kernel_.begin_retransmission();
            const auto before = ledger_.size();
            const auto again = decide(packet, lines().at(line));
            require(outcome == again, "a retransmission gets what the first one got");
            require(ledger_.size() == before, "a retransmission opens and closes nothing");
        }
        kernel_.end_message();
        return outcome;
    }

    Outcome decide(const Packet& packet, const Line& on) {
        const auto& sender = on.sender(packet.direction);
        const auto& receiver = on.receiver(packet.direction);
        Decision decision = engine_.handle(packet, now_);
        int rounds = 0;
        while (decision.needs_kernel()) {
            print(packet, sender, receiver, decision);
            check_decision(packet.payload, decision);
            require(++rounds <= kMostRounds, "the kernel is not asked without end");
            const bool needs_entry =
                !decision.open.empty() && packet.standing != FlowStanding::helped;
            require(decision.entry.has_value() == needs_entry,
                    "holes hang on an entry with the helper");
            const auto answer = kernel_.answer(decision);
            decision = engine_.settle(packet, answer, now_);
            if (answer.kind == KernelAnswer::Kind::done) break;
        }
        print(packet, sender, receiver, decision);
        check_decision(packet.payload, decision);
        ledger_.open(decision.open, sender, receiver);
        ledger_.close(decision.close);
        opened_ += decision.open.size();
        closed_ += decision.close.size();
        ++decided_;
        return {decision.verdict, decision.reason, edited(packet.payload, decision.edits)};
    }

    // --- the rest -----------------------------------------------------------------------------

    void let_time_pass() {
        static constexpr std::array<std::chrono::milliseconds, 8> kSteps{10ms, 1s,   3s,    33s,
                                                                         61s,  5min, 11min, 25h};
        if (circumstances_.carriage != Carriage::udp) close_connection();
        const auto duration = choices_.one_of(kSteps);
        if (choices_.pick(2) == 0) {
            pass(duration);
        } else {
            now_ += duration;  // the next message comes before the timers
        }
    }

    void close_connection() {
        const auto line = choices_.pick(static_cast<unsigned>(lines().size()) * 2) / 2;
        engine_.note_ended(std::vector{lines().at(line).tuples(traffic_.transport(line))});
    }

    /// As the daemon does it: at each time that is due.
    void pass(std::chrono::milliseconds duration) {
        const auto end = now_ + duration;
        int rounds = 0;
        for (auto due = engine_.next_due(); due && *due <= end; due = engine_.next_due()) {
            require(++rounds < 100000, "timers come to an end");
            now_ = std::max(now_, *due);
            tick();
        }
        now_ = end;
        tick();
    }

    void tick() {
        const auto due = engine_.tick(now_);
        if (kTrace) {
            std::fprintf(stderr, "---- time %lld\n",
                         static_cast<long long>(now_.time_since_epoch().count()));
            print("close", due.close);
        }
        ledger_.admit(due.admit);
        ledger_.close(due.close);
        settle_latch(due.latch);
        ledger_.check_sweep(due.sweep);
        closed_ += due.close.size();
        settle_idle(due.idle);
        require(!engine_.next_due() || *engine_.next_due() > now_, "what was due is done");
        check_state();
    }

    void settle_latch(const std::vector<LatchQuestion>& questions) {
        std::vector<LatchAnswer> answers;
        for (const auto& question : questions) {
            heard_ = !heard_;
            answers.push_back({question, heard_});
        }
        ledger_.admit(engine_.settle_latch(answers, now_));
    }

    void settle_idle(const std::vector<IdleQuestion>& questions) {
        std::vector<IdleAnswer> answers;
        for (const auto& question : questions) {
            require(!question.media.empty(), "only media can tell whether a call is idle");
            const auto packets = over_ ? 0 : choices_.pick(4);
            answers.push_back({question.call, packets == 3
                                                  ? std::nullopt
                                                  : std::optional<std::uint64_t>(packets)});
        }
        const auto closed = engine_.settle_idle(answers, now_);
        ledger_.close(closed);
        closed_ += closed.size();
    }

    void restart() {
        if (kTrace) std::fprintf(stderr, "---- restart\n");
        Engine fresh(settings_);
        fresh.restore(engine_.save());
        ledger_.check(fresh.media());
        require(fresh.calls() == engine_.calls(), "calls outlive a restart");
        engine_ = std::move(fresh);
        opened_ = closed_ = decided_ = 0;
        carried_ = ledger_.size();
        answerable_ = false;
    }

    void reconfigure() {
        if (choices_.pick(2) == 0) {
            const auto port = static_cast<Port>(10000 + choices_.pick(8));
            const std::set<Endpoint> used{{*IpAddress::parse("203.0.113.1"), port}};
            engine_.set_foreign_endpoints({{Transport::udp, used}, {Transport::tcp, used}});
            return;
        }
        static constexpr std::array kLowest{10000, 20000, 10001};
        const int low = choices_.one_of(kLowest);
        settings_.media_ports = {static_cast<Port>(low), static_cast<Port>(low + 6)};
        ledger_.allow(settings_.media_ports);
        engine_.set_settings(settings_);
    }

    void check_state() {
        ledger_.check(engine_.media());
        const auto& counters = engine_.counters();
        std::uint64_t packets = 0;
        for (const auto count : counters.packets) {
            packets += count;
        }
        require(packets == decided_, "each packet is counted once");
        require(counters.holes_opened == opened_ && counters.holes_closed == closed_,
                "each hole is counted once");
        require(carried_ + opened_ - closed_ == ledger_.size(), "holes opened and not closed");
        require(engine_.calls() <= settings_.calls, "the number of calls is limited");
        (void)engine_.take_changes();
        require(!engine_.has_changes(), "changes are taken once");
    }

    Choices choices_;
    Traffic traffic_;
    Kernel kernel_;
    Circumstances circumstances_;
    Settings& settings_ = circumstances_.settings;
    Engine engine_;
    HoleLedger ledger_;
    bool heard_ = false;
    Time now_{1000s};
    std::vector<Sent> sent_;
    std::string to_tag_;
    bool answerable_ = false;  ///< the last message was the last request, and arrived
    bool over_ = false;        ///< no media flows any more
    std::size_t messages_ = 0;
    std::uint64_t decided_ = 0;
    std::uint64_t opened_ = 0;
    std::uint64_t closed_ = 0;
    std::uint64_t carried_ = 0;  ///< holes from before the restart
};

}  // namespace

}  // namespace sipnat::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    sipnat::fuzz::Scenario({reinterpret_cast<const char*>(data), size}).run();
    return 0;
}
