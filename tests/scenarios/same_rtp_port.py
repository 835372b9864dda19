"""Two phones that use the same RTP port call the same server at the same time: common with phones of one make."""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
RTP_PORT = 20000


def run(lab):
    with lab.network("phone1", "phone2", "server") as net:
        provider = UserAgent(net["server"], "bob")
        calls = []
        for host, provider_port in (("phone1", 30000), ("phone2", 30010)):
            phone = UserAgent(net[host], host)
            inside = Media(net[host], RTP_PORT)
            outside = Media(net["server"], provider_port)
            call = Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, RTP_PORT))
            call.establish(sdp.audio(outside.address, provider_port))
            sip.assert_translated(call.invite_seen)
            [offered] = sdp.streams(call.invite_seen.body)
            [answered] = sdp.streams(call.ok_seen.body)
            calls.append((call, phone, inside, answered, outside, offered))

        ports = {endpoint for _, _, _, _, _, offered in calls for endpoint in (offered.rtp, offered.rtcp)}
        assert len(ports) == 4, f"the two calls share outside ports: {sorted(ports)}"
        for _, _, inside, answered, outside, offered in calls:
            talk(inside, answered, outside, offered)
        for call, phone, *_ in calls:
            call.hang_up(by=phone)
        net.gateway.assert_media_closed()
