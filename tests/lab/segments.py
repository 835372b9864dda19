"""A TCP end of which a scenario decides every segment: boundaries, order, repetition, windows, flags. The other end is an
ordinary socket.

    phone = HandMade(net["phone1"], 40000)
    phone.connect(server.endpoint)
    phone.put(0, data[:10]); phone.put(10, data[10:])
    phone.wait_acknowledged(len(data))

Places in a stream are offsets: its first byte is 0, whatever the sequence numbers are. Nothing is sent again by itself; what
arrives is acknowledged by itself, unless `acknowledges` is off. The host's own TCP knows no such connection: a rule in its
namespace keeps it from resetting them.
"""

import array
import contextlib
import itertools
import random
import select
import socket
import struct
import sys
import threading
import time
from typing import Callable, Iterable, NamedTuple

from lab import netns
from lab.endpoint import Endpoint
from lab.tcp import Connection, difference
from lab.topology import Node
from lab.wait import DEADLINE, wait_until

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_OURS = 0x5E6
"""The mark of what does not come from the host's own TCP."""
_MSS, _SACK_PERMITTED, _SACK = 2, 4, 5
_HIGH = 0xFFFFFE00
"""Where sequence numbers begin, so that they wrap around early on."""


class Segment(NamedTuple):
    """One that arrived. `offset` and `acknowledged` count from the first byte of each direction."""

    offset: int
    data: bytes
    flags: int
    acknowledged: int
    window: int
    sacks: tuple[tuple[int, int], ...]


