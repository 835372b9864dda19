"""Two phones, each behind a NAT of its own, call each other through a server that knows nothing of NAT.

    phone1 192.168.77.2 --- [gateway 203.0.113.1] ---+
                                                     +--- server 203.0.113.10 (relays signalling)
    phoneb 192.168.88.2 --- [gatewayb 203.0.113.2] --+

The media goes from gateway to gateway: each sees packets from where the other's outside port is.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, Relay, UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    with lab.network("phone1", "phoneb", "server") as net:
        relay = Relay(net["server"])
        alice = UserAgent(net["phone1"], "alice")
        bob = UserAgent(net["phoneb"], "bob")
        register(alice, relay)
        register(bob, relay)

        for port, alice_first in ((20000, True), (20010, False)):
            near = Media(net["phone1"], port)
            far = Media(net["phoneb"], port)
            call = Call(alice, bob, to=relay.endpoint, offer=sdp.audio(near.address, port), relay=relay)
            call.establish(sdp.audio(far.address, port))
            assert call.invite_seen.uri == bob.contact, f"bob reads Request-URI {call.invite_seen.uri}"
            assert "192.168.77." not in str(call.invite_seen) and "192.168.88." not in call.ok_seen.body.decode()
            [offered] = sdp.streams(call.invite_seen.body)
            [answered] = sdp.streams(call.ok_seen.body)
            assert (offered.rtp[0], answered.rtp[0]) == ("203.0.113.1", "203.0.113.2")
            if alice_first:
                talk(near, answered, far, offered)
            else:
                talk(far, offered, near, answered)
            bye = call.hang_up(by=bob if alice_first else alice)
            assert sip.endpoint_of(bye.uri) == (alice if alice_first else bob).endpoint

        for gateway in net.arms.values():
            gateway.assert_media_closed()
