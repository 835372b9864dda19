// The messages of the benchmarks: plain ones, as phones and servers write them.
#pragma once

#include <string>
#include <string_view>

namespace sipnat {

/// What a side calls itself and the other.
struct Names {
    std::string host = "192.168.77.2:5060";  ///< in Contact, and in the Via of its request
    std::string media = "192.168.77.2";
    int port = 10000;
    std::string user = "alice";  ///< in From
    std::string peer = "bob";    ///< in To
};

/// What not every message has.
struct Further {
    int cseq = 1;
    std::string_view to_tag = {};  ///< ";tag=…"; of requests
    std::string_view more = {};    ///< whole lines, ended by \n
    std::string body = {};
};

/// An offer or answer of one audio stream, the `version`th of its side.
[[nodiscard]] std::string session(const Names& names, int version = 0);
[[nodiscard]] std::string request(std::string_view method, const std::string& call,
                                  const Names& names, const Further& further = {});
/// A 200 to it. `names` is what stands in the request by the time that it arrives (host), and what the
/// answering side receives media at.
[[nodiscard]] std::string answer(std::string_view method, const std::string& call,
                                 const Names& names, const Further& further = {});

}  // namespace sipnat
