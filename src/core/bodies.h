// The SDP bodies of a message, and what an edit of them means for the rest of it.
#pragma once

#include <cstddef>
#include <memory_resource>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "sipnat/core/decision.h"
#include "sipnat/sdp/session.h"
#include "sipnat/sip/message.h"

namespace sipnat {

using Bodies = std::span<const sdp::Session>;

/// For a reader: what a stranger wrote is cut to so much.
inline constexpr std::size_t kLongestDetail = 200;

/// All of them, or why one can't be read.
[[nodiscard]] tl::expected<std::pmr::vector<sdp::Session>, std::string> read_bodies(
    const sip::Message& message, std::pmr::memory_resource* memory);

/// Appends the edits of Content-Length that `edits` of the body ask for: the message's, and those of
/// parts of a multipart body that have their own.
void set_content_lengths(const sip::Message& message, std::vector<Edit>& edits,
                         std::pmr::memory_resource* memory);

/// Bytes that Content-Length leaves out. It is not repaired: what is behind it is nobody's. Line ends
/// are a keepalive's, or an old habit.
[[nodiscard]] std::size_t beyond_body(const sip::Message& message);

/// Its sender's digest covers the body (RFC 7616 3.4.3): an edit makes it wrong.
[[nodiscard]] bool covers_body_by_digest(const sip::Message& message);

/// A stream that is received at an address of another family than `family`, the signalling's: the
/// kernel expects only what has the family of its master, so nothing is opened for it.
[[nodiscard]] bool has_media_of_another_family(Bodies bodies, Family family);

/// An MSRP peer connects to the a=path, which names the inside address and stays (RFC 4975 7.3),
/// unless it is told to look at c= and m= (RFC 6714).
[[nodiscard]] bool has_unreachable_msrp(Bodies bodies);

}  // namespace sipnat
