#include "sipnat/core/decision.h"

#include <array>
#include <cstdlib>

namespace sipnat {

namespace {

template <class Enum, std::size_t N>
std::string_view name_of(const std::array<std::string_view, N>& names, Enum value) {
    return names.at(static_cast<std::size_t>(value));
}

}  // namespace

std::string_view to_text(ExpectClass media) {
    static constexpr std::array<std::string_view, 4> kNames{"signalling", "audio", "video",
                                                            "other"};
    return name_of(kNames, media);
}

std::string_view to_text(Verdict verdict) {
    return verdict == Verdict::accept ? "accept" : "drop";
}

std::string_view to_text(Reason reason) {
    static constexpr std::array<std::string_view, kReasons> kNames{
        "rewritten",     "unchanged",      "keepalive",     "not_sip",       "malformed",
        "malformed_sdp", "second_opinion", "no_media_port", "media_refused", "call_limit",
        "media_limit",   "binding_limit",  "entry_exists"};
    return name_of(kNames, reason);
}

std::string_view to_text(Place place) {
    static constexpr std::array<std::string_view, 23> kNames{"Request-URI",
                                                             "Via",
                                                             "Contact",
                                                             "Reply-To",
                                                             "Refer-To",
                                                             "Route",
                                                             "Record-Route",
                                                             "Path",
                                                             "Service-Route",
                                                             "From",
                                                             "To",
                                                             "P-Asserted-Identity",
                                                             "P-Preferred-Identity",
                                                             "Remote-Party-ID",
                                                             "Referred-By",
                                                             "Diversion",
                                                             "Content-Length",
                                                             "SDP o=",
                                                             "SDP c=",
                                                             "SDP m=",
                                                             "SDP a=rtcp",
                                                             "SDP a=candidate",
                                                             "SDP a=remote-candidates"};
    return name_of(kNames, place);
}

std::string_view to_text(Why why) {
    static constexpr std::array<std::string_view, 7> kTexts{
        "the sender's own endpoint, as the other side sees it",
        "the receiver, as it really is",
        "the text that the receiver wrote itself",
        "where the stream is received, seen from outside",
        "the outside port of the stream",
        "where another inside party receives the stream",
        "the body has another length now"};
    return name_of(kTexts, why);
}

std::string_view to_text(Way way) {
    static constexpr std::array<std::string_view, 3> kNames{"nat", "direct", "hairpin"};
    return name_of(kNames, way);
}

Expectation to_expectation(const Hole& hole) {
    Expectation expectation;
    expectation.master = hole.master;
    // Only a flow that another class expects leaves from the paired inbound one's port.
    const bool unpaired = hole.remote && is_signalling(hole);
    expectation.media = unpaired ? ExpectClass::other : hole.media;
    expectation.translates = hole.inside != hole.outside;
    if (hole.remote) {
        expectation.match = {hole.inside, *hole.remote, hole.transport};
        expectation.nat = *hole.remote;
        expectation.direction = hole.inside_sends;
    } else {
        const bool ipv6 = hole.outside.address.family() == Family::ipv6;
        const auto anybody = ipv6 ? *IpAddress::parse("::") : IpAddress{};
        expectation.match = {{hole.from.value_or(anybody), Port{0}}, hole.outside, hole.transport};
        expectation.nat = hole.inside;
        expectation.direction = opposite(hole.inside_sends);
    }
    return expectation;
}

std::string remote_text(const Hole& hole) {
    if (hole.remote) return hole.remote->text();
    if (!hole.from) return "any";
    const bool ipv6 = hole.from->family() == Family::ipv6;
    return (ipv6 ? "[" + hole.from->text() + "]" : hole.from->text()) + ":any";
}

std::string apply_edits(std::string_view text, const std::vector<Edit>& edits) {
    std::string result;
    result.reserve(text.size() + 64);
    std::size_t done = 0;
    for (const auto& edit : edits) {
        if (edit.span.offset < done || edit.span.end() > text.size()) std::abort();
        result.append(text.substr(done, edit.span.offset - done));
        result.append(edit.replacement);
        done = edit.span.end();
    }
    result.append(text.substr(done));
    return result;
}

}  // namespace sipnat
