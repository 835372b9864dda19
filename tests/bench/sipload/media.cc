#include "media.h"

#include <sys/resource.h>

#include <array>
#include <atomic>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

#include "latency.h"
#include "messages.h"
#include "udp.h"

namespace bench {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFrame{20};
constexpr unsigned kSlots = 20;  // calls of one frame are spread over it
constexpr std::size_t kRtpHeader = 12;
constexpr std::size_t kPacket = kRtpHeader + 160;
constexpr std::uint16_t kServerMedia = 20000;

/// One end of one stream.
struct Leg {
    UdpSocket socket;
    Endpoint peer;       ///< where to send; port 0: not known yet
    bool exact = false;  ///< packets must come from there
};

/// One side of all calls.
class Side {
  public:
    std::vector<Leg> legs;
    std::atomic<std::uint64_t> sent{0};
    std::atomic<std::uint64_t> received{0};
    std::uint64_t wrong = 0;
    Latencies latencies;
    std::atomic<bool> measures{false};

    /// Sends one frame of every call each 20 ms until told to stop; takes what has come meanwhile.
    void run(const std::stop_token& stop) {
        auto next = std::chrono::steady_clock::now();
        while (true) {
            for (unsigned slot = 0; slot < kSlots; ++slot) {
                if (stop.stop_requested()) return;
                for (std::size_t i = slot; i < legs.size(); i += kSlots) {
                    take(legs[i]);
                    send(legs[i]);
                }
                next += kFrame / kSlots;
                std::this_thread::sleep_until(next);
            }
        }
    }

    void take(Leg& leg) {
        for (const auto& datagram : receiver_.receive(leg.socket)) {
            if (leg.peer.port == 0) leg.peer = datagram.peer;
            if (datagram.text.size() != kPacket || (leg.exact && datagram.peer != leg.peer)) {
                ++wrong;
                continue;
            }
            received.fetch_add(1, std::memory_order_relaxed);
            Stamp left = 0;
            std::memcpy(&left, datagram.text.data() + kRtpHeader, sizeof left);
            if (measures && datagram.at > left) {
                latencies.add(std::chrono::nanoseconds(datagram.at - left));
            }
        }
    }

    void send(const Leg& leg) {
        if (leg.peer.port == 0) return;
        std::array<char, kPacket> packet{};
        packet[0] = static_cast<char>(0x80);  // RTP version 2, payload type 0
        const auto time = now();
        std::memcpy(packet.data() + kRtpHeader, &time, sizeof time);
        const auto to = to_sockaddr(leg.peer);
        const auto count = sendto(leg.socket.fd(), packet.data(), packet.size(), 0,
                                  reinterpret_cast<const sockaddr*>(&to), sizeof to);
        if (count > 0) sent.fetch_add(1, std::memory_order_relaxed);
    }

  private:
    Receiver receiver_{8};
};

/// Sets calls up and ends them, one message at a time.
class CallSetup {
  public:
    explicit CallSetup(const Place& place)
        : place_(place),
          workload_(workload("invite", place.server)),
          inside_(place.inside, {0, kSipPort}),
          outside_(place.outside, {parse_address(place.server), kSipPort}),
          from_phone_(inside_, 1),
          from_server_(outside_, 1) {}

    struct Agreed {
        Endpoint phone_sends_to;   ///< of the answer, as it came to the phone
        Endpoint server_sends_to;  ///< of the offer, as it came to the server
    };

    Agreed set_up(std::size_t phone, std::uint32_t serial, std::uint16_t server_port) {
        const auto invite = ask(phone, serial, workload_.request);
        const auto ok = answer(serial, invite, answer_session(place_.server, server_port));
        ask(phone, serial, *workload_.ack);
        const auto offered = media_of(invite.text);
        const auto answered = media_of(ok);
        if (!offered || !answered) throw std::runtime_error("a message lost its session");
        if (place_.rewrites && offered->address != parse_address(place_.gateway)) {
            throw std::runtime_error("an INVITE came through unchanged:\n" + invite.text);
        }
        return {*answered, *offered};
    }

    void end(std::size_t phone, std::uint32_t serial) {
        (void)answer(serial, ask(phone, serial, *workload_.bye), "");
    }

  private:
    struct Arrived {
        std::string text;
        Endpoint peer;
    };

