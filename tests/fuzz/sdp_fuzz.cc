// sdp::parse() over any bytes, as a whole text and in the middle of one.
#include <cstddef>
#include <cstdint>
#include <string>

#include "exact.h"
#include "sdp_property.h"

namespace sipnat::fuzz {

namespace {

// What stands around a body must not matter, least of all what looks like more of it.
constexpr std::string_view kBefore = "m=audio 1 RTP/AVP 0\r\n";
constexpr std::string_view kBehind = "c=IN IP4 192.0.2.1\r\nm=video 2 RTP/AVP 0\r\n";

Span moved(Span span) {
    return {span.offset + static_cast<std::uint32_t>(kBefore.size()), span.length};
}

void require_same(const std::optional<sdp::Connection>& alone,
                  const std::optional<sdp::Connection>& between) {
    require(alone.has_value() == between.has_value() &&
                (!alone || (alone->parsed == between->parsed &&
                            (alone->address.empty() || moved(alone->address) == between->address))),
            "an address does not depend on what surrounds the body");
}

void require_same(const sdp::Media& alone, const sdp::Media& between) {
    require(moved(alone.kind) == between.kind && moved(alone.port_text) == between.port_text &&
                moved(alone.protocol) == between.protocol && alone.port == between.port &&
                alone.count == between.count && alone.rtcp_port == between.rtcp_port &&
                alone.rtcp_mux == between.rtcp_mux &&
                alone.rtcp_mux_only == between.rtcp_mux_only &&
                alone.direction == between.direction && alone.setup == between.setup,
            "a stream does not depend on what surrounds the body");
    require_same(alone.connection, between.connection);
    require_same(alone.rtcp_connection, between.rtcp_connection);
}

void run(std::string_view input) {
    const ExactText body(input);
    const auto alone = sdp::parse(body.view(), body.span());
    if (alone) check_session(body.view(), body.span(), *alone);

    const ExactText text(std::string(kBefore).append(input).append(kBehind));
    const auto where = moved(body.span());
    const auto between = sdp::parse(text.view(), where);
    require(alone.has_value() == between.has_value(),
            "whether a body can be read does not depend on what surrounds it");
    if (!between) {
        require(alone.error().object == between.error().object,
                "the line of an error is counted "
                "from the start of the body");
        return;
    }
    check_session(text.view(), where, *between);
    require_same(alone->origin, between->origin);
    require_same(alone->connection, between->connection);
    for (std::size_t i = 0; i < alone->media.size(); ++i) {
        require_same(alone->media[i], between->media[i]);
    }
}

}  // namespace

}  // namespace sipnat::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    sipnat::fuzz::run({reinterpret_cast<const char*>(data), size});
    return 0;
}
