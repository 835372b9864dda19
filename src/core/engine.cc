#include "sipnat/core/engine.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <memory_resource>
#include <ranges>
#include <span>
#include <utility>

#include "core/bounded_table.h"
#include "core/call_book.h"
#include "core/gateway_flows.h"
#include "core/header_rewriter.h"
#include "core/known_endpoints.h"
#include "core/lease_book.h"
#include "core/lease_time.h"
#include "core/media_plan.h"
#include "core/second_opinion.h"
#include "core/spelling.h"
#include "core/text_key.h"
#include "sipnat/base/ascii.h"
#include "sipnat/sip/tag.h"
#include "sipnat/sip/uri.h"

namespace sipnat {

namespace {

using sip::HeaderKind;
using sip::Method;

/// Ports and routes that the kernel turned down for one message before it gets no media.
constexpr int kMostAttempts = 32;
constexpr std::size_t kMostRefusals = 4096;

/// What peers name calls by is remembered: it must not be theirs to choose how much.
constexpr std::size_t kLongestName = 512;
constexpr std::size_t kLongestDetail = 200;
/// Bytes for the indexes of one message. Those that need more (128 headers, 20 candidates) get it from the heap.
constexpr std::size_t kScratch = 16384;
/// By so much the state file may have the end of a call too early.
constexpr std::chrono::minutes kStaleDeadline{1};
/// Of a registration whose REGISTER and 2xx both say nothing: what most registrars grant.
constexpr std::chrono::hours kUnsaidExpiry{1};

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

/// A wrong Content-Length is reported, and not repaired: what is behind it is nobody's. Line ends are
/// a keepalive's, or an old habit.
std::size_t beyond_body(const sip::Message& message) {
    const auto rest = message.text().substr(message.body().end());
    return rest.find_first_not_of("\r\n") == std::string_view::npos ? 0 : rest.size();
}

/// Its sender's digest covers the body (RFC 7616 3.4.3): an edit makes it wrong.
bool covers_body_by_digest(const sip::Message& message) {
    return std::ranges::any_of(message.headers(), [&](const sip::Header& header) {
        const auto name = header.name.in(message.text());
        return (equal_ignoring_case(name, "Authorization") ||
                equal_ignoring_case(name, "Proxy-Authorization")) &&
               header.value.in(message.text()).find("auth-int") != std::string_view::npos;
    });
}

/// An MSRP peer connects to the a=path, which names the inside address and stays (RFC 4975 7.3),
/// unless it is told to look at c= and m= (RFC 6714).
bool has_unreachable_msrp(Bodies bodies) {
    return std::ranges::any_of(bodies, [](const sdp::Session& session) {
        return std::ranges::any_of(session.media, [](const sdp::Media& media) {
            return media.has_path && !media.msrp_cema && number(media.port) != 0;
        });
    });
}

/// A message that could not have its media keeps that fate in every retransmission.
struct Transaction {
    IpAddress inside;
    IpAddress remote;
    TransactionId id;  // each side counts its own CSeq numbers
    bool is_request = false;
    bool operator==(const Transaction&) const = default;
};
struct TransactionHash {
    std::size_t operator()(const Transaction& transaction) const noexcept {
        return hash_mix(std::hash<IpAddress>{}(transaction.inside),
                        transaction.id.cseq * 2 + (transaction.is_request ? 1 : 0));
    }
};
using RefusalKey = TextKey<Transaction, TransactionHash>;  // with the Call-ID
struct Refusal {
    Reason reason = Reason::media_refused;
    std::string text;
};
/// The same for further ports that could not be had.
struct LeftPorts {
    Refusal why;
    std::vector<Port> ports;
};

/// The message from the view of one inside party.
struct Perspective {
    const Party& inside;
    const Party& peer;
    CallMessage seen;
};

/// What one message did to one call, until the kernel has agreed.
struct Change {
    CallId id{};
    bool began = false;  ///< the message began the call
    Call before;         ///< if it did not
    std::vector<HoleKey> acquired;
    bool releases = false;  ///< it has holes that it does not want any more
};

/// At most two: of the sender's call and of the receiver's. They are kept for the memory in them.
class Changes {
  public:
    /// The next one, to be filled in; it counts when it is added.
    [[nodiscard]] Change& next() { return changes_.at(count_); }
    void add() { ++count_; }
    void clear() { count_ = 0; }
    [[nodiscard]] std::span<Change> all() { return std::span(changes_).first(count_); }

