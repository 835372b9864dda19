// One call as one inside party has it: its dialogs, and what each side's SDP asked for.
//
// A call is not a Call-ID (two phones of one gateway that talk through an outside proxy share it,
// with the same tags; a proxy that forks sends one INVITE to the same host twice): it is one INVITE
// transaction, by its branch, between one inside and one remote host, and the dialogs that came of
// it, each with its responder's tag.
//
//     INVITE (offer)    pending of its transaction, in the root dialog ""
//     18x, 200 tag=x    dialog x begins as a copy of the root
//     200               what was pending of the INVITE is what holds in dialog x
//     4xx               what was pending is gone; what held before holds (re-INVITE), or it is over
//
// `wanted()` derives from that which holes must be open; the engine opens and closes the
// difference. Everything is a plain value: a call can be copied before a message and put back when
// the kernel refuses what the message needs.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sipnat/base/time.h"
#include "sipnat/core/kernel.h"
#include "sipnat/core/media_table.h"
#include "sipnat/sip/message.h"

namespace sipnat {

/// 64*T1 (RFC 3261 17.1.1.2): how long an unanswered BYE or CANCEL, a retry after a challenge, and
/// the retransmissions of an ended call are waited for.
inline constexpr std::chrono::seconds kTransactionTime{32};
/// An INVITE without a final answer is given up this long after its last 1xx (RFC 3261 timer C, with
/// room: that is 3 minutes).
inline constexpr std::chrono::minutes kLongestRinging{10};
/// So soon after its answer the media of a call is counted first: conntrack forgets a stream that broke
/// off 30 s after its last packet.
inline constexpr std::chrono::seconds kFirstLook{20};
/// An established call that says nothing for a day, and of whose media not one packet came, is over.
inline constexpr std::chrono::hours kLongestSilence{24};
inline constexpr std::size_t kMostDialogs = 16;
inline constexpr std::size_t kMostPending = 4;
/// Transactions with SDP that one side may have finished within kTransactionTime.
inline constexpr std::size_t kMostSettled = 8;
/// Remote endpoints, over all forks and candidates, that a call's own side may speak to first.
inline constexpr std::size_t kMostOutboundHoles = 128;
inline constexpr std::size_t kMostSignallingHoles = 64;
/// What is silent for so long after its answer is not where it said (nat.media_source = "latch").
inline constexpr std::chrono::seconds kLatch{3};
inline constexpr std::size_t kMostUnheard = 32;
/// By so much the state file may have an end too early.
inline constexpr std::chrono::minutes kStaleDeadline{1};

/// What an inside party receives at: one m= line of its SDP.
struct OwnStream {
    ExpectClass media = ExpectClass::audio;
    std::vector<MediaKey> components;  ///< RTP, RTCP, RTP, …; empty: nothing of ours
    bool mux = false;
    bool held = false;   ///< c=0.0.0.0: keeps a mapping that it has, asks for none
    bool quiet = false;  ///< not a=sendrecv: on hold, or announced to be one-way
    /// Host candidates beside the components: inbound only, any source.
    std::vector<MediaKey> candidates;

    bool operator==(const OwnStream&) const = default;
};

/// Where a remote party receives: one m= line of its SDP.
struct RemoteStream {
    struct Candidate {
        std::size_t component = 0;  ///< index of what it stands for: 0 is RTP
        Endpoint at;
        bool operator==(const Candidate&) const = default;
    };
    std::vector<Endpoint> components;
    bool mux = false;
    std::vector<Candidate> candidates;  ///< of ICE: the own side speaks to each of them
    Way way = Way::nat;
    bool rejected = false;  ///< port 0
    bool quiet = false;     ///< c=0.0.0.0, or not a=sendrecv

    bool operator==(const RemoteStream&) const = default;
};

/// A transaction of a dialog: CSeq numbers count for each side (RFC 3261 12.2.1.1).
struct TransactionId {
    bool by_inside = false;
    std::uint32_t cseq = 0;

    bool operator==(const TransactionId&) const = default;
};

/// One side's session: what holds, and what transactions under way will make hold.
template <class Stream>
struct Negotiated {
    struct Pending {
        TransactionId transaction;
        std::vector<Stream> streams;

        bool operator==(const Pending&) const = default;
    };
    std::vector<Stream> agreed;
    std::vector<Pending> pending;  ///< the oldest first: what is agreed supersedes those before it
    std::vector<TransactionId> settled;  ///< the last that are over: what they say again is no news

    bool operator==(const Negotiated&) const = default;
};

struct Dialog {
    std::string tag;  ///< the responder's; empty in the root
    bool confirmed = false;
    Negotiated<OwnStream> own;
    Negotiated<RemoteStream> remote;
    std::optional<Time> bye_until;  ///< a BYE is waiting for its answer until then

    bool operator==(const Dialog&) const = default;
};

/// One message from the view of one inside party.
struct CallMessage {
    const sip::Message& message;
    bool outgoing = false;  ///< the inside party sent it
    std::string_view from_tag;
    std::string_view to_tag;
    std::string_view branch;  ///< of the top Via
    /// Who started the transaction.
    [[nodiscard]] bool by_inside() const { return message.is_request() == outgoing; }
    [[nodiscard]] TransactionId transaction() const { return {by_inside(), message.cseq().number}; }
    [[nodiscard]] std::string_view inside_tag() const { return by_inside() ? from_tag : to_tag; }
    [[nodiscard]] std::string_view remote_tag() const { return by_inside() ? to_tag : from_tag; }
};

/// An answer after which there is no dialog: a BYE's 2xx, or one that says that there is none (RFC 5057
/// 5.1).
[[nodiscard]] bool ends_dialog(const CallMessage& seen);

/// How long media may be silent before its call is over (nat.media_timeout, nat.hold_timeout).
struct Patience {
    std::chrono::seconds media{300};
    std::chrono::seconds hold{3600};

