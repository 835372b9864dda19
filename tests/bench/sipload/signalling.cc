#include "signalling.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string_view>
#include <thread>
#include <vector>

#include "latency.h"
#include "messages.h"
#include "udp.h"

namespace bench {
namespace {

using std::chrono::nanoseconds;

constexpr std::size_t kBatch = 32;
constexpr nanoseconds kTick{20'000'000};

/// The messages of a cycle in their order.
enum Step : std::size_t { kRequest, kAnswer, kAck, kBye, kByeAnswer, kSteps };

/// When each message of the latest cycles was sent.
class SentTimes {
  public:
    std::atomic<Stamp>* of(std::uint32_t serial, Step step) {
        return &times_[(serial % kCycles) * kSteps + step];
    }

  private:
    static constexpr std::size_t kCycles = 1 << 15;
    std::vector<std::atomic<Stamp>> times_ = std::vector<std::atomic<Stamp>>(kCycles * kSteps);
};

struct Tally {
    std::uint64_t received = 0;
    std::uint64_t wrong = 0;  ///< received, and not what it should be
    std::string wrong_one;    ///< the first of them
    Latencies latencies;

    void take(const Datagram& datagram, bool good, const std::atomic<Stamp>* departure) {
        ++received;
        if (!good && ++wrong == 1) wrong_one = datagram.text;
        const auto left = departure->load(std::memory_order_relaxed);
        if (datagram.at > left) latencies.add(nanoseconds(datagram.at - left));
    }
};

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

class PhoneTexts {
  public:
    explicit PhoneTexts(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i)
            texts_.push_back(phone_text(i));
    }
    [[nodiscard]] std::size_t index(std::uint32_t serial) const { return serial % texts_.size(); }
    [[nodiscard]] const std::string& text(std::uint32_t serial) const {
        return texts_[index(serial)];
    }

  private:
    std::vector<std::string> texts_;
};

/// The server: answers what comes, and looks whether it came as it should.
class Server {
  public:
    Server(const Place& place, const Workload& workload, const PhoneTexts& phones,
           const UdpSocket& socket, SentTimes& times, std::size_t batch)
        : workload_(workload),
          phones_(phones),
          socket_(socket),
          times_(times),
          sender_(socket, batch),
          rewrites_(place.rewrites && workload.names_addresses),
          contact_("<sip:bob@" + place.server + ":5060>"),
          connection_("c=IN IP4 " + place.gateway + "\r\n"),
          server_(place.server) {}

    void run(const std::stop_token& stop) {
        Receiver receiver(kBatch);
        while (!stop.stop_requested()) {
            if (!socket_.wait(kTick)) continue;
            for (const auto& datagram : receiver.receive(socket_))
                serve(datagram);
            sender_.flush();
        }
    }

    Tally tally;

  private:
    void serve(const Datagram& datagram) {
        const auto serial = serial_of(datagram.text);
        if (!serial) return;
        const bool is_ack = datagram.text.starts_with("ACK");
        const bool is_bye = datagram.text.starts_with("BYE");
        const auto& sent = is_ack ? *workload_.ack : is_bye ? *workload_.bye : workload_.request;
        tally.take(datagram, is_right(datagram.text, sent, *serial),
                   times_.of(*serial, is_ack   ? kAck
                                      : is_bye ? kBye
                                               : kRequest));
        if (is_ack) return;
        const bool is_invite = workload_.ack && !is_bye;
        answer_.clear();
        append_answer(answer_, datagram.text, contact_,
                      is_invite ? answer_session(server_, media_port(*serial)) : "");
        sender_.send(answer_, datagram.peer, 0, times_.of(*serial, is_bye ? kByeAnswer : kAnswer));
    }

    bool is_right(std::string_view text, const Template& sent, std::uint32_t serial) {
        if (rewrites_) {
            const bool session_is_right = !contains(text, "m=audio") || contains(text, connection_);
            return !contains(text, kInsidePrefix) && session_is_right;
        }
        expected_.resize(sent.size());
        sent.fill(expected_.data(), phones_.text(serial), serial);
        return text == expected_;
    }

    const Workload& workload_;
    const PhoneTexts& phones_;
    const UdpSocket& socket_;
    SentTimes& times_;
    Sender sender_;
    bool rewrites_;
    std::string contact_;
    std::string connection_;
    std::string server_;
    std::string answer_;
    std::string expected_;
};

/// The phones: begin cycles and go through with them.
class Phones {
  public:
    Phones(const Place& place, const Workload& workload, const PhoneTexts& phones,
           const UdpSocket& socket, SentTimes& times, const SignallingLoad& load)
        : workload_(workload),
          phones_(phones),
          socket_(socket),
          times_(times),
          sender_(socket, load.rate > 0 ? 1 : kBatch),
          server_{parse_address(place.server), kSipPort},
          patience_(nanoseconds(place.patience).count()),
          load_(load) {}

    /// Until all cycles are done or given up.
    void run() {
        begin_ = now();
        const auto last = begin_ + std::chrono::duration_cast<nanoseconds>(load_.duration).count();
        const bool paced = load_.rate > 0;
        Receiver receiver(kBatch);
        Stamp last_look = begin_;
        while (true) {
            const auto time = now();
            const bool more = next_ < load_.cycles && time < last;
            if (more) begin_due(time);
            sender_.flush();
            if (!more && waiting_ == 0) break;
            nanoseconds patience = kTick;
            if (paced && more) patience = std::min(patience, nanoseconds(due(next_) - now()));
            if (socket_.wait(patience)) {
                for (const auto& datagram : receiver.receive(socket_))
                    go_on(datagram);
            }
            if (time - last_look > nanoseconds(kTick).count()) {
                last_look = time;
                give_up(time);
            }
        }
        end_ = now();
    }

