"""A server outside forks one INVITE to two phones behind the gateway, which both ring with media of their own.

    phone1 192.168.77.2 --- [gateway] --- server 203.0.113.10 (forks)
    phone2 192.168.77.3 ---

Both copies have one Call-ID, From tag and CSeq, and the phones use the same ports. Whichever answers first keeps its
media; the other's CANCEL and 487 close only its own. It may also have answered in the same moment, and is hung up then.
"""

from copy import copy

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


class Fork:
    """One branch of the INVITE, and the phone that it rings at, with its media."""

    def __init__(self, call, media, caller_media):
        self.call = call
        self.media = media
        self.caller_media = caller_media
        [self.offered] = sdp.streams(call.invite().body)
        assert call.invite_seen.uri == call.callee.contact, f"{call.callee} reads Request-URI {call.invite_seen.uri}"
        ringing = call.respond(183, media.describe())
        sip.assert_translated(ringing)
        [self.told] = sdp.streams(ringing.body)

    def talk(self):
        talk(self.media, self.offered, self.caller_media, self.told)

    def answer(self):
        ok = self.call.answer(self.media.describe())
        assert sdp.streams(ok.body) == [self.told], f"the ringing tone was at {self.told}, and the answer is at {sdp.streams(ok.body)}"
        self.call.ack()


def run(lab):
    with lab.network("phone1", "phone2", "server", "media", firewall="restricted") as net:
        server = UserAgent(net["server"], "server")
        phones = []
        for number, host in enumerate(("phone1", "phone2")):
            phone = UserAgent(net[host], host)
            seen, _ = register(phone, server)
            phones.append((phone, sip.uri_of(seen.message["Contact"]), Media(net[host], 40000)))
        for number, (winner, end) in enumerate(((0, cancelled), (1, cancelled), (1, cancelled_first), (0, answered_too))):
            ring_both(net, server, phones, Media(net["server"], 30000 + 10 * number), winner, end)
        twice_to_one(net, server, *phones[0], Media(net["server"], 30100))
        out(net, phones[0][0], server)
        net.gateway.assert_media_closed()


def ring_both(net, server, phones, media, winner, end):
    (first, first_contact, first_media), (second, second_contact, second_media) = phones
    call = Call(server, first, to=sip.endpoint_of(first_contact), uri=first_contact, offer=media.describe())
    other = call.fork(second, to=sip.endpoint_of(second_contact), uri=second_contact)
    forks = [Fork(call, first_media, media), Fork(other, second_media, media)]
    assert not set(forks[0].told.components) & set(forks[1].told.components), f"both phones ring at {forks[0].told}"
    for fork in forks:
        fork.talk()

    won, lost = forks[winner], forks[1 - winner]
    end(won, lost)
    wait_until(lambda: net.gateway.open_ports() == list(won.told.components), "the loser's ports to be closed", state=net.gateway.state)
    won.talk()
    won.call.hang_up(by=server if winner else won.call.callee)


def cancelled(won, lost):
    won.answer()
    lost.call.cancel()


def cancelled_first(won, lost):
    """The winner's 200 and the loser's CANCEL cross on their way to the server."""
    lost.call.give_up()
    won.answer()
    lost.call.respond(487)


def answered_too(won, lost):
    won.answer()
    lost.call.give_up()
    lost.answer()
    lost.talk()
    lost.call.hang_up(by=lost.call.caller)


def twice_to_one(net, server, phone, contact, phone_media, media):
    """By mistake: the phone refuses the second as a merged request (RFC 3261 section 8.2.2.2), which is no end of the first."""
    call = Call(server, phone, to=sip.endpoint_of(contact), uri=contact, offer=media.describe())
    fork = Fork(call, phone_media, media)
    merged = call.fork(phone, to=sip.endpoint_of(contact), uri=contact)
    merged.invite()
    merged.respond(482, tag="merged")
    fork.talk()
    fork.answer()
    fork.talk()
    wait_until(lambda: net.gateway.open_ports() == list(fork.told.components), "the ports of one call", state=net.gateway.state)
    call.hang_up(by=phone)


def out(net, phone, server):
    """The phone calls, and two of those that the server calls for it answer: it keeps the second, and hangs up on the first."""
    inside = Media(net["phone1"], 40100)
    places = [Media(net["server"], 30110), Media(net["media"], 30110)]
    call = Call(phone, server, to=server.endpoint, offer=inside.describe())
    [offered] = sdp.streams(call.invite().body)
    dialogs = []
    for number, place in enumerate(places):
        [answered] = sdp.streams(call.answer(place.describe(), tag=f"fork-{number}").body)
        call.ack()
        talk(inside, answered, place, offered)
        dialogs.append(copy(call))
    dialogs[0].hang_up(by=phone)
    talk(places[1], offered, inside, answered)
    assert net.gateway.open_ports() == list(offered.components), f"open are {net.gateway.open_ports()}"
    dialogs[1].hang_up(by=server)
