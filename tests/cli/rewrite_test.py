"""sipnatctl rewrite: what comes out of it, byte for byte."""
import json
import subprocess
import unittest

from program import BIN, ProgramTest, crlf, message

# phone 192.168.77.2:5060 ── 203.0.113.1:1024 ── server 203.0.113.10:5060; a PBX at 192.168.77.5 behind a forward
OUT = ["--src", "192.168.77.2:5060", "--dst", "203.0.113.10:5060", "--snat", "203.0.113.1:1024"]
BACK = ["--src", "203.0.113.10:5060", "--dst", "203.0.113.1:1024", "--dnat", "192.168.77.2:5060"]
TO_PBX = ["--src", "203.0.113.10:5060", "--dst", "203.0.113.1:5060", "--dnat", "192.168.77.5:5060"]

ALICE = '"Alice"'
SENDER = "the sender's own endpoint, as the other side sees it"
MEDIA = "where the stream is received, seen from outside"


def sdp(host, port):
    return f"v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\nm=audio {port} RTP/AVP 0\n"


def invite(via="192.168.77.2:5060", host="192.168.77.2", contact="192.168.77.2:5060", port=4000, body=None):
    return message(f"INVITE sip:bob@203.0.113.10 SIP/2.0\n"
                   f"Via: SIP/2.0/UDP {via};rport;branch=z9hG4bK1\n"
                   f"Max-Forwards: 70\n"
                   f"From: {ALICE} <sip:alice@{host}>;tag=a\n"
                   f"To: <sip:bob@203.0.113.10>\n"
                   f"Call-ID: call-1\n"
                   f"CSeq: 1 INVITE\n"
                   f"Contact: <sip:alice@{contact}>\n"
                   f"X-Odd :  kept, \t as   it is\n"
                   f"Content-Type: application/sdp\n",
                   sdp(host, port) if body is None else body)


INVITE = invite()
INVITE_OUT = invite("203.0.113.1:1024", "203.0.113.1", "203.0.113.1:1024", 10000)


def behind(text):
    """The offset in INVITE where what follows `text` begins."""
    return INVITE.index(text.encode()) + len(text)


def answer(host, port):
    return message(f"SIP/2.0 200 OK\n"
                   f"Via: SIP/2.0/UDP {host}:{port};rport={port};received={host};branch=z9hG4bK1\n"
                   f"From: {ALICE} <sip:alice@{host}>;tag=a\n"
                   f"To: <sip:bob@203.0.113.10>;tag=b\n"
                   f"Call-ID: call-1\n"
                   f"CSeq: 1 INVITE\n"
                   f"Contact: <sip:bob@203.0.113.10:5060>\n"
                   f"Content-Type: application/sdp\n",
                   sdp("203.0.113.10", 7000))


def register(via, contact):
    return message(f"REGISTER sip:203.0.113.10 SIP/2.0\n"
                   f"Via: SIP/2.0/UDP {via};branch=z9hG4bKr\n"
                   f"From: <sip:alice@example.org>;tag=r\n"
                   f"To: <sip:alice@example.org>\n"
                   f"Call-ID: reg-1\n"
                   f"CSeq: 1 REGISTER\n"
                   f"Contact: <sip:alice@{contact}>;expires=300\n")


def registered(via, contact):
    return message(f"SIP/2.0 200 OK\n"
                   f"Via: SIP/2.0/UDP {via};branch=z9hG4bKr\n"
                   f"From: <sip:alice@example.org>;tag=r\n"
                   f"To: <sip:alice@example.org>;tag=s\n"
                   f"Call-ID: reg-1\n"
                   f"CSeq: 1 REGISTER\n"
                   f"Contact: <sip:alice@{contact}>;expires=300\n")


def call_in(target, to_host="203.0.113.1"):
    return message(f"INVITE sip:pbx@{target} SIP/2.0\n"
                   f"Via: SIP/2.0/UDP 203.0.113.10:5060;branch=z9hG4bK2\n"
                   f"From: <sip:bob@203.0.113.10>;tag=b\n"
                   f"To: <sip:pbx@{to_host}>\n"
                   f"Call-ID: call-2\n"
                   f"CSeq: 1 INVITE\n"
                   f"Contact: <sip:bob@203.0.113.10:5060>\n"
                   f"Content-Type: application/sdp\n",
                   sdp("203.0.113.10", 7000))


