#include "sipnat/core/engine.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <memory_resource>
#include <ranges>
#include <set>
#include <span>
#include <unordered_set>
#include <utility>

#include "core/bodies.h"
#include "core/call_book.h"
#include "core/further_ports.h"
#include "core/gateway_flows.h"
#include "core/header_rewriter.h"
#include "core/local_media.h"
#include "core/media_plan.h"
#include "core/registrations.h"
#include "core/second_opinion.h"
#include "core/spelling.h"
#include "core/transaction_table.h"
#include "sipnat/base/ascii.h"
#include "sipnat/sip/tag.h"
#include "sipnat/sip/uri.h"

namespace sipnat {

namespace {

using sip::HeaderKind;
using sip::Method;

/// Ports and routes that the kernel turned down for one message before it gets no media.
constexpr int kMostAttempts = 32;
/// Inside hosts of one message that the kernel is asked about; media of more goes by the outside address.
constexpr std::size_t kMostNeighbours = 8;

/// What peers name calls by is remembered: it must not be theirs to choose how much.
constexpr std::size_t kLongestName = 512;
/// Bytes for the indexes of one message. Those that need more (128 headers, 20 candidates) get it from the heap.
constexpr std::size_t kScratch = 16384;

/// Found once a message, since the dialog and the transaction are asked for on either side.
struct Names {
    std::string_view from_tag;
    std::string_view to_tag;
    std::optional<sip::Via> via;  ///< the top one; nothing if it can't be read
    std::string_view branch;      ///< of that
};

Names names_of(const sip::Message& message) {
    Names names{sip::tag_of(message, HeaderKind::from),
                sip::tag_of(message, HeaderKind::to),
                sip::parse_top_via(message.text(), message.find(HeaderKind::via)->value),
                {}};
    if (names.via) names.branch = names.via->branch.in(message.text());
    return names;
}

bool can_be_remembered(const sip::Message& message, const Names& names) {
    const auto longest = std::max({message.value(HeaderKind::call_id).size(), names.from_tag.size(),
                                   names.to_tag.size(), names.branch.size()});
    return longest <= kLongestName;
}

bool negotiates(Method method) {
    return method == Method::invite || method == Method::ack || method == Method::prack ||
           method == Method::update;
}

/// Its SDP is an offer or an answer. What a failure carries is capabilities at most (RFC 3261 21.4.26).
bool describes_media(const sip::Message& message) {
    return negotiates(message.method()) && message.status() < 300;
}

/// What one message did to one call, until the kernel has agreed.
struct Change {
    CallId id{};
    bool began = false;  ///< the message began the call
    Call before;         ///< if it did not
    std::vector<HoleKey> acquired;
    bool releases = false;  ///< it has holes that it does not want any more
};

/// Most often of the sender's call and of the receiver's. They are kept for the memory in them.
class Changes {
  public:
    /// The next one, to be filled in; it counts when it is added.
    [[nodiscard]] Change& next() {
        if (count_ == changes_.size()) changes_.emplace_back();
        return changes_[count_];
    }
    void add() { ++count_; }
    void clear() { count_ = 0; }
    [[nodiscard]] std::span<Change> all() { return std::span(changes_).first(count_); }
    [[nodiscard]] bool has(CallId id) {
        return std::ranges::any_of(all(), [id](const Change& change) { return change.id == id; });
    }

  private:
    std::vector<Change> changes_;
    std::size_t count_ = 0;
};

/// Nothing happened but that it goes on: not each such message is worth a line in the state file.
bool is_same_on_file(const Call& before, Call& after) {
    if (after.deadline - after.saved_deadline > kStaleDeadline) return false;
    const auto deadline = std::exchange(after.deadline, before.deadline);
    const auto heard = std::exchange(after.heard, before.heard);
    const auto session_until = std::exchange(after.session_until, before.session_until);
    const bool same = after == before;
    after.deadline = deadline;
    after.heard = heard;
    after.session_until = session_until;
    return same;
}

}  // namespace

class Engine::Implementation {
  public:
    explicit Implementation(const Settings& settings)
        : settings_(settings), media_(settings), ports_(media_, settings_) {}

    Decision handle(const Packet& packet, Time now) {
        attempts_ = 0;
        unroutable_.clear();
        apart_.clear();
        refused_.reset();
        ports_.begin();
        decide(packet, now);
        return finish();
    }

    Decision settle(const Packet& packet, const KernelAnswer& answer, Time now) {
        if (answer.kind == KernelAnswer::Kind::done) {
            counters_.holes_opened += decision_.open.size();
            ports_.keep();
            release_unwanted(now);
            return count(std::exchange(decision_, {}));
        }
        const bool asked_for_signalling = std::ranges::any_of(decision_.open, is_signalling);
        undo();
        if (!learn(packet, answer, asked_for_signalling, now))
            return count(std::exchange(decision_, {}));
        decide(packet, now);
        return finish();
    }

    Due tick(Time now) {
        Due due;
        while (const auto id = book_.pop_due(now)) {
            auto& call = book_.at(*id);
            const bool forgotten = call.state == Call::State::ended;
            if (forgotten) {
                book_.erase(*id);
                continue;
            }
            if (call.sources_due) evict_others(look_at_sources(call, now, due.admit), due.evict);
            if (call.latch_until && *call.latch_until <= now) ask_who_sends(*id, call, due.latch);
            if (call.is_silent(now) && call.has_media()) {
                due.idle.push_back({static_cast<std::uint64_t>(*id), media_flows(call)});
                call.deadline = call.counted_by =
                    now + settings_.media_timeout;  // if nobody answers
            } else if (call.is_silent(now)) {
                call.learn_counted(0, patience(), now);
            }
            call.expire(now);
            release(call, now, due.close);
            book_.schedule(*id);
            note_changed(*id);
        }
        ports_.end_due(now, due.close);
        registrations_.collect_due(now, due.keep_up);
        media_.collect_due(now, due);
        counters_.holes_closed += due.close.size();
        return due;
    }

