// Result: what a function gives back when a peer, the kernel or an operator can make it fail.
//
// An Error reads as one line for an admin: operation, object, cause.
//
//     return fail("create expectation", "any > 203.0.113.1:20000/udp", errno_text(EEXIST), EEXIST);
//     // "create expectation any > 203.0.113.1:20000/udp: File exists"
//
// Broken invariants are not errors: they abort.
#pragma once

#include <string>
#include <system_error>
#include <tl/expected.hpp>
#include <utility>

namespace sipnat {

struct Error {
    std::string operation;  ///< what was tried: "bind queue"
    std::string object;     ///< on what: "5060"; may be empty
    std::string cause;      ///< the kernel's or our own text
    int code = 0;           ///< errno, 0 where there is none

    [[nodiscard]] std::string text() const {
        return operation + (object.empty() ? "" : " " + object) + ": " + cause;
    }
};

template <class T>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline std::string errno_text(int code) {
    return std::generic_category().message(code);
}

[[nodiscard]] inline tl::unexpected<Error> fail(std::string operation, std::string object,
                                                std::string cause, int code = 0) {
    return tl::unexpected<Error>(
        Error{std::move(operation), std::move(object), std::move(cause), code});
}

[[nodiscard]] inline tl::unexpected<Error> fail_errno(std::string operation, std::string object,
                                                      int code) {
    return fail(std::move(operation), std::move(object), errno_text(code), code);
}

/// Puts what the caller was doing in front of what failed below it.
[[nodiscard]] inline tl::unexpected<Error> in_context(const std::string& doing, Error error) {
    error.operation = doing + ": " + error.operation;
    return tl::unexpected<Error>(std::move(error));
}

}  // namespace sipnat
