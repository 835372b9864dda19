"""A phone's RTP port is the port of a service on the gateway itself.

Expectations come before sockets: taken without a look, the port would cut off the service. The service keeps its
packets, and the call has audio through another outside port.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 180
PORT = 20000


def run(lab):
    with lab.network("phone1", "server", "outside") as net:
        service = net["gateway"].udp_socket(PORT, "0.0.0.0")
        service.settimeout(30)
        client = net["outside"].udp_socket(4711)
        ask(client, service)

        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        inside = Media(net["phone1"], PORT)
        outside = Media(net["server"], 30000)
        call = Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, PORT))
        call.establish(sdp.audio(outside.address, outside.port))
        sip.assert_translated(call.invite_seen)
        [offered] = sdp.streams(call.invite_seen.body)
        [answered] = sdp.streams(call.ok_seen.body)
        assert offered.rtp[1] != PORT, "the service's port was given to the call"

        talk(inside, answered, outside, offered)
        ask(net["outside"].udp_socket(4712), service)
        call.hang_up(by=phone)
        ask(net["outside"].udp_socket(4713), service)
        net.gateway.assert_media_closed()


def ask(client, service):
    """A question from outside, and the service's answer."""
    client.settimeout(30)
    client.sendto(b"question", ("203.0.113.1", PORT))
    question, source = service.recvfrom(100)
    assert question == b"question" and source == client.getsockname(), f"the service got {question!r} from {source}"
    service.sendto(b"answer", source)
    assert client.recv(100) == b"answer"
