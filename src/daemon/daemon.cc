#include "daemon/daemon.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <map>
#include <set>
#include <utility>

#include "daemon/clock.h"
#include "daemon/kernel_setup.h"
#include "daemon/report.h"
#include "sipnat/control/status.h"
#include "sipnat/netfilter/nat_maps.h"
#include "sipnat/netfilter/port_forwards.h"
#include "sipnat/netfilter/ruleset.h"
#include "sipnat/sip/message.h"

namespace sipnat::daemon {

namespace {

/// After a state file that could not be written: a full disk is not mended by trying for each packet.
constexpr std::chrono::seconds kSaveRetry{10};

/// Elements and mappings are kept fresh as often.
constexpr std::chrono::seconds kKeepUp{60};
/// Flows of registrations that could not be made are tried again as often.
constexpr std::chrono::seconds kMakeAgain{5};
/// What is lost without a message that could be named is told as often.
constexpr std::chrono::seconds kNoteLosses{10};
/// The table that somebody changes again and again is loaded as often.
constexpr std::chrono::seconds kLoadAgain{5};
/// How often conntrack is asked which ports masquerade gave to others.
constexpr std::chrono::minutes kForeignLook{5};
/// Listing flows takes as long as conntrack's table is, which is not ours to choose (40,000 flows: 70
/// ms), and packets wait meanwhile. It is not done again before so many times as long has passed: one
/// packet in so many may meet it, and the ports of ended calls rest for longer anyway.
constexpr int kListShare = 200;
constexpr std::chrono::seconds kLongestListPause{20};
static_assert(kLongestListPause < kRest && kLongestListPause < config::kShortestTimeout);

bool is_failure(Reason reason) {
    switch (reason) {
        case Reason::rewritten:
        case Reason::unchanged:
        case Reason::keepalive:
            return false;
        default:
            return true;
    }
}

tl::unexpected<std::vector<std::string>> fault(const Error& error) {
    return tl::unexpected(std::vector{error.text()});
}

}  // namespace

Daemon::Daemon(std::string config_file, config::Configuration configuration, ChosenMode mode,
               control::Server control, netfilter::Queue queue, Wiring wiring, KernelEvents events,
               TcpStreams streams, std::string boot)
    : config_file_(std::move(config_file)),
      configuration_(std::move(configuration)),
      mode_(std::move(mode)),
      control_(std::move(control)),
      queue_(std::move(queue)),
      wiring_(std::move(wiring)),
      events_(std::move(events)),
      streams_(std::move(streams)),
      boot_(std::move(boot)),
      state_file_(configuration_.paths.state, boot_),
      engine_(configuration_.settings),
      started_(now_by_clock()) {}

tl::expected<Daemon, std::vector<std::string>> Daemon::start(
    const std::string& config_file, const config::Configuration& configuration) {
    auto control = control::Server::listen(configuration.paths.socket);
    if (!control) return fault(control.error());
    auto kernel = probe(configuration);
    if (!kernel) return fault(kernel.error());
    auto mode = choose_mode(configuration, *kernel);
    if (!mode) return tl::unexpected(mode.error());
    auto boot = boot_id();
    if (!boot) return fault(boot.error());
    auto queue = open_queue(mode->mode, configuration.queue);
    if (!queue) return fault(queue.error());
    if (auto loaded = load_table(mode->mode, configuration); !loaded) return fault(loaded.error());
    auto wiring = wire(mode->mode, configuration);
    if (!wiring) return fault(wiring.error());

    auto events = listen();
    if (!events) return fault(events.error());
    auto streams = TcpStreams::open();
    if (!streams) return fault(streams.error());

    Daemon daemon(config_file, configuration, *std::move(mode), *std::move(control),
                  *std::move(queue), *std::move(wiring), *std::move(events), *std::move(streams),
                  *std::move(boot));
    daemon.restore();
    if (daemon.mode_.mode == Mode::expectations) {
        const auto queued = queue_streams(configuration.queue, netfilter::StreamQueueing::on);
        if (!queued) return fault(queued.error());
    }
    for (const auto& warning : warnings_of(daemon.mode_.mode, configuration)) {
        log(Level::warning, warning);
    }
    return daemon;
}

Result<Daemon::KernelEvents> Daemon::listen() {
    using netfilter::Events;
    auto addresses = Events::open(Events::Source::addresses);
    if (!addresses) return tl::unexpected(addresses.error());
    auto ruleset = Events::open(Events::Source::ruleset);
    if (!ruleset) return tl::unexpected(ruleset.error());
    auto ended = Events::open(Events::Source::ended_flows);
    if (!ended) return tl::unexpected(ended.error());
    return KernelEvents{*std::move(addresses), *std::move(ruleset), *std::move(ended)};
}

void Daemon::restore() {
    const auto saved = StateFile::read(configuration_.paths.state, boot_);
    if (!saved.fault.empty()) {
        log(Level::error, fmt::format("{}: {}; going on with what comes before it",
                                      configuration_.paths.state, saved.fault));
    }
    engine_.restore(saved.state);
    streams_.restore(saved.state.streams);
    const auto bindings = engine_.bindings();
    if (engine_.calls() + bindings.size() > 0) {
        log(Level::notice, fmt::format("{} running calls and {} registrations restored",
                                       engine_.calls(), bindings.size()));
    }
    for (const auto& binding : bindings) {
        if (binding.inside != binding.outside) missing_.push_back(binding.flow);
    }
    make_flows(now_by_clock());
    note_saved(state_file_.replace(all_state()), now_by_clock());
    const auto knowledge = saved.complete ? Knowledge::all_calls : Knowledge::some_calls;
    for (const auto& fault : wiring_.gate->take_over(engine_.media(), knowledge))
        log(Level::error, fault.text());
    exclude_forwards();
    keep_up(now_by_clock());
    learn_foreign_endpoints(now_by_clock());
}

/// Right after a boot the outside interface may have no address yet.
void Daemon::make_flows(Time now) {
    if (missing_.empty()) return;
    make_again_ = now + kMakeAgain;
    const std::set<FlowTuples> all(missing_.begin(), missing_.end());
    missing_ = engine_.needed(std::vector(all.begin(), all.end()));
    std::set<Tuple> there;
    for (const auto& flow : missing_)
        there.insert(flow.original);
    auto made = wiring_.flows->make_flows(missing_, now);
    missing_ = std::move(made.missing);
    if (!made.fault.empty()) fault_log_.note("make flows anew: " + made.fault, now);
    for (const auto& flow : missing_)
        there.erase(flow.original);
    if (!there.empty()) {
        report(wiring_.gate->renew(engine_.media(), there), "expect on flows made anew");
    }
}

void Daemon::exclude_forwards() {
    auto forwards = netfilter::port_forwards();
    if (!forwards) {
        log(Level::error, forwards.error().text());
        return;  // those that were known stay excluded
    }
    report(wiring_.flows->set_forwards(*forwards), "heed port forwards");
    std::vector<PortRange> ranges;
    for (const auto& forward :
         overlapping(*std::move(forwards), configuration_.settings.media_ports)) {
        ranges.push_back(forward.ports);
    }
    engine_.exclude_ports(ranges);
}

/// Ports that the kernel's state holds for others than our calls are nobody's to give: masquerade
/// knows nothing of ours, and we learn of its own only by looking.
void Daemon::learn_foreign_endpoints(Time now) {
    look_again_ = now + kForeignLook;
    auto endpoints = wiring_.gate->foreign_endpoints(engine_.media());
    if (!endpoints) {
        log(Level::error, endpoints.error().text());
        return;  // those that were known stay so
    }
    engine_.set_foreign_endpoints(*std::move(endpoints));
}

Result<void> Daemon::run() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP})
        sigaddset(&signals, signal);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    const control::Descriptor signal_fd(signalfd(-1, &signals, SFD_CLOEXEC));
    if (signal_fd.number() < 0) return fail_errno("open", "signalfd", errno);

    sd_notify(0, fmt::format("READY=1\nSTATUS=mode {}", to_text(mode_.mode)).c_str());
    log(Level::notice, fmt::format("ready: mode {} ({}), udp queue {}, media ports {}-{}",
                                   to_text(mode_.mode), mode_.why, queue_text(configuration_.queue),
                                   number(configuration_.settings.media_ports.low),
                                   number(configuration_.settings.media_ports.high)));
    enum Source { kQueue, kSignal, kControl, kAddresses, kRuleset, kEndedFlows, kSources };
    for (;;) {
        std::array<pollfd, kSources> sources{};
        sources[kQueue] = {queue_.fd(), POLLIN, 0};
        sources[kSignal] = {signal_fd.number(), POLLIN, 0};
        sources[kControl] = {control_.fd(), POLLIN, 0};
        sources[kAddresses] = {events_.addresses.fd(), POLLIN, 0};
        sources[kRuleset] = {events_.ruleset.fd(), POLLIN, 0};
        sources[kEndedFlows] = {events_.ended_flows.fd(), POLLIN, 0};
        if (poll(sources.data(), sources.size(), poll_timeout(now_by_clock())) < 0 &&
            errno != EINTR) {
            return fail_errno("wait for", "packets", errno);
        }
        if (sources[kQueue].revents != 0) {
            if (auto served = serve_queue(); !served) return served;
        }
        const auto now = now_by_clock();
        if (sources[kAddresses].revents != 0) {
            (void)events_.addresses.read();
            look_for_lost_addresses(now);
            make_flows(now);
        }
        if (sources[kRuleset].revents != 0 || table_changed_) heed_ruleset(now);
        if (sources[kEndedFlows].revents != 0) heed_ended_flows(now);
        run_timers(now);
        look_through_flows();
        save_changes();
        if (sources[kControl].revents != 0) {
            control_.serve_one(
                [this](std::string_view request) { return answer_control(request); });
        }
        if (sources[kSignal].revents != 0) {
            signalfd_siginfo info{};
            if (read(signal_fd.number(), &info, sizeof info) != sizeof info) continue;
            if (info.ssi_signo == SIGHUP) {
                (void)reload();
            } else {
                break;
            }
        }
    }
    sd_notify(0, "STOPPING=1");
    if (mode_.mode == Mode::expectations) {
        report(queue_streams(configuration_.queue, netfilter::StreamQueueing::off),
               "let TCP pass without us");
    }
    note_saved(state_file_.replace(all_state()), now_by_clock());
    report(state_file_.sync(), "save state");
    log(Level::notice, "stopped; table and running calls are left as they are");
    return {};
}

