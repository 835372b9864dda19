// The control socket: sipnatctl asks, sipnatd answers.
//
//     sipnatctl ── "status\n" ──► sipnatd
//     sipnatctl ◄── one JSON document, end of stream ── sipnatd
//
// A unix stream socket that root and its group may open. One request a connection.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "sipnat/base/result.h"

namespace sipnat::control {

class Descriptor {
  public:
    explicit Descriptor(int number = -1) : number_(number) {}
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept;
    Descriptor& operator=(Descriptor&& other) noexcept;
    [[nodiscard]] int number() const { return number_; }

  private:
    int number_;
};

/// Turns a request into its answer.
using Answer = std::function<std::string(std::string_view request)>;

class Server {
  public:
    /// Binds `path` (mode 0660), in the place of a socket that nobody listens on any more. Code
    /// EADDRINUSE: another sipnatd answers there.
    [[nodiscard]] static Result<Server> listen(const std::string& path);
    ~Server();
    Server(Server&&) noexcept = default;
    Server& operator=(Server&&) noexcept = default;

    /// For poll: readable when somebody asks.
    [[nodiscard]] int fd() const { return descriptor_.number(); }
    /// Answers one connection. A client that sends or reads nothing for a quarter of a second is
    /// left alone.
    void serve_one(const Answer& answer);

  private:
    Server(Descriptor descriptor, std::string path);
    Descriptor descriptor_;
    std::string path_;  ///< empty when moved from
};

/// Asks the daemon. Waits for its answer for at most 5 s.
[[nodiscard]] Result<std::string> ask(const std::string& path, std::string_view request);

}  // namespace sipnat::control
