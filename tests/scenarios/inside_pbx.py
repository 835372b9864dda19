"""A PBX behind a port forward: a real proxy and registrar in the LAN, a phone beside it, and one outside.

    kamailio     192.168.77.2 <-- udp 5060 -- [gateway 203.0.113.1] --- baresip carol 203.0.113.11
    baresip dave 192.168.77.3

Carol knows the PBX by the gateway's address, registers there, and is called there; that address is in her Route too. The
media goes from phone to phone: dave's is announced by the PBX, so it is listed as a further media host.
"""

from lab import sdp, sip
from lab.phones import Baresip, Kamailio, converse

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
GATEWAY = "203.0.113.1"


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "outside", forward_sip_to="phone1", config='[nat]\nmedia_hosts = ["192.168.77.3"]\n') as net:
        pbx = net["phone1"].address
        Kamailio(net["phone1"])
        dave = Baresip(net["phone2"], "dave", 600, server=pbx)
        carol = Baresip(net["outside"], "carol", 1000, server=GATEWAY, rtp_ports="21000-21100")
        dave.wait_registered()
        carol.wait_registered()

        converse(carol, dave, dialled=f"sip:dave@{GATEWAY}")
        leads_to_the_gateway(carol, "a 200 with dave's media", lambda message: message.method == "INVITE" and message.status == 200)
        converse(dave, carol, dialled=f"sip:carol@{pbx}")
        leads_to_the_gateway(carol, "an INVITE", lambda message: message.method == "INVITE" and message.status is None)
        net.gateway.assert_media_closed()


def leads_to_the_gateway(phone, what, wanted):
    message = phone.expect(wanted, what)
    hops = [sip.endpoint_of(message["Record-Route"])] + ([] if message.status else [sip.sent_by(message["Via"])])
    assert hops == [(GATEWAY, 5060)] * len(hops), f"{phone} reads\n{message}"
    [stream] = sdp.streams(message.body)
    assert {address for address, _ in stream.components} == {GATEWAY}, f"{phone} is told to send to {stream}"
