#include "sipnat/sdp/session.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "sipnat/base/ascii.h"

namespace sipnat::sdp {

namespace {

constexpr std::size_t kUsualMedia = 2;

/// The words of one line; more than one blank between them is tolerated.
class Fields {
  public:
    Fields(std::string_view text, Span line)
        : text_(text.substr(0, line.end())), at_(line.offset) {}

    /// Empty when there is none left.
    Span next() {
        while (at_ < text_.size() && is_blank(text_[at_]))
            ++at_;
        const std::size_t begin = at_;
        while (at_ < text_.size() && !is_blank(text_[at_]))
            ++at_;
        return span_of(begin, at_);
    }

  private:
    static bool is_blank(char c) { return c == ' ' || c == '\t'; }

    std::string_view text_;
    std::size_t at_;
};

std::optional<Direction> direction_of(std::string_view attribute) {
    if (attribute == "sendrecv") return Direction::sendrecv;
    if (attribute == "sendonly") return Direction::sendonly;
    if (attribute == "recvonly") return Direction::recvonly;
    if (attribute == "inactive") return Direction::inactive;
    return std::nullopt;
}

/// RFC 4145 4; an unknown role counts as none.
Setup setup_of(std::string_view role) {
    if (role == "active") return Setup::active;
    if (role == "passive") return Setup::passive;
    if (role == "actpass") return Setup::actpass;
    if (role == "holdconn") return Setup::holdconn;
    return Setup::none;
}

Connection connection_from(std::string_view text, Span net_type, Span address_type, Span address) {
    const auto slash = address.in(text).find('/');
    if (slash != std::string_view::npos) address.length = static_cast<std::uint32_t>(slash);
    Connection connection{address, {}};
    if (!equal_ignoring_case(net_type.in(text), "IN")) return connection;
    const auto parsed = IpAddress::parse(address.in(text));
    const auto claimed = parsed && parsed->family() == Family::ipv6 ? "IP6" : "IP4";
    if (equal_ignoring_case(address_type.in(text), claimed)) connection.parsed = parsed;
    return connection;
}

Connection read_connection(std::string_view text, Fields& fields) {
    const Span net_type = fields.next();
    const Span address_type = fields.next();
    return connection_from(text, net_type, address_type, fields.next());
}

/// username sess-id sess-version nettype addrtype unicast-address
std::optional<Connection> read_origin(std::string_view text, Span line) {
    Fields fields(text, line);
    Span net_type;
    Span address_type;
    Span address;
    for (Span field = fields.next(); !field.empty(); field = fields.next()) {
        net_type = std::exchange(address_type, std::exchange(address, field));
    }
    if (!equal_ignoring_case(net_type.in(text), "IN")) return std::nullopt;
    return connection_from(text, net_type, address_type, address);
}

bool same_address(std::string_view text, const Connection& a, const Connection& b) {
    return a.parsed && b.parsed ? a.parsed == b.parsed : a.address.in(text) == b.address.in(text);
}

bool are_layers(const Connection& a, const Connection& b) {
    return a.parsed && b.parsed && a.parsed->is_multicast() && b.parsed->is_multicast();
}

/// media port ["/" count] proto; the formats behind are of no interest.
std::optional<Media> read_media(std::string_view text, Span line,
                                std::pmr::memory_resource* memory) {
    Fields fields(text, line);
    Media media(memory);
    media.kind = fields.next();
    const Span port = fields.next();
    media.protocol = fields.next();
    if (media.protocol.empty()) return std::nullopt;
    const std::size_t slash = std::min(port.in(text).find('/'), std::size_t{port.length});
    media.port_text = span_of(port.offset, port.offset + slash);
    const auto number = parse_port(media.port_text.in(text));
    if (!number) return std::nullopt;
    media.port = *number;
    if (slash == port.length) return media;
    const auto count = parse_port(port.in(text).substr(slash + 1));  // the same digits and limit
    if (!count || *count == Port{}) return std::nullopt;
    media.count = sipnat::number(*count);
    return media;
}

std::optional<Location> read_location(std::string_view text, Span address, Span port_text) {
    const auto port = parse_port(port_text.in(text));
    if (!port || address.empty()) return std::nullopt;
    return Location{address, IpAddress::parse(address.in(text)), port_text, *port};
}

/// foundation component transport priority address port "typ" type, then pairs of name and value
std::optional<Candidate> read_candidate(std::string_view text, Span line) {
    Fields fields(text, line);
    if (fields.next().empty()) return std::nullopt;
    const auto component = parse_port(fields.next().in(text));  // the same digits and limit
    const auto transport = fields.next().in(text);
    (void)fields.next();
    const Span address = fields.next();
    const auto at = read_location(text, address, fields.next());
    const bool is_tcp = equal_ignoring_case(transport, "TCP");
    if (!component || !at || (!is_tcp && !equal_ignoring_case(transport, "UDP"))) return {};
    if (fields.next().in(text) != "typ") return std::nullopt;
    Candidate candidate;
    candidate.component = number(*component);
    candidate.transport = is_tcp ? Transport::tcp : Transport::udp;
    candidate.host = equal_ignoring_case(fields.next().in(text), "host");
    candidate.at = *at;
    Span related;
    for (Span name = fields.next(); !name.empty(); name = fields.next()) {
        const Span value = fields.next();
        if (name.in(text) == "raddr") related = value;
        if (name.in(text) == "rport") candidate.related = read_location(text, related, value);
        if (name.in(text) == "tcptype") candidate.active = value.in(text) == "active";
    }
    return candidate;
}

struct Fault {
    std::string_view cause;
};
using Step = std::optional<Fault>;

class Reader {
  public:
    Reader(std::string_view text, std::pmr::memory_resource* memory)
        : text_(text), memory_(memory), session_(memory) {}

