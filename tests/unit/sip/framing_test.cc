#include "sipnat/sip/framing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "exact.h"
#include "sipnat/sip/message.h"

namespace sipnat::sip {
namespace {

using Kind = Frame::Kind;

struct Case {
    std::string name;
    std::string stream;
    Kind kind;
    std::size_t length = 0;
};

const std::string kOptions = "OPTIONS sip:a@h SIP/2.0\r\n";

class FrameOf : public testing::TestWithParam<Case> {};

TEST_P(FrameOf, Beginning) {
    const ExactText stream(GetParam().stream);
    const auto frame = Framer().next(stream.view());
    EXPECT_EQ(frame.kind, GetParam().kind);
    EXPECT_EQ(frame.length, GetParam().length);
}

const std::string kLong(kLargestMessage, 'x');

INSTANTIATE_TEST_SUITE_P(
    Framing, FrameOf,
    testing::Values(
        Case{"Nothing", "", Kind::incomplete}, Case{"Ping", "\r\n\r\n", Kind::blank, 4},
        Case{"Pong", "\r\n", Kind::blank, 2}, Case{"HalfAPong", "\r", Kind::blank, 1},
        Case{"PingBeforeMessage", "\r\n\r\nOPT", Kind::blank, 4},
        Case{"FirstLetter", "O", Kind::incomplete}, Case{"StartLine", kOptions, Kind::incomplete},
        Case{"NoBody", kOptions + "l:0\r\n\r\n", Kind::message, 32},
        Case{"LineFeedsOnly", "OPTIONS sip:a@h SIP/2.0\nl:2\n\nab", Kind::message, 31},
        Case{"BodyComes", kOptions + "l:2\r\n\r\na", Kind::incomplete},
        Case{"Body", kOptions + "l:2\r\n\r\nab", Kind::message, 34},
        Case{"NextMessageBehind", kOptions + "l:2\r\n\r\nabOPTIONS", Kind::message, 34},
        // RFC 3261 18.3: a stream's message must have one; without it there is no body.
        Case{"NoLength", kOptions + "\r\nOPTIONS", Kind::message, 27},
        Case{"Response", "SIP/2.0 200 OK\r\nContent-Length: 1\r\n\r\nx", Kind::message, 38},
        Case{"LengthWithBlanks", kOptions + "content-LENGTH \t:\t 00002 \r\n\r\nab", Kind::message,
             56},
        Case{"FoldedHeader", kOptions + "X: a\r\n Content-Length: 9\r\nl:1\r\n\r\na", Kind::message,
             59},
        Case{"FoldedLength", kOptions + "l:\r\n 2\r\n\r\nab", Kind::message, 37},
        Case{"LengthInBody", kOptions + "l:4\r\n\r\nl:9\n", Kind::message, 36},
        Case{"LengthTwice", kOptions + "l:2\r\nl:2\r\n\r\nab", Kind::message, 39},
        Case{"TwoLengths", kOptions + "l:2\r\nl:3\r\n\r\nabc", Kind::broken},
        Case{"NoNumber", kOptions + "l: x\r\n\r\n", Kind::broken},
        Case{"Negative", kOptions + "l: -1\r\n\r\n", Kind::broken},
        Case{"Over32Bits", kOptions + "l: 4294967296\r\n\r\n", Kind::broken},
        Case{"NoHeader", kOptions + "nonsense\r\nl:1\r\n\r\nx", Kind::message, 43},
        Case{"TooLong", kOptions + "l: 65535\r\n\r\n", Kind::too_long, 37 + 65535},
        Case{"HeadersWithoutEnd", kOptions + kLong, Kind::broken},
        Case{"Http", "POST / HTTP/1.1\r\n", Kind::not_sip},
        Case{"HttpWithoutEnd", "POST / HTTP/1.1", Kind::incomplete},
        Case{"Tls", "\x16\x03\x01\x02", Kind::not_sip},
        Case{"Stun", std::string("\0\1\0\0!\x12", 6), Kind::not_sip},
        Case{"Ssh", "SSH-2.0-OpenSSH_9.2p1\r\n", Kind::not_sip},
        Case{"LineOfBlanks", " \r\n", Kind::not_sip}, Case{"LongLine", "A" + kLong, Kind::not_sip}),
    [](const auto& one) { return one.param.name; });

/// The messages of a stream that grows by so many bytes at a time.
std::vector<std::string> messages_of(std::string_view stream, std::size_t step) {
    std::vector<std::string> messages;
    Framer framer;
    for (std::size_t begin = 0, end = 0; begin < stream.size();) {
        const auto frame = framer.next(stream.substr(begin, end - begin));
        if (frame.kind == Kind::incomplete) {
            if (end == stream.size()) break;
            end = std::min(end + step, stream.size());
            continue;
        }
        if (frame.kind == Kind::message) messages.emplace_back(stream.substr(begin, frame.length));
        begin += frame.length;
    }
    return messages;
}

TEST(Framer, FindsTheSameMessagesHoweverTheBytesCome) {
    const auto first = kOptions + "l: 3\r\nX: y\r\n\r\nabc";
    const auto second = kOptions + "\r\n";
    const std::string third = "SIP/2.0 200 OK\r\nl:1\r\n\r\nx";
    const auto stream = "\r\n" + first + "\r\n\r\n" + second + third;
    for (std::size_t step = 1; step <= stream.size(); ++step)
        EXPECT_EQ(messages_of(stream, step), (std::vector{first, second, third})) << step;
}

}  // namespace
}  // namespace sipnat::sip
