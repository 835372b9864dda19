"""The gateway forwards SIP to a PBX behind it, and a range of UDP ports to another host.

    PBX phone1 192.168.77.2 <-- udp 5060 -- [gateway 203.0.113.1] --- phone outside 203.0.113.11
                    phone2 <-- udp 20000-20099

Destination NAT turns the roles around: the flow is opened from outside, and what the PBX says of itself leaves as the
gateway. The phone registers at it; each calls the other, and each hangs up. The forwarded range lies in the range for
media, and belongs to its owner: `status` and `--check` say so.
"""

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 180
OUTSIDE = ("203.0.113.1", 5060)
FORWARDED = range(20000, 20100)
FORWARD = """
table ip forwards {
    chain prerouting {
        type nat hook prerouting priority -100;
        iifname "wan0" udp dport 20000-20099 dnat to 192.168.77.3
    }
}
"""


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "outside", forward_sip_to="phone1") as net:
        gateway = net.gateway
        gateway.gateway.run("nft", "-f", "-", stdin=FORWARD)
        gateway.reload()
        status = gateway.control("status")
        assert "20000-20099 are forwarded (table ip forwards, chain prerouting)" in status, status

        pbx = UserAgent(net["phone1"], "pbx", domain="192.168.77.2")
        phone = UserAgent(net["outside"], "carol", domain=OUTSIDE[0])
        contact = registration(pbx, phone)
        for number, calls_in in enumerate((True, False, True, False)):
            outside = Media(net["outside"], 30000 + 10 * number)
            inside = Media(net["phone1"], 20000 + 10 * number)
            if calls_in:
                call = AudioCall(phone, outside, pbx, inside, to=OUTSIDE, uri=f"sip:100@{OUTSIDE[0]}")
                assert call.call.invite_seen.uri == "sip:100@192.168.77.2", f"the PBX reads INVITE {call.call.invite_seen.uri}"
                said = call.call.ok_seen
            else:
                call = AudioCall(pbx, inside, phone, outside, uri=contact)
                said = call.call.invite_seen
            sip.assert_translated(said)
            told = call.told[phone].rtp
            assert told[0] == OUTSIDE[0] and told[1] not in FORWARDED, f"the PBX's media is announced at {told}"
            call.talk(first=phone if number < 2 else pbx)
            ends, reads = (pbx, phone) if number < 2 else (phone, pbx)
            bye = call.hang_up(by=ends)
            assert bye.uri == reads.contact, f"{reads} reads BYE {bye.uri}"
        gateway.assert_media_closed()


def registration(pbx, phone):
    """The PBX reads its own name, and the phone's Contact as it was written; the phone reads what it wrote."""
    seen, got = register(phone, pbx, at=OUTSIDE)
    assert seen.message.uri == "sip:192.168.77.2" and seen.source == phone.endpoint, f"the PBX reads\n{seen.message}"
    for header in ("From", "To"):
        assert sip.uri_of(seen.message[header]) == "sip:carol@192.168.77.2", f"the PBX reads {header} {seen.message[header]}"
        assert sip.uri_of(got.message[header]) == phone.identity, f"the phone reads {header} {got.message[header]}"
    for where, message in (("PBX", seen.message), ("phone", got.message)):
        assert sip.uri_of(message["Contact"]) == phone.contact, f"the {where} reads Contact {message['Contact']}"
    return sip.uri_of(seen.message["Contact"])
