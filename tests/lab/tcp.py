"""User agents over TCP, and a server that relays between TCP and UDP: what lab.ua has, with connections.

A request goes over the connection that its user agent has to that endpoint, else it opens one; a response goes back over the
request's (RFC 3261 section 18). Messages are framed by Content-Length. Everything that a connection brought is kept, so that
streams can be compared to the byte.
"""

import fcntl
import select
import socket
import struct
import termios
import time
from typing import Iterator

from lab import sip
from lab.endpoint import Endpoint
from lab.sip import Message
from lab.topology import Node
from lab.ua import DOMAIN, Core, Incoming, Relay, UserAgent
from lab.wait import DEADLINE, wait_until

_AT_ONCE = 65536


class Connection:
    """One end of a connection, and what came over it."""

    def __init__(self, made: socket.socket) -> None:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = made
        self.local: Endpoint = made.getsockname()
        self.peer: Endpoint = made.getpeername()
        self.received = bytearray()
        self.ended: str | None = None
        """How the other side ended it: "closed" or "reset"; "closed here" if we did."""
        self._framed = 0

    def __str__(self) -> str:
        return f"{self.local[0]}:{self.local[1]} to {self.peer[0]}:{self.peer[1]}"

    def send(self, data: bytes) -> None:
        deadline = time.monotonic() + DEADLINE
        while data:
            _, able, _ = select.select([], [self.socket], [], max(0.0, deadline - time.monotonic()))
            if not able:
                raise AssertionError(f"{self} takes no more: {len(data)} bytes are left")
            data = data[self.socket.send(data):]

    def wait_acknowledged(self) -> None:
        """Until the other side has told that it has everything."""
        def left() -> int:
            return struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, b"\0" * 4))[0]

        wait_until(lambda: left() == 0, f"all that was sent over {self} to be acknowledged", state=left)

    def collect(self) -> bytearray:
        """Takes in what has arrived. Returns everything so far."""
        while not self.ended:
            try:
                data = self.socket.recv(_AT_ONCE)
            except BlockingIOError:
                break
            except ConnectionResetError:
                self.ended = "reset"
                break
            self.received += data
            if not data:
                self.ended = "closed"
        return self.received

    def expect(self, stream: bytes, *, after: int = 0, timeout: float = DEADLINE) -> None:
        """Waits until it has brought as much; all of it, from the byte `after` on, has to be `stream`."""
        deadline = time.monotonic() + timeout
        while len(self.collect()) < after + len(stream) and not self.ended:
            if not select.select([self.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                break
        got = bytes(self.received[after:])
        if got != stream:
            raise AssertionError(f"over {self}, which is {self.ended or 'open'}, {difference(stream, got)}")

    def wait_ended(self) -> str:
        return wait_until(lambda: self.collect() is not None and self.ended, f"the end of {self}")

    def messages(self) -> Iterator[bytes]:
        """The next whole messages of what has been taken in."""
        while (found := self._frame(self._framed)):
            begin, self._framed = found
            yield bytes(self.received[begin:self._framed])

    def message(self, after: int) -> bytes:
        """Waits for the first message behind the byte `after`."""
        found = wait_until(lambda: self.collect() is not None and self._frame(after), f"a message over {self}",
                           state=lambda: f"{bytes(self.received[after:])!r}; {self.ended or 'still open'}")
        return bytes(self.received[slice(*found)])

    def _frame(self, begin: int) -> tuple[int, int] | None:
        """The whole message from there on. Empty lines before it are keepalives (RFC 5626 section 3.5.1)."""
        while self.received.startswith(b"\r\n", begin):
            begin += 2
        head = self.received.find(b"\r\n\r\n", begin)
        if head < 0:
            return None
        end = head + 4 + int(Message.parse(bytes(self.received[begin:head + 4]))["Content-Length"])
        return (begin, end) if end <= len(self.received) else None

    def close(self) -> None:
        self.ended = self.ended or "closed here"
        self.socket.close()

    def reset(self) -> None:
        """Closes it with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()


def difference(wanted: bytes, got: bytes) -> str:
    """Where two streams begin to differ."""
    at = next((index for index, (one, other) in enumerate(zip(wanted, got)) if one != other), min(len(wanted), len(got)))
    return (f"{len(got)} bytes arrived and {len(wanted)} should have; from byte {at} on they are not the same:\n"
            f"    should be {wanted[max(0, at - 60):at + 60]!r}\n    arrived   {got[max(0, at - 60):at + 60]!r}")


class TcpAgent(Core):
    """One SIP endpoint over TCP."""

    transport = "TCP"

    def __init__(self, node: Node, user: str, *, port: int = 0, listens: int | None = None, domain: str = DOMAIN,
                 contact: str | None = None, via: str | None = None, alias: bool = False) -> None:
        """`port`: where its first connection leaves from, 0 for any; further ones leave from any. `listens`: the port that it takes
        connections on, which then is the Contact's; without, that is the port that it connects from. `alias` says in Via that
        requests to it may come over its own connection (RFC 5923)."""
        super().__init__(node, user, domain)
        self.connections: list[Connection] = []
        """All of them, in their order, ended ones too."""
        self._alias = ";alias" if alias else ""
        self._contact, self._via = contact, via
        self._listener = node.tcp_socket(listens) if listens else None
        if self._listener:
            self._listener.listen(1024)
            self._listener.setblocking(False)
        self._listens = listens
        self._unused: socket.socket | None = None if listens and not port else node.tcp_socket(port)
        self._port = self._unused.getsockname()[1] if self._unused else 0
        self._aliases: dict[Endpoint, Connection] = {}

    @property
    def endpoint(self) -> Endpoint:
        return self.node.address, self._listens or self._port

    @property
    def contact(self) -> str:
        return self._contact or f"sip:{self.user}@{self.endpoint[0]}:{self.endpoint[1]};transport=tcp"

    @property
    def via(self) -> str:
        return self._via or f"{self.endpoint[0]}:{self.endpoint[1]}{self._alias}"

    def connect(self, to: Endpoint) -> Connection:
        made = self._unused or self.node.tcp_socket(0)
        self._unused = None
        self._port = made.getsockname()[1]
        made.settimeout(DEADLINE)
        try:
            made.connect(to)
        except OSError as problem:
            raise AssertionError(f"{self} can't connect to {to[0]}:{to[1]}: {problem}") from problem
        self.connections.append(Connection(made))
        return self.connections[-1]

    def accept(self) -> Connection:
        """The next connection that it is asked for."""
        before = len(self.connections)
        wait_until(lambda: self._take_connection() or len(self.connections) > before, f"{self} to get a connection")
        return self.connections[before]

    def connection(self, to: Endpoint) -> Connection:
        """The one with that endpoint, or that which its user agent wants requests to come over; else a new one."""
        for one in reversed(self.connections):
            if one.peer == to and not one.ended:
                return one
        if to in self._aliases and not self._aliases[to].ended:
            return self._aliases[to]
        return self.connect(to)

    def close(self) -> None:
        """All of it, with FIN."""
        for connection in self.connections:
            connection.close()
        for one in (self._listener, self._unused):
            if one:
                one.close()

    def send(self, message: Message | bytes, to: Endpoint) -> None:
        self.connection(to).send(message if isinstance(message, bytes) else message.encode())

    def _take_connection(self) -> bool:
        assert self._listener, f"{self} does not listen"
        try:
            made, _ = self._listener.accept()
        except BlockingIOError:
            return False
        self.connections.append(Connection(self.node.network.closing(made)))
        return True

    def _sockets(self) -> list[socket.socket]:
        return [*([self._listener] if self._listener else []), *(one.socket for one in self.connections if not one.ended)]

    def _read(self, readable: socket.socket) -> list[Incoming]:
        if readable is self._listener:
            self._take_connection()
            return []
        [connection] = [one for one in self.connections if one.socket is readable]
        connection.collect()
        return [self._incoming(connection, raw) for raw in connection.messages()]

    def _incoming(self, connection: Connection, raw: bytes) -> Incoming:
        message = Message.parse(raw)
        if message.status is None and sip.parameter(message["Via"], "alias") is not None:
            self._aliases[sip.sent_by(message["Via"])] = connection
        return Incoming(message, connection.peer, raw)


class Writer(Core):
    """Writes the messages of an endpoint that segments are made for by hand."""

    transport = "TCP"

    def __init__(self, node: Node, user: str, port: int, *, domain: str = DOMAIN) -> None:
        super().__init__(node, user, domain)
        self.endpoint = (node.address, port)
        self.contact = f"sip:{user}@{node.address}:{port};transport=tcp"
        self.via = f"{node.address}:{port}"


class EitherRelay(Relay):
    """A relay with both transports on one port. Requests leave over TCP where the URI says so."""

    def __init__(self, node: Node, port: int = 5060) -> None:
        super().__init__(node, port)
        self.tcp = TcpAgent(node, self.user, listens=port)

    def transport_to(self, uri: str) -> str:
        return "TCP" if ";transport=tcp" in uri.lower() else "UDP"

    def send(self, message: Message | bytes, to: Endpoint) -> None:
        """As the top Via says: its own in a request, in a response that of who gets it."""
        assert isinstance(message, Message)
        if sip.transport(message["Via"]) == "TCP":
            self.tcp.send(message, to)
        else:
            UserAgent.send(self, message, to)

    def _sockets(self) -> list[socket.socket]:
        return [*super()._sockets(), *self.tcp._sockets()]

    def _read(self, readable: socket.socket) -> list[Incoming]:
        if readable in self.tcp._sockets():
            return self.tcp._read(readable)
        return super()._read(readable)
