"""INVITEs of more than 4 kB, in IP fragments, both ways: they arrive whole, translated, and otherwise as sent."""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 180
PADDING = [("X-Padding", f"{number:03} " + "abcdefghij" * 9) for number in range(40)]


def run(lab):
    with lab.network("phone1", "server") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        inside = Media(net["phone1"], 20000)
        outside = Media(net["server"], 30000)

        call = Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, inside.port), headers=PADDING)
        assert len(call.invite_sent.encode()) > 4000
        call.establish(sdp.audio(outside.address, outside.port))
        sip.assert_translated(call.invite_seen)
        check(call, inside, outside, caller_is_inside=True)
        call.hang_up(by=phone)

        seen, _ = register(phone, provider)
        contact = sip.uri_of(seen.message["Contact"])
        call = Call(provider, phone, to=sip.endpoint_of(contact), uri=contact, offer=sdp.audio(outside.address, outside.port), headers=PADDING)
        call.establish(sdp.audio(inside.address, inside.port))
        assert call.invite_seen.uri == phone.contact
        check(call, inside, outside, caller_is_inside=False)
        call.hang_up(by=phone)
        net.gateway.assert_media_closed()


def check(call, inside, outside, caller_is_inside):
    seen = call.invite_seen
    assert [("X-Padding", value) for value in seen.values("X-Padding")] == PADDING
    assert int(seen["Content-Length"]) == len(seen.body), f"Content-Length {seen['Content-Length']}, body {len(seen.body)}"
    [offered] = sdp.streams(seen.body)
    [answered] = sdp.streams(call.ok_seen.body)
    if caller_is_inside:
        talk(inside, answered, outside, offered)
    else:
        talk(inside, offered, outside, answered)