class HandMade:
    """See above. connect() or listen() comes first."""

    def __init__(self, node: Node, port: int, *, mss: int = 1460, sack: bool = False, window: int = 0xFFFF) -> None:
        self.node = node
        self.endpoint: Endpoint = (node.address, port)
        self.window = window
        """What it says that it has room for."""
        self.acknowledges = True
        self.received = bytearray()
        """The other side's stream, so far as it has no gap."""
        self.segments: list[Segment] = []
        """All that came, in their order."""
        self.acknowledged = 0
        """Up to where the other side has our stream."""
        self.peer_window = 0
        self.peer_mss: int | None = None
        self.ended: str | None = None
        """How the other side ended its stream: "closed" or "reset"."""
        self._options = struct.pack(">BBH", _MSS, 4, mss) + (bytes([_SACK_PERMITTED, 2, 1, 1]) if sack else b"")
        self._first = _HIGH
        self._end = 0
        """Behind all that was sent, where a segment without data stands."""
        self._peer: Endpoint | None = None
        self._peer_first: int | None = None
        self._early: dict[int, bytes] = {}
        self._listens = False
        self._reset = False
        self._fault: BaseException | None = None
        self._keep_kernel_quiet()
        with netns.inside(node.namespace):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, _OURS)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((node.address, 0))
        self._socket.setblocking(False)
        node.network.closing(self._socket)
        threading.Thread(target=self._listen, daemon=True).start()

    def __str__(self) -> str:
        return f"hand-made {self.endpoint[0]}:{self.endpoint[1]}"

    # The beginning

    def connect(self, to: Endpoint) -> None:
        self._peer = to
        self._send(SYN, self._first - 1, 0, b"", self._options)
        self._wait(lambda: self._peer_first is not None, f"{self} to be connected to {to[0]}:{to[1]}")
        self.acknowledge()

    def listen(self) -> None:
        """From now on the first that asks for a connection gets it."""
        self._listens = True

    def accept(self) -> Endpoint:
        """Waits until that has happened."""
        self._wait(lambda: any(segment.flags & ACK for segment in self.segments), f"{self} to get a connection")
        return self.peer

    @property
    def peer(self) -> Endpoint:
        assert self._peer
        return self._peer

    # Segments

    def put(self, offset: int, data: bytes = b"", flags: int = ACK | PSH, *, sacks: Iterable[tuple[int, int]] = ()) -> None:
        """One segment. With RST it is the last one, but for answers to what comes nevertheless."""
        self._reset = self._reset or bool(flags & RST)
        blocks = list(sacks)
        options = b""
        if blocks:
            ends = [(self._peer_first + end) % 2**32 for block in blocks for end in block]
            options = bytes([1, 1, _SACK, 2 + 8 * len(blocks)]) + struct.pack(f">{len(ends)}I", *ends)
        self._send(flags, self._first + offset, self._peer_first + self._expected() if flags & ACK else 0, data, options)

    def put_all(self, data: bytes, cuts: Iterable[int] = (), *, at: int = 0) -> int:
        """`data` from the offset `at` on, a segment from each cut to the next. Returns where it ends."""
        places = [0, *cuts, len(data)]
        for begin, end in itertools.pairwise(places):
            self.put(at + begin, data[begin:end])
        return at + len(data)

    def insist(self, data: bytes, cuts: Iterable[int] = (), *, at: int) -> None:
        """put_all(), and again until it is acknowledged, as a kernel's timer does."""
        cuts, deadline = list(cuts), time.monotonic() + DEADLINE
        while True:
            self.put_all(data, cuts, at=at)
            try:
                return self.wait_acknowledged(at + len(data), 2)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise

    def acknowledge(self, **options: Iterable[tuple[int, int]]) -> None:
        """All that has arrived without a gap."""
        self.put(self._end, b"", ACK, **options)

    def wait_acknowledged(self, offset: int, timeout: float = DEADLINE) -> None:
        self._wait(lambda: self.acknowledged >= offset, f"{self}'s stream to be acknowledged up to {offset}", timeout,
                   lambda: f"acknowledged up to {self.acknowledged}; {self.ended or 'still open'}")

    def expect(self, stream: bytes, timeout: float = DEADLINE) -> None:
        """Waits until as much has arrived; all of it, from its first byte on, has to be `stream`."""
        got = self.wait_received(len(stream), timeout)
        assert got == stream, f"to {self} {difference(stream, got)}"

    def wait_received(self, length: int, timeout: float = DEADLINE) -> bytes:
        self._wait(lambda: len(self.received) >= length, f"{length} bytes to arrive at {self}", timeout,
                   lambda: f"{len(self.received)} bytes, the last: {bytes(self.received[-200:])!r}; {self.ended or 'still open'}")
        return bytes(self.received)

    def wait_ended(self) -> str:
        return self._wait(lambda: self.ended, f"the end of the other's stream to {self}")

    def close(self) -> None:
        """Looks at nothing any more, and says nothing."""
        self._socket.close()

    # What arrives

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed
            while True:
                ready, _, _ = select.select([self._socket], [], [], 0.5)
                while ready:
                    try:
                        packet, _ = self._socket.recvfrom(1 << 17)
                    except BlockingIOError:
                        break
                    try:
                        self._take(packet)
                    except Exception as fault:
                        self._fault = fault
                        raise

    def _take(self, packet: bytes) -> None:
        begin = (packet[0] & 15) * 4
        source, destination, sequence, acknowledged, offset_flags, window = struct.unpack_from(">HHIIHH", packet, begin)
        sender = (socket.inet_ntoa(packet[12:16]), source)
        if destination != self.endpoint[1] or (self._peer and sender != self._peer):
            return
        flags = offset_flags & 0x3F
        if self._peer_first is None and not flags & (SYN | RST):
            return  # of an earlier connection
        data_at = begin + (offset_flags >> 12) * 4
        options = dict(_options(packet[begin + 20:data_at]))
        if flags & RST:
            self.ended = "reset"
            return
        if self._reset:
            # As a host does that knows of no such connection (RFC 9293 section 3.10.7.1): its RST may have come too early.
            self._send(RST, acknowledged, 0, b"", b"")
            return
        if flags & SYN:
            self._take_first(sender, sequence, flags, window, options)
            return
        data = packet[data_at:struct.unpack_from(">H", packet, 2)[0]]
        ends = struct.unpack(f">{len(options.get(_SACK, b'')) // 4}I", options.get(_SACK, b""))
        blocks = tuple((_distance(self._first, ends[i]), _distance(self._first, ends[i + 1])) for i in range(0, len(ends), 2))
        segment = Segment(_distance(self._peer_first, sequence), data, flags, _distance(self._first, acknowledged), window, blocks)
        self.segments.append(segment)
        self.acknowledged = max(self.acknowledged, segment.acknowledged)
        self.peer_window = window
        self._keep(segment)
        if self.acknowledges and (data or flags & FIN):
            self.acknowledge()

    def _take_first(self, sender: Endpoint, sequence: int, flags: int, window: int, options: dict[int, bytes]) -> None:
        if not self._peer and not self._listens:
            return
        again = self._peer_first is not None
        self._peer = sender
        self._peer_first = (sequence + 1) % 2**32
        self.peer_window = window
        self.peer_mss = struct.unpack(">H", options[_MSS])[0] if _MSS in options else None
        if not flags & ACK:
            self._send(SYN | ACK, self._first - 1, self._peer_first, b"", self._options)
        elif again:
            self.acknowledge()

    def _keep(self, segment: Segment) -> None:
        if segment.data:
            self._early[segment.offset] = max(self._early.get(segment.offset, b""), segment.data, key=len)
        for offset in sorted(self._early):
            if offset <= len(self.received):
                self.received += self._early.pop(offset)[len(self.received) - offset:]
        if segment.flags & FIN and segment.offset + len(segment.data) == len(self.received):
            self.ended = "closed"

    # What is sent

    def _expected(self) -> int:
        return len(self.received) + (self.ended == "closed")

    def _send(self, flags: int, sequence: int, acknowledged: int, data: bytes, options: bytes) -> None:
        if not flags & SYN:
            place = _distance(self._first, sequence % 2**32)
            self._end = max(self._end, place + len(data) + bool(flags & FIN))
        header = struct.pack(">HHIIHHHH", self.endpoint[1], self.peer[1], sequence % 2**32, acknowledged % 2**32,
                             (20 + len(options)) // 4 << 12 | flags, self.window, 0, 0) + options
        pseudo = socket.inet_aton(self.endpoint[0]) + socket.inet_aton(self.peer[0]) + struct.pack(">HH", 6, len(header) + len(data))
        header = header[:16] + struct.pack(">H", checksum(pseudo + header + data)) + header[18:]
        self._socket.sendto(header + data, (self.peer[0], 0))

    def _wait(self, condition, what: str, timeout: float = DEADLINE, state=None):
        def looked():
            if self._fault:
                raise self._fault
            return condition()

        return wait_until(looked, what, timeout, state or (lambda: self.segments[-5:]))

    def _keep_kernel_quiet(self) -> None:
        self.node.run("nft", "-f", "-", stdin=f"""
table ip handmade {{
    chain output {{
        type filter hook output priority 0;
        tcp sport {self.endpoint[1]} tcp flags & rst == rst meta mark != {_OURS} drop
    }}
}}
""")


class Wire:
    """One direction of a connection: from a hand-made end to an ordinary one."""

    def __init__(self, hand_made: HandMade, connection: Connection) -> None:
        self.hand_made = hand_made
        self.connection = connection
        self.at = 0
        """Where the next byte stands."""
        self._known: dict[bytes, bytes] = {}

    def whole(self, message: bytes) -> bytes:
        """What arrives of a message that is sent in one segment. It is sent at the first time of asking."""
        if message not in self._known:
            before = len(self.connection.collect())
            self.at = self.hand_made.put_all(message, at=self.at)
            self._known[message] = self.connection.message(before)
        return self._known[message]

    def carry(self, data: bytes, cuts: Iterable[int], wanted: bytes) -> None:
        """A segment from each cut to the next; `wanted` and nothing else has to arrive."""
        cuts = list(cuts)
        self.arrives(wanted, lambda at: self.hand_made.put_all(data, cuts, at=at), f"{len(data)} bytes with cuts at {cuts[:20]}")

    def arrives(self, wanted: bytes, send: Callable[[int], int], what: str) -> None:
        """`send` is told where the next byte stands, and returns where the one after its own does."""
        before = len(self.connection.collect())
        self.at = send(self.at)
        try:
            self.connection.expect(wanted, after=before)
        except AssertionError as fault:
            raise AssertionError(f"{what}: {fault}") from None

    def assert_acknowledged(self) -> None:
        """All of it and nothing more."""
        self.hand_made.wait_acknowledged(self.at)
        assert self.hand_made.acknowledged == self.at, f"{self.hand_made} has sent {self.at} bytes, {self.hand_made.acknowledged} are acknowledged"


def random_cuts(length: int, pieces: int, seed: int) -> list[int]:
    """For put_all(): `pieces` of a message of that length, none empty."""
    return sorted(random.Random(seed).sample(range(1, length), min(pieces, length) - 1))


def checksum(data: bytes) -> int:
    """RFC 1071's."""
    words = array.array("H", data + b"\0" * (len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    total = ~total & 0xFFFF
    return total if sys.byteorder == "big" else total >> 8 | (total & 0xFF) << 8


def _distance(start: int, sequence: int) -> int:
    """From one sequence number to another; negative when that lies before it."""
    return (sequence - start + 2**31) % 2**32 - 2**31


def _options(data: bytes) -> Iterable[tuple[int, bytes]]:
    at = 0
    while at < len(data) and data[at] != 0:
        if data[at] == 1:
            at += 1
            continue
        yield data[at], data[at + 2:at + data[at + 1]]
        at += data[at + 1]
