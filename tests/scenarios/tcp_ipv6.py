"""What the kernel makes of messages that change their length over TCP, over IPv4 and over IPv6 (NAT66), both ways over one connection:
growth, shrinking, growth after shrinking, one by one and many at once. Edited by stream_shift, not by sipnatd, which handles IPv4 only.

    by ctnetlink     right over both: sipnatd's way (docs/adr/0007-tcp-streams.md)
    by the verdict   the control. Growth is right over IPv4; behind shrinking it ends the connection, since conntrack does not know the
                     acknowledgement; and over IPv6 all of it does, since the kernel takes fields of the IP header for the sequence
                     number. A kernel without these faults passes as well, and the log says so.

        phone1 192.168.77.2 ───  .1 gateway 203.0.113.1     ───  203.0.113.10     server
               fd00:77::2   ─── ::1         2001:db8:113::1 ───  2001:db8:113::10
"""

import contextlib
import re
import socket

from lab import netns
from lab.gateway import SipnatArm
from lab.tcp import Connection
from lab.wait import DEADLINE, wait_until

NEEDS = {"expectations"}
TIMEOUT = 180
ALONE = True

PHONE, SERVER = {4: "192.168.77.2", 6: "fd00:77::2"}, {4: "203.0.113.10", 6: "2001:db8:113::10"}
OUTSIDE = {4: "203.0.113.1", 6: "2001:db8:113::1"}
IPV6 = (("phone1", "eth0", PHONE[6]), ("gateway", "lan0", "fd00:77::1"), ("gateway", "wan0", OUTSIDE[6]), ("server", "eth0", SERVER[6]))
RULES = """
table {family} streams {{
    ct helper sipnat_tcp {{
        type "sipnat" protocol tcp
        l3proto {family}
    }}
    chain prerouting {{
        type filter hook prerouting priority filter;
        tcp dport 5060 ct state new ct helper set "sipnat_tcp"
    }}
    chain segments {{
        type filter hook forward priority mangle;
        tcp dport 5060 tcp flags syn / syn,rst tcp option maxseg size set 1300
        tcp sport 5060 tcp flags syn / syn,rst tcp option maxseg size set 1300
    }}
}}
"""
NAT66 = 'table ip6 admin { chain postrouting { type nat hook postrouting priority 100; oifname "wan0" masquerade; }; }\n'

GROWTH = ((10, 60), (10, 12), (10, 400))
"""A message's word is so long, and becomes as long as that."""
GROWTH_BEHIND_SHRINKING = ((900, 10), (10, 20))
"""By more than the message that grows is long: nf_ct_seq_offset then takes the wrong side of the position, and the window check calls
the acknowledgement INVALID."""
CHANGES = (*GROWTH_BEHIND_SHRINKING, (10, 500), (9, 9), None, (10, 11), (20, 3), (20, 3), (300, 1), *GROWTH)
AT_ONCE = ((10, 40), None, (100, 10), (20, 30), (10, 10), None, (30, 1), (9, 50))
PATIENCE = 10
"""Seconds until a stream that does not go on is taken for one that ended."""
MENDED = "by the verdict, too, it is right on this kernel; docs/adr/0007-tcp-streams.md says otherwise"


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server", arm="none") as net:
        add_ipv6(net)
        with editor(net, "by_ctnetlink") as process:
            net["gateway"].run("nft", "-f", "-", stdin=NAT66 + "".join(RULES.format(family=family) for family in ("ip", "ip6")))
            for version in (4, 6):
                before = len(shifts_of(process))
                line = Line(net, version)
                line.one_by_one(CHANGES)
                line.at_once(AT_ONCE)
                line.at_once(AT_ONCE * 5)
                line.one_by_one(CHANGES)
                line.end()
                assert len(shifts_of(process)) > before, f"IPv{version}: all that arrived is right, and the kernel adjusted nothing"
        with editor(net, "by_verdict", "--by-verdict") as process:
            by_verdict(lab, net, process)


def by_verdict(lab, net, process):
    problem = end_of_stream(net, 4, GROWTH)
    assert not problem, f"that the kernel does right: {problem}"

    before = invalid_packets(net)
    problem = end_of_stream(net, 4, GROWTH_BEHIND_SHRINKING)
    assert not problem or invalid_packets(net) > before, f"not by the fault that is known: {problem}"
    lab.log(f"IPv4, growth behind shrinking: {problem or MENDED}")

    before = len(shifts_of(process))
    problem = end_of_stream(net, 6, GROWTH)
    if problem:
        # What was not acknowledged is sent again, and shows the entry.
        position, *_ = wait_until(lambda: shifts_of(process)[before:], "the entry's shift", state=lambda: problem)[0]
        # Bytes 4 to 7 of the header of the first packet that was changed.
        length, next_header, hop_limit = position >> 16, position >> 8 & 0xFF, position & 0xFF
        tcp_header = length - len(edited(message(0, GROWTH[0])))
        assert (next_header, hop_limit) == (6, 63) and 20 <= tcp_header <= 60, f"not by the fault that is known, {position:#x}: {problem}"
        lab.log(f"IPv6: took payload length {length}, next header 6 and hop limit 63 for the sequence number")
    lab.log(f"IPv6: {problem or MENDED}")


