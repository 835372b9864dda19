#include "sipnat/control/socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace sipnat::control {

namespace {

constexpr std::size_t kLongestRequest = 4096;
constexpr timeval kClientPatience{0, 250'000};
constexpr timeval kServerPatience{5, 0};
/// A client that a busy machine kept waiting for too long was hung up on, and not heard.
constexpr int kMostAttempts = 10;

std::optional<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) return std::nullopt;
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

const sockaddr* generic(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

Descriptor stream_socket() {
    return Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

void set_patience(int descriptor, timeval patience) {
    (void)setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

bool send_all(int descriptor, std::string_view text) {
    while (!text.empty()) {
        const auto sent = send(descriptor, text.data(), text.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

/// Anything but a refusal: a daemon with a full backlog is there as well.
bool somebody_listens(const sockaddr_un& address) {
    const auto probe = stream_socket();
    set_patience(probe.number(), kClientPatience);
    return connect(probe.number(), generic(address), sizeof address) == 0 || errno == EAGAIN;
}

bool is_socket(const std::string& path) {
    struct stat status {};
    return lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

}  // namespace

Descriptor::~Descriptor() {
    if (number_ >= 0) close(number_);
}
Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
}

Server::Server(Descriptor descriptor, std::string path)
    : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

Server::~Server() {
    if (descriptor_.number() >= 0) (void)unlink(path_.c_str());
}

Result<Server> Server::listen(const std::string& path) {
    constexpr const char* kOperation = "open control socket";
    const auto address = address_of(path);
    if (!address) return fail_errno(kOperation, path, ENAMETOOLONG);
    if (somebody_listens(*address)) {
        return fail(kOperation, path, "another sipnatd answers there", EADDRINUSE);
    }
    // Only a socket: a wrong setting must not cost a file. bind() refuses what else is there.
    if (is_socket(path) && unlink(path.c_str()) != 0) return fail_errno(kOperation, path, errno);

    auto descriptor = stream_socket();
    if (bind(descriptor.number(), generic(*address), sizeof *address) != 0 ||
        chmod(path.c_str(), S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP) != 0 ||
        ::listen(descriptor.number(), 8) != 0) {
        return fail_errno(kOperation, path, errno);
    }
    return Server(std::move(descriptor), path);
}

void Server::serve_one(const Answer& answer) {
    const Descriptor client(accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client.number() < 0) return;
    set_patience(client.number(), kClientPatience);
    std::array<char, kLongestRequest> buffer{};
    const auto length = recv(client.number(), buffer.data(), buffer.size(), 0);
    if (length <= 0) return;
    const std::string_view request(buffer.data(), static_cast<std::size_t>(length));
    (void)send_all(client.number(), answer(request.substr(0, request.find('\n'))));
}

namespace {

Result<std::string> ask_once(const std::string& path, std::string_view request) {
    constexpr const char* kOperation = "ask sipnatd at";
    const auto address = address_of(path);
    if (!address) return fail_errno(kOperation, path, ENAMETOOLONG);
    const auto server = stream_socket();
    set_patience(server.number(), kServerPatience);
    if (connect(server.number(), generic(*address), sizeof *address) != 0) {
        return fail_errno(kOperation, path, errno);
    }
    if (!send_all(server.number(), std::string(request) + "\n")) {
        return fail_errno(kOperation, path, errno);
    }
    std::string reply;
    std::array<char, 16384> buffer{};
    for (;;) {
        const auto length = recv(server.number(), buffer.data(), buffer.size(), 0);
        if (length == 0) break;
        if (length < 0 && errno == EAGAIN)
            return fail(kOperation, path, "it gave no answer in time", EAGAIN);
        if (length < 0) return fail_errno(kOperation, path, errno);
        reply.append(buffer.data(), static_cast<std::size_t>(length));
    }
    if (reply.empty()) return fail(kOperation, path, "it gave no answer");
    return reply;
}

}  // namespace

Result<std::string> ask(const std::string& path, std::string_view request) {
    auto reply = ask_once(path, request);
    for (int attempt = 1; attempt < kMostAttempts && !reply; ++attempt) {
        if (reply.error().code != EPIPE && reply.error().code != ECONNRESET) break;
        reply = ask_once(path, request);
    }
    return reply;
}

}  // namespace sipnat::control