Result<void> Daemon::serve_queue() {
    auto batch = queue_.receive_batch();
    if (!batch) return tl::unexpected(batch.error());
    const auto now = now_by_clock();
    for (const auto& queued : *batch)
        handle(queued, now);
    send_verdicts();
    return {};
}

void Daemon::send_verdicts() {
    flush_verdicts();
    close_pending();
}

void Daemon::flush_verdicts() {
    // On file before it is in effect: a packet whose verdict never comes is sent again.
    save_changes();
    report(queue_.flush(), "send verdicts");
}

void Daemon::handle(const netfilter::QueuedPacket& queued, Time now) {
    const auto view = PacketView::parse(queued.packet);
    // ICMP errors of a signalling flow are queued as well; they pass.
    if (!view || queued.truncated) {
        queue_.accept(queued.id);
        return;
    }
    const auto found = wiring_.flows->find(queued, *view, engine_.media(), now);
    if (!found.fault.empty()) fault_log_.note(found.fault, now);
    if (!found.flow) {
        queue_.accept(queued.id);
        return;
    }
    if (view->tuple.transport == Transport::tcp) {
        auto verdicts = stream_verdicts();
        streams_.take(queued, *view, *found.flow, stream_turn(verdicts, now));
        return;
    }
    const Packet packet{found.flow->tuples, found.flow->direction, found.flow->standing,
                        view->payload, found.flow->gateway};
    answer(queued, *view, judge(packet, found.flow->mark, now));
}

