"""sipnatctl replay, over captures that the test writes itself.

    phone 192.168.77.2 ── 203.0.113.1 ── server 203.0.113.10, taken inside
"""
import json
import struct
import unittest

import captures
from captures import framed, pcap, read_udp, tcp, udp, udp_fragments
from program import ProgramTest, message

PHONE, OTHER, SERVER = "192.168.77.2:5060", "192.168.77.3:5060", "203.0.113.10:5060"
NAT = ["--nat", "192.168.77.0/24=203.0.113.1"]
START = 1_700_000_000


def sdp(host, port):
    return f"v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\nm=audio {port} RTP/AVP 0\n"


def request(method, contact="192.168.77.2:5060", cseq=1, to="", body="", call="call-1"):
    host = contact.rpartition(":")[0]
    return message(f"{method} sip:bob@203.0.113.10 SIP/2.0\n"
                   f"Via: SIP/2.0/UDP {contact};branch=z9hG4bK{call}{method}{cseq}\n"
                   f"From: <sip:alice@{host}>;tag=a\n"
                   f"To: <sip:bob@203.0.113.10>{to}\n"
                   f"Call-ID: {call}\n"
                   f"CSeq: {cseq} {method}\n"
                   f"Contact: <sip:alice@{contact}>\n"
                   + ("Content-Type: application/sdp\n" if body else ""), body)


def answer(method="INVITE", contact="203.0.113.1:5060", cseq=1, body="", status="200 OK"):
    host = contact.rpartition(":")[0]
    return message(f"SIP/2.0 {status}\n"
                   f"Via: SIP/2.0/UDP {contact};branch=z9hG4bKcall-1{method}{cseq}\n"
                   f"From: <sip:alice@{host}>;tag=a\n"
                   f"To: <sip:bob@203.0.113.10>;tag=b\n"
                   f"Call-ID: call-1\n"
                   f"CSeq: {cseq} {method}\n"
                   f"Contact: <sip:bob@203.0.113.10:5060>\n"
                   + ("Content-Type: application/sdp\n" if body else ""), body)


INVITE = request("INVITE", body=sdp("192.168.77.2", 4000))
INVITE_OUT = request("INVITE", "203.0.113.1:5060", body=sdp("203.0.113.1", 10000))
OK = answer(body=sdp("203.0.113.10", 7000))
ACK = request("ACK", to=";tag=b")
BYE = request("BYE", cseq=2, to=";tag=b")
BYE_OK = answer("BYE", cseq=2)

CALL = [
    (START + 0.0, udp(PHONE, SERVER, INVITE)),
    (START + 0.5, udp(SERVER, PHONE, OK)),
    (START + 0.6, udp(PHONE, SERVER, ACK)),
    (START + 0.7, udp("192.168.77.2:4000", "203.0.113.10:7000", b"\x80out")),
    (START + 0.8, udp("203.0.113.10:7000", "192.168.77.2:4000", b"\x80in")),
    (START + 5.0, udp(PHONE, SERVER, BYE)),
    (START + 5.1, udp(SERVER, PHONE, BYE_OK)),
]


def hole(port, outside, remote="any"):
    return {"class": "audio", "inside": f"192.168.77.2:{port}", "outside": f"203.0.113.1:{outside}",
            "remote": remote, "protocol": "udp"}


class ReplayTest(ProgramTest):
    def capture(self, packets, link="ethernet", writer=pcap, **more):
        return self.file("in.pcap", writer([(time, framed(packet, link)) for time, packet in packets], link, **more))

    def replay(self, packets, *options, **more):
        return self.ctl("replay", self.capture(packets, **more), *(options or NAT))

    def objects(self, packets, *options, **more):
        done = self.replay(packets, *(options or NAT), "--json", **more)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def written(self, packets, *options, link="ethernet", **more):
        """(seconds, packet) of --out, behind the link headers that the capture had."""
        out = self.folder / "out.pcap"
        done = self.replay(packets, *(options or NAT), "--out", str(out), link=link, **more)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        frames, found = captures.read_pcap(out.read_bytes())
        self.assertEqual(found, captures.LINKS[link][0])
        packets = [(time, frame[len(captures.LINKS[link][1]):]) for time, frame in frames]
        self.assertEqual([frame for _, frame in frames], [framed(packet, link) for _, packet in packets])
        return packets


