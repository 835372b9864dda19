"""A phone's RTP port is the port of a service on the gateway itself.

Expectations come before sockets: taken without a look, the port would cut off the service. The service keeps its
packets, and the call has audio through another outside port.
"""

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent

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
        call = AudioCall(phone, Media(net["phone1"], PORT), provider, Media(net["server"], 30000))
        sip.assert_translated(call.call.invite_seen)
        assert call.told[provider].rtp[1] != PORT, "the service's port was given to the call"

        call.talk()
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
