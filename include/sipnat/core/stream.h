// SIP over one TCP connection, edited in flight: segments in, segments with other bytes out.
//
//     sender    ─► [INVITE sip:bob@… Conte] [nt-Length: 139 … v=0 …]     held until the message is whole
//     receiver  ─► [INVITE sip:bob@… Content-L] [ength: 142 … v=0 …]     the same segments, its bytes anew
//
// A message is edited when all of it is there; the segments that brought it carry what becomes of it. What has
// left is kept until the receiver has acknowledged it: whatever the sender sends again, in whatever pieces and
// with whatever bytes, is answered from there, so that there is one view of the stream.
//
// Sequence numbers are the kernel's affair (nf_ct_seq_adjust): it adds `before` up to a position and `after`
// behind it, and the reverse to acknowledgements. There is one such step for each direction, so a message that
// changes its length waits until the change before it was acknowledged. Messages that come together share a step for
// as long as what they grow by has room in one segment.
//
// A stream is read from its first byte, or from where a memo says that a message begins (StreamMemo), and never
// from anywhere else. One that does not begin as SIP is not looked at again.
//
// No clock, no I/O, no kernel: what it needs of those is StreamHost.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sipnat/base/time.h"
#include "sipnat/core/kernel.h"
#include "sipnat/net/tcp.h"

namespace sipnat {

/// No segment is held for longer: an unfinished message goes on as it is, and what waits for something else is
/// dropped, to be sent again.
inline constexpr std::chrono::seconds kLongestHold{1};
/// Of one direction.
inline constexpr std::size_t kMostHeldSegments = 1024;
/// Bytes of one direction behind a gap; and those that were not acknowledged yet. What comes on top is dropped.
inline constexpr std::size_t kMostEarlyBytes = 128 * 1024;
inline constexpr std::size_t kMostUnacknowledged = 256 * 1024;

/// What a segment that came with `length` bytes may grow to. Our MSS of 1300 (nft/sipnat.nft) leaves kMostGrowth of
/// 1500 under the headers of IPv6 and TCP, and kLengthThatFits has room there under any: an IPv6 packet that does not
/// fit is not fragmented on its way, and many fragments of IPv4 arrive nowhere. A longer one goes on without its end,
/// which comes again. kLongestPayload is what netlink takes (netfilter::kMaxPacket) under any headers.
inline constexpr std::int64_t kMostGrowth = 140;
inline constexpr std::int64_t kLengthThatFits = 1400;
inline constexpr std::int64_t kLongestPayload = 65400;

/// A segment's name until its verdict.
enum class SegmentId : std::uint64_t {};

struct SegmentVerdict {
    enum class Kind : std::uint8_t {
        pass,     ///< as it came
        replace,  ///< with `payload`
        drop,
    };
    SegmentId id{};
    Kind kind = Kind::pass;
    std::string payload;

    bool operator==(const SegmentVerdict&) const = default;
};

/// What happens to a stream that users may want to know of. Each one is a counter.
enum class StreamEvent : std::uint8_t {
    not_sip,  ///< it did not begin as SIP
    broken,   ///< nobody can tell where its next message begins, or it is urgent: all behind passes
    too_long,  ///< a message over sip::kLargestMessage went on as it was
    late,      ///< a message that was not whole within kLongestHold went on as it was
    lost_track,  ///< begun before this process, or gone on without it, and no memo says where a message begins
    refused,  ///< the kernel does not adjust its numbers, or nobody could by so much
    over_limit,  ///< a segment over kMostHeldSegments, kMostEarlyBytes or kMostUnacknowledged was dropped
};
inline constexpr std::size_t kStreamEvents = static_cast<std::size_t>(StreamEvent::over_limit) + 1;
/// "not_sip", "lost_track", …
[[nodiscard]] std::string_view to_text(StreamEvent event);

class StreamHost {
  public:
    StreamHost() = default;
    StreamHost(const StreamHost&) = delete;
    StreamHost& operator=(const StreamHost&) = delete;
    virtual ~StreamHost() = default;

    /// What this message, which is whole, is to be; nothing: as it is. Asked once for each.
    [[nodiscard]] virtual std::optional<std::string> edit(FlowDirection direction,
                                                          std::string_view message) = 0;
    /// These have to be on their way when this returns, with all that was given before: what comes next moves the
    /// numbers that they were made for.
    virtual void send(const std::vector<SegmentVerdict>& verdicts) = 0;
    /// To be in the kernel when this returns. False: it is as before.
    [[nodiscard]] virtual bool shift(FlowDirection direction, const SequenceShift& shift) = 0;
    virtual void note(StreamEvent event) = 0;
};

class StreamHalf;

class Stream {
  public:
    /// Of a connection whose first segment is the next one, or the first answer.
    Stream();
    /// Of one that was followed before: the memo that its entry has, and the kernel's shifts.
    Stream(const StreamMemo& memo, const SequenceShifts& shifts);
    Stream(Stream&&) noexcept;
    Stream& operator=(Stream&&) noexcept;
    ~Stream();

    /// The next segment, before NAT of numbers, in the order in which they come. Gives the verdicts that are due
    /// now, in the order in which they have to be sent; a segment that is not among them is held.
    [[nodiscard]] std::vector<SegmentVerdict> take(FlowDirection direction,
                                                   const TcpSegment& segment, SegmentId id,
                                                   Time now, StreamHost& host);
    /// What time made due: call it at next_due() or later.
    [[nodiscard]] std::vector<SegmentVerdict> expire(Time now, StreamHost& host);
    [[nodiscard]] std::optional<Time> next_due() const;

    /// Nothing of it has to be seen any more: neither messages nor retransmissions.
    [[nodiscard]] bool is_done() const;
    /// Where another process, or this one after it forgot the stream, can go on.
    [[nodiscard]] StreamMemo memo() const;
    /// Bytes and segments that it keeps.
    [[nodiscard]] std::size_t kept_bytes() const;
    [[nodiscard]] std::size_t held_segments() const;

  private:
    [[nodiscard]] StreamHalf& half(FlowDirection direction);
    [[nodiscard]] const StreamHalf& half(FlowDirection direction) const;
    void begin(StreamHalf& half, const TcpSegment& segment, StreamHost& host);
    void stop_if_foreign(std::vector<SegmentVerdict>& verdicts, StreamHost& host);

    std::array<std::unique_ptr<StreamHalf>, 2> halves_;
    bool is_foreign_ = false;
};

}  // namespace sipnat
