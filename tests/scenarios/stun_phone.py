"""A phone that found out its outside endpoint by itself and writes that into Via, Contact and From.

There is nothing to translate on the way out, so nothing may be translated on the way back either: the phone would
discard a response whose Via is not its own (RFC 3261 section 18.1.2), and not know itself in a Request-URI.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 180


def run(lab):
    with lab.network("phone1", "server") as net:
        provider = UserAgent(net["server"], "bob")
        phone = UserAgent(net["phone1"], "alice")

        # As with STUN: one question from the phone's own port shows it what the server sees.
        probe = phone.deliver(phone.request("OPTIONS", provider.identity), provider.endpoint, provider)
        provider.reply(probe, provider.response(probe.message, 200, tag="o"), phone)
        host, port = probe.source
        phone.via = f"{host}:{port}"
        phone.contact = f"sip:alice@{host}:{port}"
        phone.identity = f"sip:alice@{host}"

        seen, got = register(phone, provider)
        for where, message in (("server", seen.message), ("phone", got.message)):
            assert sip.sent_by(message["Via"]) == (host, port) and f" {phone.via};" in message["Via"], f"the {where} reads Via {message['Via']}"
            assert sip.uri_of(message["Contact"]) == phone.contact, f"the {where} reads Contact {message['Contact']}"
            assert sip.uri_of(message["From"]) == phone.identity, f"the {where} reads From {message['From']}"

        inside = Media(net["phone1"], 20000)
        outside = Media(net["server"], 30000)
        contact = sip.uri_of(seen.message["Contact"])
        call = Call(provider, phone, to=(host, port), uri=contact, offer=sdp.audio(outside.address, outside.port))
        call.establish(sdp.audio(inside.address, inside.port))
        assert call.invite_seen.uri == phone.contact, f"the phone reads Request-URI {call.invite_seen.uri}"
        [offered] = sdp.streams(call.invite_seen.body)
        [answered] = sdp.streams(call.ok_seen.body)
        talk(inside, offered, outside, answered)
        bye = call.hang_up(by=provider)
        assert bye.uri == phone.contact, f"the phone reads BYE {bye.uri}"
