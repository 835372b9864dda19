"""One user has a real phone inside and one outside, and a real phone inside calls that user: whichever answers.

    baresip alice 192.168.77.2 --- [gateway] ---+--- kamailio    203.0.113.10 (forks)
    baresip bob   192.168.77.3 ---              +--- baresip bob 203.0.113.11

Both ring with their own tone (183 with SDP). The one inside is told where Alice is inside, the other her outside endpoint.
"""

from lab import sdp
from lab.capture import Capture
from lab.phones import SERVER, Baresip, Kamailio, wait_heard
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
GATEWAY = "203.0.113.1"


def run(lab):
    with lab.network("phone1", "phone2", "server", "outside") as net:
        Kamailio(net["server"])
        wires = {host: Capture(net[host]) for host in ("phone1", "phone2", "outside")}
        phones = {host: Baresip(net[host], "bob", hertz, answers="early", rtp_ports=ports)
                  for host, hertz, ports in (("phone2", 600, "20000-20100"), ("outside", 1000, "21000-21100"))}
        alice = Baresip(net["phone1"], "alice", 400)
        for phone in (*phones.values(), alice):
            phone.wait_registered()
        for winner, loser in (("phone2", "outside"), ("outside", "phone2")):
            offered = ring_both(net, alice, phones)
            phones[winner].answer()
            phones[loser].expect(lambda message: message.method == "CANCEL" and message.status is None, "CANCEL")
            wait_heard([wires["phone1"].ear(phones[winner].hertz), wires[winner].ear(alice.hertz, offered[winner].rtp)])
            ports = 4 if winner == "phone2" else 2
            wait_until(lambda: len(net.gateway.open_ports()) == ports, "the loser's ports to be closed", state=net.gateway.state)
            alice.hang_up()
            for phone in (*phones.values(), alice):
                phone.wait_idle()
        net.gateway.assert_media_closed()


def ring_both(net, alice, phones):
    """Until each has offered its media. Returns where each was told that Alice is."""
    alice.dial(f"sip:bob@{SERVER}")
    offered = {}
    for host, phone in phones.items():
        invite = phone.expect(lambda message: message.method == "INVITE" and message.status is None, "INVITE")
        [offered[host]] = sdp.streams(invite.body)
    addresses = {host: stream.rtp[0] for host, stream in offered.items()}
    assert addresses == {"phone2": alice.node.address, "outside": GATEWAY}, f"Alice is said to be at {addresses}"
    told = set()
    for _ in phones:
        [stream] = sdp.streams(alice.expect(lambda message: message.status == 183, "183").body)
        told.add(stream.rtp[0])
    wanted = {net[host].address for host in phones}
    assert told == wanted, f"Alice is told {told} instead of {wanted}"
    return offered
