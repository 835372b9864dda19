// The engine with sanitizers behind a pipe: corpus_test.py sends messages and judges what comes out.
//
//     {"reset":true}                                           a new engine; no answer
//     {"src":…,"snat":…,"dst":…,"dnat":…,"back":false,"message":"HEX"}
//         endpoints as `sipnatctl rewrite` takes them; "back": in the flow's other direction
//     ← {"verdict":…,"reason":…,"detail":…,"message":"HEX","stricter":false}
//
// Every message lies in a heap block of exactly its size, and all media is granted.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "exact.h"
#include "sipnat/core/engine.h"

namespace {

using namespace sipnat;
using Json = nlohmann::json;

constexpr Time kNow{std::chrono::hours{1}};

std::string from_hex(const std::string& hex) {
    std::string bytes;
    for (std::size_t at = 0; at + 1 < hex.size(); at += 2)
        bytes += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
    return bytes;
}

std::string to_hex(std::string_view bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string hex;
    for (const char c : bytes) {
        hex += kDigits[static_cast<unsigned char>(c) >> 4U];
        hex += kDigits[static_cast<unsigned char>(c) & 0xfU];
    }
    return hex;
}

Json handle(Engine& engine, const Json& order) {
    const auto endpoint = [&](const char* name) {
        return Endpoint::parse(order.at(name).get<std::string>()).value();
    };
    const ExactText payload(from_hex(order.at("message").get<std::string>()));
    Packet packet;
    packet.flow = tuples_of(NatView::of(endpoint("src"), endpoint("snat"), endpoint("dst"),
                                        endpoint("dnat"), Transport::udp));
    const bool back = order.at("back").get<bool>();
    packet.direction = back ? FlowDirection::reply : FlowDirection::original;
    packet.payload = payload.view();
    const auto stricter = [&] {
        const auto& counters = engine.counters();
        return counters.stricter_message + counters.stricter_sdp;
    };
    const auto before = stricter();
    auto decision = engine.handle(packet, kNow);
    if (decision.needs_kernel()) decision = engine.settle(packet, {}, kNow);
    return {{"verdict", to_text(decision.verdict)},
            {"reason", to_text(decision.reason)},
            {"detail", decision.detail},
            {"message", to_hex(apply_edits(payload.view(), decision.edits))},
            {"stricter", stricter() != before}};
}

}  // namespace

int main() {
    Engine engine{Settings{}};
    for (std::string line; std::getline(std::cin, line);) {
        const auto order = Json::parse(line);
        if (order.contains("reset")) {
            engine = Engine{Settings{}};
            continue;
        }
        std::cout << handle(engine, order).dump(-1, ' ', false, Json::error_handler_t::replace)
                  << std::endl;
    }
    return 0;
}
