"""The gateway forwards SIP over TCP to a PBX behind it: the connection is opened from outside, and carries calls both ways.

    PBX phone1 192.168.77.2 <-- tcp 5060 -- [gateway 203.0.113.1] --- phone outside 203.0.113.11

Destination NAT turns the roles around: what the PBX says of itself leaves as the gateway, and what the phone says stays. Sound both
ways, each hangs up.
"""

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.tcp import TcpAgent
from lab.ua import register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 180
ALONE = True
OUTSIDE = ("203.0.113.1", 5060)


def run(lab):
    with lab.network("phone1", "outside", forward_sip_to="phone1") as net:
        pbx = TcpAgent(net["phone1"], "pbx", listens=5060, domain="192.168.77.2")
        phone = TcpAgent(net["outside"], "carol", domain=OUTSIDE[0])
        seen, got = register(phone, pbx, at=OUTSIDE)
        assert seen.message.uri == "sip:192.168.77.2" and seen.source == phone.endpoint, f"the PBX reads\n{seen.message}"
        for where, message in (("PBX", seen.message), ("phone", got.message)):
            assert sip.uri_of(message["Contact"]) == phone.contact, f"the {where} reads Contact {message['Contact']}"
            assert f" {phone.via};" in message["Via"], f"the {where} reads Via {message['Via']}"

        for number, calls_in in enumerate((True, False, True, False)):
            outside, inside = Media(net["outside"], 30000 + 10 * number), Media(net["phone1"], 20000 + 10 * number)
            if calls_in:
                call = AudioCall(phone, outside, pbx, inside, to=OUTSIDE, uri=f"sip:100@{OUTSIDE[0]}")
                assert call.call.invite_seen.uri == "sip:100@192.168.77.2", f"the PBX reads INVITE {call.call.invite_seen.uri}"
                said = call.call.ok_seen
            else:
                call = AudioCall(pbx, inside, phone, outside, uri=phone.contact)
                said = call.call.invite_seen
            sip.assert_translated(said)
            assert sip.endpoint_of(said["Contact"]) == OUTSIDE, f"the phone reads Contact {said['Contact']}"
            call.talk(first=phone if number < 2 else pbx)
            ends, reads = (pbx, phone) if number < 2 else (phone, pbx)
            bye = call.hang_up(by=ends)
            assert bye.uri == reads.contact, f"{reads} reads BYE {bye.uri}"
            net.gateway.assert_media_closed()
        assert [len(agent.connections) for agent in (phone, pbx)] == [1, 1], "it took more than one connection"