class RewriteTest(ProgramTest):
    def rewrite(self, content, *options, after=()):
        earlier = [self.file(f"{number}.sip", one) for number, one in enumerate(after)]
        if earlier:
            options = [*options, "--after", *earlier]
        return self.ctl("rewrite", *options, self.file("message.sip", content))


class Messages(RewriteTest, unittest.TestCase):
    def test_invite_out(self):
        self.expect(self.rewrite(INVITE, *OUT), 0, INVITE_OUT)

    def test_a_port_of_the_range_is_kept(self):
        self.expect(self.rewrite(invite(port=12000), *OUT), 0,
                    invite("203.0.113.1:1024", "203.0.113.1", "203.0.113.1:1024", 12000))

    def test_media_ports_says_from_where(self):
        self.expect(self.rewrite(INVITE, *OUT, "--media-ports", "20001-20004"), 0,
                    invite("203.0.113.1:1024", "203.0.113.1", "203.0.113.1:1024", 20002))

    def test_answer_to_the_phone(self):
        self.expect(self.rewrite(answer("203.0.113.1", 1024), *BACK, after=[INVITE]), 0, answer("192.168.77.2", 5060))

    def test_register_and_its_answer(self):
        request = register("192.168.77.2:5060", "192.168.77.2:5060")
        outside = register("203.0.113.1:1024", "203.0.113.1:1024")
        self.expect(self.rewrite(request, *OUT), 0, outside)
        self.expect(self.rewrite(registered("203.0.113.1:1024", "203.0.113.1:1024"), *BACK, after=[request]), 0,
                    registered("192.168.77.2:5060", "192.168.77.2:5060"))

    def test_answer_gets_the_text_that_the_phone_wrote(self):
        """Port 5060 without writing it is not the same URI with it (RFC 3261 19.1.4)."""
        request = register("192.168.77.2", "192.168.77.2")
        answered = registered("203.0.113.1:1024", "203.0.113.1:1024")
        self.expect(self.rewrite(request, *OUT), 0, register("203.0.113.1:1024", "203.0.113.1:1024"))
        self.expect(self.rewrite(answered, *BACK, after=[request]), 0, registered("192.168.77.2", "192.168.77.2"))

    def test_answer_without_memory_gets_the_canonical_text(self):
        self.expect(self.rewrite(registered("203.0.113.1:1024", "203.0.113.1:1024"), *BACK), 0,
                    registered("192.168.77.2:5060", "192.168.77.2:5060"))

    def test_call_in_through_a_port_forward(self):
        self.expect(self.rewrite(call_in("203.0.113.1"), *TO_PBX), 0,
                    call_in("192.168.77.5", "192.168.77.5"))
        self.expect(self.rewrite(call_in("203.0.113.1"), *TO_PBX[:-1], "192.168.77.5:5080"), 0,
                    call_in("192.168.77.5:5080", "192.168.77.5"))

    def test_answer_of_the_pbx_opens_its_media(self):
        """The answer's packet: source NAT of the reply, out of the forward's port."""
        def ok(contact, host, port):
            return message(f"SIP/2.0 200 OK\n"
                           f"Via: SIP/2.0/UDP 203.0.113.10:5060;branch=z9hG4bK2\n"
                           f"From: <sip:bob@203.0.113.10>;tag=b\n"
                           f"To: <sip:pbx@{host}>;tag=p\n"
                           f"Call-ID: call-2\n"
                           f"CSeq: 1 INVITE\n"
                           f"Contact: <sip:pbx@{contact}>\n"
                           f"Content-Type: application/sdp\n",
                           sdp(host, port))
        flow = ["--src", "192.168.77.5:5060", "--dst", "203.0.113.10:5060", "--snat", "203.0.113.1:5060"]
        self.expect(self.rewrite(ok("192.168.77.5:5060", "192.168.77.5", 6000), *flow, after=[call_in("203.0.113.1")]),
                    0, ok("203.0.113.1:5060", "203.0.113.1", 10000))

    def test_without_nat_nothing_changes(self):
        self.expect(self.rewrite(INVITE, "--src", "192.168.77.2:5060", "--dst", "203.0.113.10:5060"), 0, INVITE)

    def test_ipv6(self):
        def offer(host, port):
            head = (f"INVITE sip:bob@[2001:db8::10] SIP/2.0\nVia: SIP/2.0/UDP [{host}]:5060;branch=z9hG4bK6\n"
                    f"From: <sip:a@example.org>;tag=a\nTo: <sip:bob@example.org>\nCall-ID: six\nCSeq: 1 INVITE\n"
                    f"Contact: <sip:a@[{host}]:5060>\nContent-Type: application/sdp\n")
            return message(head, sdp(host, port).replace("IP4", "IP6"))
        self.expect(self.rewrite(offer("fd00::2", 4000), "--src", "[fd00::2]:5060", "--dst", "[2001:db8::10]:5060",
                                 "--snat", "[2001:db8::1]:5060"), 0, offer("2001:db8::1", 10000))

    def test_keepalives_pass(self):
        for keepalive in (b"\r\n\r\n", b"\0", b"jaK"):
            self.expect(self.rewrite(keepalive, *OUT), 0, keepalive)


