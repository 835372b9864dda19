"""kill -9, and TCP streams that were edited go on in both directions; a new daemon resumes them where it can.

    away            released by `sipnatd --release`, as the unit does it, if there is anything to be released: what is sent meanwhile arrives as it was sent, not a byte
                    more or less, though all numbers have shifted
    back            a connection that stayed silent meanwhile is edited again; one that did not is intact; new ones are edited
    mid-message     the daemon dies with half a message held, and the sender sends that again: it is edited by the next daemon
"""

from lab import sdp
from lab.segments import HandMade, Wire
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
        silent, busy = Line(net["phone1"], server), Line(net["phone1"], server)
        for _ in range(3):
            silent.edited()
            busy.edited()
        for line in (silent, busy):
            line.settle()

        net.gateway.kill()
        release(lab, net)
        for _ in range(20):
            busy.untouched()
        busy.untouched(b"x" * 100_000)
        busy.untouched()
        net.gateway.start()
        busy.untouched(b"y" * 100_000)
        busy.untouched()
        for _ in range(3):
            silent.edited()
        Line(net["phone1"], server).edited()
        lab.log(f"{net.gateway.tcp_events()}")
        for line in (silent, busy):
            line.end()

        mid_message(lab, net, server, 40000, at_once=True)
        mid_message(lab, net, server, 40001, at_once=False)


def release(lab, net):
    """With nft maps nothing has to be: the kernel adjusts, whoever queues."""
    if lab.mode != "maps":
        net.gateway.release()


def mid_message(lab, net, server, port, at_once):
    """`at_once`: the rest comes with what is sent again; otherwise only when the new daemon has that."""
    phone = HandMade(net["phone1"], port)
    phone.connect(server.endpoint)
    wire = Wire(phone, server.accept())
    writer = Writer(net["phone1"], "alice", port)
    invite = writer.request("INVITE", f"sip:bob@{SERVER}", body=sdp.audio(net["phone1"].address, 20000)).encode()
    whole, half = wire.whole(invite), len(invite) // 2
    assert whole == outwards(invite, phone.endpoint, wire.connection.peer)
    wire.assert_acknowledged()

    def send(at):
        net.gateway.kill_before_looking(lambda: phone.put(at, invite[:half]))
        release(lab, net)
        net.gateway.start()
        phone.put_all(invite, [half], at=at) if at_once else phone.put(at, invite[:half])
        phone.put(at + half, invite[half:])
        return at + len(invite)

    wire.arrives(whole, send, "the message at which the daemon died")
    wire.assert_acknowledged()
    wire.carry(invite, [half], whole)
    phone.close()
