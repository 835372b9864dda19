"""Counted media: numbered RTP and RTCP packets, and where each came from.

A packet counts where it arrives. Nothing is echoed: an echo answers to a packet's source, and so can't see a wrong SDP.
"""

import copy
import itertools
import struct
import time
from dataclasses import dataclass, field

from lab import sdp
from lab.endpoint import Endpoint
from lab.topology import Node
from lab.wait import DEADLINE

_PATTERN = b"sipnat lab media sample."
_names = itertools.count(1)
"""Of ports, so that a receiver knows whose packet it has; RTP's and RTCP's synchronisation sources."""


@dataclass
class Received:
    """What arrived on one port, in order of arrival: which sender's packet, its number, and where it came from."""

    senders: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    sources: list[Endpoint] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)


class Port:
    """One end of one component (RTP, RTCP or UDPTL): a socket that numbers what it sends and keeps what it receives."""

    def __init__(self, node: Node, port: int, kind: str) -> None:
        self.kind = kind
        self.endpoint = (node.address, port)
        self.received = Received()
        self.sent = 0
        self.name = next(_names)
        self._socket = node.udp_socket(port)
        self._socket.setblocking(False)

    def __str__(self) -> str:
        return f"{self.kind} at {self.endpoint[0]}:{self.endpoint[1]}"

    def send(self, to: Endpoint, count: int = 1) -> None:
        for _ in range(count):
            self.sent += 1
            try:
                self._socket.sendto(self._packet(self.sent), to)
            except ConnectionRefusedError:  # an ICMP error about an earlier packet; this one was not sent
                self._socket.sendto(self._packet(self.sent), to)

    def expect(self, count: int, sender: "Port", timeout: float = DEADLINE) -> list[Endpoint]:
        """Waits until the `count` packets that `sender` sent last are all here. Returns their sources.

        Raises if one is missing, doubled or out of order.
        """
        wanted = list(range(sender.sent - count + 1, sender.sent + 1))
        deadline = time.monotonic() + timeout
        while True:
            self.collect()
            received = zip(self.received.senders, self.received.numbers, self.received.sources)
            arrived = [(number, source) for name, number, source in received if name == sender.name and number >= wanted[0]]
            if [number for number, _ in arrived] == wanted:
                return [source for _, source in arrived]
            if time.monotonic() > deadline:
                raise AssertionError(f"{self}: of packets {wanted[0]} to {wanted[-1]} of {sender} these arrived: {arrived}")
            time.sleep(0.01)

    def collect(self) -> Received:
        """Takes in what has arrived so far."""
        while True:
            try:
                packet, source = self._socket.recvfrom(2048)
            except BlockingIOError:
                return self.received
            except ConnectionRefusedError:
                continue
            if _PATTERN in packet:
                name, number = struct.unpack_from(">II", packet, packet.index(_PATTERN) - 8)
                self.received.senders.append(name)
                self.received.numbers.append(number)
                self.received.sources.append(source)

    def _packet(self, number: int) -> bytes:
        payload = struct.pack(">II", self.name, number) + _PATTERN
        if self.kind == "RTP":  # version 2, PCMA
            return struct.pack(">BBHII", 0x80, 8, number & 0xFFFF, number * 160, self.name) + payload
        if self.kind == "UDPTL":  # one primary packet, and no earlier ones for error recovery (ITU-T T.38 section 9.1)
            return struct.pack(">HB", number & 0xFFFF, len(payload)) + payload + b"\0\0"
        # An APP packet (RFC 3550 section 6.7); its length is in words, less one.
        return struct.pack(">BBHI4s", 0x80, 204, (12 + len(payload)) // 4 - 1, self.name, b"TEST") + payload


class Media:
    """The ports of one stream of a phone's or a media server's: RTP and RTCP, or the one of T.38."""

    def __init__(self, node: Node, port: int, rtcp_port: int | None = None, *, fax: bool = False) -> None:
        if fax:
            self.ports = [Port(node, port, "UDPTL")]
        else:
            self.ports = [Port(node, port, "RTP"), Port(node, port + 1 if rtcp_port is None else rtcp_port, "RTCP")]
        self.address = node.address
        self.port = port

    def __str__(self) -> str:
        return str(self.ports[0])

    @property
    def rtp(self) -> Port:
        return self.ports[0]

    @property
    def rtcp(self) -> Port:
        return self.ports[1]

    def describe(self, **options: str) -> bytes:
        """An offer or answer of one audio stream here; `options` are sdp.audio()'s."""
        return sdp.audio(self.address, self.port, **options)

    def as_fax(self) -> "Media":
        """The RTP port taken for T.38. What it sends goes on looking like RTP, which no gateway looks at."""
        other = copy.copy(self)
        other.ports = self.ports[:1]
        return other

    def send(self, stream: sdp.Stream, count: int = 1) -> None:
        """Sends to where a description says."""
        for port, to in zip(self.ports, stream.components, strict=True):
            port.send(to, count)

    def expect(self, count: int, sender: "Media", timeout: float = DEADLINE) -> tuple[Endpoint, ...]:
        """All of the last `count` packets of each of `sender`'s ports; returns their sources, which must not vary."""
        found = []
        for mine, theirs in zip(self.ports, sender.ports, strict=True):
            sources = set(mine.expect(count, theirs, timeout))
            if len(sources) != 1:
                raise AssertionError(f"{mine}: one stream from several sources: {sorted(sources)}")
            found.append(sources.pop())
        return tuple(found)


def talk(first: Media, first_to: sdp.Stream, second: Media, second_to: sdp.Stream, count: int = 5) -> None:
    """Both directions, all components: `first` sends before `second` does. `…_to`: where each sends to.

    Every packet must arrive, from the very endpoint that the other side was told to send to (RFC 4961: symmetric).
    """
    speak(first, first_to, second, second_to, count)
    speak(second, second_to, first, first_to, count)


def speak(sender: Media, to: sdp.Stream, receiver: Media, told: sdp.Stream, count: int = 5) -> None:
    """One direction; `told` is where the receiver sends, and so where `sender` must seem to be."""
    sender.send(to, count)
    sources = receiver.expect(count, sender)
    if sources != told.components:
        raise AssertionError(f"media from {sender.address} arrives from {sources}, but is told to be at {told.components}")
