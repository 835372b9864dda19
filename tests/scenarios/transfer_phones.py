"""Real phones transfer a call: the phone inside is sent away, or sends away the one outside.

    baresip alice 192.168.77.2 --- [gateway] ---+--- kamailio      203.0.113.10
    baresip dave  192.168.77.3 ---              +--- baresip bob   203.0.113.11
                                                +--- baresip carol 203.0.113.12
"""

from lab import sip
from lab.capture import Capture
from lab.phones import Baresip, Kamailio, wait_heard

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    with lab.network("phone1", "phone2", "server", "outside", "media") as net:
        Kamailio(net["server"])
        wires = {}
        for host, user, hertz in (("phone1", "alice", 400), ("phone2", "dave", 600), ("outside", "bob", 1000), ("media", "carol", 1500)):
            wires[Baresip(net[host], user, hertz)] = Capture(net[host])
        for phone in wires:
            phone.wait_registered()
        alice, dave, bob, carol = wires
        transfer(wires, alice, bob, by=bob, to=carol)
        transfer(wires, bob, alice, by=alice, to=dave)
        # Between the phones inside, and then out; from outside, and then between them.
        transfer(wires, alice, dave, by=dave, to=carol)
        transfer(wires, bob, alice, by=bob, to=dave)
        net.gateway.assert_media_closed()


def transfer(wires, caller, callee, by, to):
    """Baresip's recordings are named by the second in which they begin, so it is the wire that is listened to."""
    caller.dial(callee.uri)
    hear_each_other(wires, caller, callee)
    sent_away = callee if by is caller else caller
    by.command("transfer", to.uri)
    refer = sent_away.expect(lambda message: message.method == "REFER" and message.status is None, "REFER")
    assert sip.uri_of(refer["Refer-To"]) == to.uri, f"{sent_away} reads Refer-To {refer['Refer-To']}"
    hear_each_other(wires, sent_away, to)
    by.wait_idle()
    to.hang_up()
    to.wait_idle()
    sent_away.wait_idle()


def hear_each_other(wires, first, second):
    wait_heard([wires[first].ear(second.hertz), wires[second].ear(first.hertz)])
