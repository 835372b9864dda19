// A mapping for an endpoint that an inside party names beside its packet's own, outside of calls.
//
//     REGISTER from 192.168.77.2:40000, Contact <sip:alice@192.168.77.2:5060>
//         mapping  192.168.77.2:5060 = 203.0.113.1:10000, for 203.0.113.10
//         until    32 s after the REGISTER; with its 2xx, as long as that grants
//
// Within calls such a mapping is the call's (Call::signalling).
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "sipnat/base/time.h"
#include "sipnat/core/media_table.h"

namespace sipnat {

struct LeaseName {
    IpAddress inside;
    IpAddress remote;
    std::string subject;  ///< a REGISTER's address of record; empty for all else
    MediaKey mapping;

    auto operator<=>(const LeaseName&) const = default;
};

struct Lease {
    LeaseName name;
    std::vector<HoleKey> holes;    ///< sorted; none once it has ended
    Time until{};                  ///< it ends then
    std::chrono::seconds asked{};  ///< by the REGISTER, which its 2xx need not repeat

    Time saved_until{};  ///< the end that was told to the state file last

    bool operator==(const Lease&) const = default;
};

}  // namespace sipnat
