"""A connection between the same two ends as one that has just ended: it is read from its own first byte, and its numbers are its own.

    phone  192.168.77.2:4000x ─► server :5060      ended by a reset of the server's, by its FIN, by a reset of the phone's
    trunk  203.0.113.11:4000x ─► gateway :5060     through a port forward to a PBX: ended by the PBX's FIN, by the trunk's reset

conntrack takes the entry of a connection that its server reset for the next one, too, with the sequence numbers that were adjusted.
"""

import socket

from lab import sdp
from lab.tcp import TcpAgent
from lab.translation import outwards

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 180
ALONE = True
ROUNDS = 3


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server", firewall="restricted") as net:
        server = TcpAgent(net["server"], "bob", listens=5060)
        for port, end in enumerate((server_resets, server_closes, opener_resets), 40000):
            for _ in range(ROUNDS):
                phone = TcpAgent(net["phone1"], "alice", port=port)
                out = phone.connect(server.endpoint)
                back = server.accept()
                invites = [phone.request("INVITE", server.identity, body=sdp.audio(phone.node.address, 20000)).encode() for _ in range(3)]
                for at, invite in enumerate(invites):
                    out.send(invite)
                    back.expect(b"".join(outwards(one, out.local, back.peer) for one in invites[:at + 1]))
                end(out, back)
        assert "over_limit" not in net.gateway.tcp_events(), net.gateway.tcp_events()

    with lab.network("phone1", "outside", forward_sip_to="phone1") as net:
        pbx = TcpAgent(net["phone1"], "pbx", listens=5060, domain="192.168.77.2")
        for port, end in enumerate((server_closes, opener_resets), 40000):
            for _ in range(ROUNDS):
                trunk = TcpAgent(net["outside"], "carol", port=port, domain="203.0.113.1")
                out = trunk.connect(("203.0.113.1", 5060))
                back = pbx.accept()
                for _ in range(3):
                    options = trunk.request("OPTIONS", "sip:203.0.113.1:5060").encode()
                    out.send(options)
                    arrived = back.message(after=len(back.received))
                    assert arrived.startswith(b"OPTIONS sip:192.168.77.2"), arrived
                end(out, back)
        assert "over_limit" not in net.gateway.tcp_events(), net.gateway.tcp_events()


def server_resets(out, back):
    out.wait_acknowledged()
    back.reset()
    assert out.wait_ended() == "reset"
    out.close()


def server_closes(out, back):
    out.wait_acknowledged()
    back.socket.shutdown(socket.SHUT_WR)
    assert out.wait_ended() == "closed"
    out.close()
    assert back.wait_ended() == "closed"
    back.close()


def opener_resets(out, back):
    out.wait_acknowledged()
    out.reset()
    assert back.wait_ended() == "reset"
    back.close()