Decision Daemon::judge(const Packet& packet, std::uint32_t mark, Time now) {
    wiring_.gate->begin_packet();
    auto decision = decide(packet, mark, now);
    if (is_failure(decision.reason)) note_failure(packet, decision, now);
    to_close_.insert(to_close_.end(), decision.close.begin(), decision.close.end());
    return decision;
}

QueueVerdicts Daemon::stream_verdicts() {
    return {queue_, [this] { flush_verdicts(); }};
}

TcpStreams::Turn Daemon::stream_turn(Verdicts& verdicts, Time now) {
    return {verdicts,
            [this, now](const KnownFlow& flow, FlowDirection direction, std::string_view message) {
                return edit(flow, direction, message, now);
            },
            [this, now](const std::string& text) { fault_log_.note(text, now); }, now};
}

/// A message over TCP. One that is not to arrive becomes as many empty lines, which everybody passes over (RFC 3261
/// 7.5): without its bytes its sender would send it for ever.
std::optional<std::string> Daemon::edit(const KnownFlow& flow, FlowDirection direction,
                                        std::string_view message, Time now) {
    const Packet packet{flow.tuples, direction, flow.standing, message, flow.gateway};
    const auto decision = judge(packet, flow.mark, now);
    if (decision.verdict == Verdict::drop) {
        std::string lines(message.size(), '\n');
        for (std::size_t at = 0; at + 1 < lines.size(); at += 2)
            lines[at] = '\r';
        return lines;
    }
    if (decision.edits.empty()) return std::nullopt;
    return apply_edits(message, decision.edits);
}