class Bytes(RewriteTest, unittest.TestCase):
    def test_standard_input(self):
        self.expect(self.ctl("rewrite", *OUT, "-", stdin=INVITE), 0, INVITE_OUT)

    def test_line_ends_stay_as_they_are(self):
        self.expect(self.rewrite(INVITE.replace(b"\r\n", b"\n").replace(b": 93", b": 87"), *OUT),
                    0, INVITE_OUT.replace(b"\r\n", b"\n").replace(b": 92", b": 86"))

    def test_bytes_that_are_no_utf8(self):
        odd = b"X-Bytes: \xff\xfe\x80 \xc3\r\nMax-Forwards"
        self.expect(self.rewrite(INVITE.replace(b"Max-Forwards", odd), *OUT), 0,
                    INVITE_OUT.replace(b"Max-Forwards", odd))

    def test_nul_in_the_headers_is_malformed(self):
        bad = INVITE.replace(b"Alice", b"Al\0ce")
        self.expect(self.rewrite(bad, *OUT), 1, bad, "malformed: read SIP message: NUL byte\n")

    def test_nul_in_another_body_stays(self):
        head = "MESSAGE sip:bob@203.0.113.10 SIP/2.0\nVia: SIP/2.0/UDP {};branch=z9hG4bKm\n" \
               "From: <sip:a@example.org>;tag=a\nTo: <sip:b@example.org>\nCall-ID: m\nCSeq: 1 MESSAGE\n"
        body = "\0binary\0"
        self.expect(self.rewrite(message(head.format("192.168.77.2:5060"), body), *OUT), 0,
                    message(head.format("203.0.113.1:1024"), body))

    def test_what_follows_the_body_stays(self):
        self.expect(self.rewrite(INVITE + b"junk\r\n\0", *OUT), 0, INVITE_OUT + b"junk\r\n\0")


