// Where messages begin and end in a byte stream (RFC 3261 18.3, RFC 5626 4.4.1).
//
//     \r\n\r\n  REGISTER sip:… SIP/2.0 … Content-Length: 0\r\n\r\n  INVITE sip:… Conte
//     └blank──┘ └message──────────────────────────────────────────┘ └incomplete──────┘
//
// Nobody says where a message begins but the end of the one before it: a framer sees a stream from its first
// byte on, and what it can't frame ends its work for good. What is inside a message is not looked at, but for
// its Content-Length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sipnat::sip {

struct Frame {
    enum class Kind : std::uint8_t {
        incomplete,  ///< more bytes will tell
        blank,       ///< CR and LF between messages: keepalives, or nothing
        message,     ///< a whole one
        too_long,    ///< a message over kLargestMessage whose end is known
        not_sip,     ///< the first line is none of SIP's
        broken,      ///< SIP, but nobody can say where it ends
    };
    Kind kind = Kind::incomplete;
    std::size_t length =
        0;  ///< of blank, message (all of it is there) and too_long (more than there may be)
};

/// A start line longer than this is none.
inline constexpr std::size_t kLongestStartLine = 8192;

class Framer {
  public:
    /// What `stream` begins with. Called again with more behind the same bytes for as long as the answer is
    /// `incomplete`, and with what follows the frame after any other. Lines end in CRLF or LF, as
    /// Message::parse has them; no Content-Length is 0. `broken`: headers of over kLargestMessage without an
    /// end, a Content-Length that is no 32-bit number, two of them that differ.
    [[nodiscard]] Frame next(std::string_view stream);

  private:
    [[nodiscard]] Frame begin(std::string_view stream);
    [[nodiscard]] bool find_end_of_headers(std::string_view stream);

    bool begun_ = false;        ///< the start line was read
    std::size_t line_ = 0;      ///< where the first line begins whose end was not seen yet
    std::optional<Frame> end_;  ///< once the headers were read
};

}  // namespace sipnat::sip
