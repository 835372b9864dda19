"""How connections end while something is held, and what a closed window does: nothing is lost that was sent, no end is kept waiting,
and what is left of a message that never becomes whole goes on as it is.

    FIN      with a whole message, with half of one, behind half of one; the other direction goes on
    RST      with half a message held, from either side
    both     FINs that cross
    window   of a receiver that does not read: probed with a byte, and opened again; of one that has little room, and of one that
             says it has none
"""

import socket
import time

from lab import sdp
from lab.segments import ACK, FIN, PSH, RST, HandMade, Wire
from lab.tcp import TcpAgent, Writer
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
ALONE = True
SERVER = "203.0.113.10"


def run(lab):
    with lab.network("phone1", "server", firewall="restricted") as net:
        server = TcpAgent(net["server"], "bob", listens=5060)
        for number, case in enumerate((fin_with_message, fin_with_half, fin_behind_half, half_close, reset_here, reset_there, both_close,
                                       unread, narrow, closed_window)):
            lab.log(case.__name__)
            case(Line(net, server, 40000 + number))


class Line:
    """A connection of its own for each case, from a hand-made phone; its first message has been edited."""

    def __init__(self, net, server, port):
        self.net = net
        self.server = server
        self.phone = HandMade(net["phone1"], port)
        self.phone.connect(server.endpoint)
        self.connection = server.accept()
        self.wire = Wire(self.phone, self.connection)
        self.alice = Writer(net["phone1"], "alice", port)
        self.invite = self.alice.request("INVITE", f"sip:bob@{SERVER}", body=sdp.audio(net["phone1"].address, 20000)).encode()
        self.whole = self.wire.whole(self.invite)
        self.wire.assert_acknowledged()
        self.half = self.invite[:len(self.invite) // 2]

    def arrives(self, wanted, end):
        """The stream so far, and this behind it; and then its end."""
        self.connection.expect(self.whole + wanted)
        assert self.connection.wait_ended() == end, f"the stream's end is {self.connection.ended}"
        assert self.connection.received == self.whole + wanted, f"more than that: {bytes(self.connection.received)!r}"

    def contact(self):
        return f"sip:alice@{self.connection.peer[0]}:{self.connection.peer[1]};transport=tcp"


def fin_with_message(line):
    line.phone.put(line.wire.at, line.invite, ACK | PSH | FIN)
    line.arrives(line.whole, "closed")
    line.connection.close()
    line.phone.wait_ended()
    line.phone.wait_acknowledged(line.wire.at + len(line.invite) + 1)
    assert line.phone.acknowledged == line.wire.at + len(line.invite) + 1
    line.phone.close()


def fin_with_half(line):
    line.phone.put(line.wire.at, line.half, ACK | PSH | FIN)
    line.arrives(line.half, "closed")
    line.connection.close()
    line.phone.wait_ended()
    line.phone.close()


def fin_behind_half(line):
    line.phone.put(line.wire.at, line.half)
    line.phone.put(line.wire.at + len(line.half), b"", ACK | FIN)
    line.arrives(line.half, "closed")
    line.phone.wait_acknowledged(line.wire.at + len(line.half) + 1)
    line.connection.close()
    line.phone.wait_ended()
    line.phone.close()


def half_close(line):
    """The answer comes after the end of the request's stream."""
    line.phone.put(line.wire.at, line.invite, ACK | PSH | FIN)
    line.arrives(line.whole, "closed")
    request = line.server.request("OPTIONS", line.contact()).encode()
    line.connection.send(request)
    line.connection.send(request)
    line.connection.close()
    line.phone.wait_ended()
    assert bytes(line.phone.received).count(b"OPTIONS sip:alice@192.168.77.2:") == 2, bytes(line.phone.received)
    line.phone.close()


def reset_here(line):
    line.phone.put(line.wire.at, line.half)
    line.phone.put(line.wire.at + len(line.half), b"", RST | ACK)
    assert line.connection.wait_ended() == "reset"
    assert bytes(line.connection.received) in (line.whole, line.whole + line.half)
    line.phone.close()


def reset_there(line):
    """While half a message waits for its other half: which then gets a RST, too, or has nobody to go to."""
    line.phone.put(line.wire.at, line.half)
    line.connection.reset()
    assert line.phone.wait_ended() == "reset"
    line.phone.close()


def both_close(line):
    """Each FIN leaves before the other one has come."""
    line.phone.acknowledges = False
    line.connection.send(line.server.request("OPTIONS", line.contact()).encode())
    wait_until(lambda: line.phone.received.endswith(b"\r\n\r\n"), "OPTIONS")
    line.phone.acknowledge()
    line.connection.close()
    end = line.wire.at
    # Does not know of the other's FIN.
    arrived = wait_until(lambda: line.phone.ended, "the server's FIN")
    line.phone.ended = None
    line.phone.put(end, b"", FIN | ACK)
    line.phone.ended = arrived
    line.phone.put(end + 1, b"", ACK)
    line.phone.wait_acknowledged(end + 1)
    port = line.phone.endpoint[1]
    wait_until(lambda: f":{port}" in line.net["server"].run("ss", "-Htn", "state", "time-wait"), "the server to be done with the connection",
               state=lambda: line.net["server"].run("ss", "-tan"))
    line.phone.close()


def unread(line):
    """The server does not read until it takes no more, and the phone probes its window with a byte of the next message."""
    line.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    phone, at, count = line.phone, line.wire.at, 0
    while phone.peer_window >= len(line.invite):
        phone.put(at, line.invite)
        try:
            phone.wait_acknowledged(at + len(line.invite), 2)
        except AssertionError:
            break
        at, count = at + len(line.invite), count + 1
    assert 0 < count < 1000, f"the server took {count} messages without reading"
    for place in (0, 1, 0, 0):
        phone.put(at + place, line.invite[place:place + 1])
    wait_until(lambda: len(line.connection.collect()) >= len(line.whole) * (count + 1), "what was not read", state=lambda: line.connection.received)
    for _ in range(10):
        phone.put(at + 1, line.invite[1:])
        phone.put(at, line.invite[:3])
        if phone.acknowledged < at + len(line.invite):
            time.sleep(0.2)
    phone.wait_acknowledged(at + len(line.invite))
    assert phone.acknowledged == at + len(line.invite)
    # The last one has lain there in pieces, for longer than one is held, if it did not fit in as a whole.
    streams = [line.whole * count + last for last in (line.whole, line.invite)]
    wait_until(lambda: bytes(line.connection.collect()[len(line.whole):]) in streams, "the last message", state=lambda: line.connection.received[-600:])
    phone.close()


def narrow(line):
    """A phone that has room for less than a message: the server's kernel waits for what is held to be acknowledged, so that it has to
    be let go as it is."""
    phone = line.phone
    phone.window = 100
    phone.acknowledge()
    sent = [line.server.request("OPTIONS", line.contact()).encode() for _ in range(2)]
    for message in sent:
        line.connection.send(message)
    wait_until(lambda: bytes(phone.received).count(b"\r\n\r\n") == 2, "what the server has sent", state=lambda: bytes(phone.received))
    assert bytes(phone.received).count(b"Content-Length: 0") == 2, bytes(phone.received)
    phone.window = 0xFFFF
    phone.acknowledge()
    line.wire.carry(line.invite, [len(line.half)], line.whole)
    line.phone.close()


def closed_window(line):
    phone = line.phone
    phone.window = 0
    line.wire.carry(line.invite, [len(line.half)], line.whole)
    line.connection.send(line.server.request("OPTIONS", line.contact()).encode())
    seen = len(phone.segments)
    wait_until(lambda: len(phone.segments) >= seen + 2, "the server's kernel to probe the window", state=lambda: phone.segments[seen:])
    assert not phone.received, f"with no room it got {bytes(phone.received)!r}"
    phone.window = 0xFFFF
    phone.acknowledge()
    wait_until(lambda: phone.received.endswith(b"\r\n\r\n"), "OPTIONS", state=lambda: phone.segments[seen:])
    assert phone.received.startswith(b"OPTIONS sip:alice@192.168.77.2:"), bytes(phone.received)
    phone.close()