class Text(ReplayTest, unittest.TestCase):
    def test_call(self):
        self.expect(self.replay(CALL), 0, b"""\
     1     0.000000  192.168.77.2:5060 -> 203.0.113.10:5060  INVITE  rewritten, 7 edits, 2 opened
     2     0.500000  203.0.113.10:5060 -> 192.168.77.2:5060  200 INVITE  rewritten, 2 edits, 2 opened
     3     0.600000  192.168.77.2:5060 -> 203.0.113.10:5060  ACK  rewritten, 3 edits
     6     5.000000  192.168.77.2:5060 -> 203.0.113.10:5060  BYE  rewritten, 3 edits
     7     5.100000  203.0.113.10:5060 -> 192.168.77.2:5060  200 BYE  rewritten, 2 edits, 4 closed
7 packets, 5 on SIP ports: 5 rewritten
4 holes opened, 4 closed
7 packets translated
""")

    def test_nothing_in_it(self):
        self.expect(self.replay([]), 0, b"0 packets, 0 on SIP ports\n0 holes opened, 0 closed\n0 packets translated\n")

    def test_what_is_no_message(self):
        done = self.replay([(START, udp(PHONE, SERVER, b"\r\n\r\n")), (START, udp(PHONE, SERVER, b"what\x1b[2Jever")),
                            (START, udp(PHONE, SERVER, INVITE.replace(b"Call-ID", b"X-Call")))])
        self.assertEqual(done.returncode, 0)
        self.assertNotIn(b"\x1b", done.stdout)
        self.assertIn(b"-  keepalive\n", done.stdout)
        self.assertIn(b"-  not_sip\n", done.stdout)
        self.assertIn(b"-  malformed (read SIP message Call-ID: missing)\n", done.stdout)
        self.assertIn(b"3 packets, 3 on SIP ports: 1 keepalive, 1 not_sip, 1 malformed\n", done.stdout)


class Json(ReplayTest, unittest.TestCase):
    def test_call(self):
        lines = self.objects(CALL)
        self.assertEqual([(line["packet"], line["time"]) for line in lines],
                         [(1, START), (2, START + 0.5), (3, START + 0.6), (6, START + 5), (7, START + 5.1)])
        first = lines[0]
        self.assertEqual(list(first), ["packet", "time", "src", "dst", "verdict", "reason", "edits", "open", "close"])
        self.assertEqual((first["src"], first["dst"], first["verdict"], first["reason"]),
                         (PHONE, SERVER, "accept", "rewritten"))
        self.assertEqual(first["open"], [hole(4000, 10000), hole(4001, 10001)])
        via = {"offset": INVITE.index(b"192.168.77.2:5060;branch"), "length": 17, "old": PHONE,
               "new": "203.0.113.1:5060", "where": "Via", "why": "the sender's own endpoint, as the other side sees it"}
        self.assertEqual(first["edits"][0], via)
        self.assertEqual((lines[1]["src"], lines[1]["dst"]), (SERVER, PHONE))
        self.assertEqual(lines[1]["open"], [hole(4000, 10000, "203.0.113.10:7000"),
                                            hole(4001, 10001, "203.0.113.10:7001")])
        self.assertEqual(len(lines[4]["close"]), 4)

    def test_bytes_that_are_no_utf8(self):
        odd = INVITE.replace(b"sip:alice@192.168.77.2:5060", b"sip:\xff@192.168.77.2:5060")
        self.assertEqual(self.objects([(START, udp(PHONE, SERVER, odd))])[0]["reason"], "rewritten")

    def test_time_closes(self):
        """An unanswered BYE ends its call after 32 s, whatever packet comes next."""
        lines = self.objects(CALL[:6] + [(START + 100, udp(PHONE, SERVER, b"\r\n\r\n"))])
        timer = lines[-2]
        self.assertEqual(list(timer), ["time", "reason", "edits", "open", "close"])
        self.assertEqual((timer["time"], timer["reason"], len(timer["close"])), (START + 37, "timer", 4))
        self.assertEqual(lines[-1]["reason"], "keepalive")

    def test_time_that_steps_back(self):
        lines = self.objects([(START + 10, CALL[0][1]), (START, CALL[1][1])])
        self.assertEqual([len(line["open"]) for line in lines], [2, 2])