    std::vector<Admission> settle_latch(const std::vector<LatchAnswer>& answers, Time now) {
        std::vector<Admission> admitted;
        for (const auto& [question, heard] : answers) {
            const auto id = static_cast<CallId>(question.call);
            if (heard || book_.find(id) == nullptr) continue;
            ++counters_.unheard_sources;
            auto& call = book_.at(id);
            const auto& remote = *question.hole.remote;
            call.for_each_agreed([&](const std::vector<MediaKey>& own, const Endpoint& there) {
                if (there == remote && own.front().inside == question.hole.inside)
                    call.give_up_on(own, remote.address);
            });
            (void)look_at_sources(call, now, admitted);
            book_.schedule(id);
            note_changed(id);
        }
        return admitted;
    }

    std::vector<Hole> settle_idle(const std::vector<IdleAnswer>& answers, Time now) {
        std::vector<Hole> closed;
        for (const auto& answer : answers) {
            const auto id = static_cast<CallId>(answer.call);
            if (book_.find(id) == nullptr) continue;
            auto& call = book_.at(id);
            // It has been spoken of since: what was counted before that says nothing.
            if (call.deadline != call.counted_by) continue;
            call.learn_counted(answer.packets, patience(), now);
            release(call, now, closed);
            book_.schedule(id);
            note_changed(id);
        }
        counters_.holes_closed += closed.size();
        return closed;
    }

    [[nodiscard]] std::optional<Time> next_due() const {
        std::optional<Time> next;
        for (const auto& due :
             {book_.next_due(), ports_.next_due(), registrations_.next_due(), media_.next_due()}) {
            if (due) next = next ? std::min(*next, *due) : *due;
        }
        return next;
    }

    void set_settings(const Settings& settings) {
        settings_ = settings;
        media_.set_limits(settings);
    }

    [[nodiscard]] SavedState save() const {
        SavedState state;
        book_.for_each([&](const Call& call) {
            if (call.state != Call::State::ended) save(call, state);
        });
        for (const auto& lease : ports_.leases())
            save(lease, state);
        for (const auto& [name, binding] : registrations_.all())
            state.bindings.push_back(binding);
        return state;
    }

    [[nodiscard]] bool has_changes() const {
        return !changed_.empty() || ports_.has_changes() || registrations_.has_changes();
    }

    SavedState take_changes() {
        SavedState state;
        std::ranges::sort(changed_);
        const auto repeated = std::ranges::unique(changed_);
        changed_.erase(repeated.begin(), repeated.end());
        for (const auto id : changed_) {
            if (const auto* call = book_.find(id)) save(*call, state);
        }
        changed_.clear();
        for (const auto& lease : ports_.take_changes())
            save(lease, state);
        registrations_.take_changes(state.bindings, state.ended_bindings);
        return state;
    }

    void restore(const SavedState& state) {
        for (const auto& saved : state.mappings) {
            auto mapping = saved.mapping;
            mapping.uses.clear();  // counted anew from the calls
            mapping.unused_since.reset();
            (void)media_.restore(saved.key, mapping);
        }
        for (auto call : state.calls) {
            std::erase_if(call.holes, [this](const HoleKey& key) {
                return media_.find(key.mapping) == nullptr;
            });
            const auto holes = call.holes;
            const auto id = book_.add(std::move(call), settings_);
            if (!id) continue;
            for (const auto& key : holes)
                (void)media_.acquire(key);
            auto& restored = book_.at(*id);
            for_each_component(restored, [&](const MediaKey&, const Mapping& mapping) {
                // Perhaps in the seconds that it has to be heard.
                const bool is_latching =
                    mapping.from && settings_.media_source == MediaSource::latch;
                if (is_latching) restored.latch_until = Time{};
            });
            book_.schedule(*id);
            if (!holes.empty()) gateway_flows_.note_media(book_.at(*id).master);
        }
        for (const auto& lease : state.leases)
            ports_.restore(lease);
        for (const auto& binding : state.bindings)
            registrations_.restore(binding, settings_);
        for (const auto& saved : state.mappings)
            media_.drop_unused(saved.key);
    }

    KnownEndpoints& known() { return ports_.known(); }

    Settings settings_;
    MediaTable media_;
    CallBook book_;
    Registrations registrations_;
    Counters counters_;

  private:
    // --- deciding -----------------------------------------------------------------------------

    void decide(const Packet& packet, Time now) {
        decision_ = {};
        over_limit_ = false;
        changes_.clear();
        ports_.keep();
        decision_.flow_timeout = gateway_flows_.timeout(packet);
        switch (sip::classify(packet.payload)) {
            case sip::PayloadKind::keepalive:
                decision_.reason = Reason::keepalive;
                return;
            case sip::PayloadKind::unknown:
                decision_.reason = Reason::not_sip;
                return;
            case sip::PayloadKind::sip:
                break;
        }
        std::array<std::byte, kScratch> buffer;  // not initialised: most of it is not used
        std::pmr::monotonic_buffer_resource scratch(buffer.data(), buffer.size());
        const auto message = sip::Message::parse(packet.payload, &scratch);
        if (!message) {
            give_up_malformed(message.error().text());
            return;
        }
        const auto names = names_of(*message);
        if (!can_be_remembered(*message, names)) {
            give_up_malformed("Call-ID, tag or branch of over " + std::to_string(kLongestName) +
                              " bytes");
            return;
        }
        decide(packet, *message, names, now, &scratch);
    }

