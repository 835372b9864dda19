"""Real phones over TCP, and a real server: registrations with digest, calls out and in with sound both ways, the same with a phone
that speaks UDP.

    baresip alice  192.168.77.2 TCP ---+--- [gateway] ---+--- kamailio     203.0.113.10 TCP and UDP
    linphone carol 192.168.77.3 TCP ---+                 +--- baresip bob  203.0.113.11 TCP
                                                         +--- baresip dave 203.0.113.12 UDP
"""

from lab.phones import Baresip, Kamailio, Linphone, converse

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 400
ALONE = True


def run(lab):
    with lab.network("phone1", "phone2", "server", "outside", "media", firewall="restricted") as net:
        Kamailio(net["server"])
        alice = Baresip(net["phone1"], "alice", 440, transport="tcp")
        carol = Linphone(net["phone2"], "carol", transport="tcp")
        bob = Baresip(net["outside"], "bob", 1000, rtp_ports="21000-21100", transport="tcp")
        dave = Baresip(net["media"], "dave", 1000, rtp_ports="22000-22100")
        for phone in (alice, carol, bob, dave):
            phone.wait_registered()
        for caller, callee in ((alice, bob), (bob, alice), (alice, dave), (dave, alice), (carol, bob)):
            converse(caller, callee)
            net.gateway.assert_media_closed()
        over_udp = [flow for flow in net.gateway.flows() if flow.original.destination[1] == 5060]
        assert not over_udp, f"SIP over UDP: {over_udp[0]}"
