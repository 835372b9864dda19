"""200 connections at once, 100 from each of two phones: on each a registration and an INVITE, all of them cut in the middle and the
halves of 20 on their way at the same time, then the answers. Each arrives over its own connection, as lab.translation says. They end
in every way, and nothing stays open.
"""

from lab import sdp
from lab.sip import Message
from lab.tcp import TcpAgent
from lab.translation import inwards, outwards

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
ALONE = True
EACH = 100
TOGETHER = 20


def run(lab):
    with lab.network("phone1", "phone2", "server", firewall="restricted") as net:
        server = TcpAgent(net["server"], "bob", listens=5060)
        lines = [Line(net[host], server, number, 20000 + 1000 * place + 2 * number)
                 for number in range(EACH) for place, host in enumerate(("phone1", "phone2"))]
        for line in lines:
            line.connect()

        sent = [line.request() for line in lines]
        in_halves([(line.out, message) for line, message in zip(lines, sent)])
        for line, message in zip(lines, sent):
            line.back.expect(two(message, outwards, line) if lab.arm != "route" else message)

        answers = [line.answer() for line in lines]
        in_halves([(line.back, message) for line, message in zip(lines, answers)])
        for line, message in zip(lines, answers):
            line.out.expect(two(message, inwards, line) if lab.arm != "route" else message)

        for number, line in enumerate(lines):
            # Those that hang up in the middle of a message, too.
            if number % 4 > 1:
                line.out.send(b"OPTIONS sip:bob@203.0.113.10 SIP/2.0\r\n")
            line.out.reset() if number % 2 else line.out.close()
        for line in lines:
            line.back.wait_ended()
        if lab.arm == "sipnat":
            net.gateway.assert_media_closed()


def in_halves(messages):
    """Not so many of them at a time that one is held for too long, in emulation."""
    for begin in range(0, len(messages), TOGETHER):
        for half in (0, 1):
            for end, message in messages[begin:begin + TOGETHER]:
                middle = len(message) // 2
                end.send(message[middle:] if half else message[:middle])


def two(messages, translate, line):
    """Both of them as they have to arrive. The first has no body."""
    first, blank, second = messages.partition(b"\r\n\r\n")
    return translate(first + blank, *line.ends) + translate(second, *line.ends)


class Line:
    """One of a host's phones."""

    def __init__(self, node, server, number, media):
        self.server = server
        self.phone = TcpAgent(node, f"{node.name}-{number}")
        self.media = media

    def connect(self):
        self.out = self.phone.connect(self.server.endpoint)
        self.back = self.server.accept()
        self.ends = self.out.local, self.back.peer

    def request(self):
        register = self.phone.request("REGISTER", "sip:203.0.113.10", headers=[("Expires", "600")])
        invite = self.phone.request("INVITE", self.server.identity, body=sdp.audio(self.phone.node.address, self.media))
        return register.encode() + invite.encode()

    def answer(self):
        """Of what has arrived: a registration, and no call."""
        register, invite = (Message.parse(raw) for raw in self.back.messages())
        granted = self.server.response(register, 200, tag="b", contact=f"{register['Contact']};expires=600")
        return granted.encode() + self.server.response(invite, 486, tag="b").encode()