    void give_up_malformed(std::string detail) {
        decision_.reason = Reason::malformed;
        decision_.detail = std::move(detail);
        if (settings_.on_malformed == OnMalformed::drop) decision_.verdict = Verdict::drop;
    }

    void decide(const Packet& packet, const sip::Message& message, const Names& names, Time now,
                std::pmr::memory_resource* scratch) {
        const auto view = view_of(packet);
        const bool forwarded = packet.gateway == GatewayEnd::none;
        if (forwarded && view.sender.inside && view.sender.translated() &&
            packet.direction == FlowDirection::original) {
            ports_.known().note_flow({view.sender, view.receiver.real.address, view.transport},
                                     now);
        }
        auto further = rewrite(message, names, view, now, scratch);
        if (!forwarded) further.clear();

        std::optional<Refusal> refusal;
        const auto read = read_bodies(message, scratch);
        if (!read) refusal = Refusal{Reason::malformed_sdp, read.error()};
        const auto bodies = read ? Bodies(*read) : Bodies();
        local_.clear();
        if (forwarded && describes_media(message)) read_local_media(view, bodies, message.text());
        std::span<const OwnStream> own;
        bool reached = false;
        const auto look = [&](const Party& inside, const Party& peer, bool outgoing) {
            const Perspective perspective{
                inside, peer, {message, outgoing, names.from_tag, names.to_tag, names.branch}};
            if (!refusal) refusal = refused_before(perspective);
            Reach reach;
            if (outgoing) {
                if (!bodies.empty()) {
                    read_own_streams(bodies, message.text(), owner(inside), media_, own_);
                    own = own_;
                }
                if (closes_all(refusal)) {
                    ports_.recall_left(perspective);
                } else {
                    reach = ports_.reach(packet, perspective, further, now);
                }
            }
            if (forwarded && !closes_all(refusal)) ports_.add_own(packet, perspective, reach);
            const bool followed =
                follow(packet, perspective, bodies, own, reach, refusal, now, scratch);
            if (followed && ends_dialog(perspective.seen)) follow_twins(perspective, now);
            if (outgoing) {
                reached = followed && !reach.for_call.empty();
                // An answer is the asker's doing, who may be anybody: it makes no lease.
                if (message.is_request() && !closes_all(refusal) &&
                    ports_.lend(perspective, reach, further, followed, now, scratch,
                                decision_.open)) {
                    reached = true;
                }
                ports_.remember_left(perspective);
            }
            for (const auto& key : reach.holes)
                media_.drop_unused(key.mapping);
            if (reach.is_new) {
                decision_.edits.clear();
                (void)rewrite(message, names, view, now, scratch);
            }
        };
        if (view.sender.inside) look(view.sender, view.receiver, true);
        if (view.receiver.inside) look(view.receiver, view.sender, false);
        ports_.note_granted(message, view, now, scratch);
        registrations_.note(packet.flow, message, view, ports_.known(), settings_, now, scratch);
        counters_.refused_bindings = registrations_.refused();
        gateway_flows_.note_message(packet, message, names.branch);
        decision_.flow_timeout = gateway_flows_.timeout(packet);

        if (refusal) {
            open_no_media(closes_all(refusal));
            decision_.neighbours.clear();  // its SDP stays as sent
        }
        if (!decision_.open.empty()) {
            if (auto opinion = ask_other_parser(message, bodies); opinion.difference) {
                disagree(packet, *std::move(opinion.difference), opinion.only_in_sdp, now);
                return;
            }
        }
        if (!decision_.open.empty() && packet.standing != FlowStanding::helped) {
            decision_.entry = {packet.flow, packet.standing == FlowStanding::unhelped};
        }
        if (!bodies.empty() && !refusal) rewrite_bodies(message, view, bodies, own, scratch);
        if (view.transport == Transport::udp) decision_.beyond_body = beyond_body(message);
        std::ranges::sort(decision_.edits, {}, [](const Edit& edit) { return edit.span.offset; });
        decision_.reason = decision_.edits.empty() ? Reason::unchanged : Reason::rewritten;
        if (refusal && (!read || !bodies.empty())) {
            apply(*refusal);
        } else if (const auto& left = ports_.unreached(); left && bodies.empty() && !reached) {
            decision_.reason = left->reason;
            decision_.detail = left->text;
        } else if (over_limit_ && changes_.all().empty()) {
            // Between two inside hosts the other one's call may be followed, media and all.
            decision_.reason = Reason::call_limit;
        }
        if (!decision_.needs_kernel()) release_unwanted(now);
    }

    /// What the receiver is told of other inside parties' media, and how it gets there.
    void read_local_media(const NatView& view, Bodies bodies, std::string_view text) {
        const auto& receiver = view.receiver;
        const bool is_told = receiver.inside && receiver.translated() && !view.sender.translated();
        if (!is_told || bodies.empty()) return;
        read_local_streams(bodies, text, media_, local_);
        for (auto& stream : local_) {
            if (stream.way == Way::nat) continue;
            if (stream.can_be_direct && choose_direct({receiver.real.address, stream.host})) {
                stream.way = Way::direct;
            } else if (stream.host.family() != Family::ipv4) {
                stream.way = Way::nat;  // no map leads back in
            }
        }
    }

