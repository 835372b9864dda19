"""nft-map mode: the other side receives its audio on 5060, so the phone's RTP is queued like SIP. It stays media: no mapping of
signalling is made of it, and the next call gets the same phone's port again. A reload in mid-call takes nothing from it.
"""

from lab import sdp
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent

NEEDS = {"maps"}
TIMEOUT = 120


def run(lab):
    lab.for_sipnat_only()
    lab.mode = "maps"
    with lab.network("phone1", "server", "outside") as net:
        phone, server = UserAgent(net["phone1"], "alice"), UserAgent(net["server"], "bob")
        inside, outside = Media(net["phone1"], 20000), Media(net["outside"], 5060)
        for _ in range(2):
            call = Call(phone, server, to=server.endpoint, offer=sdp.audio(inside.address, inside.port))
            call.establish(sdp.audio(outside.address, outside.port))
            [offered], [answered] = sdp.streams(call.invite_seen.body), sdp.streams(call.ok_seen.body)
            talk(inside, answered, outside, offered)
            assert len(net.gateway.elements("signalling")) == 1, net.gateway.state()
            before = net.gateway.open_media()
            net.gateway.reload()
            talk(inside, answered, outside, offered)
            assert net.gateway.open_media() == before, net.gateway.state()
            # Its flows are forgotten: now the phone's next packet is a first one towards a SIP port.
            net.gateway.gateway.run("conntrack", "-D", "-p", "udp", check=False)
            talk(inside, answered, outside, offered)
            assert len(net.gateway.elements("signalling")) == 1, net.gateway.state()
            call.hang_up(by=phone)
            net.gateway.assert_media_closed()
