"""A party of a call is transferred to somebody else by REFER, without asking that one first (blind).

    alice phone1 --- [gateway] ---+--- bob   203.0.113.11
    dave  phone2 ---              +--- carol 203.0.113.12

Who is referred reads where to call in Refer-To: an address of somebody outside as it was written, and the phone's own as
one that leads to it from outside. How the new call goes is reported in NOTIFYs, whose bodies are nobody's to change.
Dave has asked both outside parties something before, so that alice's port outside is not the one inside.
"""

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.transfer import Transfer
from lab.ua import UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
TRYING = b"SIP/2.0 100 Trying\r\n"
ANSWERED = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.168.77.2:5060;branch=z9hG4bK1\r\nContact: <sip:alice@192.168.77.2:5060>\r\n"


def run(lab):
    with lab.network("phone1", "phone2", "outside", "media", firewall="restricted") as net:
        alice = UserAgent(net["phone1"], "alice", domain="192.168.77.2")
        bob = UserAgent(net["outside"], "bob", domain="203.0.113.11")
        carol = UserAgent(net["media"], "carol", domain="203.0.113.12")
        dave = UserAgent(net["phone2"], "dave")
        for outside in (bob, carol):
            register(dave, outside)
        to_somebody(net, alice, bob, carol)
        to_the_phone(net, alice, bob)
        to_somebody_from_outside(net, alice, bob, carol)
        net.gateway.assert_media_closed()


def to_somebody(net, alice, bob, carol):
    """Alice leaves bob to carol. Theirs is no call of the gateway's."""
    call = talking(net, alice, bob, 40000)
    transfer = Transfer(call, alice, f"<{carol.contact}>", f"<{alice.identity}>")
    assert transfer.seen["Refer-To"] == f"<{carol.contact}>", f"bob reads Refer-To {transfer.seen['Refer-To']}"
    assert transfer.seen["Referred-By"] == "<sip:alice@203.0.113.1>", f"bob reads Referred-By {transfer.seen['Referred-By']}"
    sip.assert_translated(transfer.seen)
    for fragment, over in ((TRYING, False), (b"SIP/2.0 200 OK\r\nContact: <sip:carol@203.0.113.12>\r\n", True)):
        notify = transfer.notify(fragment, over=over)
        assert notify.uri == alice.contact and notify.body == fragment, f"alice reads:\n{notify}"
    call.hang_up(by=alice)


def to_the_phone(net, alice, bob):
    """Alice has bob call her again, on another port, as when a call moves to another line."""
    call = talking(net, alice, bob, 40010)
    transfer = Transfer(call, alice, f"<{alice.contact};line=2>", f"<{alice.identity}>")
    target = sip.uri_of(transfer.seen["Refer-To"])
    assert target.endswith(";line=2"), f"bob reads Refer-To {transfer.seen['Refer-To']}"
    sip.assert_translated(transfer.seen)
    second = AudioCall(bob, Media(net["outside"], 30020), alice, Media(net["phone1"], 40020), to=sip.endpoint_of(target), uri=target,
                       headers=[("Referred-By", transfer.seen["Referred-By"])])
    seen = second.call.invite_seen
    assert seen.uri == f"{alice.contact};line=2", f"alice reads Request-URI {seen.uri}"
    assert seen["Referred-By"] == f"<{alice.identity}>", f"alice reads Referred-By {seen['Referred-By']}"
    second.talk()
    call.talk()
    transfer.notify(b"SIP/2.0 200 OK\r\n", over=True)
    call.hang_up(by=bob)
    second.talk(first=alice)
    second.hang_up(by=alice)


def to_somebody_from_outside(net, alice, bob, carol):
    """Bob leaves alice to carol, and alice's phone calls her, from the port that it has in the call with bob."""
    call = talking(net, alice, bob, 40030)
    transfer = Transfer(call, bob, f"Carol <{carol.contact}>", f"<{bob.identity}>")
    assert transfer.seen.uri == alice.contact, f"alice reads Request-URI {transfer.seen.uri}"
    for header, text in (("Refer-To", f"Carol <{carol.contact}>"), ("Referred-By", f"<{bob.identity}>")):
        assert transfer.seen[header] == text, f"alice reads {header} {transfer.seen[header]}"
    told_bob(transfer, TRYING)
    second = AudioCall(alice, call.media[alice], carol, Media(net["media"], 30040), uri=carol.contact,
                       headers=[("Referred-By", transfer.seen["Referred-By"])])
    sip.assert_translated(second.call.invite_seen)
    assert second.call.invite_seen["Referred-By"] == f"<{bob.identity}>"
    second.talk()
    told_bob(transfer, ANSWERED, over=True)
    call.hang_up(by=bob)
    second.talk(first=carol)
    bye = second.hang_up(by=carol)
    assert bye.uri == alice.contact, f"alice reads BYE {bye.uri}"


def told_bob(transfer, fragment, over=False):
    notify = transfer.notify(fragment, over=over)
    assert notify.body == fragment, f"alice's report arrives as:\n{notify}"
    assert sip.endpoint_of(notify["Contact"])[0] == "203.0.113.1", f"bob reads Contact {notify['Contact']}"


def talking(net, alice, bob, port):
    """A call of alice's with media both ways."""
    call = AudioCall(alice, Media(net["phone1"], port), bob, Media(net["outside"], port - 10000))
    contact = sip.endpoint_of(call.call.invite_seen["Contact"])
    assert contact[1] != 5060, "alice has her own port outside: nothing to tell apart"
    call.talk()
    return call
