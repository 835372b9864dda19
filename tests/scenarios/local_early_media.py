"""Media of an inside phone that is faster than its own SDP, on its way to another inside phone.

    phone1    192.168.77.2 --- lan0 [gateway] --- server 203.0.113.10 (relays)
    phone2    192.168.77.3 ---
    neighbour 192.168.78.2 --- lan1

    hairpin   phone1 and phone2, nat.local_media = "hairpin"
    routed    phone1 and neighbour, in one group of nat.local_networks: a firewall drops what comes too early

The gateway can't know yet whose media it is. Once it can, no earlier packet has made the stream come from elsewhere than
was told, or deaf: once for a 183, and once for a 200 that names other ports.
"""

from lab import sdp
from lab.local import HAIRPIN, ROUTED, firewall, meeting
from lab.rtp import Media, talk
from lab.ua import Call
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    lab.for_sipnat_only()
    for way in (ROUTED, HAIRPIN):
        with meeting(lab, way) as (net, relay, alice, bob):
            outrun(net, relay, alice, bob, gets_through=way == HAIRPIN or firewall(lab, way) == "open")


def outrun(net, relay, alice, bob, gets_through):
    media = Media(alice.node, 20000)
    call = Call(alice, bob, to=relay.endpoint, offer=media.describe(), relay=relay)
    [offered] = sdp.streams(call.invite().body)
    for port, send in ((20000, lambda description: call.respond(183, description)), (20010, call.answer)):
        bobs = Media(bob.node, port)
        bobs.send(offered, 3)
        if gets_through:
            media.expect(3, bobs)
        [told] = sdp.streams(send(bobs.describe()).body)
        talk(bobs, offered, media, told)
        talk(media, told, bobs, offered)
    call.ack()
    wait_until(lambda: len(net.gateway.open_ports()) == 4, "the ringing tone's ports to be closed", state=net.gateway.state)
    talk(media, told, bobs, offered)
    call.hang_up(by=alice)
