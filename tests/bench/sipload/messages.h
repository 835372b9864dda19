// The messages of the workloads: templates in which only fields of fixed width differ, so that making
// one is a copy and a few stores, and so that whoever receives one can say byte by byte what was sent.
//
//     INVITE sip:bob@203.0.113.10 SIP/2.0
//     Via: SIP/2.0/UDP 192.168.100.117:5060;rport;branch=z9hG4bK0000002ainv      phone(), serial
//     …
//     m=audio 10084 RTP/AVP 0 8 101                                              media_port()
//
// A serial number is one cycle (a call, a registration, …); everything in its messages follows from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// An IPv4 address and a port, host order.
struct Endpoint {
    std::uint32_t address = 0;
    std::uint16_t port = 0;

    bool operator==(const Endpoint&) const = default;
};
[[nodiscard]] std::uint32_t parse_address(const std::string& text);

inline constexpr std::uint16_t kSipPort = 5060;
/// The phones' addresses begin so and nothing else in a message does.
inline constexpr std::string_view kInsidePrefix = "192.168.";
inline constexpr std::size_t kMostPhones = 1500;
/// Address of phone `index` (below kMostPhones), out of 192.168.96.0/20; its text has 15 characters.
[[nodiscard]] std::uint32_t phone_address(std::size_t index);
[[nodiscard]] std::string phone_text(std::size_t index);

/// Distinct for 11,000 serials in a row, in sipnatd's default range.
[[nodiscard]] std::uint16_t media_port(std::uint32_t serial);

/// A text with places for a phone's address, the serial and the media port.
class Template {
  public:
    /// `text` in lines that end in "\n" holds "{phone}", "{serial}", "{port}" and, once behind the
    /// headers, "{length}".
    explicit Template(std::string_view text);
    [[nodiscard]] std::size_t size() const { return text_.size(); }
    /// Writes size() bytes.
    void fill(char* out, std::string_view phone, std::uint32_t serial) const;

  private:
    std::string text_;
    std::vector<std::size_t> phones_;
    std::vector<std::size_t> serials_;
    std::vector<std::size_t> ports_;
};

/// The requests of one cycle.
struct Workload {
    Template request;
    std::optional<Template> ack;  ///< both, for an INVITE
    std::optional<Template> bye;
    std::string_view own_via;     ///< of the answer's Via: "{phone}" or a name
    bool names_addresses = true;  ///< false: there is nothing to rewrite
    /// Through the gateway, of one cycle.
    [[nodiscard]] unsigned messages() const { return ack ? 5 : 2; }
};
/// "invite", "register", "options" or "untouched"; `server` is the address in the Request-URIs.
[[nodiscard]] Workload workload(std::string_view name, const std::string& server);

/// The 200 to a request that our templates made, whatever a gateway made of it. Appends to `out`.
void append_answer(std::string& out, std::string_view request, std::string_view contact,
                   std::string_view sdp);
/// The server's session, receiving at this endpoint.
[[nodiscard]] std::string answer_session(const std::string& server, std::uint16_t port);

/// The serial in a message's Call-ID.
[[nodiscard]] std::optional<std::uint32_t> serial_of(std::string_view message);
/// Where the first stream of the session is received.
[[nodiscard]] std::optional<Endpoint> media_of(std::string_view message);

}  // namespace bench
