"""A call between the same ports as the one before, with a restart of sipnatd right after that one's BYE.

Flows of an ended call are removed after a grace of two seconds. A sipnatd that is killed within it never does, and the
flow that is left holds the way between the two ports, by the outside port of the ended call.
"""

from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server") as net:
        phone, provider = UserAgent(net["phone1"], "alice"), UserAgent(net["server"], "bob")
        inside, outside = Media(net["phone1"], 20000), Media(net["server"], 30000)
        for first in (phone, provider, phone):
            call = AudioCall(phone, inside, provider, outside)
            call.talk(first)
            call.hang_up(by=phone)
            net.gateway.kill()
            net.gateway.start()
