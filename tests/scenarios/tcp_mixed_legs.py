"""Calls between a phone that speaks TCP and one that speaks UDP, through a relay with both transports: one of them inside, either of
them, and then both. Sound both ways, each hangs up.

    phone1 ---TCP--- [gateway] ---TCP--- server ---UDP--- outside
    phone2 ---UDP--- [gateway] ---UDP--- server ---TCP--- outside
    phone1 ---TCP--- [gateway] ---TCP--- server ---UDP--- [gateway] ---UDP--- phone2
"""

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.tcp import EitherRelay, TcpAgent
from lab.ua import UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
ALONE = True


def run(lab):
    with lab.network("phone1", "phone2", "server", "outside", firewall="restricted") as net:
        relay = EitherRelay(net["server"])
        alice, bob = TcpAgent(net["phone1"], "alice"), UserAgent(net["phone2"], "bob")
        carol, dave = UserAgent(net["outside"], "carol"), TcpAgent(net["outside"], "dave", port=5070)
        phones = (alice, bob, carol, dave)
        for phone in phones:
            register(phone, relay)
        media = {phone: Media(phone.node, 20000 + 100 * number) for number, phone in enumerate(phones)}
        for one, other in ((alice, carol), (bob, dave), (alice, bob)):
            for caller, callee in ((one, other), (other, one)):
                call = AudioCall(caller, media[caller], callee, media[callee], relay=relay)
                if caller in (alice, bob) and callee in (carol, dave):
                    sip.assert_translated(call.call.invite_seen)
                call.talk()
                call.talk(first=callee)
                call.hang_up(by=callee)
                net.gateway.assert_media_closed()
        assert len(alice.connections) == 1, alice.connections