    /// Asks the kernel where nothing else tells that they reach each other.
    bool choose_direct(const Neighbours& hosts) {
        if (settings_.local_media != LocalMedia::direct) return false;
        const auto& [receiver, host] = hosts;
        if (host == receiver || share_networks(settings_, receiver, host)) return true;
        if (std::ranges::count(apart_, host) > 0) return false;
        auto& asked = decision_.neighbours;
        if (std::ranges::count(asked, hosts) > 0) return true;
        if (asked.size() + apart_.size() >= kMostNeighbours) return false;
        asked.push_back(hosts);
        return true;
    }

    std::vector<FurtherPort> rewrite(const sip::Message& message, const Names& names,
                                     const NatView& view, Time now,
                                     std::pmr::memory_resource* scratch) {
        return rewrite_headers(message, names.via, view, {spellings_, ports_.known()},
                               decision_.edits, settings_.rewrite_request_uri, now, scratch);
    }

    MediaOwner owner(const Party& inside) const { return {inside, settings_.media_hosts}; }

    void rewrite_bodies(const sip::Message& message, const NatView& view, Bodies bodies,
                        std::span<const OwnStream> own, std::pmr::memory_resource* scratch) {
        decision_.other_family =
            has_media_of_another_family(bodies, view.sender.real.address.family());
        const auto headers = decision_.edits.size();
        if (view.sender.translated()) {
            rewrite_sdp(bodies, message.text(), owner(view.sender), own, media_, decision_.edits);
        }
        if (view.receiver.translated()) {
            rewrite_remote_candidates(bodies, message.text(), view.receiver, media_,
                                      decision_.edits);
            rewrite_local_streams(bodies, message.text(), local_, media_, decision_.edits);
        }
        if (decision_.edits.size() == headers) return;
        set_content_lengths(message, decision_.edits, scratch);
        decision_.breaks_digest = covers_body_by_digest(message);
        decision_.breaks_msrp = view.sender.translated() && has_unreachable_msrp(bodies);
    }

    /// Follows the call of this message; false if it is part of none. Its media, if it can't be had,
    /// is left out and `refusal` says why.
    bool follow(const Packet& packet, const Perspective& perspective, Bodies bodies,
                std::span<const OwnStream> own, const Reach& reach, std::optional<Refusal>& refusal,
                Time now, std::pmr::memory_resource* scratch) {
        const auto& seen = perspective.seen;
        auto id = book_.find(seen, perspective.inside.real.address, perspective.peer.real.address);
        // A host that reaches itself through the gateway is both sides of one call.
        if (id && changes_.has(*id)) return true;
        Change& change = changes_.next();
        change.began = !id;
        change.acquired.clear();
        if (id) {
            change.before = book_.at(*id);
        } else {
            if (!begins_call(packet, perspective, !bodies.empty())) return false;
            id = book_.add(new_call(packet, perspective, now), settings_);
            if (!id) {
                over_limit_ = true;
                if (seen.outgoing && !bodies.empty())
                    refuse(perspective, Reason::call_limit, "", refusal);
                return false;
            }
        }
        change.id = *id;
        auto& call = book_.at(*id);
        hang_on(call, packet, seen);
        if (!change.began && call.master != change.before.master) take_along(call);

        const bool describes = !bodies.empty() && describes_media(seen.message);
        if (describes && seen.outgoing && !refusal) {
            call.follow(seen, own, std::nullopt, patience(), now);
            // Before any port is chosen: what the message names may not become another stream's.
            claim(perspective.inside, bodies, seen.message.text(), now, scratch);
            const auto mapped =
                call.state == Call::State::ended ? Mapped::done : map(call, own, scratch);
            if (mapped != Mapped::done) {
                call = change.began ? new_call(packet, perspective, now) : change.before;
                hang_on(call, packet, seen);
                refuse(perspective, reason_of(mapped), "", refusal);
                call.follow(seen, std::nullopt, std::nullopt, patience(), now);
            }
        } else if (describes && !seen.outgoing && !refusal) {
            read_remote_streams(bodies, seen.message.text(), perspective.peer, perspective.inside,
                                local_, media_, peer_);
            call.follow(seen, std::nullopt, peer_, patience(), now);
        } else {
            call.follow(seen, std::nullopt, std::nullopt, patience(), now);
        }
        for (const auto& remote : unroutable_)
            call.avoid(remote);
        if (!closes_all(refusal) && call.state != Call::State::ended)
            call.add_signalling(reach.for_call);
        open_wanted(call, change);
        if (packet.gateway != GatewayEnd::none && !call.holes.empty()) {
            gateway_flows_.note_media(packet.flow.original);
        }
        if (describes && seen.outgoing && !refusal && call.state != Call::State::ended &&
            !call.is_settled(seen) && !are_held(own)) {
            // One fork too many: nobody remembers what this one says.
            refuse(perspective, Reason::call_limit, "", refusal);
        }
        drop_unused(own);
        if (call.state == Call::State::established && negotiates(seen.message.method()) &&
            !call.sources_due) {
            call.sources_due = has_other_sources(call);
        }
        book_.schedule(*id);
        if (change.began || !is_same_on_file(change.before, call)) note_changed(*id);
        changes_.add();
        return true;
    }

