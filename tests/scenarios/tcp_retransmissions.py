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

NEEDS = {"expectations"}
TIMEOUT = 300
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
        server = TcpAgent(net["server"], "bob", listens=5060)
        phone = HandMade(net["phone1"], PORT)
        phone.connect(server.endpoint)
        wire = Wire(phone, server.accept())
        alice = Writer(net["phone1"], "alice", PORT)
        invite = alice.request("INVITE", "sip:bob@203.0.113.10", body=sdp.audio(net["phone1"].address, 20000)).encode()
        register = alice.request("REGISTER", "sip:203.0.113.10", headers=[("Expires", "600")]).encode()
        for case in (repeated, other_bytes, out_of_order):
            case(wire, invite, register)
            wire.assert_acknowledged()
        lost(net, wire, invite, register)
        wire.assert_acknowledged()
        phone.close()
        server.close()

        silent(net)
        selective(net)


def repeated(wire, invite, register):
    phone, whole, both = wire.hand_made, wire.whole(invite), wire.whole(invite) + wire.whole(register)
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


def other_bytes(wire, invite, register):
    """What came first counts, whether it has left already or is still held."""
    phone, whole = wire.hand_made, wire.whole(invite)
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
    wire.arrives(whole + wire.whole(register), across, "other bytes before a new message")


def out_of_order(wire, invite, register):
    phone, stream = wire.hand_made, (invite + register) * 3
    wanted = (wire.whole(invite) + wire.whole(register)) * 3
    for seed in range(30):
        cuts = [0, *random_cuts(len(stream), 2 + seed // 3, seed), len(stream)]
        pieces = list(zip(cuts, cuts[1:]))
        random.Random(seed).shuffle(pieces)

        def send(at, pieces=pieces, doubled=seed % 2):
            for begin, end in pieces + pieces[:doubled * 3]:
                phone.put(at + begin, stream[begin:end])
            return at + len(stream)

        wire.arrives(wanted, send, f"in the order {pieces}")


def lost(net, wire, invite, register):
    """Behind the gateway, which has edited it already."""
    phone, server, stream = wire.hand_made, net["server"], invite + register
    wanted = wire.whole(invite) + wire.whole(register)
    for seed in range(6):
        cuts = random_cuts(len(stream), 1 + seed, seed)

        def send(at, seed=seed, cuts=cuts):
            server.run("nft", "-f", "-", stdin=LOSS)
            phone.put_all(stream, cuts, at=at)
            wait_until(lambda: "counter packets 0 " not in server.run("nft", "list", "table", "ip", "loss"), "a packet to be lost")
            server.run("nft", "delete", "table", "ip", "loss")
            # As after a timeout: from the first that is missing, a message after the other.
            phone.put_all(invite, random_cuts(len(invite), 1 + seed % 3, seed + 50), at=at)
            phone.wait_acknowledged(at + len(invite))
            phone.put_all(register, [], at=at + len(invite))
            return at + len(stream)

        wire.arrives(wanted, send, f"lost, cut at {cuts}")


def answered(net, port, **options):
    """A hand-made phone whose connection the server may use, the server, and its end of the connection."""
    server = TcpAgent(net["server"], "bob", listens=5060)
    phone = HandMade(net["phone1"], port, **options)
    phone.connect(server.endpoint)
    request = Writer(net["phone1"], "alice", port).request("OPTIONS", "sip:bob@203.0.113.10")
    phone.put_all(request.encode())
    server.expect(lambda message: message.method == "OPTIONS", "OPTIONS")
    return phone, server, server.connections[-1]


def silent(net):
    """Of an end that acknowledges nothing. What has to wait for that comes when it does."""
    phone, server, connection = answered(net, PORT + 1)
    contact = f"sip:alice@{connection.peer[0]}:{connection.peer[1]};transport=tcp"
    phone.acknowledges = False
    for _ in range(3):
        connection.send(server.request("OPTIONS", contact).encode())
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
    phone.close()
    server.close()


def selective(net):
    """Behind an edited message: an end says by SACK that of three messages the first is missing, and gets that one alone."""
    phone, server, connection = answered(net, PORT + 2, sack=True)
    contact = f"sip:alice@{connection.peer[0]}:{connection.peer[1]};transport=tcp"
    connection.send(server.request("OPTIONS", contact).encode())
    wait_until(lambda: phone.received.endswith(b"\r\n\r\n"), "the first message")
    first = len(phone.received)
    phone.acknowledges = False
    untouched = [server.request("MESSAGE", "sip:nobody@203.0.113.77").encode() for _ in range(3)]
    for message in untouched:
        connection.send(message)
    end = first + sum(map(len, untouched))
    wait_until(lambda: len(phone.received) == end, "three messages", state=lambda: phone.segments)
    arrived = bytes(phone.received)
    assert arrived[first:] == b"".join(untouched)
    missing = range(first, first + len(untouched[0]))
    # As if the first of them had not come.
    del phone.received[first:]
    before = len(phone.segments)
    phone.acknowledge(sacks=[(missing.stop, end)])
    phone.acknowledge(sacks=[(missing.stop, end)])
    wait_until(lambda: len(phone.received) == missing.stop, "what is missing", state=lambda: phone.segments[before:])
    again = [segment.offset for segment in phone.segments[before:] if segment.data]
    assert set(again) == {first}, f"sent again was what stands at {again}, and at {first} something was missing"
    assert phone.received == arrived[:missing.stop]
    phone.received[:] = arrived
    phone.acknowledge()
    phone.acknowledges = True
    connection.send(untouched[0])
    phone.expect(arrived + untouched[0])
    phone.close()
    server.close()
