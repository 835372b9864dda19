"""Segments that come twice, in other pieces, with other bytes or in another order: what arrives is the stream as it was sent first,
each message edited as at the first time, and each side is told of its own bytes that they have arrived.

    from a phone   hand-made: doubled, cut elsewhere, grown, over several messages; overlapping with other bytes; in any order; lost
                   between gateway and server, and sent again
    to a phone     the kernel's own retransmissions to an end that stays silent, or says by SACK what is missing
"""

import random

from lab import sdp
from lab.segments import HandMade, Wire, random_cuts
from lab.tcp import TcpAgent, Writer
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
ALONE = True
PORT = 40000
LOSS = """
table ip loss {
    chain input {
        type filter hook input priority 0;
        tcp dport 5060 counter drop
    }
}
"""


def run(lab):
    with lab.network("phone1", "server", firewall="restricted") as net:
        failed = []
        for number, case in enumerate((repeated, other_bytes, out_of_order, lost, silent, selective)):
            try:
                with Line(net, PORT + number) as line:
                    case(line)
            except AssertionError as fault:
                lab.log(f"{case.__name__}: {fault}")
                failed.append(case.__name__)
        assert not failed, f"failed: {failed}"


class Line:
    """A hand-made phone, its server, and an INVITE and a REGISTER to send; a context manager."""

    def __init__(self, net, port):
        self.net = net
        self.server = TcpAgent(net["server"], "bob", listens=5060)
        self.phone = HandMade(net["phone1"], port, sack=True)
        self.phone.connect(self.server.endpoint)
        self.connection = self.server.accept()
        self.wire = Wire(self.phone, self.connection)
        alice = Writer(net["phone1"], "alice", port)
        self.invite = alice.request("INVITE", self.server.identity, body=sdp.audio(net["phone1"].address, 20000)).encode()
        self.register = alice.request("REGISTER", "sip:203.0.113.10", headers=[("Expires", "600")]).encode()
        self.options = self.server.request("OPTIONS", f"sip:alice@{self.connection.peer[0]}:{self.connection.peer[1]};transport=tcp").encode()
        self.whole, self.whole_register = self.wire.whole(self.invite), self.wire.whole(self.register)

    def __enter__(self):
        self.wire.assert_acknowledged()
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.wire.assert_acknowledged()
        finally:
            self.phone.close()
            self.server.close()


def repeated(line):
    wire, phone, invite, register, whole = line.wire, line.phone, line.invite, line.register, line.whole
    both = whole + line.whole_register
    half = len(invite) // 2

    def sent(*pieces, length=len(invite)):
        """Each piece is a part of both messages, of which `length` bytes are sent in all."""
        def send(at):
            for begin, end in pieces:
                phone.put(at + begin, (invite + register)[begin:end])
            return at + length
        return send

    all_of_it = len(invite + register)
    for what, send in {
        "doubled": sent((0, len(invite)), (0, len(invite)), (0, len(invite))),
        "halves, each doubled": sent((0, half), (0, half), (half, len(invite)), (half, len(invite))),
        "both halves, doubled": sent((0, half), (half, len(invite)), (0, half), (half, len(invite))),
        "halves, then thirds": sent((0, half), (0, half - 50), (half - 50, half + 50), (half + 50, len(invite))),
        "halves, then all of it": sent((0, half), (0, len(invite))),
        "the second half, from before its beginning": sent((0, half), (half - 20, len(invite))),
        "all of it, then in pieces": sent((0, len(invite)), (0, 30), (30, half), (half, len(invite))),
    }.items():
        wire.arrives(whole, send, what)
    for what, send in {
        "two messages, then in one segment": sent((0, len(invite)), (len(invite), all_of_it), (0, all_of_it), length=all_of_it),
        "two messages, then from the first's middle": sent((0, len(invite)), (len(invite), all_of_it), (half, all_of_it), length=all_of_it),
        "the first, then both": sent((0, len(invite)), (0, all_of_it), length=all_of_it),
        "one and a half, then both": sent((0, len(invite) + 50), (half, all_of_it), (0, all_of_it), length=all_of_it),
    }.items():
        wire.arrives(both, send, what)
    # What is long over.
    phone.put(wire.at - len(register), register)
    phone.put(wire.at - all_of_it, invite + register)
    phone.put(wire.at - len(register) - half, (invite + register)[-len(register) - half:])
    wire.carry(invite, [half], whole)


