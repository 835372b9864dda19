"""The called party is busy: 486 ends the offer and closes its ports. The next call from the same phone works."""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 180


def run(lab):
    with lab.network("phone1", "server") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        inside = Media(net["phone1"], 20000)
        outside = Media(net["server"], 30000)

        busy = Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, inside.port))
        sip.assert_translated(busy.invite())
        refused = busy.respond(486)
        assert sip.sent_by(refused["Via"]) == phone.endpoint
        net.gateway.assert_media_closed()

        call = Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, inside.port))
        call.establish(sdp.audio(outside.address, outside.port))
        [offered] = sdp.streams(call.invite_seen.body)
        [answered] = sdp.streams(call.ok_seen.body)
        talk(inside, answered, outside, offered)
        call.hang_up(by=phone)
        net.gateway.assert_media_closed()
