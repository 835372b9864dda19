"""A party is transferred into another call of the transferor's (attended): REFER, and an INVITE with Replaces.

    alice 192.168.77.2 --- [gateway] ---+--- server 203.0.113.10 (relays signalling)
    dave  192.168.77.3 ---              +--- bob    203.0.113.11
                                        +--- carol  203.0.113.12

Replaces names a dialog by Call-ID and tags. Neither side of it has others than the other, because the gateway edits
none of them, although this Call-ID has the phone's address in it; so it must not be edited in Replaces either, nor where
it stands escaped within Refer-To. In each round another of the three parties is the phone behind the gateway; in the
last one the phone transfers the call to a colleague.
"""

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.transfer import Transfer, replaces, with_replaces
from lab.ua import Relay, UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
PORTS = iter(range(40000, 50000, 10))


def run(lab):
    with lab.network("phone1", "phone2", "server", "outside", "media", firewall="restricted") as net:
        relay = Relay(net["server"])
        # A phone that asked first has the port, so that alice has another outside.
        parties = [UserAgent(net[host], user) for host, user in (("phone2", "dave"), ("phone1", "alice"), ("outside", "bob"), ("media", "carol"))]
        for party in parties:
            register(party, relay)
        dave, alice, bob, carol = parties
        for transferor, transferee, target in ((alice, bob, carol), (bob, alice, carol), (bob, carol, alice), (alice, bob, dave)):
            transfer(relay, transferor, transferee, target)
        net.gateway.assert_media_closed()


def transfer(relay, transferor, transferee, target):
    first = talking(relay, transferor, transferee)
    second = talking(relay, transferor, target, call_id=f"{next(PORTS)}@192.168.77.2")

    refer_to = with_replaces(second.call.caller_dialog.target, second.call.caller_dialog)
    refer = Transfer(first, transferor, refer_to, f"<{transferor.identity}>")
    assert refer.seen["Refer-To"] == refer_to, f"{transferee} reads Refer-To {refer.seen['Refer-To']}, written was {refer_to}"
    refer.notify(b"SIP/2.0 100 Trying\r\n")

    third = talking(relay, transferee, target, uri=sip.uri_of(refer_to).split("?")[0], headers=[("Replaces", replaces(second.call.caller_dialog))])
    seen = third.call.invite_seen
    assert seen.uri == target.contact, f"{target} reads Request-URI {seen.uri}"
    assert names(seen["Replaces"], second.call.callee_dialog), f"{target} reads Replaces {seen['Replaces']}, and knows no such call"
    second.hang_up(by=target)
    third.talk()
    refer.notify(b"SIP/2.0 200 OK\r\n", over=True)
    first.hang_up(by=transferor)
    third.talk(first=target)
    third.hang_up(by=transferee)


def names(value, dialog):
    """RFC 3891 section 3: to-tag is the reader's own."""
    call_id, *tags = value.split(";")
    known = {f"to-tag={sip.parameter(dialog.local, 'tag')}", f"from-tag={sip.parameter(dialog.remote, 'tag')}"}
    return call_id == dialog.call_id and set(tags) == known


def talking(relay, caller, callee, **options):
    """A call with media both ways, on ports that no other has."""
    call = AudioCall(caller, Media(caller.node, next(PORTS)), callee, Media(callee.node, next(PORTS)), relay=relay, **options)
    if any(agent.endpoint[0].startswith("203.0.113.") for agent in (caller, callee)):
        call.talk()
    else:
        arrives(call, caller)
        arrives(call, callee)
    return call


def arrives(call, sender):
    """Between two phones behind the gateway: it may come from where the sender is, instead of from where it seems to be."""
    call.media[sender].send(call.told[sender], 5)
    call.media[call.call.other(sender)].expect(5, call.media[sender])