    /// Who answers two branches of an INVITE with one tag has that dialog in two calls.
    void follow_twins(const Perspective& perspective, Time now) {
        const auto& [inside, peer, seen] = perspective;
        while (const auto id = book_.find_living(seen, inside.real.address, peer.real.address)) {
            if (changes_.has(*id)) return;
            Change& change = changes_.next();
            change = {*id, false, book_.at(*id), {}, false};
            auto& call = book_.at(*id);
            call.follow(seen, std::nullopt, std::nullopt, patience(), now);
            open_wanted(call, change);
            book_.schedule(*id);
            note_changed(*id);
            changes_.add();
        }
    }

    static void hang_on(Call& call, const Packet& packet, const CallMessage& seen) {
        call.master = packet.flow.original;
        call.inside_sends = seen.outgoing ? packet.direction : opposite(packet.direction);
    }

    /// What hung on a connection of before.
    void take_along(const Call& call) {
        for (const auto& key : call.holes)
            media_.follow(key.mapping, {call.master, call.inside_sends, call.inside});
    }

    /// The NAT tells which side is inside, or the gateway is one: without either the sender may be
    /// anybody.
    static bool is_from_inside(const Packet& packet, const Perspective& perspective) {
        const bool tells = perspective.inside.translated() || perspective.peer.translated() ||
                           packet.gateway != GatewayEnd::none;
        return perspective.seen.outgoing && tells;
    }

    /// An INVITE does; so does what can only be part of a call that began before this process.
    static bool begins_call(const Packet& packet, const Perspective& perspective,
                            bool has_session) {
        const auto& seen = perspective.seen;
        const bool is_invite = seen.message.method() == Method::invite;
        if (seen.message.is_request() && is_invite && seen.to_tag.empty()) return true;
        // From outside anybody can send such a thing.
        const bool in_dialog = !seen.to_tag.empty() && seen.message.status() < 300;
        return is_from_inside(packet, perspective) && has_session && in_dialog &&
               negotiates(seen.message.method());
    }

    [[nodiscard]] Patience patience() const {
        return {settings_.media_timeout, settings_.hold_timeout};
    }

    [[nodiscard]] Call new_call(const Packet& packet, const Perspective& perspective,
                                Time now) const {
        const auto& seen = perspective.seen;
        Call call;
        call.inside = perspective.inside.real.address;
        call.remote = perspective.peer.real.address;
        call.call_id = seen.message.value(HeaderKind::call_id);
        call.inside_initiated = seen.by_inside();
        call.charged_to_inside = seen.outgoing;
        call.from_outside = !is_from_inside(packet, perspective);
        call.initiator_tag = seen.from_tag;
        call.master = packet.flow.original;
        const bool begun_before = !seen.to_tag.empty() && (seen.message.is_request() ||
                                                           seen.message.method() != Method::invite);
        call.state = begun_before ? Call::State::established : Call::State::ringing;
        if (begun_before) {
            call.dialogs.emplace_back().tag = seen.to_tag;
        } else {
            call.invite_cseq = seen.message.cseq().number;
            call.invite_branch = seen.branch;
        }
        if (call.from_outside) {
            call.deadline = now + kTransactionTime;
        } else {
            call.wait_for_silence(patience(), now);
        }
        return call;
    }

    Mapped map(const Call& call, std::span<const OwnStream> own,
               std::pmr::memory_resource* scratch) {
        if (count_components(own) > kMostComponents) return Mapped::no_port;
        const MediaTable::Anchor anchor{call.master, call.inside_sends, call.inside};
        auto mapped = Mapped::done;
        const auto ask_for = [&](std::span<const MediaKey> keys, ExpectClass media) {
            if (mapped == Mapped::done && !keys.empty()) mapped = media_.map(keys, media, anchor);
        };
        // What one held stream keeps may be what makes another keep its own.
        std::pmr::vector<const OwnStream*> left(scratch);
        for (const auto& stream : own)
            left.push_back(&stream);
        for (auto before = left.size() + 1; left.size() < before;) {
            before = left.size();
            for (const auto* stream : std::exchange(left, {})) {
                if (keeps_ports(*stream)) {
                    ask_for(stream->components, stream->media);
                } else {
                    left.push_back(stream);
                }
            }
        }
        for (const auto& stream : own) {
            for (const auto& key : stream.candidates)
                ask_for(std::span(&key, 1), stream.media);
        }
        if (mapped != Mapped::done) drop_unused(own);
        return mapped;
    }

    [[nodiscard]] bool keeps_ports(const OwnStream& stream) const {
        return !stream.held ||
               (!stream.components.empty() && media_.find(stream.components.front()) != nullptr);
    }

    [[nodiscard]] bool are_held(std::span<const OwnStream> streams) const {
        return std::ranges::all_of(streams, [this](const OwnStream& stream) {
            const auto* mapping =
                stream.components.empty() ? nullptr : media_.find(stream.components.front());
            return mapping == nullptr || !mapping->uses.empty();
        });
    }

    void drop_unused(std::span<const OwnStream> streams) {
        for (const auto& stream : streams) {
            for (const auto* keys : {&stream.components, &stream.candidates}) {
                for (const auto& key : *keys)
                    media_.drop_unused(key);
            }
        }
    }

