#include "ctl/rewrite.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string_view>

#include "ctl/decision_print.h"
#include "sipnat/base/result.h"
#include "sipnat/core/engine.h"
#include "sipnat/sip/message.h"
#include "sipnat/sip/tag.h"
#include "sipnat/sip/uri.h"

namespace sipnat::ctl {

namespace {

using sip::HeaderKind;

constexpr Time kAnyTime{std::chrono::hours{1}};

Result<std::string> read_file(const std::string& name) {
    struct Close {
        void operator()(std::FILE* file) const {
            if (file != stdin) (void)std::fclose(file);
        }
    };
    const std::unique_ptr<std::FILE, Close> file(name == "-" ? stdin
                                                             : std::fopen(name.c_str(), "rb"));
    if (!file) return fail_errno("read", name, errno);
    // All of it, however long: what is no message is printed as it came.
    std::string text;
    std::array<char, 65536> buffer{};
    while (const auto length = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
        text.append(buffer.data(), length);
    }
    if (std::ferror(file.get()) != 0) return fail_errno("read", name, errno);
    return text;
}

std::optional<FlowDirection> direction_by_via(const sip::Message& message, const NatView& view) {
    const auto via = sip::parse_top_via(message.text(), message.find(HeaderKind::via)->value);
    if (!via || !via->sent_by.address) return std::nullopt;
    // The top Via is the sender's own in a request, the receiver's in a response.
    const auto& host = *via->sent_by.address;
    const auto is = [&](const Party& party) {
        return host == party.real.address || host == party.shown.address;
    };
    if (is(view.sender) == is(view.receiver)) return std::nullopt;
    return is(view.sender) == message.is_request() ? FlowDirection::original : FlowDirection::reply;
}

/// Which way an earlier message went, when `last` goes the original way.
FlowDirection direction_of(std::string_view earlier_text, std::string_view last_text,
                           const NatView& view) {
    const auto earlier = sip::Message::parse(earlier_text);
    const auto last = sip::Message::parse(last_text);
    if (!earlier || !last) return FlowDirection::original;
    const auto from = sip::tag_of(*earlier, HeaderKind::from);
    const bool same_kind = earlier->is_request() == last->is_request();
    const auto direction = [](bool same) {
        return same ? FlowDirection::original : FlowDirection::reply;
    };
    const bool same_call = earlier->value(HeaderKind::call_id) == last->value(HeaderKind::call_id);
    if (same_call && !from.empty()) {
        if (from == sip::tag_of(*last, HeaderKind::from)) return direction(same_kind);
        if (from == sip::tag_of(*last, HeaderKind::to)) return direction(!same_kind);
    }
    return direction_by_via(*earlier, view).value_or(FlowDirection::original);
}

/// Over TCP a message ends where its Content-Length says, and without one behind its headers (RFC 3261
/// 18.3).
std::string_view first_message(std::string_view text, Transport transport) {
    if (transport == Transport::udp) return text;
    const auto message = sip::Message::parse(text);
    if (!message) return text;
    const auto body = message->body();
    return text.substr(0, message->content_length() ? body.end() : body.offset);
}

Decision feed(Engine& engine, const Packet& packet) {
    auto decision = engine.handle(packet, kAnyTime);
    return decision.needs_kernel() ? engine.settle(packet, {}, kAnyTime) : decision;
}

bool is_refusal(Reason reason) {
    return reason != Reason::rewritten && reason != Reason::unchanged &&
           reason != Reason::keepalive;
}

std::string in_one_line(const Decision& decision) {
    const std::string reason(to_text(decision.reason));
    return decision.detail.empty() ? reason : reason + ": " + decision.detail;
}

}  // namespace

Exit rewrite(const RewriteOptions& options) {
    const auto message = read_file(options.file);
    if (!message) {
        std::cerr << message.error().text() << "\n";
        return Exit::usage;
    }
    Settings settings;
    settings.media_ports = options.media_ports;
    Engine engine(settings);
    const auto view = NatView::of(options.source, options.translated_source, options.destination,
                                  options.translated_destination, options.transport);
    Packet packet;
    packet.flow = tuples_of(view);
    for (const auto& name : options.after) {
        const auto earlier = read_file(name);
        if (!earlier) {
            std::cerr << earlier.error().text() << "\n";
            return Exit::usage;
        }
        packet.direction = direction_of(*earlier, *message, view);
        packet.payload = first_message(*earlier, options.transport);
        (void)feed(engine, packet);
    }
    packet.direction = FlowDirection::original;
    packet.payload = first_message(*message, options.transport);
    const auto decision = feed(engine, packet);

    if (options.output == Output::json) {
        std::cout << to_json(decision, *message) << "\n";
    } else {
        std::cout << apply_edits(*message, decision.edits);
    }
    if (options.output == Output::explain) {
        std::cerr << to_explanation(decision, *message);
        if (const auto rest = message->size() - packet.payload.size(); rest > 0) {
            std::cerr << rest << " bytes behind the message are not its own and stay\n";
        }
    }
    if (!is_refusal(decision.reason)) return Exit::good;
    std::cerr << in_one_line(decision) << "\n";
    return Exit::refused;
}

}  // namespace sipnat::ctl
