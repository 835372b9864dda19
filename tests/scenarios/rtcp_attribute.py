"""RTCP on a port of its own: a=rtcp (RFC 3605) on both sides, with and without an address."""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    with lab.network("phone1", "server") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        for number, value in enumerate(("{port}", "{port} IN IP4 {address}")):
            inside = Media(net["phone1"], 20000 + 20 * number, 20007 + 20 * number)
            outside = Media(net["server"], 30000 + 20 * number, 30007 + 20 * number)
            call = Call(phone, provider, to=provider.endpoint, offer=describe(inside, value))
            call.establish(describe(outside, value))
            sip.assert_translated(call.invite_seen)
            [offered] = sdp.streams(call.invite_seen.body)
            [answered] = sdp.streams(call.ok_seen.body)
            assert offered.rtcp[0] == "203.0.113.1"
            assert answered.rtcp == (outside.address, outside.rtcp.endpoint[1])
            talk(inside, answered, outside, offered)
            call.hang_up(by=phone)
        net.gateway.assert_media_closed()


def describe(media, rtcp):
    return sdp.audio(media.address, media.port, rtcp=rtcp.format(port=media.rtcp.endpoint[1], address=media.address))