    void claim(const Party& owner, Bodies bodies, std::string_view text, Time now,
               std::pmr::memory_resource* scratch) {
        for (const auto& [endpoint, transport] : read_claims(bodies, text, owner, media_, scratch))
            media_.claim(owner.real.address, endpoint, transport, now);
    }

    [[nodiscard]] std::vector<MediaFlows> media_flows(const Call& call) const {
        std::vector<MediaFlows> flows;
        for (const auto& hole : call.holes) {
            if (hole.remote) continue;  // every mapping in use has an inbound hole
            const auto* mapping = media_.find(hole.mapping);
            if (mapping->media == ExpectClass::signalling) continue;
            const auto& [outside, transport, inside] = hole.mapping;
            flows.push_back({transport, inside, mapping->outside});
        }
        return flows;
    }

    void save(const Call& call, SavedState& state) const {
        state.calls.push_back(call);
        save(call.holes, state);
    }

    void save(const Lease& lease, SavedState& state) const {
        state.leases.push_back(lease);
        save(lease.holes, state);
    }

    void save(const std::vector<HoleKey>& holes, SavedState& state) const {
        for (const auto& hole : holes) {
            if (hole.remote) continue;  // every mapping in use has an inbound hole
            state.mappings.push_back({hole.mapping, *media_.find(hole.mapping)});
        }
    }

    void note_changed(CallId id) {
        auto& call = book_.at(id);
        call.saved_deadline = call.deadline;
        changed_.push_back(id);
    }

    // --- holes --------------------------------------------------------------------------------

    void open_wanted(Call& call, Change& change) {
        const auto wanted = call.wanted();
        change.releases = !std::ranges::includes(wanted, call.holes);
        for (const auto& key : wanted) {
            if (std::ranges::binary_search(call.holes, key)) continue;
            if (media_.find(key.mapping) == nullptr) continue;  // held, and never had one
            if (media_.acquire(key)) {
                decision_.open.push_back(media_.hole(key));
            } else if (!key.remote && media_.find(key.mapping)->from) {
                call.sources_due = true;  // of another call's remote party so far
            }
            change.acquired.push_back(key);
        }
        if (!change.acquired.empty()) {
            call.holes.insert(call.holes.end(), change.acquired.begin(), change.acquired.end());
            std::ranges::sort(call.holes);
        }
    }

    /// Every one of the call's media components.
    template <class Visit>
    void for_each_component(const Call& call, Visit visit) const {
        for (const auto& key : call.holes) {
            if (key.remote || key.from) continue;
            const auto* mapping = media_.find(key.mapping);
            if (mapping->media != ExpectClass::signalling) visit(key.mapping, *mapping);
        }
    }

    /// Who may send to it: one address, unless another call has the same component.
    [[nodiscard]] std::optional<IpAddress> wanted_source(const Call& call, const MediaKey& key,
                                                         const Mapping& mapping) const {
        if (settings_.media_source == MediaSource::any) return std::nullopt;
        const bool is_shared = std::ranges::any_of(
            mapping.uses, [](const Mapping::Use& use) { return !use.remote && use.users > 1; });
        return is_shared ? std::nullopt : call.source_of(key);
    }

    [[nodiscard]] bool has_other_sources(const Call& call) const {
        bool any = false;
        for_each_component(call, [&](const MediaKey& key, const Mapping& mapping) {
            any = any || mapping.from != wanted_source(call, key, mapping);
        });
        return any;
    }

    /// Appends what has to change, and returns that. The old expectation holds until the kernel has the
    /// new one; flows that are there need neither.
    std::span<const Admission> look_at_sources(Call& call, Time now,
                                               std::vector<Admission>& admitted) {
        call.sources_due = false;
        const auto before = admitted.size();
        for_each_component(call, [&](const MediaKey& key, const Mapping& mapping) {
            auto admission = media_.admit(key, wanted_source(call, key, mapping));
            if (admission) admitted.push_back(*std::move(admission));
        });
        const auto fresh = std::span<const Admission>(admitted).subspan(before);
        const bool is_narrowed = std::ranges::any_of(
            fresh, [](const Admission& one) { return one.after.from.has_value(); });
        if (is_narrowed && settings_.media_source == MediaSource::latch) {
            call.latch_until = now + kLatch;
        }
        return fresh;
    }

    /// Who sent before the answer has a flow by now, to which no expectation matters any more.
    void evict_others(std::span<const Admission> admitted, std::vector<Hole>& evicted) const {
        if (settings_.media_source != MediaSource::strict) return;
        for (const auto& [before, after] : admitted) {
            if (after.from) evicted.push_back(after);
        }
    }

    void ask_who_sends(CallId id, Call& call, std::vector<LatchQuestion>& questions) {
        call.latch_until.reset();
        call.for_each_agreed([&](const std::vector<MediaKey>& own, const Endpoint& there) {
            const HoleKey outbound{own.front(), there};
            const auto* mapping = media_.find(own.front());
            if (mapping == nullptr || !mapping->from || *mapping->from != there.address) return;
            questions.push_back({static_cast<std::uint64_t>(id), media_.hole(outbound)});
        });
    }

    void release(Call& call, Time now, std::vector<Hole>& closed) {
        const auto wanted = call.wanted();
        const auto released = std::erase_if(call.holes, [&](const HoleKey& key) {
            if (std::ranges::binary_search(wanted, key)) return false;
            const auto hole = media_.hole(key);
            if (media_.release(key, now)) closed.push_back(hole);
            return true;
        });
        if (released > 0) call.counted.reset();  // it was of those, too
    }