    Arrived ask(std::size_t phone, std::uint32_t serial, const Template& message) {
        std::string text(message.size(), 0);
        message.fill(text.data(), phone_text(phone), serial);
        from_phone_.send(text, {parse_address(place_.server), kSipPort}, phone_address(phone),
                         nullptr);
        return arrived(outside_, serial, text.substr(0, text.find(' ')));
    }

    std::string answer(std::uint32_t serial, const Arrived& request, std::string_view session) {
        std::string text;
        append_answer(text, request.text, "<sip:bob@" + place_.server + ":5060>", session);
        from_server_.send(text, request.peer, 0, nullptr);
        return arrived(inside_, serial, "SIP/2.0").text;
    }

    Arrived arrived(const UdpSocket& socket, std::uint32_t serial, const std::string& start) {
        while (socket.wait(place_.patience)) {
            for (const auto& datagram : receiver_.receive(socket)) {
                if (serial_of(datagram.text) == serial && datagram.text.starts_with(start)) {
                    return {std::string(datagram.text), datagram.peer};
                }
            }
        }
        throw std::runtime_error("no " + start + " of call " + std::to_string(serial) + " arrived");
    }

    const Place& place_;
    Workload workload_;
    UdpSocket inside_;
    UdpSocket outside_;
    Sender from_phone_;
    Sender from_server_;
    Receiver receiver_{1};
};

void allow_sockets(unsigned count) {
    const rlimit limit{count, count};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) throw std::runtime_error("too few open files");
}

/// Sends until the other side has one.
void send_first(Side& from, Side& to, std::size_t call, milliseconds patience) {
    const auto before = to.received.load();
    for (milliseconds waited{0}; waited < patience; waited += kFrame) {
        from.send(from.legs[call]);
        if (to.legs[call].socket.wait(kFrame)) to.take(to.legs[call]);
        if (to.received > before) return;
    }
    throw std::runtime_error("no sound in call " + std::to_string(call));
}

}  // namespace

nlohmann::json run_media(const Place& place, const MediaLoad& load) {
    allow_sockets(4 * load.calls + 64);
    CallSetup setup(place);
    Side phones;
    Side server;
    const auto serial_of_call = [&](std::size_t i) {
        return load.first_serial + static_cast<std::uint32_t>(i);
    };
    for (std::size_t i = 0; i < load.calls; ++i) {
        const auto port = static_cast<std::uint16_t>(kServerMedia + 2 * i);
        phones.legs.push_back(
            {UdpSocket(place.inside, {phone_address(i), media_port(serial_of_call(i))}), {}, true});
        server.legs.push_back(
            {UdpSocket(place.outside, {parse_address(place.server), port}), {}, place.rewrites});
        const auto agreed = setup.set_up(i, serial_of_call(i), port);
        phones.legs[i].peer = agreed.phone_sends_to;
        if (place.rewrites) server.legs[i].peer = agreed.server_sends_to;
        send_first(phones, server, i, place.patience);
        send_first(server, phones, i, place.patience);
    }
    const auto packets = [&] { return phones.received + server.received; };

    std::jthread phones_run([&](const std::stop_token& stop) { phones.run(stop); });
    std::jthread server_run([&](const std::stop_token& stop) { server.run(stop); });
    std::this_thread::sleep_for(10 * kFrame);
    phones.measures = server.measures = true;
    const auto packets_before = packets();
    const auto begin = now();
    const auto before = CpuTimes::sample(place.accounts);
    std::this_thread::sleep_for(load.duration);
    const auto cpu = CpuTimes::sample(place.accounts).since(before);
    const auto seconds = static_cast<double>(now() - begin) / 1e9;
    const auto moved = packets() - packets_before;
    phones_run.request_stop();
    server_run.request_stop();
    phones_run.join();
    server_run.join();
    std::this_thread::sleep_for(10 * kFrame);
    for (auto* side : {&phones, &server}) {
        for (auto& leg : side->legs)
            side->take(leg);
    }
    for (std::size_t i = 0; i < load.calls; ++i)
        setup.end(i, serial_of_call(i));

    const std::uint64_t sent = phones.sent + server.sent;
    phones.latencies.merge(server.latencies);
    return {{"calls", load.calls},
            {"packets", moved},
            {"seconds", seconds},
            {"sent", sent},
            {"lost", sent - packets() - phones.wrong - server.wrong},
            {"wrong", phones.wrong + server.wrong},
            {"cpu", cpu.to_json()},
            {"latency", phones.latencies.to_json()}};
}

}  // namespace bench
