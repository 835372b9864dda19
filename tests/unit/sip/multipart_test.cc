#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "exact.h"
#include "sipnat/sip/message.h"

namespace sipnat::sip {
namespace {

using List = std::vector<std::string>;

List parts_of(std::string_view content_type, std::string_view body, std::string_view more = "") {
    const ExactText text(
        "INVITE sip:h SIP/2.0\r\nv: x\r\nf: x\r\nt: x\r\ni: x\r\nCSeq: 1 INVITE\r\n" +
        std::string(content_type) + std::string(more) + "\r\n" + std::string(body));
    const auto message = Message::parse(text.view());
    EXPECT_TRUE(message) << message.error().text();
    List parts;
    for (const auto part : sdp_parts(*message))
        parts.emplace_back(part.in(text.view()));
    return parts;
}

constexpr std::string_view kMixed = "Content-Type: multipart/mixed;boundary=b\r\n";
constexpr std::string_view kSdpPart = "Content-Type: application/sdp\r\n\r\nv=0\r\n";

std::string multipart(std::initializer_list<std::string_view> parts,
                      std::string_view boundary = "b") {
    std::string body;
    for (const auto part : parts) {
        body += "--" + std::string(boundary) + "\r\n" + std::string(part) + "\r\n";
    }
    return body + "--" + std::string(boundary) + "--\r\n";
}

TEST(SdpParts, TheBodyItself) {
    for (const auto* type : {"Content-Type: application/sdp\r\n", "c:APPLICATION/Sdp;charset=x\r\n",
                             "c: application / sdp ; x=\"y\"\r\n"}) {
        EXPECT_EQ(parts_of(type, "v=0\r\n"), List{"v=0\r\n"}) << type;
    }
    for (const auto* type : {"", "c: application/sdpx\r\n", "c: application\r\n", "c: text/sdp\r\n",
                             "c: application/isup\r\n", "c:\r\n"}) {
        EXPECT_EQ(parts_of(type, "v=0\r\n"), List{}) << type;
    }
    EXPECT_EQ(parts_of("c: application/sdp\r\n", ""), List{});
}

TEST(SdpParts, EndWithContentLength) {
    EXPECT_EQ(parts_of("c: application/sdp\r\n", "v=0\r\nx=1", "l: 5\r\n"), List{"v=0\r\n"});
    EXPECT_EQ(parts_of(kMixed, multipart({kSdpPart, kSdpPart}), "l: 41\r\n"), List{"v=0"});
}

TEST(SdpParts, OfAMultipartAtAnyPlace) {
    EXPECT_EQ(parts_of(kMixed, multipart({kSdpPart})), List{"v=0\r\n"});
    EXPECT_EQ(parts_of(kMixed, "preamble --b\r\n" +
                                   multipart({"\r\nplain --b--", kSdpPart,
                                              "Content-Type: image/png\r\n\r\n\x01"}) +
                                   "epilogue\r\n--b\r\n" + std::string(kSdpPart)),
              List{"v=0\r\n"});
    EXPECT_EQ(parts_of(kMixed, multipart({"X: 1\r\ncontent-type:\r\n application/SDP\r\n\r\nv=1",
                                          "Content-Type: application/sdp\r\n\r\nv=2"})),
              (List{"v=1", "v=2"}));
}

TEST(SdpParts, BoundaryForms) {
    for (const auto* type : {"c: multipart/mixed; boundary=\"a b;c\"\r\n",
                             "c: multipart/mixed;x=y;\r\n BOUNDARY = \"a b;c\" ;z\r\n"}) {
        EXPECT_EQ(parts_of(type, multipart({kSdpPart}, "a b;c")), List{"v=0\r\n"}) << type;
    }
    const std::string longest(70, 'x');
    EXPECT_EQ(
        parts_of("c: multipart/mixed;boundary=" + longest + "\r\n", multipart({kSdpPart}, longest)),
        List{"v=0\r\n"});
    EXPECT_EQ(parts_of("c: multipart/mixed;boundary=" + longest + "x\r\n",
                       multipart({kSdpPart}, longest + "x")),
              List{});
    EXPECT_EQ(parts_of("c: multipart/mixed\r\n", multipart({kSdpPart})), List{});
    EXPECT_EQ(parts_of("c: multipart/mixed;boundary=\r\n", multipart({kSdpPart}, "")), List{});
    // What only begins like the boundary is text.
    EXPECT_EQ(parts_of(kMixed,
                       multipart({"Content-Type: application/sdp\r\n\r\nv=0\r\n--bc\r\n--b-\r\n"})),
              List{"v=0\r\n--bc\r\n--b-\r\n"});
}

TEST(SdpParts, BlanksBehindDelimitersAndLfAlone) {
    EXPECT_EQ(parts_of(kMixed, "--b \t\r\n" + std::string(kSdpPart) + "\r\n--b-- "),
              List{"v=0\r\n"});
    auto lf = "x\n" + multipart({kSdpPart, kSdpPart});
    std::erase(lf, '\r');
    EXPECT_EQ(parts_of(kMixed, lf), (List{"v=0\n", "v=0\n"}));
}

TEST(SdpParts, AnUnclosedLastPartEndsWithTheBody) {
    EXPECT_EQ(parts_of(kMixed, "--b\r\n" + std::string(kSdpPart)), List{"v=0\r\n"});
}

TEST(SdpParts, NothingInPartsThatAreNotPlainOrHaveNoEnd) {
    for (const auto* part :
         {"Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\nv=0",
          "Content-Type: application/sdp\r\ncontent-transfer-encoding: Quoted-Printable\r\n\r\nv",
          "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n\r\nv=0",
          "Content-Type: application/sdp\r\nContent-Type: text/plain\r\n\r\nv=0",
          "Content-Type: text/plain\r\nContent-Type: application/sdp\r\n\r\nv=0",
          "Content-Type: application/sdp", "Content-Type: application/sdp\r\n",
          "broken\r\nContent-Type: application/sdp\r\n\r\nv=0", ""}) {
        EXPECT_EQ(parts_of(kMixed, multipart({part})), List{}) << part;
    }
    EXPECT_EQ(parts_of(kMixed, multipart({"Content-Transfer-Encoding: binary\r\n" +
                                          std::string(kSdpPart)})),
              List{"v=0\r\n"});
    EXPECT_EQ(parts_of(kMixed, "--b--"), List{});
    EXPECT_EQ(parts_of(kMixed, "--b"), List{});
    EXPECT_EQ(parts_of(kMixed, "--b\r\n--b\r\n--b--\r\n"), List{});
}

TEST(SdpParts, NothingThatIsSignedOrEncrypted) {
    for (const auto* subtype : {"signed", "SIGNED", "encrypted"}) {
        EXPECT_EQ(parts_of("c: multipart/" + std::string(subtype) + ";boundary=b\r\n",
                           multipart({kSdpPart})),
                  List{});
    }
    const auto inner =
        "Content-Type: multipart/signed;boundary=s\r\n\r\n" + multipart({kSdpPart}, "s");
    EXPECT_EQ(parts_of(kMixed, multipart({inner, kSdpPart})), List{"v=0\r\n"});
}

/// SDP below `levels` multiparts, the outermost not wrapped in a header of its own.
std::string nested(std::size_t levels) {
    std::string part(kSdpPart);
    for (std::size_t level = levels; level > 0; --level) {
        const std::string boundary = "b" + (level == 1 ? "" : std::to_string(level));
        part = multipart({part}, boundary);
        if (level > 1) {
            part.insert(0, "Content-Type: multipart/alternative;boundary=" + boundary + "\r\n\r\n");
        }
    }
    return part;
}

TEST(SdpParts, NestsDownToItsLimit) {
    for (std::size_t levels = 1; levels <= kDeepestMultipart; ++levels) {
        EXPECT_EQ(parts_of(kMixed, nested(levels)), List{"v=0\r\n"}) << levels;
    }
    EXPECT_EQ(parts_of(kMixed, nested(kDeepestMultipart + 1)), List{});
}

TEST(SdpParts, AnOuterDelimiterEndsTheInnerOnesToo) {
    EXPECT_EQ(
        parts_of(kMixed, "--b\r\nContent-Type: multipart/mixed;boundary=i\r\n\r\n--i\r\n" +
                             std::string(kSdpPart) + "\r\n" + multipart({kSdpPart}) + "--i--\r\n"),
        (List{"v=0\r\n", "v=0\r\n"}));
}

TEST(SdpParts, AtMostAFew) {
    std::string body;
    for (std::size_t i = 0; i < kMostSdpParts + 3; ++i)
        body += "--b\r\n" + std::string(kSdpPart) + "\r\n";
    EXPECT_EQ(parts_of(kMixed, body).size(), kMostSdpParts);
}

TEST(SdpParts, HostileBodiesTakeLinearTime) {
    const std::string longest(70, 'x');
    const std::string almost = "\n--" + longest.substr(1);
    for (const std::string& unit :
         {std::string("\n"), std::string("--b\r\n"), std::string("--b\r\n\r\n"),
          std::string("\r\n--"), almost,
          std::string("--b\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n"),
          std::string("--b\r\nContent-Type: multipart/mixed;boundary=\"\r\n\r\n")}) {
        std::string body;
        while (body.size() < 64'000)
            body += unit;
        for (int i = 0; i < 20; ++i) {
            EXPECT_EQ(parts_of(kMixed, body), List{});
            EXPECT_EQ(parts_of("c: multipart/mixed;boundary=" + longest + "\r\n", body), List{});
        }
    }
}

}  // namespace
}  // namespace sipnat::sip
