// Messages that change in each of the ways that stream_lab knows, and a connection to say them over.
//
//     Connected lab;
//     lab.say(kThere, invite());          one segment
//     EXPECT_EQ(lab.heard(kThere), edited(invite()));
#pragma once

#include <cstdint>
#include <string>

#include "stream_lab.h"

namespace sipnat::stream_lab {

inline constexpr auto kThere = FlowDirection::original;
inline constexpr auto kBack = FlowDirection::reply;

/// Grows by 8.
inline std::string invite(const std::string& body = "c=10.0.0.2\r\n") {
    return "INVITE sip:bob@example.com SIP/2.0\r\nContact: <sip:alice@10.0.0.2>\r\n"
           "Content-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}
/// Shrinks by 5.
inline std::string ok() {
    return "SIP/2.0 200 OK\r\nContact: <sip:bob@198.51.100.20>\r\nContent-Length: 0\r\n\r\n";
}
/// As long afterwards.
inline std::string options() {
    return "OPTIONS sip:inside@example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n";
}
/// Not edited.
inline std::string info() {
    return "INFO sip:bob@example.com SIP/2.0\r\nContent-Length: 5\r\n\r\nhello";
}

inline std::int64_t length(const std::string& text) {
    return std::ssize(text);
}

struct Connected : Lab {
    Connected() { connect(); }
    Connected(SequenceNumber first, SequenceNumber second) : Lab(first, second) { connect(); }

    /// Says it, in one segment.
    void say(FlowDirection direction, const std::string& text, Fate fate = Fate::arrives) {
        auto& says = from(direction).says;
        const auto begin = length(says);
        says += text;
        send(direction, begin, length(says), fate);
    }
};

}  // namespace sipnat::stream_lab