void Daemon::expire_streams(Time now) {
    if (!streams_.next_due() || *streams_.next_due() > now) return;
    auto verdicts = stream_verdicts();
    streams_.expire(stream_turn(verdicts, now));
    send_verdicts();
}

void Daemon::note_failure(const Packet& packet, const Decision& decision, Time now) {
    auto text = packet.flow.original.text();
    if (const auto message = sip::Message::parse(packet.payload)) {
        text += fmt::format(", Call-ID {:.80}", message->value(sip::HeaderKind::call_id));
    }
    if (!decision.detail.empty()) text += ": " + decision.detail;
    packet_log_.note(decision.reason, text, now);
}

Decision Daemon::decide(const Packet& packet, std::uint32_t mark, Time now) {
    auto decision = engine_.handle(packet, now);
    while (decision.needs_kernel()) {
        // What an earlier message of this batch closed may be what this one opens again.
        close_pending();
        const auto answer = wiring_.gate->open_holes(decision, mark);
        const bool final = answer.kind == KernelAnswer::Kind::done;
        if (final && !answer.text.empty()) log(Level::error, answer.text);
        decision = engine_.settle(packet, answer, now);
        if (final) break;
    }
    return decision;
}

void Daemon::answer(const netfilter::QueuedPacket& queued, const PacketView& view,
                    const Decision& decision) {
    if (decision.verdict == Verdict::drop) {
        queue_.drop(queued.id);
        return;
    }
    netfilter::FlowChange change;
    change.timeout = decision.flow_timeout;
    if (decision.edits.empty()) {
        queue_.accept(queued.id, change);
        return;
    }
    const auto changed =
        with_payload(queued.packet, view, apply_edits(view.payload, decision.edits));
    if (changed) {
        queue_.accept(queued.id, *changed, change);
    } else {
        log(Level::error, changed.error().text() + "; forwarded unchanged");
        queue_.accept(queued.id, change);
    }
}