    Step line(char type, Span value) {
        const auto fault = read(type, value);
        if (!session_.media.empty()) current().end = value.end();
        return fault;
    }
    [[nodiscard]] Session take() { return std::move(session_); }

  private:
    Step read(char type, Span value) {
        switch (type) {
            case 'o':
                return origin(value);
            case 'c':
                return connection(value);
            case 'm':
                return media(value);
            case 'a':
                return attribute(value);
            default:
                break;
        }
        return {};
    }

    Step origin(Span value) {
        if (seen_origin_) return Fault{"second o= line"};
        seen_origin_ = true;
        session_.origin = read_origin(text_, value);
        return {};
    }

    Step connection(Span value) {
        Fields fields(text_, value);
        const auto read = read_connection(text_, fields);
        auto& place = session_.media.empty() ? session_.connection : current().connection;
        if (!place) {
            place = read;
            return {};
        }
        const bool layers = !session_.media.empty() && are_layers(*place, read);
        if (!layers && !same_address(text_, *place, read)) {
            return Fault{"second c= line with another address"};
        }
        session_.further_connections.push_back(read);
        return {};
    }

    Step media(Span value) {
        if (session_.media.size() == kMostMedia) return Fault{"too many m= lines"};
        auto read = read_media(text_, value, memory_);
        if (!read) return Fault{"m= line can't be read"};
        read->direction = session_.direction;
        read->setup = setup_;
        if (session_.media.empty()) session_.media.reserve(kUsualMedia);
        session_.media.push_back(*std::move(read));
        return {};
    }

    Step attribute(Span value) {
        const auto whole = Fields(text_, value).next();
        const auto word = whole.in(text_);
        const std::size_t colon = std::min(word.find(':'), word.size());
        const auto name = word.substr(0, colon);
        if (colon == word.size()) {
            flag(name);
            return {};
        }
        const Span rest = span_of(whole.offset + colon + 1, value.end());
        if (name == "setup") {
            const auto role = setup_of(Fields(text_, rest).next().in(text_));
            (session_.media.empty() ? setup_ : current().setup) = role;
            return {};
        }
        return session_.media.empty() ? Step{} : media_attribute(name, rest);
    }

    Step media_attribute(std::string_view name, Span value) {
        if (name == "rtcp") return rtcp(value);
        if (name == "path") current().has_path = true;
        if (name == "candidate") return candidate(value);
        if (name == "remote-candidates") return remote_candidates(value);
        return {};
    }