  private:
    std::array<Change, 2> changes_;
    std::size_t count_ = 0;
};

/// The same for one lease.
struct LeaseChange {
    LeaseName name;
    std::optional<Lease> before;
    std::vector<HoleKey> acquired;
};

/// Ways to ports of the sender's at which its packet's receiver is to reach it.
struct Reach {
    std::vector<HoleKey> holes;  ///< sorted
    bool is_new = false;         ///< a port has an outside one that it had not
};

/// Nothing happened but that it goes on: not each such message is worth a line in the state file.
bool is_same_on_file(const Call& before, Call& after) {
    if (after.deadline - after.saved_deadline > kStaleDeadline) return false;
    const auto deadline = std::exchange(after.deadline, before.deadline);
    const bool same = after == before;
    after.deadline = deadline;
    return same;
}

std::vector<HoleKey> difference(const std::vector<HoleKey>& from,
                                const std::vector<HoleKey>& what) {
    std::vector<HoleKey> rest;
    std::ranges::set_difference(from, what, std::back_inserter(rest));
    return rest;
}

}  // namespace

class Engine::Implementation {
  public:
    explicit Implementation(const Settings& settings)
        : settings_(settings), media_(settings), known_(media_) {}

    Decision handle(const Packet& packet, Time now) {
        attempts_ = 0;
        unroutable_.clear();
        kernel_refusal_.reset();
        unreached_.reset();
        leaves_ports_ = false;
        left_ports_.clear();
        decide(packet, now);
        return finish();
    }

    Decision settle(const Packet& packet, const KernelAnswer& answer, Time now) {
        if (answer.kind == KernelAnswer::Kind::done) {
            counters_.holes_opened += decision_.open.size();
            lease_changes_.clear();
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
            if (call.needs_counters(now)) {
                due.idle.push_back({static_cast<std::uint64_t>(*id), media_flows(call)});
                call.deadline = now + kIdleTime;  // if nobody answers
            }
            call.expire(now);
            release(call, now, due.close);
            book_.schedule(*id);
            note_changed(*id);
        }
        while (const auto lease = leases_.pop_due(now)) {
            for (const auto& key : lease->holes) {
                const auto hole = media_.hole(key);
                if (media_.release(key, now)) due.close.push_back(hole);
            }
            changed_leases_.insert(lease->name);
        }
        media_.collect_due(now, due);
        counters_.holes_closed += due.close.size();
        return due;
    }

    std::vector<Hole> settle_idle(const std::vector<IdleAnswer>& answers, Time now) {
        std::vector<Hole> closed;
        for (const auto& answer : answers) {
            const auto id = static_cast<CallId>(answer.call);
            if (book_.find(id) == nullptr) continue;
            auto& call = book_.at(id);
            call.learn_counted(answer.packets, now);
            release(call, now, closed);
            book_.schedule(id);
            note_changed(id);
        }
        counters_.holes_closed += closed.size();
        return closed;
    }

