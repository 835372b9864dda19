"""SIP over TCP on networks that lose a tenth of all packets each way, half of that before the gateway and half behind it, and reorder
others: TCP sends again by itself, in whatever pieces, and nothing else helps. Five phones register, call and are called, all of it
translated; nothing stays open.
"""

from lab import sdp, sip
from lab.rtp import Media
from lab.tcp import TcpAgent
from lab.ua import Call, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip", "netem"}
TIMEOUT = 300
ALONE = True
LOSS = ("delay", "10ms", "loss", "5%", "reorder", "80%")
"""What is not delayed overtakes. Twice on each way: 1 - 0.95² is a tenth."""


def run(lab):
    with lab.network("phone1", "phone2", "server", firewall="restricted") as net:
        net.network.impair(*LOSS)
        provider = TcpAgent(net["server"], "bob", listens=5060)
        for number in range(5):
            phone = TcpAgent(net[f"phone{1 + number % 2}"], f"user{number}")
            contact = registered(phone, provider)
            for inbound in (False, True):
                port = 20 * number + 10 * inbound
                call(phone, provider, contact, Media(phone.node, 20000 + port), Media(net["server"], 30000 + port), inbound)
        net.gateway.assert_media_closed()
        if lab.arm == "sipnat":
            lab.log(f"{net.gateway.tcp_events()}")


def registered(phone, provider):
    seen, got = register(phone, provider)
    sip.assert_translated(seen.message)
    assert sip.uri_of(got.message["Contact"]) == phone.contact, f"the phone reads Contact {got.message['Contact']}"
    return sip.uri_of(seen.message["Contact"])


def call(phone, provider, contact, inside, outside, inbound):
    if inbound:
        made = Call(provider, phone, to=sip.endpoint_of(contact), uri=contact, offer=outside.describe()).establish(inside.describe())
        said, heard = made.ok_seen, made.invite_seen
        assert heard.uri == phone.contact, f"the phone reads Request-URI {heard.uri}"
    else:
        made = Call(phone, provider, to=provider.endpoint, offer=inside.describe()).establish(outside.describe())
        said, heard = made.invite_seen, made.ok_seen
    sip.assert_translated(said)
    hear_each_other(inside, sdp.streams(heard.body)[0], outside, sdp.streams(said.body)[0])
    made.hang_up(by=phone if inbound else provider)


def hear_each_other(inside, inside_to, outside, outside_to):
    def heard():
        inside.send(inside_to)
        outside.send(outside_to)
        return all(port.collect().numbers for media in (inside, outside) for port in media.ports)

    wait_until(heard, "media both ways")
