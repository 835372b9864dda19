#include "sipnat/core/call.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/lease_time.h"

namespace sipnat {

namespace {

using sip::Method;

constexpr std::size_t kUsualHoles = 4;  // of a call with one stream: two in, two out

template <class Stream>
void describe(Negotiated<Stream>& side, TransactionId transaction,
              std::span<const Stream> streams) {
    auto& pending = side.pending;
    const auto same = std::ranges::find_if(
        pending, [&](const auto& entry) { return entry.transaction == transaction; });
    if (same != pending.end()) {
        same->streams.assign(streams.begin(), streams.end());
        return;
    }
    if (pending.size() >= kMostPending) pending.erase(pending.begin());
    pending.push_back({transaction, {streams.begin(), streams.end()}});
}

template <class Stream>
void settle(Negotiated<Stream>& side, TransactionId transaction) {
    if (side.settled.size() >= kMostSettled) side.settled.erase(side.settled.begin());
    side.settled.push_back(transaction);
}

template <class Stream>
auto find_pending(Negotiated<Stream>& side, TransactionId transaction) {
    return std::ranges::find(side.pending, transaction, &Negotiated<Stream>::Pending::transaction);
}

/// Offers and answers follow each other (RFC 3264 4, RFC 6337 2): whatever was said before this is
/// over too, such as the offer of an INVITE that an UPDATE went past before its 2xx.
template <class Stream>
bool agree(Negotiated<Stream>& side, TransactionId transaction) {
    const auto found = find_pending(side, transaction);
    if (found == side.pending.end()) return false;
    side.agreed = std::move(found->streams);
    for (auto entry = side.pending.begin(); entry <= found; ++entry)
        settle(side, entry->transaction);
    side.pending.erase(side.pending.begin(), found + 1);
    return true;
}

template <class Stream>
bool agree_last(Negotiated<Stream>& side) {
    return !side.pending.empty() && agree(side, side.pending.back().transaction);
}

template <class Stream>
void abandon(Negotiated<Stream>& side, TransactionId transaction) {
    const auto found = find_pending(side, transaction);
    if (found == side.pending.end()) return;
    settle(side, transaction);
    side.pending.erase(found);
}

template <class Stream>
bool was_last(const Negotiated<Stream>& side, TransactionId transaction) {
    return !side.settled.empty() && side.settled.back() == transaction;
}

/// A stream that the own side offered and the remote one does not want is nobody's, until a later
/// offer (RFC 3264 6, 8.2).
void drop_rejected(Dialog& dialog) {
    auto& own = dialog.own.agreed;
    const auto& remote = dialog.remote.agreed;
    for (std::size_t i = 0; i < std::min(own.size(), remote.size()); ++i) {
        if (!remote[i].rejected) continue;
        own[i].components.clear();
        own[i].candidates.clear();
    }
}

void agree(Dialog& dialog, TransactionId transaction, Method method) {
    const bool own = agree(dialog.own, transaction);
    const bool remote = agree(dialog.remote, transaction);
    bool exchanged = was_last(dialog.own, transaction) && was_last(dialog.remote, transaction);
    if (method == Method::prack && own != remote && !exchanged) {
        // It answered what the reliable response offered, which is another transaction's.
        exchanged = own ? agree_last(dialog.remote) : agree_last(dialog.own);
    }
    if (exchanged) drop_rejected(dialog);
}

void abandon(Dialog& dialog, TransactionId transaction) {
    abandon(dialog.own, transaction);
    abandon(dialog.remote, transaction);
}

template <class Stream>
bool has_settled(const Negotiated<Stream>& side, TransactionId transaction) {
    return std::ranges::count(side.settled, transaction) > 0;
}

/// Calls `visit` with what holds and with what may come to hold.
template <class Stream, class Visit>
void for_each_session(const Negotiated<Stream>& side, Visit visit) {
    if (!side.agreed.empty()) visit(side.agreed);
    for (const auto& entry : side.pending)
        visit(entry.streams);
}

/// RTCP is not needed once both sides mux; until the answer is there nobody knows (RFC 5761 5.1.1).
bool is_muxed(const OwnStream& own, std::size_t index, const Negotiated<RemoteStream>& remote) {
    bool answered = false;
    bool all_mux = own.mux;
    for_each_session(remote, [&](const auto& streams) {
        answered = true;
        all_mux = all_mux && index < streams.size() && streams[index].mux;
    });
    return answered && all_mux;
}

/// The holes that a call's media wants: all inbound ones, and of the outbound ones those that are
/// asked for first.
class Wanted {
  public:
    void add(const HoleKey& key) {
        if (!key.remote) {
            if (inbound_.empty()) inbound_.reserve(kUsualHoles);
            inbound_.push_back(key);
            return;
        }
        if (is_full()) return;
        if (outbound_.empty()) outbound_.reserve(kUsualHoles);
        const auto at = std::ranges::lower_bound(outbound_, key);
        if (at == outbound_.end() || *at != key) outbound_.insert(at, key);
    }
    [[nodiscard]] bool is_full() const { return outbound_.size() >= kMostOutboundHoles; }

