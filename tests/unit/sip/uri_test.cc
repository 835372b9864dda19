#include "sipnat/sip/uri.h"

#include <gtest/gtest.h>

#include <string>

#include "exact.h"

namespace sipnat::sip {
namespace {

/// "host=… port=…", what an edit would need to know.
std::string show(const HostPort& host, std::string_view text) {
    std::string shown =
        "[" + std::string(host.whole.in(text)) + "] " + std::string(host.host.in(text));
    if (host.port) shown += " port " + std::to_string(number(*host.port));
    return shown + (host.address ? " address" : " name");
}

TEST(ParseUri, FindsUserHostPortAndParameters) {
    struct Case {
        std::string_view uri, user, host, params;
    };
    for (const auto& [uri, user, host, params] : {
             Case{"sip:alice@192.168.77.2", "alice", "[192.168.77.2] 192.168.77.2 address", ""},
             {"SIP:192.168.77.2:5062;ob", "", "[192.168.77.2:5062] 192.168.77.2 port 5062 address",
              ";ob"},
             {"sips:a@[2001:db8::2]:5061?x=y", "a",
              "[[2001:db8::2]:5061] 2001:db8::2 port 5061 address", ""},
             {"sip:a@[2001:db8::10:5070]", "a", "[[2001:db8::10:5070]] 2001:db8::10:5070 address",
              ""},
             {"sip:pbx.example.com.:0;lr?h=1;2", "",
              "[pbx.example.com.:0] pbx.example.com. port 0 name", ";lr"},
             {"sip:a:pass;word@h", "a:pass;word", "[h] h name", ""},
             {"sip:user;par=u%40example.net@example.com", "user;par=u%40example.net",
              "[example.com] example.com name", ""},
             {"sip:what?is/this&+$,@10.0.0.1;x", "what?is/this&+$,", "[10.0.0.1] 10.0.0.1 address",
              ";x"},
             {"sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.("
              "doesn't-it)@example.com",
              "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.("
              "doesn't-it)",
              "[example.com] example.com name", ""},
             {"sip:@10.0.0.1", "", "[10.0.0.1] 10.0.0.1 address", ""},
             {"sip:a@h?Replaces=callid@10.9.9.9", "a", "[h] h name", ""},
             {"sip:a@10.0.0.256", "a", "[10.0.0.256] 10.0.0.256 name", ""},
             {"sip:a@3f2ab_c", "a", "[3f2ab_c] 3f2ab_c name", ""},
         }) {
        const ExactText text(uri);
        const auto read = parse_uri(text.view(), text.span());
        ASSERT_TRUE(read) << uri;
        EXPECT_EQ(read->user.in(text.view()), user) << uri;
        EXPECT_EQ(show(read->host, text.view()), host) << uri;
        EXPECT_EQ(read->params.in(text.view()), params) << uri;
    }
}

TEST(ParseUri, KnowsItsScheme) {
    const auto scheme = [](std::string_view uri) {
        const ExactText text(uri);
        return parse_uri(text.view(), text.span())->scheme;
    };
    EXPECT_EQ(scheme("sIp:h"), Scheme::sip);
    EXPECT_EQ(scheme("SIPS:h"), Scheme::sips);
}

TEST(ParseUri, RefusesWhatItCannotRead) {
    using namespace std::string_view_literals;
    for (const auto uri : {""sv,
                           "sip"sv,
                           "sip:"sv,
                           "sip:a@"sv,
                           "*"sv,
                           "tel:+49123"sv,
                           "urn:service:sos"sv,
                           "http://10.0.0.1"sv,
                           "<sip:a@10.0.0.1>"sv,
                           "sip:a@10.0.0.1:65536"sv,
                           "sip:a@10.0.0.1:99999999999999999999"sv,
                           "sip:a@10.0.0.1:"sv,
                           "sip:a@10.0.0.1:50x"sv,
                           "sip:a@10.0.0.1:-1"sv,
                           "sip:a@10.0.0.1 :5060"sv,
                           "sip:a@10.0.0.1: 5060"sv,
                           "sip: a@10.0.0.1"sv,
                           "sip:a b@10.0.0.1"sv,
                           "sip:a\0b@10.0.0.1"sv,
                           "sip:a@10.0\0.0.1"sv,
                           "sip:2001:db8::10"sv,
                           "sip:[2001:db8::10"sv,
                           "sip:[10.0.0.1]"sv,
                           "sip:[fe80::1%25eth0]"sv,
                           "sip:[]"sv,
                           "sip:[::1]x"sv,
                           "sip:a@b@10.0.0.1"sv,
                           "sip:a@10.0.0.1;x=y@10.0.0.2"sv,
                           "sip:a@h\xc3\xb6st"sv,
                           "sip:a@10.0.0.1,b"sv}) {
        const ExactText text(uri);
        EXPECT_FALSE(parse_uri(text.view(), text.span())) << uri;
    }
}

TEST(ParseUri, ReadsMaddrAndTransport) {
    const ExactText text("sip:h;Transport=TCP;lr;MADDR=192.168.77.2;maddr=10.0.0.1");
    const auto uri = parse_uri(text.view(), text.span());
    ASSERT_TRUE(uri && uri->maddr);
    EXPECT_EQ(uri->transport, "TCP");
    EXPECT_EQ(show(*uri->maddr, text.view()), "[192.168.77.2] 192.168.77.2 address");
    for (const auto* maddr : {"[2001:db8::2]", "2001:db8::2"}) {
        const ExactText six(std::string("sip:h;maddr=") + maddr);
        const auto read = parse_uri(six.view(), six.span());
        ASSERT_TRUE(read->maddr) << maddr;
        EXPECT_EQ(read->maddr->whole.in(six.view()), maddr);
        EXPECT_EQ(read->maddr->host.in(six.view()), "2001:db8::2");
    }
}

TEST(ParseUri, ReadsOnlyWhatItWasGiven) {
    const std::string_view text = "<sip:a@10.0.0.12:50601>";
    const auto uri = parse_uri(text, {1, 14});
    ASSERT_TRUE(uri);
    EXPECT_EQ(uri->host.whole.in(text), "10.0.0.1");
    EXPECT_EQ(parse_uri(text, {1, 19})->host.port, Port{506});
}

std::vector<AddressValue> parse_addresses(std::string_view text, Span header_value) {
    std::vector<AddressValue> values;
    AddressReader reader(text, header_value);
    while (const auto value = reader.next())
        values.push_back(*value);
    return values;
}

/// Each value as "uri|params"; "*" for the star.
std::vector<std::string> addresses(std::string_view header) {
    const ExactText text(header);
    std::vector<std::string> shown;
    for (const auto& value : parse_addresses(text.view(), text.span())) {
        shown.push_back(std::string(value.uri.in(text.view())) + "|" +
                        std::string(value.params.in(text.view())));
        EXPECT_EQ(value.star, value.uri.in(text.view()) == "*");
    }
    return shown;
}
using List = std::vector<std::string>;

TEST(AddressReader, ReadsEachForm) {
    struct Case {
        std::string_view header;
        List values;
    };
    for (const auto& [header, values] : {
             Case{"<sip:a@h>", {"sip:a@h|"}},
             {"*", {"*|"}},
             {"sip:a@h", {"sip:a@h|"}},
             {"sip:a@h;tag=1", {"sip:a@h|;tag=1"}},
             {"sip:a@h ;   tag    = 1", {"sip:a@h|;   tag    = 1"}},
             {"<sip:a@h;ob>;expires=60;q=1", {"sip:a@h;ob|;expires=60;q=1"}},
             {"caller<sip:a@h>;tag=3", {"sip:a@h|;tag=3"}},
             {"Bob Smith-Jones <sip:a@h> ;x", {"sip:a@h|;x"}},
             {"J\xc3\xb6rg <sip:a@h>", {"sip:a@h|"}},
             {R"("A, <sip:x@10.0.0.1>; \"q\" \\" <sip:a@h>)", {"sip:a@h|"}},
             {"<sip:a@h>,<sip:b@h>;q=2 ,\r\n sip:c@h;q=3",
              {"sip:a@h|", "sip:b@h|;q=2", "sip:c@h|;q=3"}},
             {"sip:a@h,sip:b@h", {"sip:a@h|", "sip:b@h|"}},
             {",, <sip:a@h>,,\t,<sip:b@h>,", {"sip:a@h|", "sip:b@h|"}},
             {"< sip:a@h >", {"sip:a@h|"}},
             {"<sip:a@h?Route=%3Csip:b@c%3E>", {"sip:a@h?Route=%3Csip:b@c%3E|"}},
             {R"(<sip:a@h>;+sip.instance="<urn:uuid:1,2;3>";x,<sip:b@h>)",
              {R"(sip:a@h|;+sip.instance="<urn:uuid:1,2;3>";x)", "sip:b@h|"}},
             {"<sip:a@h> (was, <sip:b@10.0.0.1>; \\) (nested)) ;q=1,<sip:c@h>",
              {"sip:a@h|;q=1", "sip:c@h|"}},
             {"sip:(a;b)@h", {"sip:(a|;b)@h"}},
             {"sip:(a)@h", {"sip:(a)@h|"}},
             {"tel:+4912", {"tel:+4912|"}},
             {"<tel:+4912;x>", {"tel:+4912;x|"}},
             {"<>", {"|"}},
             // From here on something can't be read, and what stands before it holds.
             {"", {}},
             {"  \r\n ", {}},
             {"Bell, Alexander <sip:a@h>", {}},
             {"<sip:a@h", {}},
             {"<sip:a<b@h>", {}},
             {R"("unclosed <sip:a@h>)", {}},
             {R"(<sip:a@h>;x="unclosed,<sip:b@h>)", {}},
             {R"(<sip:a@h>, "open\")", {"sip:a@h|"}},
             {"<sip:a@h>, (open <sip:b@h>", {"sip:a@h|"}},
             {"Bob sip:a@h", {}},
             {"<sip:a@h>,b@h", {"sip:a@h|"}},
         }) {
        EXPECT_EQ(addresses(header), values) << header;
    }
}

TEST(AddressReader, EndsAtItsLimit) {
    std::string header;
    for (std::size_t i = 0; i < kMostAddresses + 1; ++i)
        header += "<sip:a@h>,";
    EXPECT_EQ(addresses(header).size(), kMostAddresses);
}

TEST(AddressReader, ValueSpansAreTrimmed) {
    const std::string_view text = " \"A\" <sip:a@h>;x=1 , <sip:b@h> ";
    const auto values = parse_addresses(text, {0, static_cast<std::uint32_t>(text.size())});
    ASSERT_EQ(values.size(), 2U);
    EXPECT_EQ(values[0].value.in(text), "\"A\" <sip:a@h>;x=1");
    EXPECT_EQ(values[1].value.in(text), "<sip:b@h>");
}

TEST(AddressReader, HostileTextTakesLinearTime) {
    // Quadratic work on 64 kB would run into the test's timeout under sanitizers.
    for (const std::string_view unit : {",", "\"", "(", "<", ">", ";", "\\", "\"\\", "()", "\r\n ",
                                        ";=", "<>,", "a,", "(\"", ";\"\""}) {
        std::string header;
        while (header.size() < 65'000)
            header += unit;
        for (int i = 0; i < 20; ++i)
            EXPECT_LE(addresses(header).size(), kMostAddresses);
        const ExactText text(header);
        EXPECT_FALSE(find_parameter(text.view(), text.span(), "tag"));
        EXPECT_FALSE(parse_top_via(text.view(), text.span()));
        const ExactText digest("Digest" + header);
        EXPECT_FALSE(find_digest_uri(digest.view(), digest.span()));
        EXPECT_FALSE(parse_uri(text.view(), text.span()));
    }
}

TEST(FindParameter, FindsValues) {
    const ExactText text(
        ";tag=1;Expires = 60 ; rport;q=\"a;b=\\\"c\" (note; e=1);;e=2;tag=3;empty=;last=[::1]");
    const auto find = [&text](std::string_view name) {
        const auto value = find_parameter(text.view(), text.span(), name);
        return value ? std::string(value->in(text.view())) : "none";
    };
    EXPECT_EQ(find("TAG"), "1");
    EXPECT_EQ(find("expires"), "60");
    EXPECT_EQ(find("rport"), "");
    EXPECT_EQ(find("q"), "a;b=\\\"c");
    EXPECT_EQ(find("b"), "none");
    EXPECT_EQ(find("e"), "2");
    EXPECT_EQ(find("empty"), "");
    EXPECT_EQ(find("last"), "[::1]");
    EXPECT_EQ(find("ta"), "none");
}

TEST(FindParameter, AnEmptyValueStandsBehindTheName) {
    const std::string_view text = ";rport ;x";
    EXPECT_EQ(find_parameter(text, {0, 9}, "rport"), (Span{6, 0}));
    EXPECT_EQ(find_parameter(text, {0, 9}, "x"), (Span{9, 0}));
}

TEST(ParseTopVia, ReadsEachForm) {
    struct Case {
        std::string_view header, transport, sent_by, branch;
    };
    for (const auto& [header, transport, sent_by, branch] : {
             Case{"SIP/2.0/UDP 192.168.77.2;branch=z9hG4bKa", "UDP",
                  "[192.168.77.2] 192.168.77.2 address", "z9hG4bKa"},
             {"SIP/2.0/TCP [2001:db8::2]:5062 ;branch = b", "TCP",
              "[[2001:db8::2]:5062] 2001:db8::2 port 5062 address", "b"},
             {"sip / 2.0\r\n /\tUDP\r\n  192.168.77.2 :\r\n 5060 ; branch=\r\n b", "UDP",
              "[192.168.77.2 :\r\n 5060] 192.168.77.2 port 5060 address", "b"},
             {"SIP/2.0/UDP a.example.com , SIP/2.0/UDP b;branch=c", "UDP",
              "[a.example.com] a.example.com name", ""},
             {"SIP/2.0/UDP h:5060 (a, comment; branch=d);branch=e", "UDP",
              "[h:5060] h port 5060 name", "e"},
             {"SIP/2.0/WSS df7jal23ls0d.invalid;branch=x", "WSS",
              "[df7jal23ls0d.invalid] df7jal23ls0d.invalid name", "x"},
         }) {
        const ExactText text(header);
        const auto via = parse_top_via(text.view(), text.span());
        ASSERT_TRUE(via) << header;
        EXPECT_EQ(via->transport, transport);
        EXPECT_EQ(show(via->sent_by, text.view()), sent_by);
        EXPECT_EQ(via->branch.in(text.view()), branch);
    }
}

TEST(ParseTopVia, ReadsParametersOfTheFirstValueOnly) {
    const ExactText text(
        "SIP/2.0/UDP h;rport;received=203.0.113.1;maddr=192.168.77.2,SIP/2.0/UDP "
        "i;branch=no;rport=1");
    const auto via = parse_top_via(text.view(), text.span());
    ASSERT_TRUE(via && via->received && via->maddr && via->rport);
    EXPECT_EQ(via->received->host.in(text.view()), "203.0.113.1");
    EXPECT_EQ(via->maddr->host.in(text.view()), "192.168.77.2");
    EXPECT_TRUE(via->rport->empty());
    EXPECT_EQ(via->rport->offset, text.view().find(";received"));
    EXPECT_TRUE(via->branch.empty());
    EXPECT_EQ(via->params.in(text.view()), ";rport;received=203.0.113.1;maddr=192.168.77.2");
}

TEST(ParseTopVia, ReceivedMayLackBrackets) {
    for (const auto* received : {"2001:db8::9:255", "[2001:db8::9:255]"}) {
        const ExactText text(std::string("SIP/2.0/UDP [2001:db8::1];rport=5070;received=") +
                             received);
        const auto via = parse_top_via(text.view(), text.span());
        ASSERT_TRUE(via && via->received) << received;
        EXPECT_EQ(via->received->address->text(), "2001:db8::9:255");
        EXPECT_EQ(via->rport->in(text.view()), "5070");
    }
    const ExactText bad("SIP/2.0/UDP h;received=1.2.3.4:5060");
    EXPECT_FALSE(parse_top_via(bad.view(), bad.span())->received);
}

TEST(ParseTopVia, RefusesWhatItCannotRead) {
    for (const auto* header :
         {"", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 UDP h", "SIP/3.0/UDP h", "HTTP/2.0/UDP h",
          "SIP/2.0/ h", "SIP/2.0/UDP h:65536", "SIP/2.0/UDP h:", "SIP/2.0/UDP h:50x",
          "SIP/2.0/UDP h@i", "SIP/2.0/UDP ;branch=x", "SIP/2.0/UDP [::1", "SIP/2.0/UDP 2001:db8::1",
          "SIP/2.0/UDP h;x=\"", "SIP/2.0/UDP h (open"}) {
        const ExactText text(header);
        EXPECT_FALSE(parse_top_via(text.view(), text.span())) << header;
    }
}

TEST(FindDigestUri, FindsItBetweenTheOtherParameters) {
    struct Case {
        std::string_view header, uri;
    };
    for (const auto& [header, uri] : {
             Case{R"(Digest username="a", realm="r", uri="sip:a@h;x", response="1")", "sip:a@h;x"},
             {"dIgEsT\r\n URI = \"sip:h\"", "sip:h"},
             {"Digest uri=sip:h , nc=1", "sip:h"},
             {R"(Digest realm="x, uri=\"sip:no\"",uri="sip:a,b@h")", "sip:a,b@h"},
             {R"(Digest ,, uri="sip:first",uri="sip:second")", "sip:first"},
             {R"(Digest uri="")", ""},
             {"Digest uri=", ""},
             {"Digest uri=\"", "none"},
             {R"(Digest realm="open, uri="sip:h)", "none"},
             {R"(Digest nuri="sip:h", uri)", "none"},
             {R"(Basic uri="sip:h")", "none"},
             {"Digest", "none"},
             {"", "none"},
         }) {
        const ExactText text(header);
        const auto found = find_digest_uri(text.view(), text.span());
        EXPECT_EQ(found ? found->in(text.view()) : "none", uri) << header;
    }
}

TEST(ParseHostPort, ReadsItAlone) {
    const ExactText text("10.0.0.1 : 5060");
    EXPECT_EQ(show(*parse_host_port(text.view(), text.span()), text.view()),
              "[10.0.0.1 : 5060] 10.0.0.1 port 5060 address");
    for (const auto* other : {"", "h;x", "h:1:2", "h,", ":5060", "[::1]5060"}) {
        const ExactText refused(other);
        EXPECT_FALSE(parse_host_port(refused.view(), refused.span())) << other;
    }
}

}  // namespace
}  // namespace sipnat::sip
