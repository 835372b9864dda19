"""Linphone inside calls baresip outside through a real proxy: audio both ways.

    linphone carol 192.168.77.2 --- [gateway] ---+--- kamailio    203.0.113.10
                                                 +--- baresip bob 203.0.113.11

Linphone replaces its own Contact by the outside address that it learns from received and rport: one more phone that
writes the gateway's address itself.
"""

from lab.phones import Baresip, Kamailio, Linphone, converse

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    with lab.network("phone1", "server", "outside") as net:
        Kamailio(net["server"])
        carol = Linphone(net["phone1"], "carol")
        bob = Baresip(net["outside"], "bob", 1000, rtp_ports="21000-21100")
        carol.wait_registered()
        bob.wait_registered()
        converse(carol, bob)
        net.gateway.assert_media_closed()
