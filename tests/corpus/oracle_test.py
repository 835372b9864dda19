"""What judges the engine, judged: over one call whose right outcome is written here by hand."""
import unittest

import oracle

INSIDE, OUTSIDE = (oracle.address("192.168.77.2"), 5060), (oracle.address("203.0.113.1"), 1024)


def text(*lines):
    return "\r\n".join(lines).replace("\n ", "\r\n ") + "\r\n"


SDP = ["v=0", "o=- 1 1 IN IP4 {0}", "s=-", "c=IN IP4 {0}", "t=0 0", "m=audio {2} RTP/AVP 0", "a=rtcp:{3} IN IP4 {0}",
       "a=candidate:1 1 UDP 1 {0} {2} typ host",
       "a=candidate:2 1 UDP 1 198.51.100.1 9999 typ srflx raddr 192.168.77.2",
       "m=video 0 RTP/AVP 31"]
HEAD = ["INVITE sip:bob@192.168.77.2 SIP/2.0", "v : SIP/2.0/UDP {1} ;branch=z9hG4bK1;maddr={0}",
        "Via: SIP/2.0/UDP 192.168.77.2:5060;branch=z9hG4bK2", 'From: "sip:a@192.168.77.2" <sip:a@{0}:5099>;tag=a',
        "To: <sip:192.168.77.2@203.0.113.10>", "Call-ID: 1@192.168.77.2", "CSeq: 1 INVITE",
        "m: <sip:a@{1}>;q=1,\n <sip:b@{1};transport=udp>, <sip:c@{6};transport=tcp>, "
        "<sip:c@192.168.77.2;transport=tls>, "
        "<sip:d@{5}>, <sip:e@192.168.77.2:80>",
        "Record-Route: <sip:{1};lr>", "P-Asserted-Identity: <sip:a@{0}>", "Warning: 399 192.168.77.2 \"no\"",
        "Content-Type: multipart/mixed; boundary=x", "Content-Length: {4}", ""]


def message(host, full, rtp, rtcp, further, tcp):
    sdp = text(*SDP).format(host, full, rtp, rtcp)
    body = text("--x", "Content-Type: text/plain", "", "c=IN IP4 192.168.77.2",
                "--x", "Content-Type: application/sdp", "", sdp + "--x--")
    return text(*HEAD).format(host, full, rtp, rtcp, len(body), further, tcp) + body


BEFORE = message("192.168.77.2", "192.168.77.2", 4000, 4001, "192.168.77.2:5062", "192.168.77.2").replace(
    "77.2 ;branch", "77.2:5060 ;branch")
AFTER = message("203.0.113.1", "203.0.113.1:1024", 10000, 10001, "203.0.113.1:10002", "203.0.113.1:10004")


class Judge(unittest.TestCase):
    def faults(self, after):
        return [fault[:2] for fault in
                oracle.judge(BEFORE, after, oracle.expected(oracle.Message(BEFORE), INSIDE, OUTSIDE, True))]

    def test_right_outcome(self):
        self.assertEqual(self.faults(AFTER), [])

    def test_nothing_done(self):
        self.assertEqual(sorted(place for kind, place in self.faults(BEFORE) if kind == "left"), sorted(
            ["Via", "From", "Contact", "Contact", "Contact", "Contact", "Record-Route", "P-Asserted-Identity", "SDP o=", "SDP c=",
             "SDP m=", "SDP a=rtcp", "SDP a=rtcp", "SDP a=candidate", "SDP a=candidate"]))

    def test_one_place_left(self):
        after = AFTER.replace("Record-Route: <sip:203.0.113.1:1024", "Record-Route: <sip:192.168.77.2")
        self.assertEqual(self.faults(after), [("left", "Record-Route")])

    def test_port_out_of_range(self):
        self.assertEqual(self.faults(AFTER.replace("m=audio 10000", "m=audio 80000")), [("wrong", "SDP m=")])

    def test_any_other_byte(self):
        spans = oracle.expected(oracle.Message(BEFORE), INSIDE, OUTSIDE, True)
        free = set()
        for span in oracle.expected(oracle.Message(AFTER), OUTSIDE, INSIDE, True):
            free.update(range(span.offset, span.offset + span.length))
        self.assertEqual(len(spans), 17)
        for at in set(range(len(AFTER))) - free:
            changed = AFTER[:at] + ("X" if AFTER[at] != "X" else "Y") + AFTER[at + 1:]
            self.assertTrue(list(oracle.judge(BEFORE, changed, spans)), AFTER[at - 20:at + 20])

    def test_towards_the_inside(self):
        """Request-URI, and To of a request; From of its answer, with the Via that the receiver wrote."""
        request = text("INVITE sip:a@203.0.113.1:1024;maddr=203.0.113.1 SIP/2.0", "Via: SIP/2.0/UDP 203.0.113.1:1024",
                       "From: <sip:b@203.0.113.1>;tag=b", "To: <sip:a@203.0.113.1>", "Call-ID: 1", "CSeq: 1 INVITE", "")
        answer = text("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 203.0.113.1:1024;received=203.0.113.1;rport=1024",
                      "From: <sip:a@203.0.113.1>;tag=a", "To: <sip:b@203.0.113.1>;tag=b", "Call-ID: 1",
                      "CSeq: 1 INVITE", "")
        for one, places in ((request, ["Request-URI", "Request-URI", "To"]), (answer, ["Via", "Via", "Via", "From"])):
            spans = oracle.expected(oracle.Message(one), OUTSIDE, INSIDE, False)
            self.assertEqual([span.place for span in spans], places)


if __name__ == "__main__":
    unittest.main()
