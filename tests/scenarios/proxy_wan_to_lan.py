"""Two real phones through a real proxy, from outside to inside: the call finds the registered phone, with audio both ways.

    baresip alice 192.168.77.2 --- [gateway] ---+--- kamailio    203.0.113.10
                                                +--- baresip bob 203.0.113.11
"""

from lab.phones import Baresip, Kamailio, converse

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    with lab.network("phone1", "server", "outside") as net:
        Kamailio(net["server"])
        alice = Baresip(net["phone1"], "alice", 440)
        bob = Baresip(net["outside"], "bob", 1000, rtp_ports="21000-21100")
        alice.wait_registered()
        bob.wait_registered()
        converse(bob, alice)
        net.gateway.assert_media_closed()
