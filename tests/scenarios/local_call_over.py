"""Two inside hosts go on sending to each other after their call is over: they don't get through any longer.

    phone1    192.168.77.2 --- lan0 [gateway] --- server 203.0.113.10 (relays)
    phone2    192.168.77.3 ---
    neighbour 192.168.78.2 --- lan1

    hairpin   phone1 and phone2, nat.local_media = "hairpin"
    routed    phone1 and neighbour, in one group of nat.local_networks, whom only a call lets through the firewall

As with any media, conntrack's entries end with the call: each packet would keep them for another two minutes.
"""

from lab import sip
from lab.audio import AudioCall
from lab.local import HAIRPIN, ROUTED, firewall, meeting
from lab.rtp import Media
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    lab.for_sipnat_only()
    for way in (HAIRPIN, ROUTED):
        if firewall(lab, way) == "open":
            continue  # which lets them go on
        with meeting(lab, way) as (net, relay, alice, bob):
            call = AudioCall(alice, Media(alice.node, 20000), bob, Media(bob.node, 20000), relay=relay)
            call.talk()
            call.hang_up(by=bob)
            go_on(net, relay, call)


def go_on(net, relay, call):
    def send():
        for agent, media in call.media.items():
            media.send(call.told[agent])

    def flows():
        send()
        return net.gateway.media_flows()

    wait_until(lambda: not flows(), "the flows to end with their call, though both go on sending", state=net.gateway.state)
    ports = [port for media in call.media.values() for port in media.ports]
    before = [port.sent for port in ports]
    for _ in range(3):
        send()
    # What comes last shows that the rest would have arrived.
    for agent in call.media:
        contact = relay.bindings[f"sip:{agent.user}"]
        relay.deliver(relay.request("OPTIONS", contact), sip.endpoint_of(contact), agent)
    sent_late = {(port.name, number) for port, count in zip(ports, before) for number in range(count + 1, port.sent + 1)}
    late = sent_late & {one for port in ports for one in zip(port.collect().senders, port.collect().numbers)}
    assert not late, f"{len(late)} of {len(sent_late)} packets got through after the call:\n{net.gateway.state()}"
