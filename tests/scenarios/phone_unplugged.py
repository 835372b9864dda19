"""A phone loses its power in the middle of a call, and nobody says BYE: the call's media is closed once conntrack has counted no
packet for media_timeout. A call on hold, as silent, stays open for hold_timeout.
"""

import json

from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
SETTINGS = '[nat]\nmedia_timeout = "30s"\nhold_timeout = "2h"\n'


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "server", config=SETTINGS) as net:
        gateway = net.gateway
        provider = UserAgent(net["server"], "bob")
        alice = UserAgent(net["phone1"], "alice")
        call = AudioCall(alice, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        call.talk()
        carol = UserAgent(net["phone2"], "carol")
        held = AudioCall(carol, Media(net["phone2"], 22000), provider, Media(net["server"], 32000))
        held.talk()
        held.offer(by=carol, offer=held.media[carol].describe(direction="sendonly"),
                   answer=held.media[provider].describe(direction="recvonly"))
        both = len(gateway.open_media())

        # The first look counts, the second finds no more: 30 s each.
        wait_until(lambda: len(gateway.open_media()) == both // 2, "the silent call's media to be closed", 100,
                   state=gateway.state)
        [left] = json.loads(gateway.control("calls", "--json"))["calls"]
        assert left["inside"] == carol.endpoint[0], left
        held.hang_up(by=carol)
        gateway.assert_media_closed()
