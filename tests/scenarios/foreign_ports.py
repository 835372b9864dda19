"""Ports that are others': one that masquerade gave away before sipnatd started, and one that a STUN phone announces.

    phone1 192.168.77.2:20000 and :22000 --- [gateway 203.0.113.1] --- provider, which answers there
    phone2 192.168.77.3 calls with the same ports and has to get others

Expectations come before masquerade's flows only for new flows, and the pool knows masquerade's choice only by looking: a
port given twice would send phone1's media to phone2.
"""

from lab import sdp
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
OUTSIDE = "203.0.113.1"


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "server") as net:
        gateway = net.gateway
        gateway.kill()
        server = net["server"].udp_socket(30000)
        opens(net["phone1"].udp_socket(20000), server, 20000)
        gateway.start()

        provider = UserAgent(net["server"], "bob")
        other = UserAgent(net["phone2"], "carol")
        first, inside, offered = establish(net, other, provider, 20000, 31000)
        assert offered.rtp[1] != 20000, "masquerade's port was given to a call"

        # The STUN phone's media, and its call, which names the outside endpoint itself.
        own = net["phone1"].udp_socket(22000)
        opens(own, server, 22000)
        stun = UserAgent(net["phone1"], "alice")
        call = Call(stun, provider, to=provider.endpoint, offer=sdp.audio(OUTSIDE, 22000))
        call.establish(sdp.audio(net["server"].address, 30000))
        [announced] = sdp.streams(call.invite_seen.body)
        assert announced.rtp == (OUTSIDE, 22000), f"the provider is told {announced.rtp}"
        second, _, offered = establish(net, other, provider, 22000, 32000)
        assert offered.rtp[1] != 22000, "the STUN phone's port was given to a call"

        server.sendto(b"still there", (OUTSIDE, 22000))
        assert own.recv(100) == b"still there"
        for one in (first, second):
            one.hang_up(by=other)
        gateway.assert_media_closed()


def opens(phone, server, port):
    """A flow of the phone's that masquerade translates; it keeps the port while that is free."""
    server.settimeout(30)
    phone.sendto(b"hello", server.getsockname())
    _, source = server.recvfrom(100)
    assert source == (OUTSIDE, port), f"masquerade shows {source}"
    server.sendto(b"answer", source)
    phone.settimeout(30)
    assert phone.recv(100) == b"answer"


def establish(net, phone, provider, port, provider_port):
    """A call that has audio, and what the provider is told."""
    inside = Media(net["phone2"], port)
    outside = Media(net["server"], provider_port)
    call = Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, port))
    call.establish(sdp.audio(outside.address, provider_port))
    [offered] = sdp.streams(call.invite_seen.body)
    [answered] = sdp.streams(call.ok_seen.body)
    talk(inside, answered, outside, offered)
    return call, inside, offered
