"""What has to arrive of a message, worked out by replacing known text in known places: nothing here knows of SIP what a gateway has
to know. For streams of many messages that are compared to the byte.

    outwards    from a phone: its own host in these headers and in SDP, its endpoint's port with it
    inwards     to a phone: back again in headers; a description from outside says nothing of the phone
    Line        a connection, with what has to have arrived at either end
"""

import re
from typing import Callable

from lab import sdp
from lab.endpoint import Endpoint as Place
from lab.tcp import TcpAgent
from lab.topology import Node

_HEADERS = re.compile(rb"(?i)^(?:[A-Z]+ sips?:|SIP/2\.0 |(?:via|v|contact|m|from|f|to|t|route|record-route)\s*:)")
"""Of the lines of a message's head, those that addresses are translated in: the first one, and these headers."""


def outwards(raw: bytes, inside: Place, outside: Place) -> bytes:
    # A host alone is an identity's.
    return _message(raw, lambda line: _host(_endpoint(line, inside, outside), inside, outside), lambda body: _host(body, inside, outside))


def inwards(raw: bytes, inside: Place, outside: Place) -> bytes:
    return _message(raw, lambda line: _host(_endpoint(line, outside, inside), outside, inside), lambda body: body)


def _message(raw: bytes, translate: Callable[[bytes], bytes], describe: Callable[[bytes], bytes]) -> bytes:
    head, blank, body = raw.partition(b"\r\n\r\n")
    lines = [translate(line) if _HEADERS.match(line) else line for line in head.split(b"\r\n")]
    described = describe(body) if re.search(rb"(?im)^(?:content-type|c)\s*:\s*application/sdp", head) else body
    longer = len(described) - len(body)
    lines = [re.sub(rb"(?i)(?<=^content-length: )\d+", lambda found: b"%d" % (int(found[0]) + longer), line) for line in lines]
    return b"\r\n".join(lines) + blank + described


def _endpoint(text: bytes, old: Place, new: Place) -> bytes:
    return re.sub(re.escape(b"%s:%d" % (old[0].encode(), old[1])) + rb"(?!\d)", b"%s:%d" % (new[0].encode(), new[1]), text)


def _host(text: bytes, old: Place, new: Place) -> bytes:
    return re.sub(re.escape(old[0].encode()) + rb"(?![\d.:])", new[0].encode(), text)


class Line:
    """A connection of a phone to its server, between two kernels. Every byte that arrives at either end is accounted for."""

    def __init__(self, node: Node, server: TcpAgent) -> None:
        self.server = server
        self.phone = TcpAgent(node, "alice")
        self.out = self.phone.connect(server.endpoint)
        self.back = server.accept()
        self.at_server = self.at_phone = b""

    def invite(self) -> bytes:
        return self.phone.request("INVITE", self.server.identity, body=sdp.audio(self.phone.node.address, 20000)).encode()

    def to_phone(self, method: str = "OPTIONS", **options) -> bytes:
        """A request of the server's; `options` are further ones of Core.request()'s."""
        contact = f"sip:alice@{self.back.peer[0]}:{self.back.peer[1]};transport=tcp"
        return self.server.request(method, contact, **options).encode()

    def edited(self, out: bytes = b"", back: bytes = b"") -> None:
        """A message of each side's, or an INVITE and an OPTIONS, which arrive translated."""
        out, back = (out, back) if out or back else (self.invite(), self.to_phone())
        ends = self.out.local, self.back.peer
        self._exchange(out, outwards(out, *ends), back, inwards(back, *ends))

    def untouched(self, out: bytes = b"", back: bytes = b"") -> None:
        """The same, which arrive as they were sent."""
        out, back = (out, back) if out or back else (self.invite(), self.to_phone())
        self._exchange(out, out, back, back)

    def settle(self) -> None:
        """Until neither side has anything to send again."""
        self.out.wait_acknowledged()
        self.back.wait_acknowledged()

    def end(self) -> None:
        self.out.close()
        assert self.back.wait_ended() == "closed"

    def _exchange(self, out: bytes, arriving_out: bytes, back: bytes, arriving_back: bytes) -> None:
        self.out.send(out)
        self.back.send(back)
        self.at_server += arriving_out
        self.at_phone += arriving_back
        self.back.expect(self.at_server)
        self.out.expect(self.at_phone)
