// Messages whose headers are of interest: a line or two written out, the rest ordinary.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lab.h"

namespace sipnat {

/// A request that differs from an ordinary one in the lines of interest.
inline std::string request(std::string_view method, std::string_view lines,
                           std::string_view uri = "sip:203.0.113.10") {
    const std::string name(method);
    auto head = name + " " + std::string(uri) + " SIP/2.0\n" + std::string(lines);
    const auto add = [&](std::string_view header, const std::string& line) {
        if (("\n" + std::string(lines)).find("\n" + std::string(header)) == std::string::npos)
            head += line + "\n";
    };
    add("Via:", "Via: SIP/2.0/UDP 198.51.100.99:5060;branch=z9hG4bK1");
    add("From:", "From: <sip:x@example.com>;tag=1");
    add("To:", "To: <sip:x@example.com>");
    add("Call-ID:", "Call-ID: 1@192.168.77.2");
    add("CSeq:", "CSeq: 1 " + name);
    return sip_text(head);
}

/// The answer that carries every header of a request without body as it came.
inline std::string echo(std::string_view request, std::string_view status = "200 OK") {
    return "SIP/2.0 " + std::string(status) +
           std::string(request.substr(std::min(request.find("\r\n"), request.size())));
}

/// "Contact: 192.168.77.2 -> 203.0.113.1:1024", each edit of a message.
inline std::vector<std::string> show_edits(const std::string& before, const Outcome& outcome) {
    std::vector<std::string> shown;
    for (const auto& edit : outcome.decision.edits) {
        shown.push_back(std::string(to_text(edit.place)) + ": " +
                        std::string(edit.span.in(before)) + " -> " + edit.replacement);
    }
    return shown;
}

struct LineCase {
    const char* what;
    std::string_view before;
    std::string_view after;
};

/// The header line of a request to the server, before and after the gateway; and the answer that
/// echoes it gives the sender its own text back.
inline void expect_outwards(const Line& line, const LineCase& header) {
    const auto& [what, before, after] = header;
    SCOPED_TRACE(what);
    const auto sent = request("OPTIONS", std::string(before) + "\n");
    const auto arrived = line.out(sent);
    EXPECT_EQ(arrived.text, request("OPTIONS", std::string(after) + "\n"));
    EXPECT_EQ(arrived.decision.reason, before == after ? Reason::unchanged : Reason::rewritten);
    EXPECT_EQ(arrived.decision.verdict, Verdict::accept);
    EXPECT_EQ(line.in(echo(arrived.text)).text, echo(sent));
}

/// The same towards the inside party.
inline void expect_inwards(const Line& line, const LineCase& header) {
    const auto& [what, before, after] = header;
    SCOPED_TRACE(what);
    const auto sent = request("OPTIONS", std::string(before) + "\n");
    const auto arrived = line.in(sent);
    EXPECT_EQ(arrived.text, request("OPTIONS", std::string(after) + "\n"));
    EXPECT_EQ(line.out(echo(arrived.text)).text, echo(sent));
}

}  // namespace sipnat