class Out(ReplayTest, unittest.TestCase):
    def test_call(self):
        frames = self.written(CALL)
        self.assertEqual([time for time, _ in frames], [time for time, _ in CALL])
        outside = "203.0.113.1:5060"
        self.assertEqual([read_udp(packet) for _, packet in frames], [
            (outside, SERVER, INVITE_OUT),
            (SERVER, outside, OK),
            (outside, SERVER, request("ACK", outside, to=";tag=b")),
            ("203.0.113.1:10000", "203.0.113.10:7000", b"\x80out"),
            ("203.0.113.10:7000", "203.0.113.1:10000", b"\x80in"),
            (outside, SERVER, request("BYE", outside, cseq=2, to=";tag=b")),
            (SERVER, outside, BYE_OK),
        ])

    def test_second_phone_with_the_same_port(self):
        frames = self.written([(START, udp(PHONE, SERVER, b"\r\n\r\n")), (START, udp(OTHER, SERVER, b"\r\n\r\n")),
                               (START, udp(SERVER, OTHER, b"\r\n"))])
        self.assertEqual([read_udp(packet)[:2] for _, packet in frames],
                         [("203.0.113.1:5060", SERVER), ("203.0.113.1:1024", SERVER), (SERVER, "203.0.113.1:1024")])

    def test_what_has_no_nat_is_as_it_was(self):
        packets = [(START, udp("192.168.77.2:5060", "192.168.77.3:5060", INVITE)),
                   (START, udp("198.51.100.1:5060", "198.51.100.2:5060", INVITE)),
                   (START, udp("192.168.77.2:5353", "224.0.0.251:5353", b"mdns"))]
        self.assertEqual(self.written(packets), packets)

    def test_tcp_gets_nat_and_nothing_else(self):
        done = self.replay([(START, tcp(PHONE, SERVER, INVITE))], *NAT, "--out", "out.pcap")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"1 packets, 0 on SIP ports\n", done.stdout)
        self.assertIn(b"\n1 TCP segments on a SIP port: not looked into\n", done.stdout)
        frames, _ = captures.read_pcap((self.folder / "out.pcap").read_bytes())
        self.assertEqual(frames[0][1][14:], tcp("203.0.113.1:5060", SERVER, INVITE))

    def test_other_ports(self):
        packet = [(START, udp("192.168.77.2:5070", "203.0.113.10:5080", INVITE))]
        self.assertEqual(self.objects(packet), [])
        for port in ("5070", "5080"):
            self.assertEqual(len(self.objects(packet, *NAT, "--sip-port", "5062", "--sip-port", port)), 1)
        self.assertEqual(self.objects([(START, udp(PHONE, SERVER, INVITE))], *NAT, "--sip-port", "5062"), [])

    def test_several_networks(self):
        frames = self.written([(START, udp(PHONE, SERVER, b"\r\n\r\n")),
                               (START, udp("[fd00::2]:5060", "[2001:db8::9]:5060", b"\r\n\r\n"))],
                              *NAT, "--nat", "fd00::/8=2001:db8::1", link="raw")
        self.assertEqual([read_udp(packet)[0] for _, packet in frames], ["203.0.113.1:5060", "[2001:db8::1]:5060"])


class Files(ReplayTest, unittest.TestCase):
    def test_link_types(self):
        for link in captures.LINKS:
            with self.subTest(link):
                self.assertEqual([read_udp(packet) for _, packet in self.written(CALL, link=link)][0],
                                 ("203.0.113.1:5060", SERVER, INVITE_OUT))

    def test_ipv6(self):
        inside, server = "[fd00::2]:5060", "[2001:db8::9]:5060"
        invite = request("INVITE", inside, body=sdp("fd00::2", 4000).replace("IP4", "IP6"))
        for link in captures.LINKS:
            with self.subTest(link):
                source, _, payload = read_udp(self.written([(START, udp(inside, server, invite))], "--nat",
                                                           "fd00::/8=2001:db8::1", link=link)[0][1])
                self.assertEqual(source, "[2001:db8::1]:5060")
                self.assertIn(b"Contact: <sip:alice@[2001:db8::1]:5060>", payload)

    def test_formats(self):
        expected = self.objects(CALL)
        for more in ({"order": ">"}, {"nanoseconds": True}, {"nanoseconds": True, "order": ">"},
                     {"writer": captures.pcapng}):
            with self.subTest(more):
                self.assertEqual(self.objects(CALL, **more), expected)
        precise = [(START + 0.000000512, CALL[0][1])]
        self.assertEqual(self.written(precise, nanoseconds=True)[0][0], precise[0][0])

    def test_fragments(self):
        long_invite = INVITE.replace(b"From", b"X-Long: " + b"x" * 3000 + b"\r\nFrom")
        parts = [(START + i, packet) for i, packet in enumerate(udp_fragments(PHONE, SERVER, long_invite, 1480))]
        self.assertEqual(len(parts), 3)
        for order in (parts, parts[::-1], [parts[1], *parts]):
            frames = self.written(order)
            self.assertEqual(len(frames), 1)
            self.assertEqual(read_udp(frames[0][1])[2], long_invite
                             .replace(b"192.168.77.2", b"203.0.113.1").replace(b" 4000 ", b" 10000 ")
                             .replace(b"Length: 93", b"Length: 92"))
        done = self.replay(parts)
        self.assertTrue(done.stdout.startswith(b"     3     2.000000  192.168.77.2:5060 -> "), done.stdout)
        self.assertIn(b"\n1 packets put together from fragments\n", done.stdout)
        done = self.replay(parts[:2], *NAT, "--out", "out.pcap")
        self.assertIn(b"\n1 packets whose fragments are not whole\n", done.stdout)
        self.assertEqual(captures.read_pcap((self.folder / "out.pcap").read_bytes())[0], [])

    def test_cut_off_packets_are_passed(self):
        frame = framed(CALL[0][1])
        path = self.file("in.pcap", pcap([(START, frame[:96], len(frame)), (START, framed(CALL[0][1]))]))
        done = self.ctl("replay", path, *NAT, "--out", "out.pcap")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"2 packets, 1 on SIP ports: 1 rewritten\n", done.stdout)
        self.assertIn(b"\n1 packets cut off by the capture: passed unread\n", done.stdout)
        self.assertEqual(captures.read_pcap((self.folder / "out.pcap").read_bytes())[0][0][1], frame[:96])

    def test_other_frames_are_passed(self):
        arp = bytes.fromhex("ffffffffffff0200000000010806") + bytes(28)
        icmp = framed(CALL[0][1][:9] + b"\x01" + CALL[0][1][10:])
        path = self.file("in.pcap", pcap([(START, arp), (START, icmp)]))
        done = self.ctl("replay", path, *NAT, "--out", "out.pcap")
        self.assertIn(b"\n1 frames without IP: passed\n", done.stdout)
        self.assertIn(b"\n1 IP packets neither UDP nor TCP, or unreadable: passed\n", done.stdout)
        frames, _ = captures.read_pcap((self.folder / "out.pcap").read_bytes())
        self.assertEqual([frame for _, frame in frames], [arp, icmp])

    def test_standard_input(self):
        capture = pcap([(time, framed(packet)) for time, packet in CALL])
        done = self.ctl("replay", "-", *NAT, stdin=capture)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout, self.replay(CALL).stdout)


