"""A real call through a firewall that forwards only SIP from inside, and what conntrack calls established or related.

    baresip alice 192.168.77.2 --- [gateway, forward policy drop] ---+--- kamailio    203.0.113.10
                                                                     +--- baresip bob 203.0.113.11

Neither side's media gets through unless it is expected: no port range is open in either direction.
"""

from lab.phones import Baresip, Kamailio, converse

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    with lab.network("phone1", "server", "outside", firewall="restricted") as net:
        Kamailio(net["server"])
        alice = Baresip(net["phone1"], "alice", 440)
        bob = Baresip(net["outside"], "bob", 1000, rtp_ports="21000-21100")
        alice.wait_registered()
        bob.wait_registered()
        converse(alice, bob)
        net.gateway.assert_media_closed()
