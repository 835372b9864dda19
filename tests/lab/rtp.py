"""Counted media: numbered RTP and RTCP packets, and where each came from.

A packet counts where it arrives. Nothing is echoed: an echo answers to a packet's source, and so can't see a wrong SDP.
"""

import socket
import struct
import time
from dataclasses import dataclass, field

from lab.endpoint import Endpoint
from lab.topology import Node
from lab.wait import DEADLINE

_PATTERN = b"sipnat lab media sample."


@dataclass
class Received:
    """What arrived on one port: sequence numbers in order of arrival, and their sources."""

    numbers: list[int] = field(default_factory=list)
    sources: list[Endpoint] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)


class Port:
    """One end of one component (RTP or RTCP): a socket that numbers what it sends and keeps what it receives."""

    def __init__(self, node: Node, port: int, kind: str, name: int) -> None:
        self.kind = kind
        self.endpoint = (node.address, port)
        self.received = Received()
        self.sent = 0
        self._name = name
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
            arrived = [(number, source) for number, source in zip(self.received.numbers, self.received.sources) if number >= wanted[0]]
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
                self.received.numbers.append(struct.unpack_from(">I", packet, packet.index(_PATTERN) - 4)[0])
                self.received.sources.append(source)

    def _packet(self, number: int) -> bytes:
        payload = struct.pack(">I", number) + _PATTERN
        if self.kind == "RTP":  # version 2, PCMA
            return struct.pack(">BBHII", 0x80, 8, number & 0xFFFF, number * 160, self._name) + payload
        # An APP packet (RFC 3550 section 6.7); its length is in words, less one.
        return struct.pack(">BBHI4s", 0x80, 204, (12 + len(payload)) // 4 - 1, self._name, b"TEST") + payload


class Media:
    """A phone's or a media server's two ports."""

    def __init__(self, node: Node, port: int, rtcp_port: int | None = None) -> None:
        self.rtp = Port(node, port, "RTP", port)
        self.rtcp = Port(node, port + 1 if rtcp_port is None else rtcp_port, "RTCP", port)
        self.address = node.address
        self.port = port

    def send(self, stream, count: int = 1) -> None:
        """Sends to where a description (sdp.Stream) says."""
        self.rtp.send(stream.rtp, count)
        self.rtcp.send(stream.rtcp, count)

    def expect(self, count: int, sender: "Media", timeout: float = DEADLINE) -> tuple[Endpoint, Endpoint]:
        """All of the last `count` packets of `sender`'s RTP and RTCP; returns their two sources, which must not vary."""
        found = []
        for mine, theirs in ((self.rtp, sender.rtp), (self.rtcp, sender.rtcp)):
            sources = set(mine.expect(count, theirs, timeout))
            if len(sources) != 1:
                raise AssertionError(f"{mine}: one stream from several sources: {sorted(sources)}")
            found.append(sources.pop())
        return found[0], found[1]


def talk(first: Media, first_to, second: Media, second_to, count: int = 5) -> None:
    """Both directions, RTP and RTCP: `first` sends before `second` does. `…_to`: the sdp.Stream that each sends to.

    Every packet must arrive, from the very endpoint that the other side was told to send to (RFC 4961: symmetric).
    """
    for sender, to, receiver, told in ((first, first_to, second, second_to), (second, second_to, first, first_to)):
        sender.send(to, count)
        sources = receiver.expect(count, sender)
        if sources != (told.rtp, told.rtcp):
            raise AssertionError(f"media from {sender.address} arrives from {sources}, but is told to be at {told.rtp}, {told.rtcp}")
