#include "sipnat/sip/message.h"

#include <gtest/gtest.h>

#include <string>

#include "exact.h"

namespace sipnat::sip {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

constexpr std::string_view kStart = "INVITE sip:bob@203.0.113.10 SIP/2.0\r\n";
constexpr std::string_view kMandatory =
    "Via: SIP/2.0/UDP 192.168.77.2;branch=z9hG4bKa\r\n"
    "From: <sip:a@h>;tag=1\r\n"
    "To: <sip:b@h>\r\n"
    "Call-ID: x@192.168.77.2\r\n"
    "CSeq: 1 INVITE\r\n";

std::string invite(std::string_view more_headers, std::string_view body = "") {
    return std::string(kStart) + std::string(kMandatory) + std::string(more_headers) + "\r\n" +
           std::string(body);
}

std::string error_of(std::string_view input) {
    const ExactText text(input);
    const auto message = Message::parse(text.view());
    return message ? "" : message.error().text();
}

TEST(Message, FindsItsParts) {
    const ExactText text(
        "INVITE sip:bob@203.0.113.10;x SIP/2.0\r\n"
        "v: SIP/2.0/UDP 192.168.77.2;branch=z9hG4bKa\r\n"
        "fRoM:<sip:a@h>;tag=1\r\n"
        "To \t:\t<sip:b@h> \t\r\n"
        "i: x@192.168.77.2\r\n"
        "CSeq: 0017\r\n"
        "  INVITE\r\n"
        "Contact: <sip:a@192.168.77.2>,\r\n"
        "\t<sip:b@192.168.77.2>\r\n"
        "Subject:\r\n"
        "m: <sip:c@192.168.77.2>\r\n"
        "l: 4\r\n"
        "\r\n"
        "v=0\nbehind the body");
    const auto message = Message::parse(text.view());
    ASSERT_TRUE(message) << message.error().text();
    EXPECT_TRUE(message->is_request());
    EXPECT_EQ(message->method(), Method::invite);
    EXPECT_EQ(message->request_uri().in(text.view()), "sip:bob@203.0.113.10;x");
    EXPECT_EQ(message->cseq().number, 17U);
    EXPECT_EQ(message->value(HeaderKind::from), "<sip:a@h>;tag=1");
    EXPECT_EQ(message->value(HeaderKind::to), "<sip:b@h>");
    EXPECT_EQ(message->value(HeaderKind::contact),
              "<sip:a@192.168.77.2>,\r\n\t<sip:b@192.168.77.2>");
    EXPECT_EQ(message->value(HeaderKind::route), "");
    EXPECT_EQ(message->find(HeaderKind::route), nullptr);
    ASSERT_EQ(message->headers().size(), 9U);
    EXPECT_EQ(message->headers()[6].kind, HeaderKind::other);
    EXPECT_TRUE(message->headers()[6].value.empty());
    EXPECT_EQ(message->headers()[7].kind, HeaderKind::contact);
    EXPECT_EQ(message->headers()[7].name.in(text.view()), "m");
    EXPECT_EQ(message->content_length(), 4U);
    EXPECT_EQ(message->body().in(text.view()), "v=0\n");
}

TEST(Message, WithoutContentLengthTheRestIsBody) {
    const ExactText text(invite("", "v=0\r\n"));
    const auto message = Message::parse(text.view());
    ASSERT_TRUE(message);
    EXPECT_FALSE(message->content_length());
    EXPECT_EQ(message->body().in(text.view()), "v=0\r\n");
}

TEST(Message, ReadsResponses) {
    struct Case {
        std::string_view line;
        int status;
    };
    for (const auto& [line, status] : {Case{"SIP/2.0 200 OK", 200},
                                       {"sip/2.0 100 ", 100},
                                       {"SIP/2.0 699", 699},
                                       {"SIP/2.0 486 \xc3\xa9 SIP/2.0", 486}}) {
        const ExactText text(std::string(line) + "\r\n" + std::string(kMandatory) + "\r\n");
        const auto message = Message::parse(text.view());
        ASSERT_TRUE(message) << line;
        EXPECT_FALSE(message->is_request());
        EXPECT_EQ(message->status(), status);
        EXPECT_EQ(message->method(), Method::invite);
    }
}

TEST(Message, KnowsMethodsCaseSensitively) {
    struct Case {
        std::string_view token;
        Method method;
    };
    for (const auto& [token, method] :
         {Case{"INVITE", Method::invite},
          {"ACK", Method::ack},
          {"BYE", Method::bye},
          {"CANCEL", Method::cancel},
          {"OPTIONS", Method::options},
          {"REGISTER", Method::reg},
          {"PRACK", Method::prack},
          {"UPDATE", Method::update},
          {"INFO", Method::info},
          {"SUBSCRIBE", Method::subscribe},
          {"NOTIFY", Method::notify},
          {"REFER", Method::refer},
          {"MESSAGE", Method::message},
          {"PUBLISH", Method::publish},
          {"invite", Method::other},
          {"!interesting-Method0123456789_*+`.%indeed'~", Method::other}}) {
        const ExactText text(std::string(token) +
                             " sip:h sip/2.0\nv: x\nf: x\nt: x\ni: x\nCSeq: 1 " +
                             std::string(token) + "\n\n");
        const auto message = Message::parse(text.view());
        ASSERT_TRUE(message) << token << message.error().text();
        EXPECT_EQ(message->method(), method);
    }
}

TEST(Message, KnowsHeaderNamesInAnyCase) {
    struct Case {
        std::string_view name;
        HeaderKind kind;
    };
    for (const auto& [name, kind] : {Case{"VIA", HeaderKind::via},
                                     {"V", HeaderKind::via},
                                     {"M", HeaderKind::contact},
                                     {"contact", HeaderKind::contact},
                                     {"L", HeaderKind::content_length},
                                     {"c", HeaderKind::content_type},
                                     {"content-type", HeaderKind::content_type},
                                     {"e", HeaderKind::content_encoding},
                                     {"Content-Encoding", HeaderKind::content_encoding},
                                     {"ROUTE", HeaderKind::route},
                                     {"Record-route", HeaderKind::record_route},
                                     {"path", HeaderKind::path},
                                     {"service-route", HeaderKind::service_route},
                                     {"r", HeaderKind::refer_to},
                                     {"Refer-To", HeaderKind::refer_to},
                                     {"b", HeaderKind::referred_by},
                                     {"Referred-By", HeaderKind::referred_by},
                                     {"reply-to", HeaderKind::reply_to},
                                     {"expires", HeaderKind::expires},
                                     {"session-expires", HeaderKind::session_expires},
                                     {"x", HeaderKind::session_expires},
                                     {"p-asserted-identity", HeaderKind::p_asserted_identity},
                                     {"P-Preferred-Identity", HeaderKind::p_preferred_identity},
                                     {"DIVERSION", HeaderKind::diversion},
                                     {"remote-party-id", HeaderKind::remote_party_id},
                                     {"Identity", HeaderKind::identity},
                                     {"y", HeaderKind::identity},
                                     {"Identity-Info", HeaderKind::other},
                                     {"authorization", HeaderKind::authorization},
                                     {"Proxy-Authorization", HeaderKind::proxy_authorization},
                                     {"Proxy-Authenticate", HeaderKind::other},
                                     {"Vi", HeaderKind::other},
                                     {"Viaa", HeaderKind::other},
                                     {"s", HeaderKind::other},
                                     {"k", HeaderKind::other},
                                     {"X-Contact", HeaderKind::other}}) {
        const ExactText text(invite(std::string(name) + ": 0\r\n"));
        const auto message = Message::parse(text.view());
        ASSERT_TRUE(message) << name;
        EXPECT_EQ(message->headers().back().kind, kind) << name;
    }
    EXPECT_EQ(to_text(HeaderKind::content_length), "Content-Length");
    EXPECT_EQ(to_text(HeaderKind::expires), "Expires");
    EXPECT_EQ(to_text(HeaderKind::other), "header");
}

TEST(Message, LinesMayEndInLfAloneAndEmptyOnesMayLead) {
    std::string lf = invite("Contact: <sip:a@h>,\r\n <sip:b@h>\r\n", "v=0\r\n");
    std::erase(lf, '\r');
    const ExactText text("\r\n\n\r\n" + lf);
    const auto message = Message::parse(text.view());
    ASSERT_TRUE(message) << message.error().text();
    EXPECT_EQ(message->value(HeaderKind::contact), "<sip:a@h>,\n <sip:b@h>");
    EXPECT_EQ(message->body().in(text.view()), "v=0\n");
}

TEST(Message, ABareCarriageReturnEndsNoLine) {
    const ExactText text(invite("Subject: a\rContact: <sip:x@10.0.0.1>\r\n"));
    const auto message = Message::parse(text.view());
    ASSERT_TRUE(message);
    EXPECT_EQ(message->find(HeaderKind::contact), nullptr);
    EXPECT_EQ(message->headers().back().value.in(text.view()), "a\rContact: <sip:x@10.0.0.1>");
}

TEST(Message, RefusesStartLines) {
    struct Case {
        std::string_view line, error;
    };
    for (const auto& [line, error] : {
             Case{"INVITE sip:b@h SIP/3.0", "not SIP/2.0"},
             {"INVITE sip:b@h HTTP/1.1", "not SIP/2.0"},
             {"INVITE sip:b@h SIP/2.0 ", "not SIP/2.0"},
             {"INVITE sip:b@h SIP/2.00", "not SIP/2.0"},
             {"INVITE  sip:b@h SIP/2.0", "white space in the Request-URI"},
             {"INVITE sip:b@h  SIP/2.0", "white space in the Request-URI"},
             {"INVITE sip:b@h; lr SIP/2.0", "white space in the Request-URI"},
             {"INVITE sip:b@h;\tlr SIP/2.0", "white space in the Request-URI"},
             {"INVITE sip:b@h\rx SIP/2.0", "white space in the Request-URI"},
             {"INVITE SIP/2.0", "not a method, a URI and a version"},
             {"INVITE  SIP/2.0", "not a method, a URI and a version"},
             {"INVITE", "not a method, a URI and a version"},
             {" INVITE sip:b@h SIP/2.0", "no method"},
             {"INV@TE sip:b@h SIP/2.0", "no method"},
             {"SIP/2.0 099 Low", "no status code"},
             {"SIP/2.0 700 High", "no status code"},
             {"SIP/2.0 2000 Long", "no status code"},
             {"SIP/2.0 4294967496 Longer", "no status code"},
             {"SIP/2.0 20", "no status code"},
             {"SIP/2.0 -20 OK", "no status code"},
             {"SIP/2.0  200 OK", "no status code"},
             {"SIP/2.0 ", "no status code"},
             {"SIP/7.0 200 OK", "not SIP/2.0"},
             {"SIP/2.0", "not a method, a URI and a version"},
         }) {
        EXPECT_EQ(error_of(std::string(line) + "\r\n" + std::string(kMandatory) + "\r\n"),
                  "read SIP message start line: " + std::string(error))
            << line;
    }
    for (const auto text : {""sv, "\r\n\r\n"sv, "INVITE sip:b@h SIP/2.0"sv, "\r"sv}) {
        EXPECT_EQ(error_of(text), "read SIP message start line: no line end");
    }
}

TEST(Message, RefusesHeaders) {
    struct Case {
        std::string_view headers, error;
    };
    for (const auto& [headers, error] : {
             Case{"No colon\r\n", "header 6: no name and colon"},
             {": no name\r\n", "header 6: no name and colon"},
             {"Two words: x\r\n", "header 6: no name and colon"},
             {"Folded\r\n : x\r\n", "header 6: no name and colon"},
             {"\r: x\r\n", "header 6: no name and colon"},
             {"Content-Length: x\r\n", "Content-Length: no 32-bit number"},
             {"Content-Length:\r\n", "Content-Length: no 32-bit number"},
             {"Content-Length: -1\r\n", "Content-Length: no 32-bit number"},
             {"Content-Length: +1\r\n", "Content-Length: no 32-bit number"},
             {"Content-Length: 0 0\r\n", "Content-Length: no 32-bit number"},
             {"Content-Length: 4294967296\r\n", "Content-Length: no 32-bit number"},
             {"Content-Length: 5\r\n", "Content-Length: more than there is"},
             {"Content-Length: 3\r\nl: 4\r\n", "Content-Length: two values"},
             {"Content-Length: 4\r\nl: x\r\n", "Content-Length: no 32-bit number"},
             {"Content-Type: a/b\r\nc: a/c\r\n", "Content-Type: two values"},
             {"t: <sip:c@h>\r\n", "To: more than one"},
             {"From: <sip:c@h>\r\n", "From: more than one"},
             {"i: y\r\n", "Call-ID: more than one"},
             {"CSeq: 1 INVITE\r\n", "CSeq: more than one"},
         }) {
        EXPECT_EQ(error_of(invite(headers, "v=0\n")), "read SIP message " + std::string(error))
            << headers;
    }
    EXPECT_EQ(error_of(invite("Content-Length: 4\r\nl: 004\r\n", "v=0\n")), "");
    EXPECT_EQ(error_of(invite("Content-Type: a/b\r\nc:a/b\r\n", "v=0\n")), "");
    EXPECT_EQ(error_of("BYE sip:h SIP/2.0\r\n fold first: x\r\n\r\n"),
              "read SIP message header 1: no name and colon");
}

TEST(Message, RefusesAMissingMandatoryHeader) {
    for (const auto* name : {"Via", "From", "To", "Call-ID", "CSeq"}) {
        auto text = invite("");
        text.replace(text.find("\n" + std::string(name) + ":") + 1, 1, "X");
        EXPECT_EQ(error_of(text), "read SIP message " + std::string(name) + ": missing");
    }
}

TEST(Message, RefusesCSeqs) {
    struct Case {
        std::string_view value, error;
    };
    for (const auto& [value, error] : {
             Case{"", "no 32-bit number"},
             {"INVITE", "no 32-bit number"},
             {"4294967296 INVITE", "no 32-bit number"},
             {"36893488147419103232 INVITE", "no 32-bit number"},
             {"-1 INVITE", "no 32-bit number"},
             {"1", "no method"},
             {"1 INVITE x", "no method"},
             {"1 invite", "another method than the request line"},
             {"1 ACK", "another method than the request line"},
         }) {
        auto text = invite("");
        text.replace(text.find("1 INVITE"), 8, value);
        EXPECT_EQ(error_of(text), "read SIP message CSeq: " + std::string(error)) << value;
    }
    // Both are Method::other, and yet not the same.
    auto text = invite("");
    text.replace(0, 6, "FOO");
    text.replace(text.find("1 INVITE"), 8, "1 BAR");
    EXPECT_EQ(error_of(text), "read SIP message CSeq: another method than the request line");
    text = invite("");
    text.replace(text.find("1 INVITE"), 8, "4294967295\tINVITE");
    EXPECT_EQ(error_of(text), "");
}

TEST(Message, RefusesNulInHeadersButNotInTheBody) {
    EXPECT_EQ(error_of(invite("Subject: a\0b\r\n"sv)), "read SIP message: NUL byte");
    EXPECT_EQ(error_of("INVITE sip:a\0b SIP/2.0\r\n"s + std::string(kMandatory) + "\r\n"),
              "read SIP message: NUL byte");
    EXPECT_EQ(error_of(invite("", "a\0b"sv)), "");
}

TEST(Message, RefusesEachTruncationOfItsHeaders) {
    const auto whole = invite("Contact: <sip:a@h>,\r\n <sip:b@h>\r\nl: 4\r\n", "v=0\n");
    for (std::size_t length = 0; length < whole.size(); ++length) {
        EXPECT_NE(error_of(whole.substr(0, length)), "") << length;
    }
}

TEST(Message, EndsAtItsLimits) {
    std::string headers;
    for (std::size_t i = 5; i < kMostHeaders; ++i)
        headers += "a:b\r\n";
    EXPECT_EQ(error_of(invite(headers)), "");
    EXPECT_EQ(error_of(invite(headers + "a:b\r\n")),
              "read SIP message header 257: too many headers");

    const auto size = invite("").size();
    EXPECT_EQ(error_of(invite("", std::string(kLargestMessage - size, 'x'))), "");
    EXPECT_EQ(error_of(invite("", std::string(kLargestMessage - size + 1, 'x'))),
              "read SIP message: too long");
}

TEST(Message, HostileTextTakesLinearTime) {
    for (const std::string_view unit : {"\r\n ", "\n\t", " ", "a:b\r\n", "a", ":", "\r", "\r\n"}) {
        std::string headers = "X: ";
        while (headers.size() < 64'000)
            headers += unit;
        for (int i = 0; i < 20; ++i)
            error_of(invite(headers + "\r\n"));
        error_of(headers);
    }
}

TEST(Classify, TellsKeepalivesSipAndOthers) {
    struct Case {
        std::string_view payload;
        PayloadKind kind;
    };
    constexpr auto kStun =
        "\x00\x01\x00\x04\x21\x12\xa4\x42"
        "0123456789ab"
        "ABCD"sv;
    for (const auto& [payload, kind] : {
             Case{""sv, PayloadKind::keepalive},
             {"\r\n\r\n"sv, PayloadKind::keepalive},
             {"\0"sv, PayloadKind::keepalive},
             {" \r\n\0\0\t\n\0"sv, PayloadKind::keepalive},
             {"jaK\0"sv, PayloadKind::keepalive},
             {kStun, PayloadKind::keepalive},
             {kStun.substr(0, 23), PayloadKind::unknown},
             {"INVITE sip:b@h SIP/2.0\r\n"sv, PayloadKind::sip},
             {"\r\nfoo sip:b@h sip/2.0\n"sv, PayloadKind::sip},
             {"INVITE sip:b@h SIP/7.0 \r\n"sv, PayloadKind::sip},
             {"SIP/2.0 200 OK\r\n"sv, PayloadKind::sip},
             {"SIP/2.0 junk\n"sv, PayloadKind::sip},
             {"INVITE sip:b@h SIP/2.0"sv, PayloadKind::unknown},
             {"POST / HTTP/1.1\r\nHost: x\r\n"sv, PayloadKind::unknown},
             {"hello\n"sv, PayloadKind::unknown},
             {"\x80\x08rtp\n"sv, PayloadKind::unknown},
             {" SIP/2.0\n"sv, PayloadKind::unknown},
             {"I@ sip:b@h SIP/2.0\n"sv, PayloadKind::unknown},
         }) {
        const ExactText text(payload);
        EXPECT_EQ(classify(text.view()), kind) << payload;
    }
}

}  // namespace
}  // namespace sipnat::sip