    [[nodiscard]] std::optional<Time> next_due() const {
        std::optional<Time> next;
        for (const auto& due : {book_.next_due(), leases_.next_due(), media_.next_due()}) {
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
        for (const auto& [name, lease] : leases_.all())
            save(lease, state);
        return state;
    }

    [[nodiscard]] bool has_changes() const { return !changed_.empty() || !changed_leases_.empty(); }

    SavedState take_changes() {
        SavedState state;
        std::ranges::sort(changed_);
        const auto repeated = std::ranges::unique(changed_);
        changed_.erase(repeated.begin(), repeated.end());
        for (const auto id : changed_) {
            if (const auto* call = book_.find(id)) save(*call, state);
        }
        changed_.clear();
        for (const auto& name : changed_leases_) {
            const auto* lease = leases_.find(name);
            save(lease != nullptr ? *lease : Lease{name, {}, {}, {}}, state);
        }
        changed_leases_.clear();
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
            book_.schedule(*id);
            if (!holes.empty()) gateway_flows_.note_media(book_.at(*id).master);
        }
        for (auto lease : state.leases) {
            std::erase_if(lease.holes, [this](const HoleKey& key) {
                return media_.find(key.mapping) == nullptr;
            });
            const auto holes = lease.holes;
            if (holes.empty() || !leases_.put(std::move(lease), settings_)) continue;
            for (const auto& key : holes)
                (void)media_.acquire(key);
        }
        for (const auto& saved : state.mappings)
            media_.drop_unused(saved.key);
    }

    Settings settings_;
    MediaTable media_;
    CallBook book_;
    Counters counters_;

  private:
    // --- deciding -----------------------------------------------------------------------------

    void decide(const Packet& packet, Time now) {
        decision_ = {};
        changes_.clear();
        lease_changes_.clear();
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
            known_.note_flow(view.sender, view.receiver.real.address, view.transport, now);
        }
        auto further = rewrite(message, names, view, now, scratch);
        if (!forwarded) further.clear();