class Faults(ReplayTest, unittest.TestCase):
    def test_capture_that_breaks_off(self):
        whole = pcap([(time, framed(packet)) for time, packet in CALL])
        path = self.file("in.pcap", whole[:-1])
        done = self.ctl("replay", path, *NAT, "--out", "out.pcap")
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.decode().startswith(f"read capture {path}: "), done.stderr)
        self.assertIn(b"6 packets, 4 on SIP ports: 4 rewritten\n", done.stdout)
        self.assertEqual(len(captures.read_pcap((self.folder / "out.pcap").read_bytes())[0]), 6)

    def test_no_capture(self):
        for content in (b"", b"nonsense, and no little of it"):
            done = self.ctl("replay", self.file("in.pcap", content), *NAT)
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertIn("read capture", done.stderr.decode())
        wireless = pcap([])[:20] + struct.pack("<I", 105)
        path = self.file("in.pcap", wireless)
        self.expect(self.ctl("replay", path, *NAT), 1, b"",
                    f"read capture {path}: frames of type IEEE802_11 can't be read\n")

    def test_files_that_cant_be_opened(self):
        self.expect(self.ctl("replay", "none.pcap", *NAT), 2, b"",
                    "read capture none.pcap: No such file or directory\n")
        self.expect_usage(self.replay(CALL, *NAT, "--out", "none/out.pcap"), "write capture none/out.pcap: ")

    def test_capture_is_not_written_over(self):
        path = self.capture(CALL)
        for out in (path, "./in.pcap", "-"):
            self.expect(self.ctl("replay", path, *NAT, "--out", out), 2, b"",
                        "--out: has to be a file, and another than that which is read\n")

    def test_disk_full(self):
        done = self.replay(CALL, *NAT, "--out", "/dev/full")
        self.assertEqual(done.returncode, 1)
        self.assertIn("write capture /dev/full: ", done.stderr.decode())

    def test_options_stand_before_and_behind_the_file(self):
        path = self.capture(CALL)
        usual = self.ctl("replay", path, *NAT, "--sip-port", "5060", "--json")
        self.assertEqual((usual.returncode, usual.stderr), (0, b""))
        for more in ([*NAT, path, "--sip-port", "5060", "--json"], ["--sip-port", "5060", *NAT, path, "--json"]):
            done = self.ctl("replay", *more)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, usual.stdout, b""))

    def test_usage(self):
        path = self.capture(CALL)
        self.expect_usage(self.ctl("replay", path), "--nat")
        self.expect_usage(self.ctl("replay", *NAT), "IN.pcap")
        for bad in ("192.168.77.0/24", "192.168.77.0/24=2001:db8::1", "192.168.77.0/33=203.0.113.1"):
            self.expect_usage(self.ctl("replay", path, "--nat", bad), f'"{bad}" is not NET/BITS=IP of one family')
        for bad in ("0", "65536", "sip"):
            self.expect_usage(self.ctl("replay", path, *NAT, "--sip-port", bad), "--sip-port")

    def test_help_says_where_the_capture_is_taken(self):
        done = self.ctl("replay", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        for text in (b"--nat", b"--out", b"--json", b"--sip-port", b"is taken inside"):
            self.assertIn(text, done.stdout)


if __name__ == "__main__":
    unittest.main()
