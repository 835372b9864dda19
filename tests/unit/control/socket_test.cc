// Who asks, who answers, and what stands at the socket's path before.
#include "sipnat/control/socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "temp_dir.h"

namespace sipnat::control {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Server listen_at(const std::string& path) {
    auto server = Server::listen(path);
    if (!server) throw std::runtime_error(server.error().text());
    return *std::move(server);
}

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

/// A client that does by hand what ask() would not.
Descriptor connect_to(const std::string& path, int flags = 0) {
    const auto address = address_of(path);
    Descriptor client(socket(AF_UNIX, SOCK_STREAM | flags, 0));
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    if (connect(client.number(), generic, sizeof address) != 0) return Descriptor{};
    return client;
}

std::string read_all(const Descriptor& client) {
    std::string text;
    char byte = 0;
    while (recv(client.number(), &byte, 1, 0) == 1)
        text += byte;
    return text;
}

/// What requests one connection brought, when `client_bytes` are all it sends.
std::vector<std::string> requests_of(const std::string& client_bytes) {
    const TempDir folder;
    auto server = listen_at(folder.file("s"));
    const auto client = connect_to(folder.file("s"));
    EXPECT_EQ(send(client.number(), client_bytes.data(), client_bytes.size(), 0),
              static_cast<ssize_t>(client_bytes.size()));
    std::vector<std::string> requests;
    server.serve_one([&](std::string_view request) {
        requests.emplace_back(request);
        return "answer";
    });
    if (!requests.empty()) {
        EXPECT_EQ(read_all(client), "answer");
    }
    return requests;
}

TEST(ControlSocket, AnswersWhatItIsAsked) {
    const TempDir folder;
    auto server = listen_at(folder.file("s"));
    for (const std::string request : {"status", "", "calls --json"}) {
        std::thread daemon([&] {
            server.serve_one([](std::string_view asked) { return "<" + std::string(asked) + ">"; });
        });
        const auto reply = ask(folder.file("s"), request);
        daemon.join();
        ASSERT_TRUE(reply) << reply.error().text();
        EXPECT_EQ(*reply, "<" + request + ">");
    }
}

TEST(ControlSocket, CarriesALongAnswerWhole) {
    const TempDir folder;
    auto server = listen_at(folder.file("s"));
    const std::string long_answer(4'000'000, 'x');
    std::thread daemon([&] { server.serve_one([&](std::string_view) { return long_answer; }); });
    const auto reply = ask(folder.file("s"), "calls");
    daemon.join();
    ASSERT_TRUE(reply);
    EXPECT_EQ(*reply, long_answer);
}

TEST(ControlSocket, ARequestIsOneLineOrAllThatCame) {
    EXPECT_THAT(requests_of("status\n"), ElementsAre("status"));
    EXPECT_THAT(requests_of("status"), ElementsAre("status")) << "without its newline";
    EXPECT_THAT(requests_of("status\ncalls\n"), ElementsAre("status"));
    EXPECT_THAT(requests_of("\n"), ElementsAre(""));
    EXPECT_THAT(requests_of(std::string("a\0b\n", 4)), ElementsAre(std::string("a\0b", 3)));
}

TEST(ControlSocket, ALongRequestIsCut) {
    const auto requests = requests_of(std::string(10'000, 'x'));
    EXPECT_THAT(requests, ElementsAre(std::string(4096, 'x')));
}

TEST(ControlSocket, AClientThatSaysNothingIsLeftAlone) {
    const TempDir folder;
    auto server = listen_at(folder.file("s"));
    const auto silent = connect_to(folder.file("s"));
    bool asked = false;
    server.serve_one([&](std::string_view) {  // comes back
        asked = true;
        return "";
    });
    EXPECT_FALSE(asked);
    EXPECT_EQ(read_all(silent), "") << "and is hung up on";
}

TEST(ControlSocket, AClientThatWasHungUpOnAsksAgain) {
    const TempDir folder;
    const auto address = address_of(folder.file("s"));
    const Descriptor listening(socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(bind(listening.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    ASSERT_EQ(listen(listening.number(), 8), 0);
    std::thread daemon([&] {
        { const Descriptor unheard(accept(listening.number(), nullptr, nullptr)); }
        const Descriptor heard(accept(listening.number(), nullptr, nullptr));
        std::array<char, 16> request{};
        (void)recv(heard.number(), request.data(), request.size(), 0);
        (void)send(heard.number(), "answer", 6, 0);
    });
    const auto reply = ask(folder.file("s"), "status");
    daemon.join();
    ASSERT_TRUE(reply) << reply.error().text();
    EXPECT_EQ(*reply, "answer");
}

TEST(ControlSocket, AClientThatGoesAwayIsNoHarm) {
    const TempDir folder;
    auto server = listen_at(folder.file("s"));
    { const auto gone = connect_to(folder.file("s")); }
    server.serve_one([](std::string_view) -> std::string { throw std::logic_error("asked"); });
    {
        const auto gone = connect_to(folder.file("s"));
        ASSERT_EQ(send(gone.number(), "status\n", 7, 0), 7);
    }
    server.serve_one([](std::string_view) { return std::string(1'000'000, 'x'); });  // no SIGPIPE
}

TEST(ControlSocket, AClientThatReadsNothingIsLeftAlone) {
    const TempDir folder;
    auto server = listen_at(folder.file("s"));
    const auto client = connect_to(folder.file("s"));
    ASSERT_EQ(send(client.number(), "status\n", 7, 0), 7);
    server.serve_one([](std::string_view) { return std::string(10'000'000, 'x'); });  // comes back
    EXPECT_LT(read_all(client).size(), 10'000'000U);
}

// --- what is at the path ------------------------------------------------------------------------

TEST(ControlSocketPath, IsForRootAndItsGroup) {
    const TempDir folder;
    const auto server = listen_at(folder.file("s"));
    struct stat status {};
    ASSERT_EQ(stat(folder.file("s").c_str(), &status), 0);
    EXPECT_TRUE(S_ISSOCK(status.st_mode));
    EXPECT_EQ(status.st_mode & 0777U, 0660U);
}

TEST(ControlSocketPath, EndsWithItsServer) {
    const TempDir folder;
    {
        auto server = listen_at(folder.file("s"));
        const auto moved = std::move(server);
        { const auto moved_from = std::move(server); }  // NOLINT: on purpose
        EXPECT_TRUE(std::filesystem::exists(folder.file("s")));
    }
    EXPECT_FALSE(std::filesystem::exists(folder.file("s")));
}

TEST(ControlSocketPath, ASecondDaemonIsRefused) {
    const TempDir folder;
    auto server = listen_at(folder.file("s"));
    const auto second = Server::listen(folder.file("s"));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().text(),
              "open control socket " + folder.file("s") + ": another sipnatd answers there");
    EXPECT_EQ(second.error().code, EADDRINUSE);

    std::vector<std::string> requests;
    const auto answer = [&](std::string_view request) {
        requests.emplace_back(request);
        return "still here";
    };
    server.serve_one(answer);  // what the second one left behind when it looked
    EXPECT_THAT(requests, IsEmpty());
    std::thread daemon([&] { server.serve_one(answer); });
    EXPECT_EQ(ask(folder.file("s"), "status").value_or("nobody"), "still here");
    daemon.join();
}

TEST(ControlSocketPath, ADaemonThatIsTooBusyToAnswerIsThereAsWell) {
    const TempDir folder;
    const auto server = listen_at(folder.file("s"));
    std::vector<Descriptor> waiting;
    while (true) {
        auto client = connect_to(folder.file("s"), SOCK_NONBLOCK);
        if (client.number() < 0) break;  // the backlog is full
        waiting.push_back(std::move(client));
        ASSERT_LT(waiting.size(), 1000U);
    }
    const auto second = Server::listen(folder.file("s"));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EADDRINUSE);
}

TEST(ControlSocketPath, AStaleSocketIsReplaced) {
    const TempDir folder;
    {
        const Descriptor dead(socket(AF_UNIX, SOCK_STREAM, 0));
        const auto address = address_of(folder.file("s"));
        const auto* generic = reinterpret_cast<const sockaddr*>(&address);
        ASSERT_EQ(bind(dead.number(), generic, sizeof address), 0);
    }
    ASSERT_TRUE(std::filesystem::exists(folder.file("s")));
    const auto nobody = ask(folder.file("s"), "status");
    ASSERT_FALSE(nobody);
    EXPECT_EQ(nobody.error().code, ECONNREFUSED);

    auto server = listen_at(folder.file("s"));
    std::thread daemon([&] { server.serve_one([](std::string_view) { return "new"; }); });
    EXPECT_EQ(ask(folder.file("s"), "status").value_or("nobody"), "new");
    daemon.join();
}

TEST(ControlSocketPath, WhatIsNoSocketStays) {
    const TempDir folder;
    const auto file = folder.file("precious");
    std::ofstream(file) << "text";
    std::filesystem::create_symlink(file, folder.file("link"));
    for (const auto& path : {file, folder.file("link"), folder.path()}) {
        const auto server = Server::listen(path);
        ASSERT_FALSE(server) << path;
        EXPECT_EQ(server.error().text(),
                  "open control socket " + path + ": Address already in use");
    }
    EXPECT_EQ(std::filesystem::file_size(file), 4U);
    EXPECT_TRUE(std::filesystem::is_symlink(folder.file("link")));
}

TEST(ControlSocketPath, MayBe107BytesLong) {
    const TempDir folder;
    const auto longest = folder.file(std::string(106 - folder.path().size(), 'x'));
    ASSERT_EQ(longest.size(), 107U);
    auto server = listen_at(longest);
    std::thread daemon([&] { server.serve_one([](std::string_view) { return "here"; }); });
    EXPECT_EQ(ask(longest, "status").value_or("nobody"), "here");
    daemon.join();

    const auto over = Server::listen(longest + "x");
    ASSERT_FALSE(over);
    EXPECT_EQ(over.error().text(), "open control socket " + longest + "x: File name too long");
    const auto asked = ask(longest + "x", "status");
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().text(), "ask sipnatd at " + longest + "x: File name too long");
}

TEST(ControlSocketPath, InAFolderThatIsNotThere) {
    const TempDir folder;
    const auto server = Server::listen(folder.file("none/s"));
    ASSERT_FALSE(server);
    EXPECT_EQ(server.error().text(),
              "open control socket " + folder.file("none/s") + ": No such file or directory");
}

// --- asking -------------------------------------------------------------------------------------

TEST(Asking, WithoutADaemonSaysWhere) {
    const TempDir folder;
    const auto reply = ask(folder.file("s"), "status");
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().text(),
              "ask sipnatd at " + folder.file("s") + ": No such file or directory");
}

TEST(Asking, AnEmptyAnswerIsNone) {
    const TempDir folder;
    auto server = listen_at(folder.file("s"));
    std::thread daemon([&] { server.serve_one([](std::string_view) { return ""; }); });
    const auto reply = ask(folder.file("s"), "status");
    daemon.join();
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().text(), "ask sipnatd at " + folder.file("s") + ": it gave no answer");
}

TEST(Asking, GivesUpOnADaemonThatHangs) {
    const TempDir folder;
    const auto server = listen_at(folder.file("s"));
    const auto reply = ask(folder.file("s"), "status");  // comes back
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().text(),
              "ask sipnatd at " + folder.file("s") + ": it gave no answer in time");
}

}  // namespace
}  // namespace sipnat::control
