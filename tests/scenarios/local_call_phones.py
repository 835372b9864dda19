"""Two real phones of one LAN call each other through a real proxy outside.

    baresip alice 192.168.77.2 ---+--- [gateway] --- kamailio 203.0.113.10
    baresip bob   192.168.77.3 ---

Each is told where the other is inside, so the gateway sees nothing of their media. The kernel's helper gives them none.
"""

from lab import sdp
from lab.capture import Capture, is_rtp
from lab.phones import Baresip, Kamailio, converse

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    with lab.network("phone1", "phone2", "server") as net:
        Kamailio(net["server"])
        alice = Baresip(net["phone1"], "alice", 440)
        bob = Baresip(net["phone2"], "bob", 1000)
        gateway = Capture(net.gateway.gateway)
        alice.wait_registered()
        bob.wait_registered()
        for caller, callee in ((alice, bob), (bob, alice)):
            converse(caller, callee)
            offer = callee.expect(lambda message: message.method == "INVITE" and message.status is None, "INVITE")
            answer = caller.expect(lambda message: message.status == 200 and message.method == "INVITE", "200")
            for message, other in ((offer, caller), (answer, callee)):
                [stream] = sdp.streams(message.body)
                assert stream.rtp[0] == other.node.address, f"{other} is said to be at {stream}:\n{message}"
        seen = [one for one in gateway.datagrams() if is_rtp(one.payload)]
        assert not seen, f"{len(seen)} packets of media came by the gateway, such as {seen[0]}"
        net.gateway.assert_media_closed()
