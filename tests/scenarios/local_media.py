"""Two phones behind one gateway that meet at an outside server, and where each is told that the other is.

    phone1    192.168.77.2 --- lan0 [gateway] --- server 203.0.113.10 (relays)
    phone2    192.168.77.3 ---
    neighbour 192.168.78.2 --- lan1

On one interface, or in one group of nat.local_networks: where it is inside, and the gateway lets that through. Otherwise
at its outside endpoint, from which its media comes, too.
"""

import json

from lab import sdp
from lab.local import HAIRPIN, ROUTED, firewall
from lab.rtp import Media, talk
from lab.ua import Call, Relay, UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    with lab.network("phone1", "phone2", "neighbour", "server", firewall=firewall(lab, ROUTED)) as net:
        talk_twice(net, "phone1", "phone2", 20000, direct=True)
        talk_twice(net, "phone1", "neighbour", 20020, direct=False)
        net.gateway.assert_media_closed()
    with lab.network("phone1", "neighbour", "server", config=ROUTED.config, firewall=firewall(lab, ROUTED)) as net:
        talk_twice(net, "phone1", "neighbour", 20000, direct=True)
        net.gateway.assert_media_closed()
    with lab.network("phone1", "phone2", "server", config=HAIRPIN.config, firewall="restricted") as net:
        talk_twice(net, "phone1", "phone2", 20000, direct=False)
        net.gateway.assert_media_closed()


def talk_twice(net, caller, callee, port, direct):
    """Once with early media of the callee's, once with the caller's first."""
    relay = Relay(net["server"])
    phones = [UserAgent(net[host], host) for host in (caller, callee)]
    for phone in phones:
        register(phone, relay)
    for offset, rings in ((0, True), (10, False)):
        converse(net, relay, *phones, port + offset, rings, direct)
    for agent in (relay, *phones):
        agent.socket.close()


def converse(net, relay, caller, callee, port, rings, direct):
    """The phones use one port, as real ones of one make do."""
    media = Media(caller.node, port)
    other = Media(callee.node, port)
    call = Call(caller, callee, to=relay.endpoint, offer=media.describe(), relay=relay)
    [offered] = sdp.streams(call.invite().body)
    expect_told(callee, offered, media, direct, net)
    if rings:
        [early] = sdp.streams(call.respond(183, other.describe()).body)
        expect_told(caller, early, other, direct, net)
        talk(other, offered, media, early)
    [answered] = sdp.streams(call.answer(other.describe()).body)
    expect_told(caller, answered, other, direct, net)
    call.ack()
    talk(media, answered, other, offered)
    if net.gateway.name == "sipnat":
        shown = json.loads(net.gateway.control("calls", "--json"))["calls"]
        assert [stream["direct"] for one in shown for stream in one["streams"]] == [direct] * 4, shown
    flows = net.gateway.media_flows()
    inside = [flow for flow in flows if flow.original.destination[0] == net.gateway.gateway.address]
    assert len(inside) == (0 if direct else len(flows)), f"media by the outside address: {inside}"
    call.hang_up(by=callee)


def expect_told(phone, stream, media, direct, net):
    if direct:
        wanted = tuple(port.endpoint for port in media.ports)
        assert stream.components == wanted, f"{phone} is told {stream.components} instead of {wanted}"
    else:
        assert {address for address, _ in stream.components} == {net.gateway.gateway.address}, f"{phone} is told {stream}"