    Step candidate(Span value) {
        if (current().candidates.size() == kMostCandidates) return Fault{"too many candidates"};
        if (const auto read = read_candidate(text_, value)) current().candidates.push_back(*read);
        return {};
    }

    /// 1*(component address port)
    Step remote_candidates(Span value) {
        Fields fields(text_, value);
        while (!fields.next().empty()) {
            if (current().remote_candidates.size() == kMostCandidates) {
                return Fault{"too many candidates"};
            }
            const Span address = fields.next();
            const auto at = read_location(text_, address, fields.next());
            if (!at) break;
            current().remote_candidates.push_back(*at);
        }
        return {};
    }

    void flag(std::string_view name) {
        if (const auto direction = direction_of(name)) {
            (session_.media.empty() ? session_.direction : current().direction) = *direction;
        } else if (!session_.media.empty()) {
            current().rtcp_mux = current().rtcp_mux || name == "rtcp-mux";
            current().rtcp_mux_only = current().rtcp_mux_only || name == "rtcp-mux-only";
            current().msrp_cema = current().msrp_cema || name == "msrp-cema";
        }
    }

    /// RFC 3605 2.1: port [nettype addrtype connection-address]
    Step rtcp(Span value) {
        Fields fields(text_, value);
        const Span port_text = fields.next();
        const auto port = parse_port(port_text.in(text_));
        if (!port) return {};
        const auto read = read_connection(text_, fields);
        auto& media = current();
        if (!media.rtcp_port_text) {
            media.rtcp_port_text = port_text;
            media.rtcp_port = *port;
            if (!read.address.empty()) media.rtcp_connection = read;
            return {};
        }
        const bool has_address = !read.address.empty();
        const bool same = *port == media.rtcp_port &&
                          has_address == media.rtcp_connection.has_value() &&
                          (!has_address || same_address(text_, *media.rtcp_connection, read));
        if (!same) return Fault{"second a=rtcp line with another address"};
        media.further_rtcp_ports.push_back(port_text);
        if (has_address) session_.further_connections.push_back(read);
        return {};
    }

    Media& current() { return session_.media.back(); }

    std::string_view text_;
    std::pmr::memory_resource* memory_;
    Session session_;
    Setup setup_ = Setup::none;  ///< of the session: RFC 4145 4 lets it stand there for all
    bool seen_origin_ = false;
};

tl::unexpected<Error> malformed(std::size_t line, std::string_view cause) {
    return fail("read SDP", "line " + std::to_string(line), std::string(cause));
}

/// Behind the last line that is not empty.
std::size_t end_of_lines(std::string_view text, Span where) {
    std::size_t end = where.end();
    while (end > where.offset && (text[end - 1] == '\n' || text[end - 1] == '\r'))
        --end;
    return end;
}

}  // namespace

const Connection* Session::connection_of(std::size_t index) const {
    if (index < media.size() && media[index].connection) return &*media[index].connection;
    return connection ? &*connection : nullptr;
}

Result<Session> parse(std::string_view text, Span where, std::pmr::memory_resource* memory) {
    const std::size_t end = end_of_lines(text, where);
    const auto body = text.substr(0, end);
    Reader reader(body, memory);
    std::size_t number = 1;
    for (std::size_t at = where.offset; at < end || number == 1; ++number) {
        const std::size_t line_feed = std::min(body.find('\n', at), end);
        const bool crlf = line_feed > at && line_feed < end && body[line_feed - 1] == '\r';
        const auto line = body.substr(at, line_feed - at - (crlf ? 1 : 0));
        if (line.size() < 2 || line[1] != '=') return malformed(number, "not a type and '='");
        if (number == 1 && line[0] != 'v') return malformed(number, "not v=");
        // Another description (RFC 2327 6): whose streams these are two readers may see differently.
        if (number > 1 && line[0] == 'v') return malformed(number, "second v= line");
        if (line.find('\0') != std::string_view::npos) return malformed(number, "NUL byte");
        const auto fault = reader.line(line[0], span_of(at + 2, at + line.size()));
        if (fault) return malformed(number, fault->cause);
        at = line_feed + 1;
    }
    return reader.take();
}

}  // namespace sipnat::sdp