/// Flows of an outside address that the gateway lost end, and are missing until it comes back or the phone
/// registers with another one.
void Daemon::look_for_lost_addresses(Time now) {
    std::map<IpAddress, bool> is_ours;
    const std::set<FlowTuples> missing(missing_.begin(), missing_.end());
    std::vector<FlowTuples> lost;
    for (const auto& binding : engine_.bindings()) {
        if (binding.inside == binding.outside || missing.contains(binding.flow)) continue;
        const auto& address = binding.outside.address;
        const auto [known, is_new] = is_ours.try_emplace(address, true);
        if (is_new) {
            const auto has = wiring_.flows->has_address(address);
            known->second = !has || *has;
            if (!known->second) {
                log(Level::warning, address.text() +
                                        " is not the gateway's any more: "
                                        "registrations through it are stale");
            }
        }
        if (!known->second) lost.push_back(binding.flow);
    }
    if (lost.empty()) return;
    report(wiring_.flows->end_flows(lost), "end flows of an address that is gone");
    missing_.insert(missing_.end(), lost.begin(), lost.end());
    make_again_ = now + kMakeAgain;
}

/// Timeouts, an administrator, an interface that went down: those that are still needed come back.
void Daemon::heed_ended_flows(Time now) {
    auto news = events_.ended_flows.read();
    std::erase_if(news.ended, [this](const FlowTuples& flow) {
        return streams_.knows(flow.original) && wiring_.flows->is_there(flow);
    });
    auto verdicts = stream_verdicts();
    for (const auto& flow : news.ended)
        streams_.note_ended(flow.original, verdicts);
    engine_.note_ended(news.ended);
    if (news.lost) {
        engine_.doubt_connections();
        streams_.prune();
        for (const auto& binding : engine_.bindings()) {
            if (binding.inside != binding.outside) news.ended.push_back(binding.flow);
        }
    }
    const auto needed = engine_.needed(news.ended);
    if (needed.empty()) return;
    missing_.insert(missing_.end(), needed.begin(), needed.end());
    make_flows(now);
}

/// "flush ruleset", the firewall's own reload: without the table no message comes to us.
void Daemon::heed_ruleset(Time now) {
    const auto news = events_.ruleset.read();
    const auto* own = mode_.mode == Mode::maps ? netfilter::kMapTable : netfilter::kTable;
    const bool is_ours = std::ranges::find(news.tables, own) != news.tables.end();
    if (is_ours || news.lost) table_changed_ = true;
    if (!table_changed_ || now < load_again_) return;
    log(Level::warning, fmt::format("somebody changed table inet {}: loading it again", own));
    table_changed_ = false;
    load_again_ = now + kLoadAgain;
    report(load_table_again(configuration_), "load table");
    exclude_forwards();
}

/// It may have been emptied, or be another one with the same name.
Result<void> Daemon::load_table_again(const config::Configuration& configuration) {
    if (auto loaded = load_table(mode_.mode, configuration); !loaded) return loaded;
    (void)events_.ruleset.read();  // what that was
    report(wiring_.gate->put_again(engine_.media()), "put media into the table");
    return {};
}

void Daemon::keep_up(Time now) {
    if (now < keep_up_again_) return;
    keep_up_again_ = now + kKeepUp;
    look_for_lost_addresses(now);
    report(wiring_.flows->keep_up(now), "keep signalling mapped");
    report(wiring_.gate->keep_up(engine_.media(), now), "keep media mapped");
}

Daemon::Losses Daemon::losses() const {
    return {queue_.overruns(), engine_.counters().refused_bindings};
}

void Daemon::note_losses(Time now) {
    const auto all = losses();
    if (all == noted_ || now < note_again_) return;
    if (const auto more = all.messages - noted_.messages; more > 0) {
        log(Level::warning,
            fmt::format("{} messages found the queue full and {} (queue.receive_buffer)", more,
                        configuration_.queue.fail_open ? "went on unchanged" : "were dropped"));
    }
    if (const auto more = all.bindings - noted_.bindings; more > 0) {
        log(Level::warning, fmt::format("{} registrations are over limits.bindings: calls do not "
                                        "reach them after a reboot",
                                        more));
    }
    noted_ = all;
    note_again_ = now + kNoteLosses;
}

