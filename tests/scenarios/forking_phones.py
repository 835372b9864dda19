"""One user registers with two real phones behind the gateway, and a real proxy forks the call to both.

    baresip bob 192.168.77.2 --- [gateway] ---+--- kamailio      203.0.113.10
    baresip bob 192.168.77.3 ---              +--- baresip carol 203.0.113.11

Both ring with their own tone (183 with SDP). Carol hears whichever answers, and the proxy cancels the other.
"""

from lab import sdp, sip
from lab.capture import Capture
from lab.phones import SERVER, Baresip, Kamailio, wait_heard
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    with lab.network("phone1", "phone2", "server", "outside") as net:
        Kamailio(net["server"])
        wires = {host: Capture(net[host]) for host in ("phone1", "phone2", "outside")}
        phones = {host: Baresip(net[host], "bob", hertz, answers="early") for host, hertz in (("phone1", 400), ("phone2", 600))}
        carol = Baresip(net["outside"], "carol", 1000)
        for phone in (*phones.values(), carol):
            phone.wait_registered()
        for winner, loser in (("phone1", "phone2"), ("phone2", "phone1")):
            ring_both(carol)
            phones[winner].answer()
            cancel = phones[loser].expect(lambda message: message.method == "CANCEL" and message.status is None, "CANCEL")
            assert sip.endpoint_of(cancel.uri) == (net[loser].address, 5060), f"{loser} reads CANCEL {cancel.uri}"
            wait_heard([wires[winner].ear(carol.hertz), wires["outside"].ear(phones[winner].hertz)])
            wait_until(lambda: len(net.gateway.open_ports()) == 2, "the loser's ports to be closed", state=net.gateway.state)
            carol.hang_up()
            for phone in (*phones.values(), carol):
                phone.wait_idle()
        net.gateway.assert_media_closed()


def ring_both(carol):
    """Until each has offered its media."""
    carol.dial(f"sip:bob@{SERVER}")
    told = set()
    for _ in range(2):
        told.add(sdp.streams(carol.expect(lambda message: message.status == 183, "183").body)[0].rtp)
    assert len(told) == 2 and all(address == "203.0.113.1" for address, _ in told), f"carol is told {told}"