    [[nodiscard]] double seconds() const { return static_cast<double>(end_ - begin_) / 1e9; }
    [[nodiscard]] std::uint32_t begun() const { return next_; }

    Tally tally;

  private:
    enum class State : std::uint8_t { idle, requested, ending };
    struct Cycle {
        State state = State::idle;
        Stamp since = 0;
    };

    [[nodiscard]] Stamp due(std::uint32_t index) const {
        return begin_ + static_cast<Stamp>(static_cast<double>(index) / load_.rate * 1e9);
    }

    void begin_due(Stamp time) {
        while (next_ < load_.cycles &&
               (load_.rate > 0 ? due(next_) <= time : waiting_ < load_.window)) {
            cycles_.push_back({State::requested, time});
            ++waiting_;
            send(workload_.request, load_.first_serial + next_++, kRequest);
        }
    }

    void send(const Template& message, std::uint32_t serial, Step step) {
        text_.resize(message.size());
        message.fill(text_.data(), phones_.text(serial), serial);
        sender_.send(text_, server_, phone_address(phones_.index(serial)), times_.of(serial, step));
    }

    void go_on(const Datagram& datagram) {
        const auto serial = serial_of(datagram.text);
        if (!serial || *serial - load_.first_serial >= cycles_.size()) return;
        const bool is_bye = contains(datagram.text, "\r\nCSeq: 2 BYE\r\n");
        tally.take(datagram, is_right(datagram.text, *serial),
                   times_.of(*serial, is_bye ? kByeAnswer : kAnswer));
        auto& cycle = cycles_[*serial - load_.first_serial];
        if (cycle.state == State::requested && workload_.ack) {
            send(*workload_.ack, *serial, kAck);
            send(*workload_.bye, *serial, kBye);
            cycle.state = State::ending;
        } else if (cycle.state != State::idle && (is_bye || !workload_.ack)) {
            cycle.state = State::idle;
            --waiting_;
        }
    }

    bool is_right(std::string_view text, std::uint32_t serial) const {
        const auto via = text.find("\r\nVia: ");
        if (via == std::string_view::npos) return false;
        const auto& own = workload_.names_addresses ? phones_.text(serial) : workload_.own_via;
        return contains(text.substr(via + 2, text.find("\r\n", via + 2) - via), own);
    }

    void give_up(Stamp time) {
        while (oldest_ < cycles_.size() && (cycles_[oldest_].state == State::idle ||
                                            time - cycles_[oldest_].since > patience_)) {
            if (cycles_[oldest_].state != State::idle) --waiting_;
            cycles_[oldest_].state = State::idle;
            ++oldest_;
        }
    }

    const Workload& workload_;
    const PhoneTexts& phones_;
    const UdpSocket& socket_;
    SentTimes& times_;
    Sender sender_;
    Endpoint server_;
    Stamp patience_;
    const SignallingLoad& load_;
    std::vector<Cycle> cycles_;
    std::uint32_t next_ = 0;
    std::size_t oldest_ = 0;
    std::size_t waiting_ = 0;
    Stamp begin_ = 0;
    Stamp end_ = 0;
    std::string text_;
};

struct Sockets {
    UdpSocket inside;
    UdpSocket outside;
};

nlohmann::json run_once(const Place& place, const SignallingLoad& load, const Sockets& sockets) {
    const auto messages = workload(load.workload, place.server);
    const PhoneTexts texts(place.phones);
    SentTimes times;
    Server server(place, messages, texts, sockets.outside, times, load.rate > 0 ? 1 : kBatch);
    Phones phones(place, messages, texts, sockets.inside, times, load);
    const auto before = CpuTimes::sample(place.accounts);
    std::jthread serving([&](const std::stop_token& stop) { server.run(stop); });
    phones.run();
    const auto cpu = CpuTimes::sample(place.accounts).since(before);
    // An ACK may still be on its way.
    std::this_thread::sleep_for(std::min(place.patience, std::chrono::milliseconds(200)));
    serving.request_stop();
    serving.join();

    const std::uint64_t expected = std::uint64_t{phones.begun()} * messages.messages();
    const auto received = phones.tally.received + server.tally.received;
    auto wrong_one =
        server.tally.wrong_one.empty() ? phones.tally.wrong_one : server.tally.wrong_one;
    server.tally.latencies.merge(phones.tally.latencies);
    return {{"workload", load.workload},
            {"request_bytes", messages.request.size()},
            {"cycles", phones.begun()},
            {"messages_per_cycle", messages.messages()},
            {"messages", received},
            {"lost", expected - std::min(expected, received)},
            {"wrong", phones.tally.wrong + server.tally.wrong},
            {"wrong_one", wrong_one},
            {"seconds", phones.seconds()},
            {"rate", load.rate},
            {"cpu", cpu.to_json()},
            {"latency", server.tally.latencies.to_json()}};
}

}  // namespace

nlohmann::json run_signalling(const Place& place, const SignallingLoad& load) {
    const Sockets sockets{UdpSocket(place.inside, {0, kSipPort}),
                          UdpSocket(place.outside, {parse_address(place.server), kSipPort})};
    // So that every phone has its flow, as phones have.
    SignallingLoad warm_up;
    warm_up.workload = "register";
    warm_up.cycles = static_cast<std::uint32_t>(place.phones);
    warm_up.duration = std::chrono::seconds(60);
    warm_up.window = 64;
    const auto warm = run_once(place, warm_up, sockets);
    auto result = run_once(place, load, sockets);
    result["warm_up_lost"] = warm["lost"];
    return result;
}

}  // namespace bench
