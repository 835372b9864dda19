"""Media that is faster than signalling must not make a stream deaf.

An RTP packet that comes before its expectation makes an ordinary conntrack entry, which each further packet keeps
alive, and expectations only match new flows.

Out: the provider sends as soon as it has the offer, before its answer is at the phone.
In:  the called phone sends before its own 200 is out, so its first packets leave by plain masquerading. Its port lies
     outside of the media range, so that the masquerade's port and the announced one are sure to differ.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    with lab.network("phone1", "server") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        seen, _ = register(phone, provider)
        out(net, phone, provider)
        back_in(net, phone, provider, sip.uri_of(seen.message["Contact"]))
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
