"""Media that is faster than signalling must not make a stream deaf.

An RTP packet that comes before its expectation makes an ordinary conntrack entry, which each further packet keeps
alive, and expectations only match new flows.

Out: the provider sends as soon as it has the offer, before its answer is at the phone.
In:  the called phone sends before its own 200 is out, so its first packets leave by plain masquerading. Its port lies
     outside of the media range, so that the masquerade's port and the announced one are sure to differ.

Early media that is another's than the final answer's, as behind an announcement server or a server that forks: other
ports, and a To tag of its own, or (some do) the same. What is said last is where the media goes.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    with lab.network("phone1", "server", "media") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        seen, _ = register(phone, provider)
        out(net, phone, provider)
        contact = sip.uri_of(seen.message["Contact"])
        back_in(net, phone, provider, contact)
        for number, tags in enumerate((("early", "final"), ("both", "both"))):
            moves(net, phone, provider, number, tags)
            moves_inside(net, phone, provider, contact, number, tags)
        net.gateway.assert_media_closed()


def out(net, phone, provider):
    inside = Media(net["phone1"], 20000)
    outside = Media(net["server"], 30000)
    call = Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, inside.port))
    [offered] = sdp.streams(call.invite().body)
    outside.send(offered, 3)
    inside.expect(3, outside)

    # Early media proper: the answer comes in a 183, and the ringing tone with it.
    [answered] = sdp.streams(call.respond(183, sdp.audio(outside.address, outside.port)).body)
    talk(outside, offered, inside, answered)
    call.answer(sdp.audio(outside.address, outside.port))
    call.ack()
    talk(outside, offered, inside, answered)
    call.hang_up(by=phone)


def back_in(net, phone, provider, contact):
    inside = Media(net["phone1"], 40000)
    outside = Media(net["server"], 30010)
    call = Call(provider, phone, to=sip.endpoint_of(contact), uri=contact, offer=sdp.audio(outside.address, outside.port))
    [offered] = sdp.streams(call.invite().body)
    inside.send(offered, 3)
    outside.expect(3, inside)

    [answered] = sdp.streams(call.answer(sdp.audio(inside.address, inside.port)).body)
    call.ack()
    talk(outside, answered, inside, offered)
    talk(inside, offered, outside, answered)
    call.hang_up(by=provider)


def moves(net, phone, provider, number, tags):
    """The announcement comes from another host than the one that answers."""
    inside = Media(net["phone1"], 21000 + 10 * number)
    early = Media(net["media"], 31000 + 10 * number)
    final = Media(net["server"], 31000 + 10 * number)
    call = Call(phone, provider, to=provider.endpoint, offer=inside.describe())
    [offered] = sdp.streams(call.invite().body)
    [announced] = sdp.streams(call.respond(183, early.describe(), tag=tags[0]).body)
    talk(early, offered, inside, announced)
    [answered] = sdp.streams(call.answer(final.describe(), tag=tags[1]).body)
    talk(inside, answered, final, offered)
    call.ack()
    talk(final, offered, inside, answered)
    call.hang_up(by=provider)


def moves_inside(net, phone, provider, contact, number, tags):
    """The called phone's ringing tone comes from another port than its answer."""
    outside = Media(net["server"], 32000 + 10 * number)
    call = Call(provider, phone, to=sip.endpoint_of(contact), uri=contact, offer=outside.describe())
    [offered] = sdp.streams(call.invite().body)
    early, final = (Media(net["phone1"], 22000 + 20 * number + port) for port in (0, 10))
    [ringing] = sdp.streams(call.respond(183, early.describe(), tag=tags[0]).body)
    talk(early, offered, outside, ringing)
    [answered] = sdp.streams(call.answer(final.describe(), tag=tags[1]).body)
    call.ack()
    talk(outside, answered, final, offered)
    talk(final, offered, outside, answered)
    wait_until(lambda: net.gateway.open_ports() == list(answered.components), "the ringing tone's ports to be closed", state=net.gateway.state)
    call.hang_up(by=phone)
