// The index of one SIP message: where its start line, headers and body stand (RFC 3261 7).
//
//     INVITE sip:bob@203.0.113.10 SIP/2.0        method, request_uri
//     v: SIP/2.0/UDP 192.168.77.2;branch=z9hG4b  headers[0] = { via, name "v", value "SIP/2.0/…" }
//     Contact: <sip:a@192.168.77.2>,
//       <sip:b@192.168.77.2>                     one header: folding stays inside its value
//     Content-Length: 4
//
//     v=0…                                       body
//
// Nothing is copied, unfolded or validated beyond what finding the spans takes; whether a value
// makes sense is decided where it is used. The index borrows the text: it ends with it.
#pragma once

#include <cstdint>
#include <memory_resource>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "sipnat/base/result.h"
#include "sipnat/base/span.h"

namespace sipnat::sip {

enum class Method : std::uint8_t {
    invite,
    ack,
    bye,
    cancel,
    options,
    reg,
    prack,
    update,
    info,
    subscribe,
    notify,
    refer,
    message,
    publish,
    other,
};

/// The headers that sipnat looks into; all others are `other`.
enum class HeaderKind : std::uint8_t {
    via,
    from,
    to,
    call_id,
    cseq,
    contact,
    content_length,
    content_type,
    content_encoding,
    route,
    record_route,
    path,
    service_route,
    refer_to,
    referred_by,
    reply_to,
    p_asserted_identity,
    p_preferred_identity,
    diversion,
    remote_party_id,
    identity,
    authorization,
    proxy_authorization,
    expires,
    session_expires,
    other,
};

/// The canonical name ("Content-Length"); "header" for other.
[[nodiscard]] std::string_view to_text(HeaderKind kind);

struct Header {
    HeaderKind kind = HeaderKind::other;
    Span name;
    Span value;  ///< without white space around it, folds inside kept
};

struct CSeq {
    std::uint32_t number = 0;
    Method method = Method::other;
};

/// More headers than this make a message malformed: nobody sends them, and they cost memory.
inline constexpr std::size_t kMostHeaders = 256;
/// A datagram holds no more, and a TCP message over this is let through unread.
inline constexpr std::size_t kLargestMessage = 65535;
/// multipart inside multipart; what is deeper is not opened.
inline constexpr std::size_t kDeepestMultipart = 4;
/// SDP parts of one body; those behind are left alone.
inline constexpr std::size_t kMostSdpParts = 8;

class Message {
  public:
    /// Reads one whole message, as a datagram holds it. Lines end in CRLF or LF (a bare CR is part
    /// of its line); empty lines before the start line are skipped (RFC 3261 7.5). Header names in
    /// any case, with white space before the colon (7.3.1), and the compact forms of the IANA
    /// registry. Fails, with the place as the error's object ("start line", "header 3", "Call-ID"),
    /// when the start line is not SIP/2.0 (any case) or has white space anywhere but its two single
    /// spaces (7.1: readers would disagree about where the Request-URI ends), a header has no name
    /// and colon, the headers have no end or hold a NUL, the message is over kLargestMessage or
    /// kMostHeaders, Content-Length is no number, stands twice with two values, or is more than
    /// there is, or one of Via, From, To, Call-ID, CSeq is missing (To, From, Call-ID, CSeq twice:
    /// also), or CSeq is no 32-bit number and method, or the method is not the request line's.
    /// The index lies in `memory`, which has to outlive it.
    [[nodiscard]] static Result<Message> parse(
        std::string_view text,
        std::pmr::memory_resource* memory = std::pmr::get_default_resource());

    [[nodiscard]] std::string_view text() const { return text_; }
    [[nodiscard]] bool is_request() const { return status_ == 0; }
    /// Of the request, or of the response's CSeq.
    [[nodiscard]] Method method() const { return cseq_.method; }
    [[nodiscard]] int status() const { return status_; }  ///< 100 to 699; 0 for a request
    [[nodiscard]] Span request_uri() const { return request_uri_; }
    [[nodiscard]] const std::pmr::vector<Header>& headers() const { return headers_; }
    /// The first of its kind.
    [[nodiscard]] const Header* find(HeaderKind kind) const;
    [[nodiscard]] std::string_view value(HeaderKind kind) const;  ///< empty when there is none
    [[nodiscard]] CSeq cseq() const { return cseq_; }
    /// Content-Length bytes where that is given (what follows them in a datagram is not body, RFC
    /// 3261 18.3), else all that is left.
    [[nodiscard]] Span body() const { return body_; }
    [[nodiscard]] std::optional<std::uint32_t> content_length() const { return content_length_; }

  private:
    explicit Message(std::pmr::vector<Header> headers) : headers_(std::move(headers)) {}

    std::string_view text_;
    int status_ = 0;
    Span request_uri_;
    std::pmr::vector<Header> headers_;
    CSeq cseq_;
    Span body_;
    std::optional<std::uint32_t> content_length_;
};

/// What a payload on a signalling flow is before anybody parses it.
enum class PayloadKind : std::uint8_t {
    /// Only CR, LF, NUL or blanks; a STUN message (RFC 5626 4.4.2, RFC 8489 5); or up to four
    /// bytes of anything (eXosip's "jaK" and its like).
    keepalive,
    /// Its first line ends in "SIP/…" behind a method and a blank, or begins with "SIP/".
    sip,
    unknown,
};
[[nodiscard]] PayloadKind classify(std::string_view payload);

/// The parts of the body that are application/sdp: the body itself, or parts of a multipart body
/// at any depth up to kDeepestMultipart (RFC 2046 5.1, RFC 5621), never inside multipart/signed or
/// multipart/encrypted, nor a part that is base64 or quoted-printable. In order, without empty
/// ones, at most kMostSdpParts. A last part that no delimiter closes ends with the body.
[[nodiscard]] std::pmr::vector<Span> sdp_parts(
    const Message& message, std::pmr::memory_resource* memory = std::pmr::get_default_resource());

/// A part of a multipart body that says itself how long it is.
struct PartLength {
    Span part;   ///< behind its headers
    Span value;  ///< of its Content-Length

    bool operator==(const PartLength&) const = default;
};
/// Of the parts that sdp_parts() gives, and of those around them: what is inside of another part stands
/// before it.
[[nodiscard]] std::pmr::vector<PartLength> part_lengths(
    const Message& message, std::pmr::memory_resource* memory = std::pmr::get_default_resource());

}  // namespace sipnat::sip
