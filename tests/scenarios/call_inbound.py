"""The provider calls a registered phone: Request-URI, offer and answer, media both ways, and nothing left after BYE.

Two calls: in one the phone's media is first and the provider hangs up, in the other the provider's is first and the
phone hangs up.
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
        contact = sip.uri_of(seen.message["Contact"])

        call, inside, outside, answered, offered = establish(net, phone, provider, contact, 20000, 30000)
        talk(inside, offered, outside, answered)
        bye = call.hang_up(by=provider)
        assert bye.uri == phone.contact, f"the phone reads BYE {bye.uri}"

        call, inside, outside, answered, offered = establish(net, phone, provider, contact, 20010, 30010)
        talk(outside, answered, inside, offered)
        sip.assert_translated(call.hang_up(by=phone))

        net.gateway.assert_media_closed()


def establish(net, phone, provider, contact, phone_port, provider_port):
    """A call with its media ports open, and where each side was told to send."""
    inside = Media(net["phone1"], phone_port)
    outside = Media(net["server"], provider_port)
    call = Call(provider, phone, to=sip.endpoint_of(contact), uri=contact, offer=sdp.audio(outside.address, provider_port))
    call.establish(sdp.audio(inside.address, phone_port))

    assert call.invite_seen.uri == phone.contact, f"the phone reads Request-URI {call.invite_seen.uri}"
    sip.assert_translated(call.ok_seen)
    [offered] = sdp.streams(call.invite_seen.body)
    [answered] = sdp.streams(call.ok_seen.body)
    assert offered.rtp == (outside.address, provider_port), f"the phone is told to send to {offered.rtp}"
    assert answered.rtp[0] == "203.0.113.1", f"the provider is told to send to {answered.rtp}"
    return call, inside, outside, answered, offered
