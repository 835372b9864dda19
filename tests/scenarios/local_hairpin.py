"""Media of inside phones by way of the gateway's outside address: nat.local_media = "hairpin".

    phone1 192.168.77.2 --- [gateway] ---+--- server  203.0.113.10 (relays, or forks)
    phone2 192.168.77.3 ---              +--- outside 203.0.113.11
    phone3 192.168.77.4 ---

RTCP on ports of its own; a call that rings at two phones inside and one outside, of which any may
answer. Every packet comes from the endpoint that its receiver was told. Afterwards nothing is left.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, Relay, UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240

GATEWAY = "203.0.113.1"


def run(lab):
    lab.for_sipnat_only()
    config = '[nat]\nlocal_media = "hairpin"\n'
    with lab.network("phone1", "phone2", "phone3", "server", "outside", config=config, firewall="restricted", nat="snat") as net:
        server = Relay(net["server"])
        alice, bob, carol = (UserAgent(net[host], host) for host in ("phone1", "phone2", "phone3"))
        for phone in (alice, bob, carol):
            register(phone, server)
        rtcp_elsewhere(server, alice, bob)
        for number, winner in enumerate(("phone2", "phone3", "outside")):
            forked(net, server, alice, (bob, carol), winner, 21000 + 100 * number)
        net.gateway.assert_media_closed()
        wait_until(lambda: not net.gateway.elements("hairpin"), "no sender's address to be translated any longer", state=net.gateway.state)


def rtcp_elsewhere(relay, alice, bob):
    """RFC 3605, with and without an address."""
    media, other = Media(alice.node, 20000, 20007), Media(bob.node, 20000, 20101)
    call = Call(alice, bob, to=relay.endpoint, offer=media.describe(rtcp="20007"), relay=relay)
    call.establish(other.describe(rtcp=f"20101 IN IP4 {other.address}"))
    [offered], [answered] = sdp.streams(call.invite_seen.body), sdp.streams(call.ok_seen.body)
    expect_outside(bob, offered)
    expect_outside(alice, answered)
    talk(other, offered, media, answered)
    talk(media, answered, other, offered)
    call.hang_up(by=alice)


def forked(net, server, alice, callees, winner, port):
    """All ring with media of their own. One answers; the others' ends take nothing of it away."""
    places = {phone.node.name: Media(phone.node, port) for phone in callees} | {"outside": Media(net["outside"], port)}
    media = Media(alice.node, port)
    call = Call(alice, server, to=server.endpoint, offer=media.describe())
    [offered] = sdp.streams(call.invite().body)

    contacts = {phone: server.bindings[f"sip:{phone.user}"] for phone in callees}
    first, second = callees
    rings = Call(server, first, to=sip.endpoint_of(contacts[first]), uri=contacts[first], offer=call.invite_seen.body)
    forks = {first.node.name: rings,
             second.node.name: rings.fork(second, to=sip.endpoint_of(contacts[second]), uri=contacts[second])}
    descriptions, told = {"outside": places["outside"].describe()}, {}
    for host, fork in forks.items():
        [read] = sdp.streams(fork.invite().body)
        assert read == offered, f"{host} is told {read}, and the server {offered}"
        descriptions[host] = fork.respond(183, places[host].describe()).body
    for host, description in descriptions.items():
        [told[host]] = sdp.streams(call.respond(183, description, tag=host).body)
        talk(places[host], offered, media, told[host])
    assert told["outside"].rtp == places["outside"].rtp.endpoint, f"told {told['outside']} of who is outside"
    for phone in callees:
        expect_outside(alice, told[phone.node.name])
    assert len({stream.rtp for stream in told.values()}) == 3, f"one endpoint for several: {told}"

    call.answer(descriptions[winner], tag=winner)
    call.ack()
    for host, fork in forks.items():
        if host == winner:
            fork.answer(places[host].describe())
            fork.ack()
        else:
            fork.cancel()
    left = sorted({*offered.components, *(told[winner].components if winner != "outside" else ())})
    wait_until(lambda: net.gateway.open_ports() == left, "the losers' ports to be closed", state=net.gateway.state)
    for _ in range(2):
        talk(media, told[winner], places[winner], offered)
        # A new flow has to be translated as the one before.
        net.gateway.forget_media_flows()
    talk(places[winner], offered, media, told[winner])
    if winner in forks:
        forks[winner].hang_up(by=forks[winner].callee)
    call.hang_up(by=server)


def expect_outside(phone, stream):
    assert {address for address, _ in stream.components} == {GATEWAY}, f"{phone} is told {stream} instead of an endpoint of {GATEWAY}"