    bool operator==(const Patience&) const = default;
};

struct Call {
    enum class State : std::uint8_t { ringing, established, ended };

    IpAddress inside;
    IpAddress remote;
    std::string call_id;
    bool inside_initiated = false;
    bool charged_to_inside = false;  ///< the inside host sent what began it
    bool from_outside = false;       ///< what began it came from outside, or perhaps did
    std::string initiator_tag;
    Tuple master;  ///< original tuple of the flow that its last message came on
    FlowDirection inside_sends = FlowDirection::original;

    State state = State::ringing;
    std::uint32_t invite_cseq = 0;  ///< of the initial INVITE
    std::string invite_branch;      ///< of its top Via
    std::vector<Dialog> dialogs;    ///< the first is the root while there is one
    std::optional<Time> root_until;
    Time deadline{};  ///< it ends then, or is forgotten if it has ended
    Time heard{};     ///< its last message, or the last look that found new packets
    std::optional<Time> session_until;  ///< end of its session timer (RFC 4028)
    bool media_prolongs = false;  ///< the deadline is a guess that packets of its media disprove
    std::optional<std::uint64_t> counted;  ///< packets of its media when they were last asked for
    Time counted_by{};                     ///< the deadline that the last such question set
    Time saved_deadline{};                 ///< the one that was told to the state file last
    bool sources_due = false;              ///< who may send its media has to be looked at
    std::optional<Time> latch_until;
    /// Nothing came from there: anybody may send. Like the two above not on file.
    std::vector<std::pair<MediaKey, IpAddress>> unheard;
    /// To the inside party's Contact and Via on other ports than its packets'. Until it ends.
    std::vector<HoleKey> signalling;
    std::vector<HoleKey> holes;  ///< those it holds now: sorted

    bool operator==(const Call&) const = default;

    /// This message is part of the call's INVITE transaction, or of one of its dialogs.
    [[nodiscard]] bool owns(const CallMessage& seen) const;

    /// Follows one message: `own` or `peer` is its SDP if it has one (RFC 3264, 6337).
    void follow(const CallMessage& seen, std::optional<std::span<const OwnStream>> own,
                std::optional<std::span<const RemoteStream>> peer, const Patience& patience,
                Time now);
    /// The inside party wants to be reached through these as well, up to kMostSignallingHoles.
    void add_signalling(const std::vector<HoleKey>& more);
    /// The SDP of this message has been dealt with: it is a retransmission, or came too late.
    [[nodiscard]] bool is_settled(const CallMessage& seen) const;
    /// No hole may lead to this remote address.
    void avoid(const IpAddress& address);
    /// Its deadline is up, but that is a guess: the counters of its media tell, if it has any.
    [[nodiscard]] bool is_silent(Time now) const;
    /// It has holes of media.
    [[nodiscard]] bool has_media() const;
    /// What those said: nothing if they could not be read, which never means idle. An established call
    /// whose packets came to an end is over after `patience.media`, on hold after `patience.hold`, or with
    /// its session timer.
    void learn_counted(std::optional<std::uint64_t> packets, const Patience& patience, Time now);
    /// Sets the deadline of a call that says nothing more: as long as it may ring, or until its media is
    /// looked at.
    void wait_for_silence(const Patience& patience, Time now);
    /// The one address that its media to this component comes from, by what both sides have agreed on;
    /// nothing while they negotiate, for ICE, past the NAT, or when it is not said, not believed or given up on.
    [[nodiscard]] std::optional<IpAddress> source_of(const MediaKey& component) const;
    /// Calls `visit(stream's own components, where the first of them sends to)` for what has been agreed.
    template <class Visit>
    void for_each_agreed(Visit visit) const {
        for (const auto& dialog : dialogs) {
            const auto& peer = dialog.remote.agreed;
            const auto count = std::min(dialog.own.agreed.size(), peer.size());
            for (std::size_t i = 0; i < count; ++i) {
                const auto& own = dialog.own.agreed[i].components;
                if (!own.empty() && !peer[i].components.empty())
                    visit(own, peer[i].components.front());
            }
        }
    }
    /// Nothing came to these from that address.
    void give_up_on(const std::vector<MediaKey>& components, const IpAddress& source);
    /// Some of its media goes past the gateway, where nobody counts it.
    [[nodiscard]] bool is_direct() const;
    /// Nobody expects media to flow both ways: all streams that there are.
    [[nodiscard]] bool is_on_hold() const;
    /// What is due at `now` (unanswered BYE, forgotten root, deadline).
    void expire(Time now);
    [[nodiscard]] Time next_deadline() const;
    /// Holes that its sessions and its signalling need, sorted and unique.
    [[nodiscard]] std::vector<HoleKey> wanted() const;

  private:
    void follow_request(const CallMessage& seen, const Patience& patience, Time now);
    void follow_response(const CallMessage& seen, const Patience& patience, Time now);
    void follow_invite_response(const CallMessage& seen, int status, const Patience& patience,
                                Time now);
    void note_session_timer(const sip::Message& answer, Time now);
    void wait_for_transaction(Time now);
    void end(Time now);
    void end_dialog(std::string_view tag, Time now);
    [[nodiscard]] const Dialog* find_dialog(std::string_view tag) const;
    [[nodiscard]] Dialog* find_dialog(std::string_view tag);
    Dialog* dialog_for(const CallMessage& seen);
    [[nodiscard]] std::string_view responder_tag(const CallMessage& seen) const;
    /// It can be part of an initial INVITE's transaction only, perhaps of this call's.
    [[nodiscard]] bool is_of_initial_invite(const CallMessage& seen) const;
};

}  // namespace sipnat