    void release_unwanted(Time now) {
        for (const auto& change : changes_.all()) {
            if (change.releases) release(book_.at(change.id), now, decision_.close);
        }
        changes_.clear();
        counters_.holes_closed += decision_.close.size();
    }

    void undo() {
        ports_.undo();
        for (auto& change : std::views::reverse(changes_.all())) {
            for (const auto& key : change.acquired)
                media_.undo(key);
            if (change.began) {
                book_.erase(change.id);
            } else {
                std::swap(book_.at(change.id), change.before);
                book_.schedule(change.id);
            }
        }
        changes_.clear();
    }

    /// False when there is nothing more to ask: decision_ is final.
    bool learn(const Packet& packet, const KernelAnswer& answer, bool asked_for_signalling,
               Time now) {
        const bool exhausted = ++attempts_ >= kMostAttempts;
        if (answer.kind == KernelAnswer::Kind::entry_exists) {
            decision_ = {};
            decision_.verdict = Verdict::drop;
            decision_.reason = Reason::entry_exists;
            return false;
        }
        if (answer.kind == KernelAnswer::Kind::not_neighbours) {
            apart_.push_back(answer.endpoint.address);
        } else if (asked_for_signalling && !ports_.leaves_all() &&
                   (exhausted || is_about_ports(answer))) {
            ports_.leave_all(answer.text);
        } else if (answer.kind == KernelAnswer::Kind::port_taken && !exhausted) {
            for (const auto transport : {Transport::udp, Transport::tcp}) {
                media_.block(answer.endpoint, transport, now);
            }
        } else if (answer.kind == KernelAnswer::Kind::no_route && !exhausted) {
            unroutable_.push_back(answer.endpoint.address);
        } else if (answer.kind == KernelAnswer::Kind::flow_exists && !exhausted) {
            const auto view = view_of(packet);
            // Only of UDP there is a hole out that can clash with it.
            const Party inside{answer.inside, answer.endpoint, true};
            ports_.known().note_flow({inside, view.receiver.real.address, Transport::udp}, now);
            ports_.leave(answer.inside, Transport::udp);
        } else {
            refused_ = {Reason::media_refused,
                        answer.text.empty() ? "too many attempts" : answer.text};
        }
        return true;
    }

    /// It may be about the further ports, and the message's media can do without them.
    [[nodiscard]] bool is_about_ports(const KernelAnswer& answer) const {
        switch (answer.kind) {
            case KernelAnswer::Kind::refused:
                return true;
            case KernelAnswer::Kind::no_route:
                return std::ranges::count(unroutable_, answer.endpoint.address) > 0;
            case KernelAnswer::Kind::port_taken:
                // One that is in use stays where it is.
                return std::ranges::any_of(decision_.open, [&](const Hole& hole) {
                    if (hole.outside != answer.endpoint) return false;
                    const auto key = media_.find_outside(hole.outside, hole.transport);
                    return key && !media_.find(*key)->uses.empty();
                });
            default:
                return false;
        }
    }

    /// A message that gets no media opens none, also not what its call has come to want otherwise: the
    /// next one asks for that again. Its Contact is needed all the same, or not even the BYE would arrive.
    void open_no_media(bool nor_signalling) {
        if (decision_.open.empty()) return;
        const auto goes = [&](ExpectClass media) {
            return nor_signalling || media != ExpectClass::signalling;
        };
        std::erase_if(decision_.open, [&](const Hole& hole) { return goes(hole.media); });
        for (auto& change : changes_.all()) {
            auto& holes = book_.at(change.id).holes;
            std::erase_if(change.acquired, [&](const HoleKey& key) {
                if (!goes(media_.find(key.mapping)->media)) return false;
                media_.undo(key);
                std::erase(holes, key);
                return true;
            });
        }
    }

    // --- refusals -----------------------------------------------------------------------------

    std::optional<Refusal> refused_before(const Perspective& perspective) {
        if (refused_) refusals_.put(perspective) = *refused_;
        const auto* known = refusals_.find(perspective);
        return known == nullptr ? std::nullopt : std::optional(*known);
    }

    void refuse(const Perspective& perspective, Reason reason, std::string text,
                std::optional<Refusal>& refusal) {
        refusal = refusals_.put(perspective) = {reason, std::move(text)};
    }

    /// Nothing is opened for a message that is not to be edited, or that is not clear.
    [[nodiscard]] bool closes_all(const std::optional<Refusal>& refusal) const {
        if (!refusal || refusal->reason == Reason::malformed_sdp) return false;
        return refusal->reason == Reason::second_opinion ||
               settings_.on_no_media != OnNoMedia::headers;
    }

    void apply(const Refusal& refusal) {
        decision_.reason = refusal.reason;
        decision_.detail = refusal.text;
        const bool is_unclear =
            refusal.reason == Reason::malformed_sdp || refusal.reason == Reason::second_opinion;
        if (is_unclear) return;
        if (settings_.on_no_media == OnNoMedia::unchanged) decision_.edits.clear();
        if (settings_.on_no_media == OnNoMedia::drop) decision_.verdict = Verdict::drop;
    }

    Opinion ask_other_parser(const sip::Message& message, Bodies bodies) {
        auto opinion = second_opinion(message, bodies);
        if (opinion.message_refused) ++counters_.stricter_message;
        if (opinion.sdp_refused) ++counters_.stricter_sdp;
        if (opinion.difference && opinion.difference->size() > kLongestDetail)
            opinion.difference->resize(kLongestDetail);
        return opinion;
    }