class Json(RewriteTest, unittest.TestCase):
    def decision(self, content, *options, status=0, **more):
        done = self.rewrite(content, *options, "--json", **more)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual((done.stdout.count(b"\n"), done.stdout[-1:]), (1, b"\n"), "one object on one line")
        return json.loads(done.stdout), done

    def test_invite_out(self):
        decision, done = self.decision(INVITE, *OUT)
        self.assertEqual(done.stderr, b"")

        def edit(old, new, where, why, anchor):
            return {"offset": behind(anchor), "length": len(old), "old": old, "new": new, "where": where, "why": why}

        def hole(inside, outside):
            return {"class": "audio", "inside": f"192.168.77.2:{inside}", "outside": f"203.0.113.1:{outside}",
                    "remote": "any", "protocol": "udp"}

        inside, outside = "192.168.77.2", "203.0.113.1"
        self.assertEqual(decision, {
            "verdict": "accept",
            "reason": "rewritten",
            "edits": [
                edit(f"{inside}:5060", f"{outside}:1024", "Via", SENDER, "SIP/2.0/UDP "),
                edit(inside, outside, "From", SENDER, f"{ALICE} <sip:alice@"),
                edit(f"{inside}:5060", f"{outside}:1024", "Contact", SENDER, "Contact: <sip:alice@"),
                edit("93", "92", "Content-Length", "the body has another length now", "Content-Length: "),
                edit(inside, outside, "SDP o=", MEDIA, "o=- 1 1 IN IP4 "),
                edit(inside, outside, "SDP c=", MEDIA, "c=IN IP4 "),
                edit("4000", "10000", "SDP m=", "the outside port of the stream", "m=audio "),
            ],
            "open": [hole(4000, 10000), hole(4001, 10001)],
            "close": [],
        })
        self.assertEqual(list(decision), ["verdict", "reason", "edits", "open", "close"])
        self.assertEqual(list(decision["edits"][0]), ["offset", "length", "old", "new", "where", "why"])
        self.assertEqual(list(decision["open"][0]), ["class", "inside", "outside", "remote", "protocol"])

    def test_edits_are_what_the_plain_output_shows(self):
        decision, _ = self.decision(INVITE, *OUT)
        text, done = b"", 0
        for edit in decision["edits"]:
            end = edit["offset"] + edit["length"]
            self.assertEqual(INVITE[edit["offset"]:end].decode(), edit["old"])
            text += INVITE[done:edit["offset"]] + edit["new"].encode()
            done = end
        self.assertEqual(text + INVITE[done:], INVITE_OUT)

    def test_answer_names_the_remote_side(self):
        decision, _ = self.decision(answer("203.0.113.1", 1024), *BACK, after=[INVITE])
        self.assertEqual([(one["inside"], one["outside"], one["remote"]) for one in decision["open"]],
                         [("192.168.77.2:4000", "203.0.113.1:10000", "203.0.113.10:7000"),
                          ("192.168.77.2:4001", "203.0.113.1:10001", "203.0.113.10:7001")])

    def test_failure_closes(self):
        busy = answer("203.0.113.1", 1024).replace(b"200 OK", b"486 Busy Here")
        decision, _ = self.decision(busy[:busy.index(b"Content-Type")] + b"Content-Length: 0\r\n\r\n", *BACK,
                                    after=[INVITE])
        self.assertEqual(decision["open"], [])
        self.assertEqual([(one["outside"], one["remote"]) for one in decision["close"]],
                         [("203.0.113.1:10000", "any"), ("203.0.113.1:10001", "any")])

    def test_refused(self):
        decision, done = self.decision(b"INVITE sip:bob SIP/2.0\r\n\r\n", *OUT, status=1)
        self.assertEqual(decision, {"verdict": "accept", "reason": "malformed", "edits": [], "open": [], "close": []})
        self.assertEqual(done.stderr, b"malformed: read SIP message Via: missing\n")

    def test_bytes_that_are_no_utf8(self):
        decision, _ = self.decision(INVITE.replace(b"192.168.77.2:5060>", b"192.168.77.2:5060>;x=\xff"), *OUT)
        self.assertEqual(decision["reason"], "rewritten")


