"""The provider's media comes from another host than its signalling, as with most providers.

    phone1 --- [gateway] ---+--- server 203.0.113.10   SIP
                            +--- media  203.0.113.12   RTP
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    with lab.network("phone1", "server", "media") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        for phone_port, media_port, media_server_first in ((20000, 30000, False), (20010, 30010, True)):
            inside = Media(net["phone1"], phone_port)
            outside = Media(net["media"], media_port)
            call = Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, phone_port))
            call.establish(sdp.audio(outside.address, media_port))
            sip.assert_translated(call.invite_seen)
            [offered] = sdp.streams(call.invite_seen.body)
            [answered] = sdp.streams(call.ok_seen.body)
            assert answered.rtp == (outside.address, media_port)
            if media_server_first:
                talk(outside, offered, inside, answered)
            else:
                talk(inside, answered, outside, offered)
            call.hang_up(by=phone)
        net.gateway.assert_media_closed()