        std::optional<Refusal> refusal;
        const auto bodies = read_bodies(message, refusal, scratch);
        std::span<const OwnStream> own;
        bool reached = false;
        const auto look = [&](const Party& inside, const Party& peer, bool outgoing) {
            const Perspective perspective{
                inside, peer, {message, outgoing, names.from_tag, names.to_tag, names.branch}};
            if (!bodies.empty() && !refusal) refusal = refused_before(perspective);
            Reach reach;
            if (outgoing) {
                if (!bodies.empty()) {
                    read_own_streams(bodies, message.text(), owner(inside), media_, own_);
                    own = own_;
                }
                recall_left(perspective, further);
                if (!refusal) reach = map_further(packet, perspective, further, now);
            }
            if (forwarded && !refusal) add_own_ways(packet, perspective, reach.holes);
            const bool followed =
                follow(packet, perspective, bodies, own, reach, refusal, now, scratch);
            // An answer is the asker's doing, who may be anybody: it makes no lease.
            if (outgoing && message.is_request() && !followed && !refusal) {
                lend(perspective, reach, further, now, scratch);
            }
            if (outgoing) {
                reached = followed ? !reach.holes.empty() : !lease_changes_.empty();
                remember_left(perspective);
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
        note_registration(message, view, now, scratch);
        gateway_flows_.note_message(packet, message, names.branch);
        decision_.flow_timeout = gateway_flows_.timeout(packet);

        if (refusal) open_nothing();
        if (!decision_.open.empty() && !both_parsers_agree(message, bodies)) return;
        if (!decision_.open.empty() && packet.standing != FlowStanding::helped) {
            decision_.entry = {packet.flow, packet.standing == FlowStanding::unhelped};
        }
        if (!bodies.empty() && !refusal) rewrite_bodies(message, view, bodies, own);
        decision_.beyond_body = beyond_body(message);
        std::ranges::sort(decision_.edits, {}, [](const Edit& edit) { return edit.span.offset; });
        decision_.reason = decision_.edits.empty() ? Reason::unchanged : Reason::rewritten;
        if (refusal) {
            apply(*refusal);
        } else if (unreached_ && bodies.empty() && !reached) {
            decision_.reason = unreached_->reason;
            decision_.detail = unreached_->text;
        }
        if (decision_.open.empty()) release_unwanted(now);
    }

    std::vector<FurtherPort> rewrite(const sip::Message& message, const Names& names,
                                     const NatView& view, Time now,
                                     std::pmr::memory_resource* scratch) {
        return rewrite_headers(message, names.via, view, {spellings_, known_}, decision_.edits,
                               settings_.rewrite_request_uri, now, scratch);
    }

    MediaOwner owner(const Party& inside) const { return {inside, settings_.media_hosts}; }

    /// All of them, or none and why.
    static std::pmr::vector<sdp::Session> read_bodies(const sip::Message& message,
                                                      std::optional<Refusal>& refusal,
                                                      std::pmr::memory_resource* scratch) {
        std::pmr::vector<sdp::Session> bodies(scratch);
        const auto parts = sip::sdp_parts(message, scratch);
        const auto encoding = message.value(HeaderKind::content_encoding);
        if (!parts.empty() && !encoding.empty() && !equal_ignoring_case(encoding, "identity")) {
            refusal = Refusal{Reason::malformed_sdp,
                              "encoded: " + std::string(encoding.substr(0, kLongestDetail))};
            return {};
        }
        for (const auto& part : parts) {
            auto parsed = sdp::parse(message.text(), part, scratch);
            if (!parsed) {
                refusal = Refusal{Reason::malformed_sdp, parsed.error().text()};
                return {};
            }
            bodies.push_back(*std::move(parsed));
        }
        return bodies;
    }

    void rewrite_bodies(const sip::Message& message, const NatView& view, Bodies bodies,
                        std::span<const OwnStream> own) {
        const auto headers = decision_.edits.size();
        if (view.sender.translated()) {
            rewrite_sdp(bodies, message.text(), owner(view.sender), own, media_, decision_.edits);
        }
        if (view.receiver.translated()) {
            rewrite_remote_candidates(bodies, message.text(), view.receiver, media_,
                                      decision_.edits);
        }
        if (decision_.edits.size() == headers) return;
        set_content_length(message);
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
        const auto same = [&id](const Change& other) { return other.id == id; };
        if (id && std::ranges::any_of(changes_.all(), same)) return true;
        Change& change = changes_.next();
        change.began = !id;
        change.acquired.clear();
        if (id) {
            change.before = book_.at(*id);
        } else {
            if (!begins_call(seen, !bodies.empty())) return false;
            id = book_.add(new_call(packet, perspective, now), settings_);
            if (!id) {
                if (seen.outgoing && !bodies.empty())
                    refuse(perspective, Reason::call_limit, "", refusal);
                return false;
            }
        }
        change.id = *id;
        auto& call = book_.at(*id);
        hang_on(call, packet, seen);

        // What a failure carries is capabilities at most (RFC 3261 21.4.26).
        const bool describes =
            !bodies.empty() && negotiates(seen.message.method()) && seen.message.status() < 300;
        if (describes && seen.outgoing && !refusal) {
            call.follow(seen, own, std::nullopt, now);
            const auto mapped =
                call.state == Call::State::ended ? Mapped::done : map(call, own, scratch);
            if (mapped != Mapped::done) {
                call = change.began ? new_call(packet, perspective, now) : change.before;
                hang_on(call, packet, seen);
                refuse(perspective, reason_of(mapped), "", refusal);
                call.follow(seen, std::nullopt, std::nullopt, now);
            } else {
                claim(perspective.inside, bodies, seen.message.text(), now, scratch);
            }
        } else if (describes && !seen.outgoing && !refusal) {
            read_remote_streams(bodies, seen.message.text(), perspective.peer, perspective.inside,
                                peer_);
            call.follow(seen, std::nullopt, peer_, now);
        } else {
            call.follow(seen, std::nullopt, std::nullopt, now);
        }
        for (const auto& remote : unroutable_)
            call.avoid(remote);
        if (!refusal && call.state != Call::State::ended) call.add_signalling(reach.holes);
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
        book_.schedule(*id);
        if (change.began || !is_same_on_file(change.before, call)) note_changed(*id);
        changes_.add();
        return true;
    }

    static void hang_on(Call& call, const Packet& packet, const CallMessage& seen) {
        call.master = packet.flow.original;
        call.inside_sends = seen.outgoing ? packet.direction : opposite(packet.direction);
    }

    /// An INVITE does; so does what can only be part of a call that began before this process.
    static bool begins_call(const CallMessage& seen, bool has_session) {
        const bool is_invite = seen.message.method() == Method::invite;
        if (seen.message.is_request() && is_invite && seen.to_tag.empty()) return true;
        // From outside anybody can send such a thing.
        const bool in_dialog = !seen.to_tag.empty() && seen.message.status() < 300;
        return seen.outgoing && has_session && in_dialog && negotiates(seen.message.method());
    }

    static Call new_call(const Packet& packet, const Perspective& perspective, Time now) {
        const auto& seen = perspective.seen;
        Call call;
        call.inside = perspective.inside.real.address;
        call.remote = perspective.peer.real.address;
        call.call_id = seen.message.value(HeaderKind::call_id);
        call.inside_initiated = seen.by_inside();
        call.charged_to_inside = seen.outgoing;
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
        if (seen.outgoing) {
            call.wait_for_silence(now);
        } else {
            call.deadline = now + kTransactionTime;
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
            for (const auto& key : stream.further)
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
            for (const auto* keys : {&stream.components, &stream.further}) {
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

    static Reason reason_of(Mapped mapped) {
        return mapped == Mapped::no_quota ? Reason::media_limit : Reason::no_media_port;
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

    // --- signalling on further ports ----------------------------------------------------------

    /// What can't be had is left as sent, and so is all of it once the kernel has refused some.
    Reach map_further(const Packet& packet, const Perspective& perspective,
                      const std::vector<FurtherPort>& further, Time now) {
        const auto& inside = perspective.inside;
        const auto& peer = perspective.peer;
        const auto transport = packet.flow.original.transport;
        Reach reach;
        for (const auto& [port, in_contact] : further) {
            if (std::ranges::count(left_ports_, port) > 0) continue;
            if (leaves_ports_) {
                left_ports_.push_back(port);
                continue;
            }
            const MediaKey key{inside.shown.address, transport, {inside.real.address, port}};
            const auto* mapping = media_.find(key);
            const bool is_new = mapping == nullptr || mapping->uses.empty();
            // It has spoken from there already: that flow's outside port is this one's.
            if (is_new && known_.by_real(inside, port, peer.real.address, transport, now)) continue;
            const auto mapped =
                media_.map(std::span(&key, 1), ExpectClass::signalling,
                           {packet.flow.original, packet.direction, key.inside.address});
            if (mapped != Mapped::done) {
                leave(key.inside, reason_of(mapped));
                continue;
            }
            if (mapping != nullptr && mapping->uses.size() >= kMostSignallingHoles) continue;
            reach.is_new = reach.is_new || is_new;
            add_ways(key, peer, reach.holes);
        }
        std::ranges::sort(reach.holes);
        return reach;
    }

    void leave(const Endpoint& inside, Reason reason) {
        unreached_ = Refusal{reason, inside.text()};
        left_ports_.push_back(inside.port);
    }

    void recall_left(const Perspective& perspective, const std::vector<FurtherPort>& further) {
        if (further.empty() || attempts_ > 0) return;
        const auto* left = left_.find(refusal_key(perspective));
        if (left == nullptr) return;
        unreached_ = left->why;
        left_ports_ = left->ports;
    }

    void remember_left(const Perspective& perspective) {
        if (unreached_) left_.put(refusal_key(perspective)) = {*unreached_, left_ports_};
    }

    /// A call on the flow of such a port needs it, whatever becomes of the registration.
    void add_own_ways(const Packet& packet, const Perspective& perspective,
                      std::vector<HoleKey>& holes) const {
        const auto& inside = perspective.inside;
        const MediaKey key{inside.shown.address, packet.flow.original.transport, inside.real};
        const auto* mapping = media_.find(key);
        if (mapping == nullptr || mapping->media != ExpectClass::signalling) return;
        for (const auto& use : mapping->uses)
            holes.push_back({key, use.remote, use.from});
        std::ranges::sort(holes);
        const auto repeated = std::ranges::unique(holes);
        holes.erase(repeated.begin(), repeated.end());
    }

    /// In for whom the settings name, out for the peer.
    void add_ways(const MediaKey& key, const Party& peer, std::vector<HoleKey>& holes) const {
        switch (settings_.signalling_source) {
            case SignallingSource::registrar:
                holes.push_back({key, std::nullopt, peer.real.address});
                break;
            case SignallingSource::listed:
                for (const auto& address : settings_.signalling_peers)
                    holes.push_back({key, std::nullopt, address});
                break;
            case SignallingSource::any:
                holes.push_back({key, std::nullopt});
                break;
        }
        if (!peer.translated()) holes.push_back({key, peer.real});
    }

    /// For a message that is part of no call.
    void lend(const Perspective& perspective, const Reach& reach,
              const std::vector<FurtherPort>& further, Time now,
              std::pmr::memory_resource* scratch) {
        const auto& message = perspective.seen.message;
        for (const auto& [port, in_contact] : further) {
            std::vector<HoleKey> holes;
            std::ranges::copy_if(reach.holes, std::back_inserter(holes), [&](const HoleKey& key) {
                return key.mapping.inside.port == port;
            });
            if (holes.empty()) continue;
            const LeaseName name{perspective.inside.real.address, perspective.peer.real.address,
                                 std::string(lease_subject(message, scratch)),
                                 holes.front().mapping};
            const auto* present = leases_.find(name);
            LeaseChange change{name, present ? std::optional(*present) : std::nullopt, {}};
            Lease lease = present ? *present : Lease{name, {}, {}, {}};
            change.acquired = difference(holes, lease.holes);
            lease.holes.insert(lease.holes.end(), change.acquired.begin(), change.acquired.end());
            std::ranges::sort(lease.holes);
            lease.until = std::max(lease.until, now + lease_time(message, in_contact));
            const bool is_news =
                !change.acquired.empty() || lease.until - lease.saved_until > kStaleDeadline;
            if (is_news) lease.saved_until = lease.until;
            if (!leases_.put(std::move(lease), settings_)) {
                leave(name.mapping.inside, Reason::binding_limit);
                continue;
            }
            for (const auto& key : change.acquired) {
                if (media_.acquire(key)) decision_.open.push_back(media_.hole(key));
            }
            if (is_news) changed_leases_.insert(name);
            lease_changes_.push_back(std::move(change));
        }
    }

    /// A REGISTER asks how long its Contacts are to be called, and its 2xx says.
    void note_registration(const sip::Message& message, const NatView& view, Time now,
                           std::pmr::memory_resource* scratch) {
        if (message.method() != Method::reg || message.status() >= 300) return;
        const bool is_request = message.is_request();
        if (!is_request && message.status() < 200) return;
        const auto& inside = is_request ? view.sender : view.receiver;
        const auto& remote = is_request ? view.receiver : view.sender;
        if (!inside.translated()) return;
        for (auto& lease : leases_.of(inside.real.address, remote.real.address,
                                      lease_subject(message, scratch))) {
            const auto& mapping = lease.name.mapping;
            if (is_request) {
                lease.asked =
                    expiry_of(message, mapping.inside, kUnsaidExpiry).value_or(lease.asked);
            } else {
                const auto& contact = media_.find(mapping)->outside;
                const auto granted = expiry_of(message, contact, lease.asked).value_or(lease.asked);
                lease.until = now + granted + kTransactionTime;
                lease.saved_until = lease.until;
                changed_leases_.insert(lease.name);
            }
            (void)leases_.put(std::move(lease), settings_);
        }
    }

    // --- holes --------------------------------------------------------------------------------

    void open_wanted(Call& call, Change& change) {
        auto wanted = call.wanted();
        std::erase_if(wanted, [this](const HoleKey& key) {
            return media_.find(key.mapping) == nullptr;  // held, and never had one
        });
        for (const auto& key : wanted) {
            if (std::ranges::binary_search(call.holes, key)) continue;
            if (media_.acquire(key)) decision_.open.push_back(media_.hole(key));
            change.acquired.push_back(key);
        }
        if (!change.acquired.empty()) {
            call.holes.insert(call.holes.end(), change.acquired.begin(), change.acquired.end());
            std::ranges::sort(call.holes);
        }
        change.releases = call.holes.size() > wanted.size();
    }

    void release(Call& call, Time now, std::vector<Hole>& closed) {
        const auto wanted = call.wanted();
        std::erase_if(call.holes, [&](const HoleKey& key) {
            if (std::ranges::binary_search(wanted, key)) return false;
            const auto hole = media_.hole(key);
            if (media_.release(key, now)) closed.push_back(hole);
            return true;
        });
    }

    void release_unwanted(Time now) {
        for (const auto& change : changes_.all()) {
            if (change.releases) release(book_.at(change.id), now, decision_.close);
        }
        changes_.clear();
        counters_.holes_closed += decision_.close.size();
    }

    void undo() {
        for (auto& change : std::views::reverse(lease_changes_)) {
            for (const auto& key : change.acquired)
                media_.undo(key);
            if (change.before) {
                (void)leases_.put(*std::move(change.before), settings_);
            } else {
                leases_.erase(change.name);
            }
        }
        lease_changes_.clear();
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
        if (asked_for_signalling && !leaves_ports_ && (exhausted || is_about_ports(answer))) {
            leaves_ports_ = true;
            unreached_ = Refusal{Reason::media_refused, answer.text};
        } else if (answer.kind == KernelAnswer::Kind::port_taken && !exhausted) {
            for (const auto transport : {Transport::udp, Transport::tcp}) {
                media_.block(answer.endpoint, transport, now);
            }
        } else if (answer.kind == KernelAnswer::Kind::no_route && !exhausted) {
            unroutable_.push_back(answer.endpoint.address);
        } else if (answer.kind == KernelAnswer::Kind::flow_exists && !exhausted) {
            const auto view = view_of(packet);
            known_.note_flow({answer.inside, answer.endpoint, true}, view.receiver.real.address,
                             view.transport, now);
            left_ports_.push_back(answer.inside.port);
        } else if (!kernel_refusal_) {
            kernel_refusal_ = answer.text.empty() ? "too many attempts" : answer.text;
        } else {
            // It asks for more without any media of its own: nothing is left to leave out.
            decision_ = {};
            decision_.reason = Reason::media_refused;
            decision_.detail = answer.text;
            return false;
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
            case KernelAnswer::Kind::port_taken: {
                // One that is in use stays where it is.
                const auto key = media_.find_outside(answer.endpoint, Transport::udp);
                return key && !media_.find(*key)->uses.empty();
            }
            default:
                return false;
        }
    }

    /// A message that gets no media opens nothing, also not what its call has come to want
    /// otherwise: the next one asks for that again.
    void open_nothing() {
        if (decision_.open.empty()) return;
        decision_.open.clear();
        for (auto& change : changes_.all()) {
            auto& holes = book_.at(change.id).holes;
            for (const auto& key : change.acquired) {
                media_.undo(key);
                std::erase(holes, key);
            }
            change.acquired.clear();
        }
    }

    // --- refusals -----------------------------------------------------------------------------

    static RefusalKey refusal_key(const Perspective& perspective) {
        const auto& message = perspective.seen.message;
        return {{perspective.inside.real.address, perspective.peer.real.address,
                 perspective.seen.transaction(), message.is_request()},
                message.value(HeaderKind::call_id)};
    }

    std::optional<Refusal> refused_before(const Perspective& perspective) {
        const auto key = refusal_key(perspective);
        if (kernel_refusal_) refusals_.put(key) = {Reason::media_refused, *kernel_refusal_};
        const auto* known = refusals_.find(key);
        return known == nullptr ? std::nullopt : std::optional(*known);
    }

    void refuse(const Perspective& perspective, Reason reason, std::string text,
                std::optional<Refusal>& refusal) {
        refusal = refusals_.put(refusal_key(perspective)) = {reason, std::move(text)};
    }

    void apply(const Refusal& refusal) {
        decision_.reason = refusal.reason;
        decision_.detail = refusal.text;
        if (refusal.reason == Reason::malformed_sdp) return;
        if (settings_.on_no_media == OnNoMedia::unchanged) decision_.edits.clear();
        if (settings_.on_no_media == OnNoMedia::drop) decision_.verdict = Verdict::drop;
    }

    bool both_parsers_agree(const sip::Message& message, Bodies bodies) {
        auto opinion = second_opinion(message, bodies);
        if (opinion.message_refused) ++counters_.stricter_message;
        if (opinion.sdp_refused) ++counters_.stricter_sdp;
        if (!opinion.difference) return true;
        undo();
        const auto timeout = decision_.flow_timeout;
        decision_ = {};
        decision_.flow_timeout = timeout;
        decision_.reason = Reason::second_opinion;
        decision_.detail = opinion.difference->substr(0, kLongestDetail);
        return false;
    }

    // --- the rest -----------------------------------------------------------------------------

    void set_content_length(const sip::Message& message) {
        std::int64_t length = message.body().length;
        for (const auto& edit : decision_.edits) {
            if (edit.span.offset < message.body().offset) continue;
            length += static_cast<std::int64_t>(edit.replacement.size()) - edit.span.length;
        }
        const auto text = std::to_string(length);
        for (const auto& header : message.headers()) {
            if (header.kind != HeaderKind::content_length) continue;
            if (length == message.body().length) continue;
            decision_.edits.push_back(
                {header.value, text, Place::content_length, Why::body_length});
        }
    }

    Decision finish() {
        if (decision_.needs_kernel()) return decision_;
        return count(std::exchange(decision_, {}));
    }

    Decision count(Decision decision) {
        ++counters_.packets.at(static_cast<std::size_t>(decision.reason));
        if (decision.beyond_body > 0) ++counters_.short_lengths;
        if (decision.breaks_digest) ++counters_.broken_digests;
        if (decision.breaks_msrp) ++counters_.unreachable_msrp;
        return decision;
    }

    std::vector<CallId> changed_;
    std::set<LeaseName> changed_leases_;
    LeaseBook leases_;
    KnownEndpoints known_;
    Spellings spellings_;
    BoundedTable<RefusalKey, Refusal, RefusalKey::Hash, RefusalKey::Stored> refusals_{
        kMostRefusals};
    BoundedTable<RefusalKey, LeftPorts, RefusalKey::Hash, RefusalKey::Stored> left_{kMostRefusals};
    GatewayFlows gateway_flows_;

    // What one message says of its streams, kept for the memory in them.
    std::vector<OwnStream> own_;
    std::vector<RemoteStream> peer_;

    // Between handle() and the last settle() of one packet.
    Decision decision_;
    Changes changes_;
    std::vector<LeaseChange> lease_changes_;
    std::vector<IpAddress> unroutable_;
    std::optional<std::string> kernel_refusal_;
    std::optional<Refusal> unreached_;  ///< why a further port stays as sent
    bool leaves_ports_ = false;         ///< all of them stay
    std::vector<Port> left_ports_;      ///< these do, or have a flow of their own
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
Due Engine::tick(Time now) {
    return implementation_->tick(now);
}
std::vector<Hole> Engine::settle_idle(const std::vector<IdleAnswer>& answers, Time now) {
    return implementation_->settle_idle(answers, now);
}
std::optional<Time> Engine::next_due() const {
    return implementation_->next_due();
}
void Engine::set_settings(const Settings& settings) {
    implementation_->set_settings(settings);
}
void Engine::exclude_ports(const std::vector<PortRange>& ranges) {
    implementation_->media_.exclude(ranges);
}
void Engine::set_foreign_endpoints(std::set<Endpoint> endpoints) {
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