class OverTcp(RewriteTest, unittest.TestCase):
    """A phone connects from 192.168.77.2:40000, shown as 203.0.113.1:1024, and listens on 192.168.77.2:5060."""

    OUT = ["--proto", "tcp", "--src", "192.168.77.2:40000", "--dst", "203.0.113.10:5060", "--snat", "203.0.113.1:1024"]
    BACK = ["--proto", "tcp", "--src", "203.0.113.10:5060", "--dst", "203.0.113.1:1024", "--dnat", "192.168.77.2:40000"]
    CALLED = ["--proto", "tcp", "--src", "203.0.113.10:33000", "--dst", "203.0.113.1:10000", "--dnat",
              "192.168.77.2:5060"]

    @staticmethod
    def register(via, contact, start="REGISTER sip:203.0.113.10 SIP/2.0", to_tag=""):
        return message(f"{start}\n"
                       f"Via: SIP/2.0/TCP {via};branch=z9hG4bKr;alias\n"
                       f"From: <sip:alice@example.org>;tag=r\n"
                       f"To: <sip:alice@example.org>{to_tag}\n"
                       f"Call-ID: reg-1\n"
                       f"CSeq: 1 REGISTER\n"
                       f"Contact: <sip:alice@{contact}>;expires=300\n")

    def registered(self, via, contact):
        return self.register(via, contact, "SIP/2.0 200 OK", ";tag=s")

    def test_a_listening_contact_is_mapped(self):
        request = self.register("192.168.77.2:5060", "192.168.77.2:5060;transport=tcp")
        outside = self.register("203.0.113.1:10000", "203.0.113.1:10000;transport=tcp")
        self.expect(self.rewrite(request, *self.OUT), 0, outside)
        answered = self.registered("203.0.113.1:10000", "203.0.113.1:10000;transport=tcp")
        self.expect(self.rewrite(answered, *self.BACK, after=[request]), 0,
                    self.registered("192.168.77.2:5060", "192.168.77.2:5060;transport=tcp"))

    def test_its_hole_is_shown(self):
        request = self.register("192.168.77.2:5060", "192.168.77.2:5060;transport=tcp")
        done = self.rewrite(request, *self.OUT, "--json")
        self.assertEqual(json.loads(done.stdout)["open"], [
            {"class": "signalling", "inside": "192.168.77.2:5060", "outside": "203.0.113.1:10000",
             "remote": "203.0.113.10:any", "protocol": "tcp"}])
        done = self.rewrite(request, *self.OUT, "--explain")
        self.assertIn("opens signalling/tcp: inside 192.168.77.2:5060, outside 203.0.113.1:10000, "
                      "remote 203.0.113.10:any\n", done.stderr.decode())

    def test_the_connection_itself_opens_nothing(self):
        request = self.register("192.168.77.2:40000", "192.168.77.2:40000;transport=tcp;ob")
        self.expect(self.rewrite(request, *self.OUT), 0,
                    self.register("203.0.113.1:1024", "203.0.113.1:1024;transport=tcp;ob"))
        self.assertEqual(json.loads(self.rewrite(request, *self.OUT, "--json").stdout)["open"], [])

    def test_a_via_opens_nothing(self):
        request = self.register("192.168.77.2:5060", "192.168.77.2:40000;transport=tcp")
        self.expect(self.rewrite(request, *self.OUT), 0,
                    self.register("192.168.77.2:5060", "203.0.113.1:1024;transport=tcp"))

    def test_tls_stays(self):
        request = self.register("192.168.77.2:40000", "192.168.77.2:5061;transport=tls")
        self.expect(self.rewrite(request, *self.OUT), 0,
                    self.register("203.0.113.1:1024", "192.168.77.2:5061;transport=tls"))

    def test_a_call_to_the_listening_port(self):
        self.expect(self.rewrite(call_in("203.0.113.1:10000;transport=tcp"), *self.CALLED), 0,
                    call_in("192.168.77.2:5060;transport=tcp", "192.168.77.2"))

    def test_an_invite_gets_its_new_length(self):
        text = INVITE.replace(b"SIP/2.0/UDP 192.168.77.2:5060", b"SIP/2.0/TCP 192.168.77.2:40000")
        text = text.replace(b"alice@192.168.77.2:5060>", b"alice@192.168.77.2:40000>")
        outside = INVITE_OUT.replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP")
        self.expect(self.rewrite(text, *self.OUT), 0, outside)
        self.expect(self.rewrite(text + text, *self.OUT), 0, outside + text)

    def test_without_content_length_there_is_no_body(self):
        text = INVITE[:INVITE.index(b"Content-Length")] + b"\r\n" + INVITE[INVITE.index(b"v=0"):]
        done = self.rewrite(text, *self.OUT, "--explain")
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.endswith(INVITE[INVITE.index(b"v=0"):]))
        self.assertIn(b"From: \"Alice\" <sip:alice@203.0.113.1>", done.stdout)
        self.assertIn("93 bytes behind the message are not its own and stay\n", done.stderr.decode())

    def test_half_a_message_is_malformed(self):
        done = self.rewrite(INVITE[:-10], *self.OUT)
        self.assertEqual((done.returncode, done.stdout), (1, INVITE[:-10]))