void Daemon::run_timers(Time now) {
    expire_streams(now);
    if (make_again_ <= now) make_flows(now);
    keep_up(now);
    note_losses(now);
    if (look_again_ <= now) learn_foreign_endpoints(now);
    const auto due = engine_.next_due();
    if (!due || *due > now) return;
    const auto work = engine_.tick(now);
    admit(work.admit, now);
    close(work.close);
    if (!work.renew.empty()) {
        report(wiring_.gate->renew(engine_.media(), {work.renew.begin(), work.renew.end()}),
               "expect on the connection that took over");
    }
    look_who_sends(work.latch, now);
    report(wiring_.flows->keep_flows(work.keep_up), "keep flows of registrations");
    to_evict_.insert(to_evict_.end(), work.evict.begin(), work.evict.end());
    to_sweep_.insert(to_sweep_.end(), work.sweep.begin(), work.sweep.end());
    to_count_.insert(to_count_.end(), work.idle.begin(), work.idle.end());
}

void Daemon::admit(std::span<const Admission> admissions, Time now) {
    if (admissions.empty()) return;
    std::vector<Admission> refused;
    for (auto& [admission, error] : wiring_.gate->admit(admissions)) {
        fault_log_.note("change who may send media: " + error.text(), now);
        refused.push_back(std::move(admission));
    }
    engine_.not_admitted(refused);
}

void Daemon::look_who_sends(const std::vector<LatchQuestion>& questions, Time now) {
    std::vector<LatchAnswer> answers;
    for (const auto& question : questions) {
        const auto heard = wiring_.gate->has_heard(question.hole);
        if (!heard) fault_log_.note("look who sends media: " + heard.error().text(), now);
        answers.push_back({question, heard.value_or(false)});
    }
    admit(engine_.settle_latch(answers, now), now);
}

bool Daemon::has_to_list() const {
    return !to_evict_.empty() || !to_sweep_.empty() || !to_count_.empty();
}

/// What has to list conntrack's flows, together and not too often.
void Daemon::look_through_flows() {
    const auto begin = now_by_clock();
    if (!has_to_list() || begin < list_again_) return;
    if (!to_evict_.empty()) {
        report(wiring_.gate->evict(std::exchange(to_evict_, {})), "end flows of others");
    }
    if (!to_sweep_.empty()) {
        report(wiring_.gate->sweep(std::exchange(to_sweep_, {})), "delete flows of ended calls");
    }
    if (!to_count_.empty()) count_idle(begin);
    const auto end = now_by_clock();
    list_again_ = end + std::min<Time::duration>(kListShare * (end - begin), kLongestListPause);
}

/// All packets of each call, both ways.
void Daemon::count_idle(Time now) {
    const auto questions = std::exchange(to_count_, {});
    std::vector<MediaFlows> media;
    for (const auto& question : questions)
        media.insert(media.end(), question.media.begin(), question.media.end());
    const auto counts = wiring_.gate->count(media);
    if (!counts) {
        log(Level::error, "count packets of calls that say nothing: " + counts.error().text());
        return;
    }
    std::vector<IdleAnswer> answers;
    auto count = counts->begin();
    for (const auto& question : questions) {
        auto& packets = answers.emplace_back(IdleAnswer{question.call, 0}).packets;
        for (std::size_t i = 0; i < question.media.size(); ++i, ++count) {
            packets = packets && *count
                          ? std::optional(*packets + (*count)->sent + (*count)->received)
                          : std::nullopt;
        }
    }
    close(engine_.settle_idle(answers, now));
}

void Daemon::close_pending() {
    close(to_close_);
    to_close_.clear();
}

void Daemon::close(std::span<const Hole> holes) {
    if (!holes.empty()) report(wiring_.gate->close_holes(holes), "close media");
}

SavedState Daemon::all_state() const {
    auto state = engine_.save();
    streams_.save(state);
    return state;
}

