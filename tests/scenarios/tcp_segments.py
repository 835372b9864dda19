"""A message arrives as the same bytes however its sender cuts it into segments, in either direction:

    in two, at every byte          40 single bytes, anywhere     in random pieces
    its body behind its head       several in one segment, and the beginning of another
    with keepalives between, before and behind

Also as the first of a connection, where it has yet to be seen that this is SIP.
"""

from lab import sdp, sip
from lab.segments import HandMade, Wire, random_cuts
from lab.sip import Message
from lab.tcp import TcpAgent, Writer

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
ALONE = True
PORT = 40000
BEGINNINGS = 40
"""So many bytes of the first message of a connection, each for once its first segment."""
SINGLE = 40
"""Bytes in a row that each have a segment. More of them take longer than a message may be held, in emulation."""
KEEPALIVES = (b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n\r\n")


def run(lab):
    with lab.network("phone1", "server", firewall="restricted") as net:
        out(lab, net)
        first_messages(net)
        back(net)


def out(lab, net):
    """From a phone; what the server gets."""
    server = TcpAgent(net["server"], "bob", listens=5060)
    phone = HandMade(net["phone1"], PORT)
    phone.connect(server.endpoint)
    wire = Wire(phone, server.accept())
    invite = invite_of(net, PORT)
    in_every_way(wire, invite)
    if lab.arm != "route":
        sip.assert_translated(Message.parse(wire.whole(invite)))
    several(wire, invite, requests(net))
    server.close()


def back(net):
    """From a server; what the phone gets."""
    server = HandMade(net["server"], 5060)
    server.listen()
    phone = TcpAgent(net["phone1"], "alice")
    options = phone.request("OPTIONS", phone.identity)
    phone.send(options, server.endpoint)
    server.accept()
    bob = Writer(net["server"], "bob", 5060)
    contact = f"sip:alice@{server.peer[0]}:{server.peer[1]};transport=tcp"
    invite = bob.request("INVITE", contact, body=sdp.audio("203.0.113.10", 30000)).encode()
    wire = Wire(server, phone.connections[0])
    in_every_way(wire, invite)
    assert Message.parse(wire.whole(invite)).uri == phone.contact, f"the phone reads\n{Message.parse(wire.whole(invite))}"
    several(wire, invite, [bob.request(method, contact).encode() for method in ("OPTIONS", "NOTIFY", "OPTIONS")])


def first_messages(net):
    server = TcpAgent(net["server"], "bob", listens=5060)
    invite, whole = invite_of(net, PORT), b""
    for number in range(BEGINNINGS):
        port = PORT + 1 + number
        phone = HandMade(net["phone1"], port)
        phone.connect(server.endpoint)
        wire = Wire(phone, server.accept())
        assert wire.connection.peer[1] == port, f"{phone} is seen at {wire.connection.peer}"
        own = invite.replace(b"%d" % PORT, b"%d" % port)
        if number:
            wire.carry(own, [number], whole.replace(b"%d" % (PORT + 1), b"%d" % port))
        else:
            whole = wire.whole(own)
        phone.close()
    server.close()


def in_every_way(wire, message):
    whole = wire.whole(message)
    for place in range(1, len(message)):
        wire.carry(message, [place], whole)
    for place in range(0, len(message), SINGLE):
        wire.carry(message, [*range(max(place, 1), min(place + SINGLE, len(message)))], whole)
    for seed in range(40):
        wire.carry(message, random_cuts(len(message), 2 + seed % 20, seed), whole)
    # Three at once: whatever changes its length has to wait for the one before.
    for seed in range(10):
        wire.carry(message * 3, random_cuts(3 * len(message), 6, seed), whole * 3)
    for blank in KEEPALIVES:
        wire.carry(blank, [], blank)
        wire.carry(blank, range(1, len(blank)), blank)
        wire.carry(blank + message + blank, [len(blank), len(blank) + len(message)], blank + whole + blank)
        wire.carry(blank + message + blank, [len(blank) + 20], blank + whole + blank)


def several(wire, invite, others):
    """A segment's worth at once, and all of it in pieces of any length."""
    wholes = [wire.whole(one) for one in others]
    messages, arriving = b"".join(others), b"".join(wholes)
    wire.carry(messages, [], arriving)
    stream, wanted = (messages + b"\r\n" + invite) * 3, (arriving + b"\r\n" + wire.whole(invite)) * 3
    for seed in range(10):
        wire.carry(stream, random_cuts(len(stream), 3 + len(stream) // 1000 + seed, seed), wanted)


def invite_of(net, port):
    body = sdp.audio(net["phone1"].address, 20000)
    return Writer(net["phone1"], "alice", port).request("INVITE", "sip:bob@203.0.113.10", body=body).encode()


def requests(net):
    alice = Writer(net["phone1"], "alice", PORT)
    return [alice.request("REGISTER", "sip:203.0.113.10", headers=[("Expires", "600")]).encode(),
            alice.request("OPTIONS", "sip:203.0.113.10").encode(),
            alice.request("MESSAGE", "sip:bob@203.0.113.10", body=b"192.168.77.2 says hello", headers=[("Content-Type", "text/plain")]).encode()]
