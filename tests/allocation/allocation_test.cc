// A message that leaves as it came does not ask the heap for anything.
//
// Asked for is what operator new is, in this program. Each message has a Call-ID and a branch of its own,
// in calls it comes again, as over UDP it does. What the engine remembers of it takes the place of what
// it forgets, so its tables are filled first. What it must not forget takes memory when it is new: a call,
// a session in it.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "core/lab.h"

namespace {
std::atomic<std::size_t> allocations{0};
}

// Inlined by halves they look mismatched to g++.
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace sipnat {
namespace {

/// More than any table of the engine holds.
constexpr int kFill = 35'000;
constexpr int kMeasured = 100;

const FlowTuples kFlow = tuples_of(
    NatView::of(endpoint("192.168.77.2:5060"), endpoint("203.0.113.1:1024"),
                endpoint("203.0.113.10:5060"), endpoint("203.0.113.10:5060"), Transport::udp));

/// Knows itself by a name that no gateway translates …
Talker named(int number) {
    auto phone = kAlice.with_call_id("a-call-with-a-long-name-" + std::to_string(number));
    phone.uri = "sip:alice.of.the.long.name@example.com";
    phone.peer_uri = phone.uri;
    phone.host = "phone-of-alice.example.com:5060";
    phone.target = "sip:registrar.example.com";
    return phone;
}

/// … or by the outside endpoint that it learnt from a STUN server.
Talker with_stun(int number) {
    auto phone = named(number);
    phone.host = "203.0.113.1:1024";
    return phone;
}

std::string stun_binding() {
    std::string request(20, '\0');
    request[1] = 1;
    request.replace(4, 4, "\x21\x12\xa4\x42");
    return request;
}

class Heap : public testing::Test {
  protected:
    Decision pass(const std::string& text, FlowDirection direction) {
        const Packet packet{kFlow, direction, FlowStanding::helped, text, gateway_};
        auto decision = engine_.handle(packet, Time{});
        while (decision.needs_kernel())
            decision = engine_.settle(packet, {}, Time{});
        return decision;
    }

    /// Of kMeasured messages, numbered from 0.
    template <class Make>
    std::size_t asked_by(const Make& make, FlowDirection direction, Reason reason) {
        std::size_t asked = 0;
        for (int number = 0; number < kMeasured; ++number) {
            const std::string text = make(number);
            const auto before = allocations.load();
            const auto decision = pass(text, direction);
            asked += allocations.load() - before;
            EXPECT_EQ(decision.reason, reason) << text;
        }
        return asked;
    }
    template <class Make>
    std::size_t asked_by_sent(const Make& make, Reason reason = Reason::unchanged) {
        return asked_by(make, FlowDirection::original, reason);
    }
    template <class Make>
    std::size_t asked_by_received(const Make& make) {
        return asked_by(make, FlowDirection::reply, Reason::unchanged);
    }

    void fill(Talker (*phone)(int), const std::string& method) {
        for (int number = -kFill; number < 0; ++number)
            (void)pass(phone(number).request(method, 1), FlowDirection::original);
    }

    GatewayEnd gateway_ = GatewayEnd::none;
    Engine engine_{Settings{}};
};

TEST_F(Heap, IsAskedByWhatIsEdited) {
    const auto request = [](int) { return kAlice.request("OPTIONS", 1); };
    EXPECT_GT(asked_by_sent(request, Reason::rewritten), 0U);
}

TEST_F(Heap, IsNotAskedByWhatIsNoMessage) {
    for (const auto& text : {std::string("\r\n\r\n"), std::string("jaK"), stun_binding()}) {
        EXPECT_EQ(asked_by_sent([&](int) { return text; }, Reason::keepalive), 0U);
    }
    const std::string other = "GET / HTTP/1.1\r\nHost: a-name-of-some-length\r\n\r\n";
    EXPECT_EQ(asked_by_sent([&](int) { return other; }, Reason::not_sip), 0U);
}

TEST_F(Heap, IsNotAskedByRequestsAndAnswersOutOfCalls) {
    for (const auto phone : {named, with_stun}) {
        for (const std::string method : {"OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE"}) {
            fill(phone, method);
            const auto request = [&](int number) { return phone(number).request(method, 1); };
            // A binding takes memory when it is new.
            (void)pass(request(-1), FlowDirection::original);
            (void)pass(answer(request(-1), 200), FlowDirection::reply);
            EXPECT_EQ(asked_by_sent(request), 0U) << method;
            for (const int status : {100, 200, 401}) {
                const auto response = [&](int number) { return answer(request(number), status); };
                EXPECT_EQ(asked_by_received(response), 0U) << method << " " << status;
            }
        }
    }
}

TEST_F(Heap, IsNotAskedBySdpThatStaysAsItIs) {
    const auto phone = with_stun(0);
    const auto body = audio("203.0.113.1", 30000, "a=sendrecv\nm=video 30002 RTP/AVP 96\n");
    const auto peer = audio("203.0.113.20", 40000);
    const auto invite = phone.request("INVITE", 1, body);
    const auto in_dialog = phone.with_peer_tag("b");
    const auto again = in_dialog.request("INVITE", 2, body);
    for (const auto& text :
         {invite, answer(invite, 183, "b", peer), answer(invite, 200, "b", peer),
          in_dialog.request("ACK", 1, body), in_dialog.request("OPTIONS", 7, body), again,
          answer(again, 200, "b", peer), in_dialog.request("BYE", 3)}) {
        const auto direction =
            text.starts_with("SIP/2.0") ? FlowDirection::reply : FlowDirection::original;
        for (int i = 0; i < 3; ++i)
            ASSERT_EQ(pass(text, direction).reason, Reason::unchanged) << text;
        (void)engine_.take_changes();
        EXPECT_EQ(asked_by([&](int) { return text; }, direction, Reason::unchanged), 0U) << text;
    }
    EXPECT_EQ(engine_.calls(), 1U);
}

TEST_F(Heap, IsNotAskedByTheGatewaysOwnPbx) {
    gateway_ = GatewayEnd::sender;
    fill(named, "REGISTER");
    EXPECT_EQ(asked_by_sent([](int number) { return named(number).request("REGISTER", 1); }), 0U);
}

}  // namespace
}  // namespace sipnat
