#include "messages.h"

namespace sipnat {

namespace {

std::string crlf(std::string_view lines) {
    std::string text;
    for (const char c : lines) {
        if (c == '\n') text += '\r';
        text += c;
    }
    return text;
}

std::string with_body(std::string head, const std::string& body) {
    head = crlf(head);
    if (!body.empty()) head += "Content-Type: application/sdp\r\n";
    return head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// From and To to CSeq. A re-INVITE is another transaction.
std::string identity(std::string_view method, const std::string& call, const Names& names,
                     std::string_view to_tag, int cseq) {
    return "From: <sip:" + names.user + "@example.com>;tag=a" + call + "\nTo: <sip:" + names.peer +
           "@example.com>" + std::string(to_tag) + "\nCall-ID: " + call +
           "@phone\nCSeq: " + std::to_string(cseq) + " " + std::string(method) + "\n";
}

std::string branch(std::string_view method, const std::string& call, int cseq) {
    auto text = "z9hG4bK" + call + std::string(method);
    return cseq > 1 ? text + std::to_string(cseq) : text;
}

}  // namespace

std::string session(const Names& names, int version) {
    return crlf("v=0\no=alice 2890844526 " + std::to_string(2890844526 + version) + " IN IP4 " +
                names.media + "\ns=Session SDP\nc=IN IP4 " + names.media + "\nt=0 0\nm=audio " +
                std::to_string(names.port) +
                " RTP/AVP 0 8 101\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n"
                "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\na=sendrecv\n");
}

std::string request(std::string_view method, const std::string& call, const Names& names,
                    const Further& further) {
    return with_body(
        std::string(method) + " sip:" + names.peer + "@203.0.113.10 SIP/2.0\nVia: SIP/2.0/UDP " +
            names.host + ";rport;branch=" + branch(method, call, further.cseq) +
            "\nMax-Forwards: 70\n" + identity(method, call, names, further.to_tag, further.cseq) +
            "Contact: <sip:" + names.user + "@" + names.host + ">\nUser-Agent: Phone 1.0\n" +
            std::string(further.more),
        further.body);
}

std::string answer(std::string_view method, const std::string& call, const Names& names,
                   const Further& further) {
    return with_body(
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP " + names.host +
            ";rport=" + names.host.substr(names.host.rfind(':') + 1) +
            ";branch=" + branch(method, call, further.cseq) + "\n" +
            identity(method, call, names, ";tag=b", further.cseq) +
            (method == "REGISTER" ? "Contact: <sip:" + names.user + "@" + names.host + ">\n"
                                  : "Contact: <sip:" + names.peer + "@203.0.113.10:5060>\n") +
            std::string(further.more),
        further.body);
}

}  // namespace sipnat