class Explanation(RewriteTest, unittest.TestCase):
    def test_is_beside_the_message(self):
        done = self.rewrite(INVITE, *OUT, "--explain")
        self.assertEqual((done.returncode, done.stdout), (0, INVITE_OUT))
        self.assertEqual(done.stderr.decode().splitlines(), [
            f"Via at byte {behind('SIP/2.0/UDP ')}: 192.168.77.2:5060 -> 203.0.113.1:1024 ({SENDER})",
            f"From at byte {behind('From: %s <sip:alice@' % ALICE)}: 192.168.77.2 -> 203.0.113.1 ({SENDER})",
            f"Contact at byte {behind('Contact: <sip:alice@')}: 192.168.77.2:5060 -> 203.0.113.1:1024 ({SENDER})",
            f"Content-Length at byte {behind('Content-Length: ')}: 93 -> 92 (the body has another length now)",
            f"SDP o= at byte {behind('o=- 1 1 IN IP4 ')}: 192.168.77.2 -> 203.0.113.1 ({MEDIA})",
            f"SDP c= at byte {behind('c=IN IP4 ')}: 192.168.77.2 -> 203.0.113.1 ({MEDIA})",
            f"SDP m= at byte {behind('m=audio ')}: 4000 -> 10000 (the outside port of the stream)",
            "opens audio/udp: inside 192.168.77.2:4000, outside 203.0.113.1:10000, remote any",
            "opens audio/udp: inside 192.168.77.2:4001, outside 203.0.113.1:10001, remote any",
        ])

    def test_of_nothing(self):
        self.expect(self.rewrite(b"\r\n\r\n", *OUT, "--explain"), 0, b"\r\n\r\n", "nothing to do: keepalive\n")

    def test_of_a_refusal_ends_with_its_reason(self):
        done = self.rewrite(b"INVITE sip:bob SIP/2.0\r\n\r\n", *OUT, "--explain")
        self.expect(done, 1, b"INVITE sip:bob SIP/2.0\r\n\r\n",
                    "nothing to do: malformed\nmalformed: read SIP message Via: missing\n")


class Refusals(RewriteTest, unittest.TestCase):
    """Exit 1, what the daemon would forward on standard output, one line of reason on standard error."""

    def test_malformed(self):
        for bad, why in (
                (b"INVITE sip:bob@203.0.113.10 SIP/3.0\r\n\r\n", "malformed: read SIP message start line: not SIP/2.0\n"),
                (INVITE[:-1], "malformed: read SIP message Content-Length: more than there is\n"),
                (INVITE.replace(b"CSeq: 1 INVITE", b"CSeq: 1 ACK"),
                 "malformed: read SIP message CSeq: another method than the request line\n")):
            self.expect(self.rewrite(bad, *OUT), 1, bad, why)

    def test_what_is_no_sip(self):
        self.expect(self.rewrite(b"GET / HTTP/1.1\r\n\r\n", *OUT), 1, b"GET / HTTP/1.1\r\n\r\n", "not_sip\n")

    def test_a_message_over_64_kilobytes_comes_out_whole(self):
        def padded(to):
            return INVITE.replace(b"Max-Forwards", b"X: " + b"x" * (to - len(INVITE) - 5) + b"\r\nMax-Forwards")
        largest = padded(65535)
        self.assertEqual(len(largest), 65535)
        self.assertEqual(self.rewrite(largest, *OUT).returncode, 0)
        for size in (65536, 65537, 200000):
            large = padded(size)
            self.expect(self.rewrite(large, *OUT), 1, large, "malformed: read SIP message: too long\n")

    def test_malformed_sdp_gets_its_headers_edited(self):
        bad = invite(body="v=0\nm=audio x RTP/AVP 0\n")
        done = self.rewrite(bad, *OUT)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, invite("203.0.113.1:1024", contact="203.0.113.1:1024",
                                             body="v=0\nm=audio x RTP/AVP 0\n")
                         .replace(b"alice@192.168.77.2>;tag", b"alice@203.0.113.1>;tag"))
        self.assertEqual(done.stderr.decode(), "malformed_sdp: read SDP line 2: m= line can't be read\n")

    def test_two_parsers_that_differ(self):
        """libosip2 takes a bare CR for a line end, and sees a Contact that is none."""
        bad = INVITE.replace(b"Max-Forwards", b"Subject: x\rContact: <sip:evil@192.168.77.9>\r\nMax-Forwards")
        done = self.rewrite(bad, *OUT)
        self.assertEqual((done.returncode, done.stdout), (1, bad))
        self.assertRegex(done.stderr.decode(), r"\Asecond_opinion: Contact host: .*\n\Z")

    def test_no_media_port(self):
        two = sdp("192.168.77.2", 4000) + "m=video 4100 RTP/AVP 31\n"
        done = self.rewrite(invite(body=two), *OUT, "--media-ports", "20000-20001")
        self.assertEqual((done.returncode, done.stderr.decode()), (1, "no_media_port\n"))
        self.assertEqual(done.stdout, invite("203.0.113.1:1024", contact="203.0.113.1:1024", body=two)
                         .replace(b"alice@192.168.77.2>;tag", b"alice@203.0.113.1>;tag"), "headers edited, body as sent")
        self.expect(self.rewrite(INVITE, *OUT, "--media-ports", "20000-20001"), 0,
                    invite("203.0.113.1:1024", "203.0.113.1", "203.0.113.1:1024", 20000))


