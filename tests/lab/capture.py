"""What a host's network interface sees: real phones' media, as it is on the wire.

A phone's own recordings say more, but not every phone goes on recording in a call that was changed.
"""

import array
import audioop
import struct
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

from lab import tone
from lab.endpoint import Endpoint
from lab.topology import Node

_FILE_HEADER, _RECORD_HEADER = 24, 16
_LINK_HEADER = {276: 20, 113: 16}
"""Of tcpdump's "any": LINKTYPE_LINUX_SLL2, and LINKTYPE_LINUX_SLL."""
_RTP_HEADER = 12
_G711 = {0: audioop.ulaw2lin, 8: audioop.alaw2lin}


class Datagram(NamedTuple):
    """One UDP packet that was not fragmented."""

    source: Endpoint
    destination: Endpoint
    payload: bytes


class Capture:
    """All UDP that a host sends and receives, from now on."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._path = node.network.capture(node)
        self._datagrams: list[Datagram] = []
        self._read = _FILE_HEADER

    def datagrams(self) -> list[Datagram]:
        """In their order, so far: tcpdump writes down what it saw a moment later."""
        for datagram, self._read in _records(self._path, self._read):
            self._datagrams.append(datagram)
        return self._datagrams

    def arrived(self, source: Endpoint, kind: Callable[[bytes], bool]) -> int:
        """How many packets came to the host from there, by is_rtp() or is_rtcp()."""
        return sum(one.source == source and one.destination[0] == self.node.address and kind(one.payload) for one in self.datagrams())

    def ear(self, hertz: int, source: Endpoint | None = None) -> "WireEar":
        return WireEar(self, hertz, source)


class WireEar:
    """A tone in the G.711 that arrives at a host, from now on; only from `source`, where given."""

    def __init__(self, capture: Capture, hertz: int, source: Endpoint | None) -> None:
        self._capture = capture
        self._source = source
        self._begin = len(capture.datagrams())
        self._samples = array.array("h")
        name = f"from {source[0]}:{source[1]} to {capture.node}" if source else f"to {capture.node}"
        self._listener = tone.Listener(name, lambda: (8000, 1, self._samples), hertz)

    def __str__(self) -> str:
        return str(self._listener)

    def hears(self) -> bool:
        datagrams = self._capture.datagrams()
        for source, destination, payload in datagrams[self._begin:]:
            wanted = destination[0] == self._capture.node.address and self._source in (None, source)
            if wanted and is_rtp(payload) and payload[1] & 0x7F in _G711:
                self._samples.frombytes(_G711[payload[1] & 0x7F](payload[_RTP_HEADER:], 2))
        self._begin = len(datagrams)
        return self._listener.heard() >= tone.ENOUGH


def is_rtp(payload: bytes) -> bool:
    """Version 2, and not one of RTCP's packet types (RFC 5761 section 4)."""
    return len(payload) > _RTP_HEADER and payload[0] >> 6 == 2 and not is_rtcp(payload)


def is_rtcp(payload: bytes) -> bool:
    return len(payload) >= 8 and payload[0] >> 6 == 2 and 192 <= payload[1] <= 223


def udp_payloads(path: Path) -> list[Datagram]:
    """All that a file of tcpdump's holds so far."""
    return [datagram for datagram, _ in _records(path, _FILE_HEADER)]


def _records(path: Path, offset: int) -> Iterator[tuple[Datagram, int]]:
    """UDP over IPv4 behind `offset`, each with where the next record begins."""
    with path.open("rb") as file:
        link = file.read(_FILE_HEADER)[20:]
        if len(link) < 4:
            return
        skipped = _LINK_HEADER[struct.unpack("<I", link)[0]]
        file.seek(offset)
        data = file.read()
    position = 0
    while position + _RECORD_HEADER <= len(data):
        (length,) = struct.unpack_from("<I", data, position + 8)
        start, position = position + _RECORD_HEADER + skipped, position + _RECORD_HEADER + length
        if position > len(data):
            return  # still being written
        packet = data[start:position]
        fragment = len(packet) > 20 and struct.unpack_from(">H", packet, 6)[0] & 0x3FFF
        if len(packet) > 28 and packet[0] >> 4 == 4 and packet[9] == 17 and not fragment:
            yield _datagram(packet), offset + position


def _datagram(packet: bytes) -> Datagram:
    begin = (packet[0] & 15) * 4
    source, destination, length = struct.unpack_from(">HHH", packet, begin)
    return Datagram((_address(packet[12:16]), source), (_address(packet[16:20]), destination), packet[begin + 8:begin + length])


def _address(data: bytes) -> str:
    return ".".join(map(str, data))
