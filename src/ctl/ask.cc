#include "ctl/ask.h"

#include <iostream>
#include <optional>
#include <string>
#include <string_view>

#include "sipnat/control/calls.h"
#include "sipnat/control/media.h"
#include "sipnat/control/registrations.h"
#include "sipnat/control/reload.h"
#include "sipnat/control/socket.h"
#include "sipnat/control/stats.h"
#include "sipnat/control/status.h"

namespace sipnat::ctl {

namespace {

template <class Parsed>
std::optional<std::string> text_of(const std::optional<Parsed>& parsed) {
    return parsed ? std::optional(control::to_text(*parsed)) : std::nullopt;
}

/// For people; nothing when it can't be read.
std::optional<std::string> text_of(Question question, std::string_view reply) {
    switch (question) {
        case Question::status:
            return text_of(control::parse_status(reply));
        case Question::calls:
            return text_of(control::parse_calls(reply));
        case Question::registrations:
            return text_of(control::parse_registrations(reply));
        case Question::media:
            return text_of(control::parse_media(reply));
        case Question::stats:
            return text_of(control::parse_stats(reply));
        case Question::reload:
            break;
    }
    return text_of(control::parse_reloaded(reply));
}

bool has_failed(Question question, std::string_view reply) {
    if (question != Question::reload) return false;
    const auto reloaded = control::parse_reloaded(reply);
    return reloaded && !reloaded->faults.empty();
}

}  // namespace

Exit ask(const AskOptions& options) {
    const auto reply = control::ask(options.socket, to_text(options.question));
    if (!reply) {
        std::cerr << reply.error().text() << "\n";
        return Exit::refused;
    }
    const auto exit = has_failed(options.question, *reply) ? Exit::refused : Exit::good;
    if (options.output == Output::json) {
        std::cout << *reply << "\n";
        return exit;
    }
    const auto text = text_of(options.question, *reply);
    if (!text) {
        std::cerr << "sipnatd's answer can't be read: is it another version?\n";
        return Exit::refused;
    }
    std::cout << *text;
    return exit;
}

}  // namespace sipnat::ctl
