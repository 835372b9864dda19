"""A phone that sends from one port and listens on another, as its Contact and its Via say.

    sends from  192.168.77.2:40000 ─── 203.0.113.1:40000 (or so)
    listens on  192.168.77.2:5062  ─── a port of its own outside, only for its provider

Its Via has no rport, so that answers go where the Via says (RFC 3261 section 18.2.2). Calls come in at the Contact, also
after sipnatd was killed, and nobody but the provider gets in. Once its registration is over so is the port.
"""

from lab import sdp, sip
from lab.audio import AudioCall
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server", "outside") as net:
        phone = UserAgent(net["phone1"], "alice", port=5062, sends_from=40000)
        provider = UserAgent(net["server"], "bob")
        stranger = UserAgent(net["outside"], "mallory")
        inside, outside = Media(net["phone1"], 20000), Media(net["server"], 30000)

        seen, got = register(phone, provider)
        contact = sip.uri_of(seen.message["Contact"])
        host, port = sip.endpoint_of(contact)
        assert host == "203.0.113.1" and port != seen.source[1], f"the provider reads Contact {contact}, from {seen.source}"
        assert sip.sent_by(seen.message["Via"]) == (host, port), f"the provider reads Via {seen.message['Via']}"
        assert sip.uri_of(got.message["Contact"]) == phone.contact, f"the phone reads Contact {got.message['Contact']}"
        assert sip.sent_by(got.message["Via"]) == phone.endpoint, f"the phone reads Via {got.message['Via']}"

        call_in(net.gateway, provider, outside, phone, inside, contact)
        call_out(net.gateway, phone, inside, provider, outside)

        stranger.send(stranger.request("OPTIONS", contact), (host, port))
        net.gateway.kill()
        net.gateway.start()
        call_in(net.gateway, provider, outside, phone, inside, contact)
        assert not any(line.startswith("OPTIONS") for line in phone.ignored), "a stranger reached the phone"
        again, _ = register(phone, provider, cseq=2)
        assert sip.uri_of(again.message["Contact"]) == contact, f"the refresh moved the Contact to {again.message['Contact']}"

        # The phone speaks from there itself: it is the same port outside.
        probe = UserAgent.request(phone, "OPTIONS", provider.identity)
        phone.sender = phone.socket
        asked = phone.deliver(probe, provider.endpoint, provider)
        assert asked.source == (host, port), f"the phone's other port is seen as {asked.source}"

        assert net.gateway.open_signalling(), "\n".join(net.gateway.state())
        register(phone, provider, expires=0, cseq=3)
        wait_until(lambda: not net.gateway.open_signalling(), "the Contact's port to be closed", 90, state=net.gateway.state)


def call_in(gateway, provider, outside, phone, inside, contact):
    call = Call(provider, phone, to=sip.endpoint_of(contact), uri=contact, offer=sdp.audio(outside.address, outside.port))
    call.establish(sdp.audio(inside.address, inside.port))
    assert call.invite_seen.uri == phone.contact, f"the phone reads Request-URI {call.invite_seen.uri}"
    [offered], [answered] = sdp.streams(call.invite_seen.body), sdp.streams(call.ok_seen.body)
    talk(inside, offered, outside, answered)
    call.hang_up(by=provider)
    gateway.assert_media_closed()


def call_out(gateway, phone, inside, provider, outside):
    call = AudioCall(phone, inside, provider, outside)
    call.talk()
    call.hang_up(by=provider)
    gateway.assert_media_closed()
