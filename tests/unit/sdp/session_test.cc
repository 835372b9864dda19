#include "sipnat/sdp/session.h"

#include <gtest/gtest.h>

#include <string>

#include "exact.h"

namespace sipnat::sdp {
namespace {

using namespace std::string_view_literals;

/// A body kept beside its index, so that spans can be read.
struct Sdp {
    explicit Sdp(std::string_view body) : text(body), session(parse(text.view(), text.span())) {}
    std::string show(Span span) const { return std::string(span.in(text.view())); }
    std::string show(const std::optional<Connection>& connection) const {
        if (!connection) return "none";
        return show(connection->address) + (connection->parsed ? " address" : " no address");
    }
    std::string error() const { return session ? "" : session.error().text(); }

    ExactText text;
    Result<Session> session;
};

TEST(Session, FindsItsParts) {
    const std::string before = "INVITE …\r\n\r\n";
    const std::string body =
        "v=0\r\n"
        "o=- 1 1 IN IP4 192.168.77.2\r\n"
        "s=-\r\n"
        "c=IN IP4 192.168.77.3\r\n"
        "t=0 0\r\n"
        "a=sendonly\r\n"
        "m=audio 4000/2 RTP/AVP 0 8\r\n"
        "c=IN IP4 192.168.77.4\r\n"
        "a=rtcp:4009 IN IP4 192.168.77.5\r\n"
        "m=video 4010 RTP/SAVPF 99\r\n"
        "a=rtcp-mux\r\n"
        "a=recvonly\r\n"
        "m=image 0 udptl t38\r\n";
    const ExactText text(before + body);
    const auto session = parse(text.view(), {static_cast<std::uint32_t>(before.size()),
                                             static_cast<std::uint32_t>(body.size())});
    ASSERT_TRUE(session) << session.error().text();
    EXPECT_EQ(session->origin->address.in(text.view()), "192.168.77.2");
    EXPECT_EQ(session->connection->address.in(text.view()), "192.168.77.3");
    ASSERT_EQ(session->media.size(), 3U);
    const auto& audio = session->media[0];
    EXPECT_EQ(audio.kind.in(text.view()), "audio");
    EXPECT_EQ(audio.port_text.in(text.view()), "4000");
    EXPECT_EQ(audio.port, Port{4000});
    EXPECT_EQ(audio.count, 2);
    EXPECT_EQ(audio.protocol.in(text.view()), "RTP/AVP");
    EXPECT_EQ(audio.direction, Direction::sendonly);
    EXPECT_EQ(audio.rtcp_port_text->in(text.view()), "4009");
    EXPECT_EQ(audio.rtcp_port, Port{4009});
    EXPECT_EQ(audio.rtcp_connection->parsed->text(), "192.168.77.5");
    EXPECT_FALSE(audio.rtcp_mux);
    const auto& video = session->media[1];
    EXPECT_TRUE(video.rtcp_mux);
    EXPECT_FALSE(video.rtcp_mux_only);
    EXPECT_EQ(video.direction, Direction::recvonly);
    EXPECT_FALSE(video.rtcp_port_text);
    EXPECT_EQ(session->media[2].port, Port{0});
    EXPECT_EQ(session->media[2].count, 1);
    EXPECT_EQ(session->connection_of(0)->parsed->text(), "192.168.77.4");
    EXPECT_EQ(session->connection_of(1)->parsed->text(), "192.168.77.3");
}

TEST(Session, ConnectionOfAStreamMayBeAbsent) {
    const Sdp sdp("v=0\nm=audio 1 RTP/AVP 0\n");
    EXPECT_EQ(sdp.session->connection_of(0), nullptr);
}

TEST(Session, ReadsAnyOrderMissingLinesAndEitherLineEnd) {
    for (const auto body : {"v=0\nt=0 0\nc=IN IP4 10.0.0.1\nm=audio 9 X\n"sv,
                            "v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 9 X"sv,
                            "v=0\nm=audio 9 X\na=ptime:20\nb=AS:64\nc=IN IP4 10.0.0.1\ni=x\n"sv,
                            "v=0\r\ns=\r\nt=\r\nc=IN IP4 10.0.0.1\r\nm=audio 9 X\r\n\r\n\n"sv,
                            "v=0\nc=IN  IP4\t10.0.0.1 \nm=audio  9  X  \n"sv}) {
        const Sdp sdp(body);
        ASSERT_TRUE(sdp.session) << body << sdp.error();
        EXPECT_EQ(sdp.session->media.size(), 1U);
        EXPECT_EQ(sdp.session->connection_of(0)->parsed->text(), "10.0.0.1") << body;
    }
}

TEST(Session, ReadsConnections) {
    struct Case {
        std::string_view line, shown;
    };
    for (const auto& [line, shown] : {
             Case{"IN IP4 192.168.77.2", "192.168.77.2 address"},
             {"IN IP6 2001:db8::2", "2001:db8::2 address"},
             {"in ip4 0.0.0.0", "0.0.0.0 address"},
             {"IN IP6 ::", ":: address"},
             {"IN IP4 224.2.1.1/127/3", "224.2.1.1 address"},
             {"IN IP6 ff15::101/3", "ff15::101 address"},
             {"IN IP4 pc.example.com", "pc.example.com no address"},
             {"IN IP4 2001:db8::2", "2001:db8::2 no address"},
             {"IN IP6 192.168.77.2", "192.168.77.2 no address"},
             {"IN IP6 [2001:db8::2]", "[2001:db8::2] no address"},
             {"IN IP4 192.168.77.256", "192.168.77.256 no address"},
             {"ATM NSAP 47.0091", "47.0091 no address"},
             {"IN IP4", " no address"},
             {"", " no address"},
             {"192.168.77.2", " no address"},
         }) {
        const Sdp sdp("v=0\nc=" + std::string(line) + "\n");
        ASSERT_TRUE(sdp.session) << line;
        EXPECT_EQ(sdp.show(sdp.session->connection), shown) << line;
    }
}

TEST(Session, AnUnreadableMediaConnectionHidesTheSessions) {
    const Sdp sdp("v=0\nc=IN IP4 10.0.0.1\nm=audio 9 X\nc=IN\n");
    EXPECT_FALSE(sdp.session->connection_of(0)->parsed);
}

TEST(Session, ReadsOrigins) {
    struct Case {
        std::string_view line, shown;
    };
    for (const auto& [line, shown] : {
             Case{"- 1 1 IN IP4 192.168.77.2", "192.168.77.2 address"},
             {"John Q. Public 1 1 IN IP4 192.168.77.2", "192.168.77.2 address"},
             {" 1 1 IN IP6 2001:db8::1", "2001:db8::1 address"},
             {"- 1 1 IN IP4 host", "host no address"},
             {"- 1 1", "none"},
             {"", "none"},
             {"- 1 1 IN IP4", "none"},
         }) {
        const Sdp sdp("v=0\no=" + std::string(line) + "\n");
        ASSERT_TRUE(sdp.session) << line;
        EXPECT_EQ(sdp.show(sdp.session->origin), shown) << line;
    }
}

TEST(Session, ReadsRtcpAttributes) {
    struct Case {
        std::string_view attribute, port, connection;
    };
    for (const auto& [attribute, port, connection] : {
             Case{"rtcp:4001", "4001", "none"},
             {"rtcp: 4001 ", "4001", "none"},
             {"rtcp:4001 IN IP4 10.0.0.1", "4001", "10.0.0.1 address"},
             {"rtcp:4001 IN IP6 2001:db8::1", "4001", "2001:db8::1 address"},
             {"rtcp:4001 IN IP4 h", "4001", "h no address"},
             {"rtcp:4001 IN", "4001", "none"},
             {"rtcp:65536", "none", "none"},
             {"rtcp:", "none", "none"},
             {"rtcp", "none", "none"},
             {"rtcp-fb:1 nack", "none", "none"},
             {"RTCP:4001", "none", "none"},
         }) {
        const Sdp sdp("v=0\nm=audio 4000 X\na=" + std::string(attribute) + "\n");
        ASSERT_TRUE(sdp.session) << attribute;
        const auto& media = sdp.session->media[0];
        EXPECT_EQ(media.rtcp_port_text ? sdp.show(*media.rtcp_port_text) : "none", port)
            << attribute;
        EXPECT_EQ(sdp.show(media.rtcp_connection), connection) << attribute;
    }
    const Sdp session_level("v=0\na=rtcp:1\nm=audio 4000 X\na=rtcp:2\n");
    EXPECT_EQ(session_level.session->media[0].rtcp_port, Port{2});
}

TEST(Session, ReadsMuxDirectionAndSetup) {
    const Sdp sdp(
        "v=0\na=inactive\na=setup:actpass\na=rtcp-mux\n"
        "m=audio 1 X\n"
        "m=audio 2 X\na=sendrecv \na=setup:active\na=rtcp-mux-only\n"
        "m=audio 3 X\na=sendonly:x\na=setup: holdconn\na=rtcp-mux\na=rtcp-mux-only\n"
        "m=audio 4 X\na=setup:passive\n"
        "m=audio 5 X\na=setup:whatever\n");
    ASSERT_TRUE(sdp.session) << sdp.error();
    const auto& media = sdp.session->media;
    EXPECT_EQ(sdp.session->direction, Direction::inactive);
    EXPECT_EQ(media[0].direction, Direction::inactive);
    EXPECT_EQ(media[0].setup, Setup::actpass);
    EXPECT_FALSE(media[0].rtcp_mux);
    EXPECT_EQ(media[1].direction, Direction::sendrecv);
    EXPECT_EQ(media[1].setup, Setup::active);
    EXPECT_TRUE(media[1].rtcp_mux_only);
    EXPECT_FALSE(media[1].rtcp_mux);
    EXPECT_EQ(media[2].direction, Direction::inactive);
    EXPECT_EQ(media[2].setup, Setup::holdconn);
    EXPECT_TRUE(media[2].rtcp_mux && media[2].rtcp_mux_only);
    EXPECT_EQ(media[3].setup, Setup::passive);
    EXPECT_EQ(media[4].setup, Setup::none);
}

TEST(Session, RefusesMediaLines) {
    for (const auto* line :
         {"", "audio", "audio 4000", "audio 65536 RTP/AVP 0", "audio 492170 RTP/AVP 0",
          "audio -1 RTP/AVP 0", "audio $ RTP/AVP 0", "audio 4000/ RTP/AVP 0",
          "audio 4000/0 RTP/AVP 0", "audio 4000/65536 RTP/AVP 0", "audio 4000/2/2 RTP/AVP 0",
          "audio /2 RTP/AVP 0", "audio 0x10 RTP/AVP 0", "audio 4000\r RTP/AVP 0"}) {
        const Sdp sdp("v=0\r\nt=0 0\r\nm=" + std::string(line) + "\r\n");
        EXPECT_EQ(sdp.error(), "read SDP line 3: m= line can't be read") << line;
    }
    EXPECT_EQ(Sdp("v=0\nm=audio 65535/65535 X").session->media[0].count, 65535);
}

TEST(Session, RefusesBodies) {
    struct Case {
        std::string_view body, error;
    };
    for (const auto& [body, error] : {
             Case{"", "line 1: not a type and '='"},
             {"\r\n", "line 1: not a type and '='"},
             {"s=-\r\nv=0\r\n", "line 1: not v="},
             {"v", "line 1: not a type and '='"},
             {"v=0\r\nhello\r\n", "line 2: not a type and '='"},
             {"v=0\r\n\r\ns=-\r\n", "line 2: not a type and '='"},
             {"v=0\r\n c=IN IP4 1.2.3.4\r\n", "line 2: not a type and '='"},
             {"v=0\r\nc =IN IP4 1.2.3.4\r\n", "line 2: not a type and '='"},
             {"v=0\r\ns=a\0b\r\n"sv, "line 2: NUL byte"},
             {"v=0\r\n\0"sv, "line 2: not a type and '='"},
             {"v=0\no=- 1 1 IN IP4 h\no=- 1 1 IN IP4 h\n", "line 3: second o= line"},
             {"v=0\no=x\no=x\n", "line 3: second o= line"},
             {"v=0\no=x\nm=audio 1 RTP/AVP 0\nv=0\n", "line 4: second v= line"},
             {"v=0\nc=IN IP4 1.2.3.4\nc=IN IP4 1.2.3.5\n",
              "line 3: second c= line with another address"},
             {"v=0\nc=IN IP4 a\nc=IN IP4 b\n", "line 3: second c= line with another address"},
             {"v=0\nc=IN IP4 1.2.3.4\nc=IN\n", "line 3: second c= line with another address"},
             {"v=0\nm=a 1 X\nc=IN IP4 1.2.3.4\nc=IN IP6 ::1\n",
              "line 4: second c= line with another address"},
             {"v=0\nm=a 1 X\nc=IN IP4 224.1.1.1\nc=IN IP4 1.2.3.4\n",
              "line 4: second c= line with another address"},
             {"v=0\nm=a 1 X\na=rtcp:5\na=rtcp:6\n",
              "line 4: second a=rtcp line with another address"},
             {"v=0\nm=a 1 X\na=rtcp:5\na=rtcp:5 IN IP4 1.2.3.4\n",
              "line 4: second a=rtcp line with another address"},
             {"v=0\nc=IN IP4 224.1.1.1\nc=IN IP4 224.1.1.2\n",
              "line 3: second c= line with another address"},
         }) {
        EXPECT_EQ(Sdp(body).error(), "read SDP " + std::string(error)) << body;
    }
}

TEST(Session, AcceptsSeveralConnectionsWhereTheySayTheSameOrAreLayers) {
    for (const auto* body :
         {"v=0\nc=IN IP4 1.2.3.4\nc=IN IP4 1.2.3.4\n",
          "v=0\nm=a 1/2 X\nc=IN IP4 224.1.1.1/127\nc=IN IP4 224.1.1.2/127\n",
          "v=0\nc=IN IP4 1.2.3.4\nm=a 1 X\nc=IN IP4 1.2.3.5\nm=b 1 X\nc=IN IP4 1.2.3.6\n"}) {
        EXPECT_EQ(Sdp(body).error(), "") << body;
    }
    EXPECT_EQ(Sdp("v=0\nc=IN IP6 ::1\nc=IN IP6 0::1\n").error(), "");
}

TEST(Session, EndsAtItsLimit) {
    std::string body = "v=0\n";
    for (std::size_t i = 0; i < kMostMedia; ++i)
        body += "m=audio 4000 RTP/AVP 0\n";
    EXPECT_EQ(Sdp(body).error(), "");
    EXPECT_EQ(Sdp(body + "m=audio 4000 RTP/AVP 0\n").error(),
              "read SDP line 66: too many m= lines");
}

TEST(Session, EachTruncationIsReadOrRefused) {
    const std::string whole =
        "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nc=IN IP4 1.2.3.4/1\r\nm=audio 4000/2 RTP/AVP 0\r\n"
        "a=rtcp:4001 IN IP4 1.2.3.4\r\na=setup:active\r\n";
    for (std::size_t length = 0; length < whole.size(); ++length)
        Sdp(whole.substr(0, length)).error();
}

TEST(Session, HostileBodiesTakeLinearTime) {
    for (const std::string_view unit :
         {"a=", "a=rtcp:", " ", "\n", "a=\n", "c=IN IP4 1.2.3.4\n", "/", ":"}) {
        std::string body = "v=0\nm=audio 4000 X\na=";
        while (body.size() < 64'000)
            body += unit;
        for (int i = 0; i < 20; ++i)
            Sdp(body + "\nx").error();
    }
}

}  // namespace
}  // namespace sipnat::sdp