void Daemon::save_changes() {
    const bool is_current = state_fault_.empty();
    if (is_current && !engine_.has_changes() && !streams_.has_changes()) return;
    const auto now = now_by_clock();
    if (now < save_again_) return;  // the changes wait
    auto changes = engine_.take_changes();
    streams_.take_changes(changes);
    Result<void> saved;
    if (is_current) saved = state_file_.append(changes);
    if (!is_current || !saved || state_file_.is_outgrown()) {
        saved = state_file_.replace(all_state());
    }
    note_saved(saved, now);
}

void Daemon::note_saved(const Result<void>& saved, Time now) {
    state_fault_ = saved ? "" : saved.error().text();
    if (saved) return;
    save_again_ = now + kSaveRetry;
    log(Level::error, "save state: " + state_fault_);
}

control::Reloaded Daemon::reload() {
    sd_notify(0, "RELOADING=1");
    auto done = try_reload();
    for (const auto& fault : done.faults)
        log(Level::error, fault);
    for (const auto& warning : done.warnings)
        log(Level::warning, warning);
    if (done.faults.empty()) {
        log(Level::notice, "settings reloaded");
    } else {
        log(Level::error, "the running settings stay");
    }
    sd_notify(0, "READY=1");
    return done;
}

control::Reloaded Daemon::try_reload() {
    control::Reloaded done;
    auto fresh = config::load_with_environment(config_file_);
    if (!fresh) {
        for (const auto& one : fresh.error())
            done.faults.push_back(one.message());
        return done;
    }
    if (fresh->queue != configuration_.queue || fresh->paths != configuration_.paths ||
        fresh->outside != configuration_.outside || fresh->mode != configuration_.mode) {
        done.warnings.emplace_back(
            "[queue], [paths], [[outside]] and nat.mode take effect with a restart");
        fresh->queue = configuration_.queue;
        fresh->paths = configuration_.paths;
        fresh->outside = configuration_.outside;
        fresh->mode = configuration_.mode;
    }
    if (auto loaded = load_table_again(*fresh); !loaded) {
        done.faults.push_back("load table: " + loaded.error().text());
        return done;
    }
    configuration_ = *std::move(fresh);
    engine_.set_settings(configuration_.settings);
    wiring_.flows->set_ports(configuration_.settings.media_ports, configuration_.udp_ports);
    exclude_forwards();
    return done;
}

void Daemon::report(Result<void> result, const char* what) {
    if (!result) log(Level::error, fmt::format("{}: {}", what, result.error().text()));
}