    /// Two parsers read different values: nothing is opened. What both read alike is still edited if
    /// it is all of the headers, since without that not even the BYE would arrive.
    void disagree(const Packet& packet, std::string difference, bool only_in_sdp, Time now) {
        undo();
        if (only_in_sdp) {
            refused_ = {Reason::second_opinion, std::move(difference)};
            decide(packet, now);
            return;
        }
        const auto timeout = decision_.flow_timeout;
        decision_ = {};
        decision_.flow_timeout = timeout;
        decision_.reason = Reason::second_opinion;
        decision_.detail = std::move(difference);
    }

    // --- the rest -----------------------------------------------------------------------------

    Decision finish() {
        if (decision_.needs_kernel()) return decision_;
        return count(std::exchange(decision_, {}));
    }

    Decision count(Decision decision) {
        ++counters_.packets.at(static_cast<std::size_t>(decision.reason));
        if (decision.beyond_body > 0) ++counters_.short_lengths;
        if (decision.breaks_digest) ++counters_.broken_digests;
        if (decision.breaks_msrp) ++counters_.unreachable_msrp;
        if (decision.other_family) ++counters_.other_family;
        return decision;
    }

    std::vector<CallId> changed_;
    FurtherPorts ports_;
    Spellings spellings_;
    TransactionTable<Refusal> refusals_;
    GatewayFlows gateway_flows_;

    // What one message says of its streams, kept for the memory in them.
    std::vector<OwnStream> own_;
    std::vector<RemoteStream> peer_;
    std::vector<LocalStream> local_;

    // Between handle() and the last settle() of one packet.
    Decision decision_;
    Changes changes_;
    bool over_limit_ = false;  ///< the message begins a call that is not followed
    std::vector<IpAddress> unroutable_;
    std::vector<IpAddress> apart_;  ///< inside hosts that are no neighbours of the receiver
    std::optional<Refusal> refused_;
    int attempts_ = 0;
};

Engine::Engine(const Settings& settings)
    : implementation_(std::make_unique<Implementation>(settings)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

Decision Engine::handle(const Packet& packet, Time now) {
    return implementation_->handle(packet, now);
}
Decision Engine::settle(const Packet& packet, const KernelAnswer& answer, Time now) {
    return implementation_->settle(packet, answer, now);
}
void Engine::not_admitted(const std::vector<Admission>& refused) {
    for (const auto& [before, after] : refused) {
        auto& media = implementation_->media_;
        if (const auto key = media.find_outside(before.outside, before.transport)) {
            (void)media.admit(*key, before.from);
        }
    }
}
std::vector<Admission> Engine::settle_latch(const std::vector<LatchAnswer>& answers, Time now) {
    return implementation_->settle_latch(answers, now);
}
Due Engine::tick(Time now) {
    return implementation_->tick(now);
}
std::vector<Hole> Engine::settle_idle(const std::vector<IdleAnswer>& answers, Time now) {
    return implementation_->settle_idle(answers, now);
}
std::optional<Time> Engine::next_due() const {
    return implementation_->next_due();
}
void Engine::note_ended(std::span<const FlowTuples> flows) {
    std::unordered_set<Tuple> ended;
    for (const auto& flow : flows) {
        ended.insert(flow.original);
        if (flow.original.transport == Transport::tcp) implementation_->known().note_ended(flow);
    }
    implementation_->media_.note_ended(ended);
}
void Engine::doubt_connections() {
    implementation_->media_.doubt_connections();
}
void Engine::set_settings(const Settings& settings) {
    implementation_->set_settings(settings);
}
void Engine::exclude_ports(const std::vector<PortRange>& ranges) {
    implementation_->media_.exclude(ranges);
}
void Engine::set_foreign_endpoints(OutsideEndpoints endpoints) {
    implementation_->media_.set_foreign(std::move(endpoints));
}
const Counters& Engine::counters() const {
    return implementation_->counters_;
}
std::size_t Engine::calls() const {
    return implementation_->book_.active();
}
const MediaTable& Engine::media() const {
    return implementation_->media_;
}
void Engine::for_each_call(const std::function<void(const Call&)>& visit) const {
    implementation_->book_.for_each([&](const Call& call) {
        if (call.state != Call::State::ended) visit(call);
    });
}
std::vector<Binding> Engine::bindings() const {
    std::vector<Binding> all;
    for (const auto& [name, binding] : implementation_->registrations_.all())
        all.push_back(binding);
    return all;
}
std::vector<FlowTuples> Engine::needed(std::span<const FlowTuples> flows) const {
    if (flows.empty()) return {};
    std::set<Tuple> masters;
    for (const auto& [key, mapping] : implementation_->media_.mappings()) {
        const bool can_be_made = mapping.master.transport == Transport::udp;
        if (!mapping.uses.empty() && can_be_made) masters.insert(mapping.master);
    }
    std::vector<FlowTuples> found;
    std::ranges::copy_if(flows, std::back_inserter(found), [&](const FlowTuples& flow) {
        return masters.contains(flow.original) || implementation_->registrations_.hang_on(flow);
    });
    return found;
}
SavedState Engine::save() const {
    return implementation_->save();
}
bool Engine::has_changes() const {
    return implementation_->has_changes();
}
SavedState Engine::take_changes() {
    return implementation_->take_changes();
}
void Engine::restore(const SavedState& state) {
    implementation_->restore(state);
}

}  // namespace sipnat
