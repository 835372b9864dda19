#include "ctl/status.h"

#include <iostream>

#include "sipnat/control/socket.h"
#include "sipnat/control/status.h"

namespace sipnat::ctl {

Exit status(const StatusOptions& options) {
    const auto reply = control::ask(options.socket, "status");
    if (!reply) {
        std::cerr << reply.error().text() << "\n";
        return Exit::refused;
    }
    if (options.output == Output::json) {
        std::cout << *reply << "\n";
        return Exit::good;
    }
    const auto status = control::parse_status(*reply);
    if (!status) {
        std::cerr << "sipnatd's answer can't be read: is it another version?\n";
        return Exit::refused;
    }
    std::cout << control::to_text(*status);
    return Exit::good;
}

}  // namespace sipnat::ctl
