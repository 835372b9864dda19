"""The caller gives up: CANCEL while it rings, 487, and the ports are closed again. Once from inside, once from outside."""

from lab import sdp, sip
from lab.ua import Call, UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 180


def run(lab):
    with lab.network("phone1", "server") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")

        call = Call(phone, provider, to=provider.endpoint, offer=sdp.audio("192.168.77.2", 20000))
        sip.assert_translated(call.invite())
        assert net.gateway.open_media() or lab.arm == "none", "an offer that is pending has its ports open"
        call.respond(180)
        call.cancel()
        net.gateway.assert_media_closed()

        seen, _ = register(phone, provider)
        contact = sip.uri_of(seen.message["Contact"])
        call = Call(provider, phone, to=sip.endpoint_of(contact), uri=contact, offer=sdp.audio("203.0.113.10", 30000))
        assert call.invite().uri == phone.contact
        call.respond(183, sdp.audio("192.168.77.2", 20010))
        assert net.gateway.open_media() or lab.arm == "none", "early media has its ports open"
        call.cancel()
        net.gateway.assert_media_closed()
