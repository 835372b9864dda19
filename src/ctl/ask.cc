#include "ctl/ask.h"

#include <iostream>
#include <optional>
#include <string>
#include <string_view>

#include "sipnat/control/registrations.h"
#include "sipnat/control/socket.h"
#include "sipnat/control/status.h"

namespace sipnat::ctl {

namespace {

const char* name_of(Question question) {
    return question == Question::status ? "status" : "registrations";
}

template <class Parsed>
std::optional<std::string> text_of(const std::optional<Parsed>& parsed) {
    return parsed ? std::optional(control::to_text(*parsed)) : std::nullopt;
}

/// For people; nothing when it can't be read.
std::optional<std::string> text_of(Question question, std::string_view reply) {
    return question == Question::status ? text_of(control::parse_status(reply))
                                        : text_of(control::parse_registrations(reply));
}

}  // namespace

Exit ask(const AskOptions& options) {
    const auto reply = control::ask(options.socket, name_of(options.question));
    if (!reply) {
        std::cerr << reply.error().text() << "\n";
        return Exit::refused;
    }
    if (options.output == Output::json) {
        std::cout << *reply << "\n";
        return Exit::good;
    }
    const auto text = text_of(options.question, *reply);
    if (!text) {
        std::cerr << "sipnatd's answer can't be read: is it another version?\n";
        return Exit::refused;
    }
    std::cout << *text;
    return Exit::good;
}

}  // namespace sipnat::ctl
