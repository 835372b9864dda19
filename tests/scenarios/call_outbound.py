"""A phone calls out: offer and answer, RTP and RTCP counted in both directions, and nothing left after BYE.

Two calls: in one the phone's media is first and the phone hangs up, in the other the provider's is first and the
provider hangs up. Which side is first decides which of a pair of expectations the flow comes from.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    with lab.network("phone1", "server") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")

        call, inside, outside, answered, offered = establish(net, phone, provider, 20000, 30000)
        talk(inside, answered, outside, offered)
        sip.assert_translated(call.hang_up(by=phone))

        call, inside, outside, answered, offered = establish(net, phone, provider, 20010, 30010)
        talk(outside, offered, inside, answered)
        bye = call.hang_up(by=provider)
        assert bye.uri == phone.contact, f"the phone reads BYE {bye.uri}"

        net.gateway.assert_media_closed()


def establish(net, phone, provider, phone_port, provider_port):
    """A call with its media ports open, and where each side was told to send."""
    inside = Media(net["phone1"], phone_port)
    outside = Media(net["server"], provider_port)
    call = Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, phone_port))
    call.establish(sdp.audio(outside.address, provider_port))

    sip.assert_translated(call.invite_seen)
    [offered] = sdp.streams(call.invite_seen.body)
    [answered] = sdp.streams(call.ok_seen.body)
    assert offered.rtp[0] == "203.0.113.1" and sdp.line(call.invite_seen.body, "o=").endswith("203.0.113.1")
    assert answered.rtp == (outside.address, provider_port), f"the phone is told to send to {answered.rtp}"
    assert sip.sent_by(call.ok_seen["Via"]) == phone.endpoint, f"the phone reads Via {call.ok_seen['Via']}"
    return call, inside, outside, answered, offered