def end_of_stream(net, version, changes):
    """What became of a stream with these changes that did not arrive as it should."""
    line = Line(net, version)
    try:
        line.one_by_one(changes, PATIENCE)
        line.end()
    except (AssertionError, OSError) as problem:
        return str(problem)
    return None


class Line:
    """A connection from the phone to the server, with what has to have arrived at either end."""

    def __init__(self, net, version):
        listener = net["server"].tcp_socket(5060, SERVER[version])
        listener.listen()
        listener.settimeout(DEADLINE)
        phone = net["phone1"].tcp_socket(0, PHONE[version])
        phone.settimeout(DEADLINE)
        phone.connect((SERVER[version], 5060))
        accepted, _ = listener.accept()
        listener.close()
        self.ends = [Connection(phone), Connection(net.network.closing(accepted))]
        assert self.ends[1].peer[0] == OUTSIDE[version], f"no NAT: the server sees {self.ends[1].peer}"
        self.wanted = {end: b"" for end in self.ends}
        self.number = 0

    def one_by_one(self, changes, patience=DEADLINE):
        """A message from the phone and one to it, for each change: the next when the ones before were acknowledged."""
        for change in changes:
            for sender, receiver in (self.ends, self.ends[::-1]):
                self._send([change], sender, receiver)
                receiver.expect(self.wanted[receiver], timeout=patience)
            for end in self.ends:
                end.wait_acknowledged()

    def at_once(self, changes):
        """All of them from both sides, without a pause."""
        for sender, receiver in (self.ends, self.ends[::-1]):
            self._send(changes, sender, receiver)
        for end in self.ends:
            end.expect(self.wanted[end])

    def end(self):
        """With FIN from either side, which has its place in the stream as well."""
        phone, server = self.ends
        phone.socket.shutdown(socket.SHUT_WR)
        assert server.wait_ended() == "closed"
        server.close()
        assert phone.wait_ended() == "closed"
        phone.close()

    def _send(self, changes, sender, receiver):
        stream = b"".join(message(self.number + i, change) for i, change in enumerate(changes))
        self.number += len(changes)
        self.wanted[receiver] += edited(stream)
        sender.send(stream)


def message(number, change):
    """A message with a word that is to change its length, or with none."""
    before, after = change or (0, 0)
    word = f"inside {after:0{before - len('inside ')}d}" if change else "nothing"
    assert not change or len(word) == before, change
    return (f"OPTIONS sip:bob@example.net SIP/2.0\r\nVia: SIP/2.0/TCP host.example.net;branch=z9hG4bK-{number}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:alice@example.net>;tag=a\r\nTo: <sip:bob@example.net>\r\nCall-ID: {number}\r\nCSeq: {number} OPTIONS\r\n"
            f"Subject: {word}\r\nContent-Length: 0\r\n\r\n").encode()


def edited(stream):
    """stream_shift's rule."""
    return re.sub(rb"inside (\d+)", lambda found: b"o" * int(found[1]), stream)


@contextlib.contextmanager
def editor(net, name, *arguments):
    process = net["gateway"].start(SipnatArm.program("stream_shift"), *arguments, log=f"{name}.log")
    wait_until(lambda: "ready\n" in process.output() or process.status() is not None, "stream_shift", state=process.output)
    assert process.status() is None, process.output()
    yield process
    assert process.stop() == 0, process.output()


def shifts_of(process):
    """(position, before, after) of all that the editor saw in entries."""
    found = re.findall(r"^shift \w+ (0x\w+) (\S+) (\S+)$", process.output(), re.MULTILINE)
    return [(int(position, 16), int(before), int(after)) for position, before, after in found]


def invalid_packets(net):
    """As conntrack calls those that are none of a connection's."""
    return sum(map(int, re.findall(r"\binvalid=(\d+)", net["gateway"].run("conntrack", "-S"))))


def add_ipv6(net):
    """The lab's hosts have none by themselves."""
    for name, interface, address in IPV6:
        node = net[name]
        with netns.inside(node.namespace):
            for where in ("all", "default", interface):
                netns.sysctl(f"net.ipv6.conf.{where}.accept_dad", 0)
                netns.sysctl(f"net.ipv6.conf.{where}.disable_ipv6", 0)
            netns.sysctl("net.ipv6.conf.all.forwarding", int(name == "gateway"))
        node.run("ip", "addr", "add", f"{address}/64", "dev", interface, "nodad")
    net["phone1"].run("ip", "-6", "route", "add", "default", "via", "fd00:77::1")