int Daemon::poll_timeout(Time now) const {
    auto due = std::min(keep_up_again_, look_again_);
    if (const auto engine_due = engine_.next_due()) due = std::min(due, *engine_due);
    if (const auto streams_due = streams_.next_due()) due = std::min(due, *streams_due);
    if (!state_fault_.empty()) due = std::min(due, save_again_);
    if (!missing_.empty()) due = std::min(due, make_again_);
    if (losses() != noted_) due = std::min(due, note_again_);
    if (table_changed_) due = std::min(due, load_again_);
    if (has_to_list()) due = std::min(due, list_again_);
    const auto wait = std::clamp<std::int64_t>((due - now).count(), 0, 60'000);
    return static_cast<int>(wait) + (wait > 0 ? 1 : 0);
}

std::string Daemon::answer_control(std::string_view request) {
    if (request == "status") return status();
    if (request == "registrations") {
        return control::to_json(report_registrations(engine_, missing_, now_by_clock()));
    }
    if (request == "calls") return calls();
    if (request == "media") return control::to_json(report_media(engine_.media()));
    if (request == "stats") return stats();
    if (request == "reload") return control::to_json(reload());
    return R"({"error":"no such request"})";
}

void Daemon::add_maps_status(control::Status& status) const {
    for (const auto& way : configuration_.outside) {
        const auto networks = [](const std::vector<Network>& some) {
            std::string text;
            for (const auto& network : some)
                text += " " + network.text();
            return text;
        };
        status.outside.push_back(fmt::format(
            "{} {}: inside{}{}", way.interface, way.address.text(), networks(way.inside),
            way.except.empty() ? "" : ", except" + networks(way.except)));
    }
    if (configuration_.gateway_pbx) {
        status.notes.emplace_back("nat.gateway_pbx is not covered in this mode");
    }
    status.signalling_mappings = wiring_.signalling->size();
    if (const auto refused = wiring_.signalling->refused(); refused > 0) {
        status.warnings.push_back(
            fmt::format("{} messages passed unchanged: too many signalling mappings", refused));
    }
}

std::string Daemon::calls() {
    auto report = report_calls(engine_);
    if (const auto counts = wiring_.gate->count(report.media)) {
        add_packets(*counts, report);
    } else {
        log(Level::error, "count packets of calls: " + counts.error().text());
    }
    return control::to_json(report.calls);
}

std::vector<std::pair<std::string, std::uint64_t>> Daemon::stream_events() const {
    std::vector<std::pair<std::string, std::uint64_t>> events;
    for (std::size_t i = 0; i < kStreamEvents; ++i) {
        const auto event = static_cast<StreamEvent>(i);
        events.emplace_back(to_text(event), streams_.count(event));
    }
    events.emplace_back("forgotten", streams_.forgotten());
    return events;
}

std::string Daemon::stats() const {
    auto stats = report_stats(engine_);
    stats.emplace_back("queue_overruns", queue_.overruns());
    stats.emplace_back("refused_verdicts", queue_.refused_verdicts());
    stats.emplace_back("tcp_streams", streams_.size());
    for (const auto& [event, count] : stream_events())
        stats.emplace_back("tcp_" + event, count);
    return control::to_json(stats);
}

std::string Daemon::status() const {
    const auto table = netfilter::table_exists(table_of(mode_.mode));
    const auto& counters = engine_.counters();
    const auto& range = configuration_.settings.media_ports;
    control::Status status;
    status.version = SIPNAT_VERSION;
    status.mode = to_text(mode_.mode);
    status.mode_why = mode_.why;
    status.table = std::string("inet ") + table_of(mode_.mode);
    status.warnings = warnings_of(mode_.mode, configuration_);
    if (!state_fault_.empty()) {
        status.warnings.push_back("running calls would not survive a restart: " + state_fault_);
    }
    status.table_loaded = table && *table;
    if (!status.table_loaded) {
        status.warnings.push_back("table " + status.table +
                                  " is gone: no SIP reaches sipnatd (reload)");
    }
    if (mode_.mode == Mode::maps) add_maps_status(status);
    for (const auto port : configuration_.udp_ports)
        status.udp_ports.push_back(number(port));
    for (const auto port : configuration_.tcp_ports)
        status.tcp_ports.push_back(number(port));
    status.tcp_streams = streams_.size();
    status.tcp_events = stream_events();
    status.gateway_pbx = configuration_.gateway_pbx;
    status.queues = queue_text(configuration_.queue);
    status.media_ports = fmt::format("{}-{}", number(range.low), number(range.high));
    status.expect_max = netfilter::expectation_limits().most;
    status.uptime = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::seconds>(now_by_clock() - started_).count());
    status.calls = engine_.calls();
    status.media_mappings = engine_.media().mappings().size();
    status.holes_opened = counters.holes_opened;
    status.holes_closed = counters.holes_closed;
    status.queue_overruns = queue_.overruns();
    status.refused_verdicts = queue_.refused_verdicts();
    status.stricter_message = counters.stricter_message;
    status.stricter_sdp = counters.stricter_sdp;
    status.short_lengths = counters.short_lengths;
    status.broken_digests = counters.broken_digests;
    status.unreachable_msrp = counters.unreachable_msrp;
    status.other_family = counters.other_family;
    status.registrations_over_limits = counters.refused_bindings;
    for (std::size_t i = 0; i < kReasons; ++i) {
        status.packets.emplace_back(to_text(static_cast<Reason>(i)), counters.packets.at(i));
    }
    return control::to_json(status);
}

}  // namespace sipnat::daemon