class FullDisk(RewriteTest, unittest.TestCase):
    def test_a_message_that_cant_be_written_is_no_success(self):
        for output in ((), ("--json",)):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([BIN / "sipnatctl", "rewrite", *OUT, *output, self.file("m.sip", INVITE)],
                                      stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
            self.assertEqual((done.returncode, done.stderr), (1, b"sipnatctl: can't write to standard output\n"))


class Usage(RewriteTest, unittest.TestCase):
    def test_files_that_cant_be_read(self):
        for name, why in (("none.sip", "No such file or directory"), (".", "Is a directory")):
            self.expect(self.ctl("rewrite", *OUT, name), 2, b"", f"read {name}: {why}\n")
        self.expect(self.ctl("rewrite", *OUT, "--after", "none.sip", "--", self.file("m.sip", INVITE)), 2, b"",
                    "read none.sip: No such file or directory\n")

    def test_what_is_required(self):
        file = self.file("m.sip", INVITE)
        self.expect_usage(self.ctl("rewrite", *OUT[2:], file), "--src is required")
        self.expect_usage(self.ctl("rewrite", *OUT[:2], file), "--dst is required")
        self.expect_usage(self.ctl("rewrite", *OUT), "FILE is required")

    def test_endpoints(self):
        for bad in ("192.168.77.2", "192.168.77.2:", "192.168.77.2:65536", "phone:5060", "fd00::2:5060", ":5060",
                    "[192.168.77.2]:5060", "192.168.077.2:5060", ""):
            for option in ("--src", "--dst", "--snat", "--dnat"):
                base = {"--src": "192.168.77.2:5060", "--dst": "203.0.113.10:5060"} | {option: bad}
                arguments = [word for pair in base.items() for word in pair]
                done = self.ctl("rewrite", *arguments, self.file("m.sip", INVITE))
                self.expect_usage(done, f'{option}: "{bad}" is not IP:PORT or [IPv6]:PORT')

    def test_families_that_are_mixed(self):
        four, six = "192.0.2.1:5060", "[2001:db8::1]:5060"
        for odd in range(1, 4):
            endpoints = [six if place == odd else four for place in range(4)]
            arguments = [word for pair in zip(("--src", "--dst", "--snat", "--dnat"), endpoints) for word in pair]
            self.expect(self.ctl("rewrite", *arguments, self.file("m.sip", INVITE)), 2, b"",
                        "--src, --dst, --snat and --dnat are not of one address family\n")

    def test_ranges(self):
        for bad in ("10000", "20000-10000", "1023-2000", "10000-65536", "a-b", "-"):
            self.expect_usage(self.rewrite(INVITE, *OUT, "--media-ports", bad),
                              f'--media-ports: "{bad}" is not LOW-HIGH with ports from 1024 to 65535')

    def test_options(self):
        self.expect_usage(self.rewrite(INVITE, *OUT, "--proto", "sctp"), "--proto")
        self.expect_usage(self.rewrite(INVITE, *OUT, "--frob"), "--frob")
        self.expect_usage(self.rewrite(INVITE, *OUT, "--json", "--explain"), "excludes")
        self.expect_usage(self.rewrite(INVITE, *OUT, "one-more.sip"), "not expected")


if __name__ == "__main__":
    unittest.main()