def other_bytes(line):
    """What came first counts, whether it has left already or is still held."""
    wire, phone, invite, register, whole = line.wire, line.phone, line.invite, line.register, line.whole
    half = len(invite) // 2

    def held(at):
        phone.put(at, invite[:half])
        phone.put(at, b"?" * half)
        phone.put(at + half - 50, b"?" * 50 + invite[half:half + 50])
        phone.put(at + half, b"?" * 10)
        phone.put(at + half + 50, invite[half + 50:])
        return at + len(invite)

    def gone(at):
        phone.put(at, invite)
        phone.put(at, b"?" * len(invite))
        phone.put(at, invite.replace(b"INVITE", b"CANCEL"))
        return at + len(invite)

    def across(at):
        phone.put(at, invite)
        phone.put(at + half, b"?" * (len(invite) - half) + register)
        return at + len(invite + register)

    wire.arrives(whole, held, "other bytes for what is held")
    wire.arrives(whole, gone, "other bytes for what has left")
    wire.arrives(whole + line.whole_register, across, "other bytes before a new message")


def out_of_order(line):
    phone, stream, wanted = line.phone, (line.invite + line.register) * 3, (line.whole + line.whole_register) * 3
    for seed in range(30):
        cuts = [0, *random_cuts(len(stream), 2 + seed // 3, seed), len(stream)]
        pieces = list(zip(cuts, cuts[1:]))
        random.Random(seed).shuffle(pieces)

        def send(at, pieces=pieces, doubled=seed % 2):
            for begin, end in pieces + pieces[:doubled * 3]:
                phone.put(at + begin, stream[begin:end])
            return at + len(stream)

        line.wire.arrives(wanted, send, f"in the order {pieces}")


def lost(line):
    """Behind the gateway, which has edited it already."""
    phone, server, invite, register = line.phone, line.net["server"], line.invite, line.register
    stream, wanted = invite + register, line.whole + line.whole_register
    for seed in range(6):
        cuts = random_cuts(len(stream), 1 + seed, seed)

        def send(at, seed=seed, cuts=cuts):
            server.run("nft", "-f", "-", stdin=LOSS)
            phone.put_all(stream, cuts, at=at)
            wait_until(lambda: "counter packets 0 " not in server.run("nft", "list", "table", "ip", "loss"), "a packet to be lost")
            server.run("nft", "delete", "table", "ip", "loss")
            # As after a timeout: from the first that is missing, a message after the other.
            phone.insist(invite, random_cuts(len(invite), 1 + seed % 3, seed + 50), at=at)
            phone.insist(register, at=at + len(invite))
            return at + len(stream)

        line.wire.arrives(wanted, send, f"lost, cut at {cuts}")


def silent(line):
    """Of an end that acknowledges nothing. What has to wait for that comes when it does."""
    phone = line.phone
    phone.acknowledges = False
    for _ in range(3):
        line.connection.send(line.options)
    wait_until(lambda: sum(segment.offset == 0 and bool(segment.data) for segment in phone.segments) >= 4, "the message for the fourth time",
               state=lambda: [(segment.offset, len(segment.data)) for segment in phone.segments])
    bytes_at = {}
    for segment in phone.segments:
        for place, byte in enumerate(segment.data, segment.offset):
            assert bytes_at.setdefault(place, byte) == byte, f"byte {place} came as {bytes_at[place]}, and again as {byte}"
    phone.acknowledges = True
    phone.acknowledge()
    wait_until(lambda: bytes(phone.received).count(b"OPTIONS sip:alice@192.168.77.2") == 3 and phone.received.endswith(b"\r\n\r\n"), "all three",
               state=lambda: bytes(phone.received))


def selective(line):
    """Behind an edited message: an end says by SACK that of three messages the first is missing, and gets that one alone."""
    phone = line.phone
    line.connection.send(line.options)
    wait_until(lambda: phone.received.endswith(b"\r\n\r\n"), "the first message")
    first = len(phone.received)
    phone.acknowledges = False
    untouched = [line.server.request("MESSAGE", "sip:nobody@203.0.113.77").encode() for _ in range(3)]
    for message in untouched:
        line.connection.send(message)
    end = first + sum(map(len, untouched))
    wait_until(lambda: len(phone.received) == end, "three messages", state=lambda: phone.segments)
    arrived = bytes(phone.received)
    assert arrived[first:] == b"".join(untouched)
    missing = range(first, first + len(untouched[0]))
    # As if the first of them had not come.
    del phone.received[first:]
    before = len(phone.segments)
    for _ in range(2):
        phone.acknowledge(sacks=[(missing.stop, end)])
    wait_until(lambda: len(phone.received) >= missing.stop, "what is missing", state=lambda: phone.segments[before:])
    again = {segment.offset for segment in phone.segments[before:] if segment.data}
    assert again == {first}, f"sent again was what stands at {again}, and at {first} something was missing"
    assert phone.received == arrived[:missing.stop]
    phone.received[:] = arrived
    phone.acknowledge()
    phone.acknowledges = True
    line.connection.send(untouched[0])
    phone.expect(arrived + untouched[0])