    /// Sorted.
    [[nodiscard]] std::vector<HoleKey> take() {
        inbound_.insert(inbound_.end(), outbound_.begin(), outbound_.end());
        std::ranges::sort(inbound_);
        const auto repeated = std::ranges::unique(inbound_);
        inbound_.erase(repeated.begin(), repeated.end());
        return std::move(inbound_);
    }

  private:
    std::vector<HoleKey> inbound_;
    std::vector<HoleKey> outbound_;  // sorted
};

void want_stream(const OwnStream& own, std::size_t index, const Negotiated<RemoteStream>& remote,
                 Wanted& wanted) {
    const auto count = is_muxed(own, index, remote)
                           ? std::min<std::size_t>(1, own.components.size())
                           : own.components.size();
    const auto want_outbound = [&](std::size_t component, const Endpoint& there, Way way) {
        if (component < count && number(there.port) != 0) {
            wanted.add({own.components[component], there, std::nullopt, way});
        }
    };
    for (std::size_t component = 0; component < count; ++component)
        wanted.add({own.components[component], std::nullopt});
    for (const auto& candidate : own.candidates)
        wanted.add({candidate, std::nullopt});
    for_each_session(remote, [&](const auto& streams) {
        if (index >= streams.size() || wanted.is_full()) return;
        const auto& stream = streams[index];
        for (std::size_t component = 0; component < stream.components.size(); ++component) {
            want_outbound(component, stream.components[component], stream.way);
        }
        for (const auto& [component, there] : stream.candidates)
            want_outbound(component, there, Way::nat);
    });
}

/// The dialog itself, or the call in it, is not there. What is answered so to a subscription's messages
/// ends that usage of the dialog only (RFC 5057 5.1).
bool says_gone(const sip::Message& message) {
    const auto status = message.status();
    const auto method = message.method();
    return (status == 481 || status == 408) && method != Method::notify &&
           method != Method::subscribe && method != Method::refer;
}

}  // namespace

bool ends_dialog(const CallMessage& seen) {
    const auto status = seen.message.status();
    const bool is_of_bye = seen.message.method() == Method::bye;
    return says_gone(seen.message) || (is_of_bye && status >= 200 && status < 300);
}

bool Call::owns(const CallMessage& seen) const {
    if (initiator_tag != (inside_initiated ? seen.inside_tag() : seen.remote_tag())) return false;
    if (is_of_initial_invite(seen)) {
        return seen.branch == invite_branch && seen.message.cseq().number == invite_cseq;
    }
    return find_dialog(responder_tag(seen)) != nullptr;
}

std::string_view Call::responder_tag(const CallMessage& seen) const {
    return inside_initiated ? seen.remote_tag() : seen.inside_tag();
}

const Dialog* Call::find_dialog(std::string_view tag) const {
    const auto found = std::ranges::find(dialogs, tag, &Dialog::tag);
    return found == dialogs.end() ? nullptr : &*found;
}

Dialog* Call::find_dialog(std::string_view tag) {
    return const_cast<Dialog*>(std::as_const(*this).find_dialog(tag));
}

Dialog* Call::dialog_for(const CallMessage& seen) {
    const auto tag = responder_tag(seen);
    if (Dialog* present = find_dialog(tag)) return present;
    if (dialogs.size() >= kMostDialogs) return nullptr;
    const Dialog* root = find_dialog("");
    Dialog dialog = root != nullptr ? *root : Dialog{};
    dialog.tag = tag;
    dialogs.push_back(std::move(dialog));
    return &dialogs.back();
}

bool Call::is_of_initial_invite(const CallMessage& seen) const {
    const auto method = seen.message.method();
    if (method == Method::cancel) return true;
    if (method != Method::invite || seen.by_inside() != inside_initiated) return false;
    return seen.message.is_request() ? seen.to_tag.empty()
                                     : seen.message.cseq().number == invite_cseq;
}

bool Call::is_settled(const CallMessage& seen) const {
    const auto* dialog = find_dialog(responder_tag(seen));
    if (dialog == nullptr) {
        // The initial INVITE once more, when no other fork is waited for.
        return state == State::established && is_of_initial_invite(seen) &&
               seen.message.is_request();
    }
    const auto transaction = seen.transaction();
    return seen.outgoing ? has_settled(dialog->own, transaction)
                         : has_settled(dialog->remote, transaction);
}

void Call::follow(const CallMessage& seen, std::optional<std::span<const OwnStream>> own,
                  std::optional<std::span<const RemoteStream>> peer, const Patience& patience,
                  Time now) {
    if (seen.message.is_request()) follow_request(seen, patience, now);
    if (state == State::ended) return;

    if ((own || peer) && !is_settled(seen)) {
        if (Dialog* dialog = dialog_for(seen)) {
            const auto transaction = seen.transaction();
            if (own) describe(dialog->own, transaction, *own);
            if (peer) describe(dialog->remote, transaction, *peer);
            // An ACK has no answer: what it carries holds at once (RFC 3261 13.2.2.4).
            if (seen.message.method() == Method::ack) agree(*dialog, transaction, Method::ack);
        }
    }
    if (!seen.message.is_request()) follow_response(seen, patience, now);
}

void Call::follow_request(const CallMessage& seen, const Patience& patience, Time now) {
    switch (seen.message.method()) {
        case Method::invite:
            if (is_of_initial_invite(seen) && state == State::ringing) {
                if (dialogs.empty()) dialogs.emplace_back();
                if (seen.by_inside() && !from_outside) {
                    wait_for_silence(patience, now);
                } else {
                    // Anybody's, until the other party says something to it.
                    deadline = std::max(deadline, now + kTransactionTime);
                }
            }
            break;
        case Method::cancel:
            // The final answer of the INVITE ends the call; a 2xx may cross and win (RFC 3261 9.1).
            if (state == State::ringing) wait_for_transaction(now);
            break;
        case Method::bye:
            if (Dialog* dialog = find_dialog(responder_tag(seen))) {
                dialog->bye_until = now + kTransactionTime;
            }
            return;
        default:
            break;
    }
    if (state == State::established) wait_for_silence(patience, now);
}

void Call::follow_response(const CallMessage& seen, const Patience& patience, Time now) {
    const int status = seen.message.status();
    if (status < 200) {
        if (seen.message.method() != Method::invite) return;
        if (!seen.to_tag.empty()) (void)dialog_for(seen);
        if (state == State::ringing) wait_for_silence(patience, now);
        return;
    }
    const auto tag = responder_tag(seen);
    if (status < 300) note_session_timer(seen.message, now);
    if (seen.message.method() == Method::invite && is_of_initial_invite(seen)) {
        follow_invite_response(seen, status, patience, now);
        return;
    }
    if (seen.message.method() == Method::cancel) return;
    if (says_gone(seen.message)) {
        end_dialog(tag, now);
        return;
    }
    Dialog* dialog = find_dialog(tag);
    if (dialog == nullptr) return;
    if (seen.message.method() == Method::bye) {
        if (status < 300) {
            end_dialog(tag, now);
        } else {
            dialog->bye_until.reset();  // refused or challenged: the dialog goes on
        }
        return;
    }
    if (status < 300) {
        agree(*dialog, seen.transaction(), seen.message.method());
    } else {
        abandon(*dialog, seen.transaction());
    }
}

/// Each refresh says it anew; one without it turns the timer off (RFC 4028 7.2, 9).
void Call::note_session_timer(const sip::Message& answer, Time now) {
    const auto method = answer.method();
    if (method != Method::invite && method != Method::update) return;
    const auto value = answer.value(sip::HeaderKind::session_expires);
    const auto length = std::min({value.find(';'), value.find_first_of(" \t"), value.size()});
    const auto interval = delta_seconds(value.substr(0, length));
    session_until = interval ? std::optional(now + *interval + kTransactionTime) : std::nullopt;
}

void Call::follow_invite_response(const CallMessage& seen, int status, const Patience& patience,
                                  Time now) {
    if (status < 300) {
        Dialog* dialog = dialog_for(seen);
        if (dialog == nullptr) return;
        dialog->confirmed = true;
        agree(*dialog, seen.transaction(), Method::invite);
        // Forks that lost have no say any more; one that also answers 2xx comes back with its SDP.
        std::erase_if(dialogs,
                      [](const Dialog& other) { return !other.confirmed && !other.tag.empty(); });
        if (state == State::ringing) root_until = now + kTransactionTime;
        state = State::established;
        wait_for_silence(patience, now);
        return;
    }
    if (state == State::established) return;  // a late loser's answer
    if (status == 401 || status == 407) {
        // The retry with credentials offers the same ports.
        std::erase_if(dialogs, [](const Dialog& other) { return !other.tag.empty(); });
        wait_for_transaction(now);
        return;
    }
    end(now);
}

void Call::end_dialog(std::string_view tag, Time now) {
    const bool others = std::ranges::any_of(dialogs, [&](const Dialog& dialog) {
        return dialog.tag != tag && (state == State::ringing || !dialog.tag.empty());
    });
    if (others) {
        std::erase_if(dialogs, [&](const Dialog& dialog) { return dialog.tag == tag; });
    } else {
        end(now);
    }
}

void Call::wait_for_transaction(Time now) {
    deadline = now + kTransactionTime;
    media_prolongs = false;
}

void Call::wait_for_silence(const Patience& patience, Time now) {
    heard = now;
    if (state == State::ringing) {
        deadline = now + kLongestRinging;
    } else {
        deadline =
            now + (counted.value_or(0) > 0 ? patience.media : std::min(patience.media, kFirstLook));
    }
    media_prolongs = true;
}

bool Call::is_on_hold() const {
    bool any = false;
    bool all_quiet = true;
    for (const auto& dialog : dialogs) {
        for (std::size_t i = 0; i < dialog.own.agreed.size(); ++i) {
            const auto& own = dialog.own.agreed[i];
            const auto& peer = dialog.remote.agreed;
            if (own.components.empty() || (i < peer.size() && peer[i].rejected)) continue;
            any = true;
            all_quiet = all_quiet && (own.held || own.quiet || (i < peer.size() && peer[i].quiet));
        }
    }
    return any && all_quiet;
}

std::optional<IpAddress> Call::source_of(const MediaKey& component) const {
    if (state != State::established) return std::nullopt;
    std::optional<IpAddress> found;
    for (const auto& dialog : dialogs) {
        if (!dialog.confirmed && dialog.tag.empty()) continue;  // waits for other forks
        if (!dialog.own.pending.empty() || !dialog.remote.pending.empty()) return std::nullopt;
        const auto& peer = dialog.remote.agreed;
        for (std::size_t i = 0; i < dialog.own.agreed.size(); ++i) {
            const auto& own = dialog.own.agreed[i];
            const auto at = static_cast<std::size_t>(std::ranges::find(own.components, component) -
                                                     own.components.begin());
            if (at == own.components.size()) {
                if (std::ranges::count(own.candidates, component) > 0) return std::nullopt;
                continue;
            }
            const bool is_ice =
                !own.candidates.empty() || (i < peer.size() && !peer[i].candidates.empty());
            const bool is_said = i < peer.size() && at < peer[i].components.size() &&
                                 number(peer[i].components[at].port) != 0 &&
                                 peer[i].way == Way::nat;
            if (is_ice || !is_said) return std::nullopt;
            const auto& address = peer[i].components[at].address;
            if (found && *found != address) return std::nullopt;
            found = address;
        }
    }
    if (found && std::ranges::count(unheard, std::pair(component, *found)) > 0) return std::nullopt;
    return found;
}

void Call::give_up_on(const std::vector<MediaKey>& components, const IpAddress& source) {
    for (const auto& component : components) {
        if (unheard.size() >= kMostUnheard) unheard.erase(unheard.begin());
        unheard.emplace_back(component, source);
    }
    sources_due = true;
}

bool Call::is_direct() const {
    return std::ranges::any_of(dialogs, [](const Dialog& dialog) {
        return std::ranges::any_of(dialog.remote.agreed, [](const RemoteStream& stream) {
            return stream.way == Way::direct && !stream.rejected;
        });
    });
}

bool Call::is_silent(Time now) const {
    return media_prolongs && state != State::ended && deadline <= now;
}

bool Call::has_media() const {
    return !std::ranges::includes(signalling, holes);
}

void Call::learn_counted(std::optional<std::uint64_t> packets, const Patience& patience, Time now) {
    // Fewer than before: entries of it have ended meanwhile, which is silence.
    const bool is_news = packets && *packets > counted.value_or(0);
    const bool had_media = counted.value_or(0) > 0;
    counted = packets;
    deadline = now + patience.media;
    if (is_news) heard = now;
    if (!packets || is_news) return;
    Time over = now;
    if (state == State::established) {
        over =
            heard + (!had_media || is_direct() ? Time::duration(kLongestSilence)
                                               : (is_on_hold() ? patience.hold : patience.media));
        if (session_until) over = std::min(over, *session_until);
    }
    if (over <= now) {
        end(now);
    } else {
        deadline = std::min(deadline, over);
    }
}

/// The tags stay, so that retransmissions of what is over begin nothing new.
void Call::end(Time now) {
    state = State::ended;
    for (auto& dialog : dialogs) {
        dialog.own = {};
        dialog.remote = {};
        dialog.bye_until.reset();
    }
    signalling.clear();
    sources_due = false;
    latch_until.reset();
    root_until.reset();
    wait_for_transaction(now);
}

void Call::add_signalling(const std::vector<HoleKey>& more) {
    if (more.empty()) return;
    std::vector<HoleKey> all;
    std::ranges::set_union(signalling, more, std::back_inserter(all));
    if (all.size() <= kMostSignallingHoles) signalling = std::move(all);
}

void Call::avoid(const IpAddress& address) {
    const auto shut = [&address](std::vector<RemoteStream>& streams) {
        for (auto& stream : streams) {
            for (auto& endpoint : stream.components) {
                if (endpoint.address == address) endpoint.port = Port{0};
            }
            for (auto& candidate : stream.candidates) {
                if (candidate.at.address == address) candidate.at.port = Port{0};
            }
        }
    };
    for (auto& dialog : dialogs) {
        shut(dialog.remote.agreed);
        for (auto& entry : dialog.remote.pending)
            shut(entry.streams);
    }
}

void Call::expire(Time now) {
    if (state == State::ended) return;
    if (root_until && *root_until <= now) {
        root_until.reset();
        // Of a peer without tags (RFC 2543) it is the dialog.
        std::erase_if(dialogs,
                      [](const Dialog& dialog) { return dialog.tag.empty() && !dialog.confirmed; });
    }
    std::vector<std::string> unanswered;
    for (const auto& dialog : dialogs) {
        if (dialog.bye_until && *dialog.bye_until <= now) unanswered.push_back(dialog.tag);
    }
    for (const auto& tag : unanswered)
        end_dialog(tag, now);
    if (state != State::ended && deadline <= now) end(now);
}

Time Call::next_deadline() const {
    Time next = deadline;
    if (root_until) next = std::min(next, *root_until);
    if (latch_until) next = std::min(next, *latch_until);
    if (sources_due) return Time{};
    for (const auto& dialog : dialogs) {
        if (dialog.bye_until) next = std::min(next, *dialog.bye_until);
    }
    return next;
}

std::vector<HoleKey> Call::wanted() const {
    Wanted media;
    for (const auto& dialog : dialogs) {
        for_each_session(dialog.own, [&](const auto& own) {
            for (std::size_t i = 0; i < own.size(); ++i)
                want_stream(own[i], i, dialog.remote, media);
        });
    }
    auto needed = media.take();
    // Those of its signalling stay whatever there is of media.
    if (signalling.empty()) return needed;
    std::vector<HoleKey> all;
    std::ranges::set_union(needed, signalling, std::back_inserter(all));
    return all;
}

}  // namespace sipnat
