"""What happens to a call between two inside hosts while it is up, with media by the outside address and through the gateway.

    phone1    192.168.77.2 --- lan0 [gateway] --- server 203.0.113.10
    phone2    192.168.77.3 ---
    neighbour 192.168.78.2 --- lan1

    hairpin   phone1 and phone2, nat.local_media = "hairpin"
    routed    phone1 and neighbour, in one group of nat.local_networks: nothing is translated between them

Either side holds; the daemon is killed, and the flows are forgotten; the server takes the media to itself, and gives it
back.
"""

from lab import sdp, sip
from lab.audio import AudioCall
from lab.local import HAIRPIN, ROUTED, meeting
from lab.rtp import Media, talk

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    lab.for_sipnat_only()
    for chosen in (HAIRPIN, ROUTED):
        with meeting(lab, chosen) as (net, relay, alice, bob):
            way = Hairpin(net) if chosen == HAIRPIN else Routed(net)
            call = AudioCall(alice, Media(alice.node, 20100), bob, Media(bob.node, 20100), relay=relay)
            for agent, told in call.told.items():
                way.expect(told, call.media[call.call.other(agent)])
            call.talk(first=bob)
            way.expect_flows(*call.media.values())
            held(net, call, alice, bob)
            killed(net, call, alice, bob)
            call.hang_up(by=bob)
            anchored(way, relay, alice, bob)


class Hairpin:
    """Each is told the other's outside endpoint."""

    def __init__(self, net):
        self.net = net

    def expect(self, told, media):
        outside = self.net.gateway.gateway.address
        assert {address for address, _ in told.components} == {outside}, f"{media} is said to be at {told}, not outside at {outside}"

    def expect_flows(self, *media):
        """All of the media's goes to the outside address."""
        for flow in self.flows(media):
            assert flow.original.destination[0] == self.net.gateway.gateway.address, f"not by the outside address: {flow}"

    def flows(self, media):
        hosts = {one.address for one in media}
        flows = [flow for flow in self.net.gateway.flows() if flow.original.source[0] in hosts and flow.original.source[1] != 5060]
        assert flows, f"no flows of media: {self.net.gateway.state()}"
        return flows


class Routed(Hairpin):
    """Each is told where the other is inside."""

    def expect(self, told, media):
        inside = tuple(port.endpoint for port in media.ports)
        assert told.components == inside, f"{media} is said to be at {told.components}, not at {inside}"

    def expect_flows(self, *media):
        """None of it is translated."""
        for flow in self.flows(media):
            there, back = flow.original, flow.reply
            assert (there.source, there.destination) == (back.destination, back.source), f"translated: {flow}"


def held(net, call, alice, bob):
    """By each in turn, in three styles. What each was told stays, whatever the media's way."""
    for holder, other in ((alice, bob), (bob, alice)):
        mine, theirs = call.media[holder], call.media[other]
        told = dict(call.told)
        call.offer(holder, mine.describe(direction="sendonly"), theirs.describe(direction="recvonly"))
        expect_same(call, told)
        call.speak(holder)

        # For so long that conntrack forgets the flows; resumed as many PBXs do, who have the other side offer.
        call.offer(holder, mine.describe(direction="inactive"), theirs.describe(direction="inactive"))
        expect_same(call, told)
        net.gateway.forget_media_flows()
        call.ask_for_offer(holder)
        expect_same(call, told)
        call.talk(first=other)

        # The older way (RFC 2543). The holder may play music all the same, and is heard from where it was.
        call.offer(holder, sdp.audio("0.0.0.0", mine.port, origin=mine.address))
        assert call.told[other].rtp[0] == "0.0.0.0", f"{other} is told {call.told[other]} instead of 0.0.0.0"
        mine.send(call.told[holder], 3)
        sources = theirs.expect(3, mine)
        assert sources == told[other].components, f"{other} hears music from {sources}, and was told {told[other].components}"
        call.offer(holder)
        expect_same(call, told)
        call.talk(first=holder)


def expect_same(call, told):
    assert call.told == told, f"they were told {told}, and now {call.told}"


def killed(net, call, alice, bob):
    """While there is no daemon the media goes on; afterwards conntrack forgets its flows, and either side begins anew. What
    each was told is what it is told again."""
    told = dict(call.told)
    net.gateway.kill()
    call.talk()
    net.gateway.start()
    for first in (bob, alice):
        call.offer(first)
        expect_same(call, told)
        net.gateway.forget_media_flows()
        call.talk(first=first)


def anchored(way, server, alice, bob):
    """The server has a call with each, and connects them; it takes the media to itself again, one after the other."""
    contact = server.bindings["sip:bob"]
    hers = AudioCall(alice, Media(alice.node, 20200), server, Media(server.node, 30000))
    his = AudioCall(server, Media(server.node, 30010), bob, Media(bob.node, 20200), to=sip.endpoint_of(contact), uri=contact)
    alices, bobs = hers.media[alice], his.media[bob]
    for _ in range(2):
        hers.talk()
        his.talk(first=bob)
        his.offer(server, hers.call.invite_seen.body)
        hers.offer(server, his.call.ok_seen.body)
        way.expect(his.told[bob], alices)
        way.expect(hers.told[alice], bobs)
        talk(bobs, his.told[bob], alices, hers.told[alice])
        talk(alices, hers.told[alice], bobs, his.told[bob])
        for leg in (hers, his):
            leg.offer(server)
            leg.talk(first=server)
    hers.hang_up(by=alice)
    his.hang_up(by=server)
