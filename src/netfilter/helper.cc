#include "sipnat/netfilter/helper.h"

#include <linux/netlink.h>

#include <cerrno>

#include "netfilter/helper_codec.h"
#include "netfilter/socket.h"

namespace sipnat::netfilter {
namespace {

// Where a restarted daemon finds what it knew of a TCP stream; the most that a flow has room for.
constexpr std::uint32_t kPrivateLength = 32;

std::string cause_of(int code) {
    switch (code) {
        case EINVAL:
            return "this kernel has no user-space helpers (nfnetlink_cthelper)";
        case EBUSY:
            return "registered already with other classes or private data; it stays as it is until "
                   "nfnetlink_cthelper is unloaded or the machine restarts";
        case EEXIST:
            return "another helper has this name";
        default:
            return errno_text(code);
    }
}

}  // namespace

Result<void> register_helpers(QueueNumber queue, std::optional<StreamQueueing> streams,
                              std::span<const HelperScope> scopes) {
    auto socket = Socket::open(NETLINK_NETFILTER);
    if (!socket) {
        return in_context("register helpers", std::move(socket.error()));
    }
    Buffer message;
    for (const HelperScope& scope : scopes) {
        for (const auto& [name, private_length] :
             {std::pair(kSignallingHelper, kPrivateLength), std::pair(kMediaHelper, 0U)}) {
            const auto sequence = socket->next_sequence();
            message.clear();
            HelperRegistration registration{name, scope, queue, private_length, false};
            if (name == kSignallingHelper && scope.transport == Transport::tcp) {
                registration.is_enabled.reset();
                if (streams) registration.is_enabled = *streams == StreamQueueing::on;
            }
            encode_register_helper(message, sequence, registration);
            if (const auto failed = socket->request(message, sequence)) {
                return fail("register helper",
                            std::string(name) + "/" + std::string(to_text(scope.transport)),
                            cause_of(failed.value()), failed.value());
            }
        }
    }
    return {};
}

}  // namespace sipnat::netfilter
