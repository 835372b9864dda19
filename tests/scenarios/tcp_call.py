"""Calls over TCP, out and in, each hung up by either side: offer and answer are translated, RTP and RTCP are counted in both
directions, and nothing lets media in after BYE.

The phone names its connection's port in its Contact, so that all of it goes over the one connection that it opened; it stays open
for further calls.
"""

from lab import sdp, sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.tcp import TcpAgent
from lab.ua import register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
ALONE = True


def run(lab):
    with lab.network("phone1", "server", firewall="restricted") as net:
        phone = TcpAgent(net["phone1"], "alice")
        provider = TcpAgent(net["server"], "bob", listens=5060)
        seen, _ = register(phone, provider)
        contact = sip.uri_of(seen.message["Contact"])
        for number, (inbound, phone_ends) in enumerate(((False, True), (False, False), (True, False), (True, True))):
            inside, outside = Media(net["phone1"], 20000 + 10 * number), Media(net["server"], 30000 + 10 * number)
            if inbound:
                call = AudioCall(provider, outside, phone, inside, to=sip.endpoint_of(contact), uri=contact)
                assert call.call.invite_seen.uri == phone.contact, f"the phone reads Request-URI {call.call.invite_seen.uri}"
                said = call.call.ok_seen
            else:
                call = AudioCall(phone, inside, provider, outside)
                assert f" {phone.via};" in call.call.ok_seen["Via"], f"the phone reads Via {call.call.ok_seen['Via']}"
                said = call.call.invite_seen
            sip.assert_translated(said)
            assert call.told[provider].rtp[0] == sdp.line(said.body, "o=").split()[-1] == "203.0.113.1", said
            assert call.told[phone].rtp == (outside.address, outside.port), f"the phone is told to send to {call.told[phone]}"
            call.talk(first=phone if number % 2 else provider)
            # A re-INVITE that changes nothing leaves the media where they are.
            told = dict(call.told)
            call.offer(phone)
            assert call.told == told, f"told was {told}, and after the re-INVITE {call.told}"
            call.talk()

            bye = call.hang_up(by=phone if phone_ends else provider)
            if phone_ends:
                sip.assert_translated(bye)
            else:
                assert bye.uri == phone.contact, f"the phone reads BYE {bye.uri}"
            net.gateway.assert_media_closed()
        assert [len(agent.connections) for agent in (phone, provider)] == [1, 1], "it took more than one connection"
