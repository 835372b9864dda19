"""Messages that are long, and messages that take long: what can't be edited goes on as it was sent, is counted, and the next message
is edited again.

    10 kB to the phone  edited, and longer than before: the table has seen to it that a full segment has room for that
    20 kB               edited; when the sender's kernel waits for what is held to be acknowledged before it sends the rest (its
                        congestion window), it may go on as it was sent after a second: all of it, or none of it, is translated
    over 64 kB          as sent ("too_long")
    a second's pause    in the middle of a message: as sent ("late"), and not held for longer
    no end              64 kB of one header: as sent ("broken"), and so is everything behind it
"""

import socket
import time

from lab import sdp
from lab.segments import HandMade, Wire
from lab.sip import Message
from lab.tcp import TcpAgent, Writer
from lab.translation import Line, outwards

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
ALONE = True
SERVER = "203.0.113.10"


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server", firewall="restricted") as net:
        server = TcpAgent(net["server"], "bob", listens=5060)
        hand_made(net, server)
        assert net.gateway.tcp_events() == {}, net.gateway.tcp_events()
        by_kernel(lab, net, server)
        late_before = net.gateway.tcp_events().get("late", 0)
        over_the_limit(net, server)
        assert net.gateway.tcp_events().get("too_long") == 1, net.gateway.tcp_events()
        slow(net, server)
        assert net.gateway.tcp_events().get("late", 0) == late_before + 2, net.gateway.tcp_events()
        without_end(net, server)
        assert net.gateway.tcp_events().get("broken") == 1, net.gateway.tcp_events()


def invite(agent, length=0):
    """With a header of 1 kB at most and a body that make it so long."""
    sound = sdp.audio(agent.node.address, 20000) + b"a=x:" + b"y" * (length - min(length // 2, 1000)) + b"\r\n"
    headers = [("Subject", "z" * min(length // 2, 1000)), ("Content-Type", "application/sdp")]
    return agent.request("INVITE", f"sip:bob@{SERVER}", body=sound, headers=headers).encode()


def hand_made(net, server):
    phone = HandMade(net["phone1"], 40000)
    phone.connect(server.endpoint)
    wire = Wire(phone, server.accept())
    writer = Writer(net["phone1"], "alice", 40000)
    for length in (2_000, 20_000):
        message = invite(writer, length)
        wanted = outwards(message, phone.endpoint, wire.connection.peer)
        wire.carry(message, range(1200, len(message), 1200), wanted)
    wire.assert_acknowledged()
    segment = wire.connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    assert phone.peer_mss == 1300 and segment <= 1300, f"the phone may send segments of {phone.peer_mss}, the server of {segment}"
    phone.close()


def by_kernel(lab, net, server):
    line = Line(net["phone1"], server)
    line.edited()
    line.edited(back=line.to_phone("MESSAGE", body=b"x" * 10_000, headers=[("Content-Type", "text/plain")]))
    message = invite(line.phone, 20_000)
    began = time.monotonic()
    line.out.send(message)
    arrived = line.back.message(len(line.at_server))
    choices = {"translated": outwards(message, line.out.local, line.back.peer), "as it was sent": message}
    [outcome] = [name for name, choice in choices.items() if choice == arrived] or ["neither"]
    lab.log(f"20 kB between two kernels arrive {outcome}, after {time.monotonic() - began:.1f} s")
    assert outcome != "neither", Message.parse(arrived)
    line.at_server += arrived
    line.edited()
    line.end()


def over_the_limit(net, server):
    line = Line(net["phone1"], server)
    line.edited()
    line.untouched(invite(line.phone, 70_000))
    line.edited()
    line.end()


def slow(net, server):
    """Half of it, and the other half once the first has been let go; and the same of the body alone."""
    line = Line(net["phone1"], server)
    message = invite(line.phone)
    for cut in (len(message) // 4, len(message) - 30):
        line.untouched(message[:cut])
        line.untouched(message[cut:])
        line.edited(message)
    line.edited()
    line.end()


def without_end(net, server):
    line = Line(net["phone1"], server)
    line.edited()
    line.untouched(b"OPTIONS sip:bob@203.0.113.10 SIP/2.0\r\nSubject: " + b"x" * 70_000)
    line.untouched(b"\r\n\r\n")
    line.untouched(line.invite())
    line.end()
