"""User agents, calls between them, and a server that relays: SIP without surprises, driven step by step.

They follow RFC 3261 where a gateway can tell the difference: a response goes to the address that the packet came from
and the port that the top Via names (rport if asked), a request within a dialog goes to the route set, else the Contact.
A message that does not arrive is sent again, as any user agent does over UDP. Over TCP: lab.tcp.
"""

import itertools
import re
import select
import socket
import time
from collections import deque
from dataclasses import replace
from typing import Callable, NamedTuple

from lab import sip
from lab.endpoint import Endpoint
from lab.sip import Message, REASONS
from lab.topology import Node
from lab.wait import DEADLINE

DOMAIN = "203.0.113.10"
"""Everybody's, by default: the host "server"."""
T1 = 1.0
"""Seconds until the first retransmission, twice that until the next, at most four times. Twice the RFC's, for emulation."""

_WITH_CONTACT = ("INVITE", "REGISTER", "OPTIONS", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY")
"""Requests that carry one: those that begin a dialog or refresh its target, and REGISTER."""

_serial = itertools.count(1)


class Incoming(NamedTuple):
    """A message as it arrived, with its bytes and its source."""

    message: Message
    source: Endpoint
    raw: bytes


Matcher = Callable[[Message], bool]
Headers = list[tuple[str, str]] | None
"""Further ones, in their order."""


def same(sent: Message) -> Matcher:
    """The same message, whatever was rewritten in it on its way: same kind, CSeq and Call-ID, and of forks the same one."""

    def key(message: Message) -> tuple:
        return (message.status, message["CSeq"].split(), message["Call-ID"].strip(), sip.parameter(message["Via"], "branch"),
                sip.parameter(message["To"], "tag"))

    return lambda message: key(message) == key(sent)


class Core:
    """What user agents have in common whatever they send over: messages, and waiting for them.

    A transport's class has:

        transport   its name in Via
        interval    seconds until a message that did not arrive is sent again; none if the transport sees to that
        contact     the Contact's URI
        via         the sent-by
        send()
        _sockets()  what to wait for
        _read()     what has arrived on one of these
    """

    transport: str
    interval: float | None = None
    endpoint: Endpoint
    contact: str
    via: str

    def __init__(self, node: Node, user: str, domain: str) -> None:
        self.node = node
        self.user = user
        self.identity = f"sip:{user}@{domain}"
        self.ignored: list[str] = []
        self._arrived: deque[Incoming] = deque()

    def __str__(self) -> str:
        return f"{self.user} at {self.endpoint[0]}:{self.endpoint[1]}"

    # Messages

    def request(self, method: str, uri: str, *, from_: str | None = None, to: str | None = None, call_id: str | None = None,
                cseq: int = 1, body: bytes = b"", branch: str | None = None, headers: Headers = None) -> Message:
        """A request; one outside of a dialog unless from_, to and call_id say otherwise."""
        number = next(_serial)
        contact = [("Contact", f"<{self.contact}>")] if method in _WITH_CONTACT else []
        return Message(f"{method} {uri} SIP/2.0", [
            ("Via", f"SIP/2.0/{self.transport} {self.via};branch={branch or f'z9hG4bK-{self.user}-{number}'}"),
            ("Max-Forwards", "70"),
            ("From", from_ or f"<{self.identity}>;tag={self.user}-{number}"),
            ("To", to or f"<{uri}>"),
            ("Call-ID", call_id or f"{number}-{self.user}@{self.node.name}"),
            ("CSeq", f"{cseq} {method}"),
            *contact,
            *(headers or []),
            *_content_type(body, headers),
            ("Content-Length", "auto"),
        ], body)

    def response(self, request: Message, status: int, *, body: bytes = b"", tag: str | None = None, contact: str | None = None,
                 headers: Headers = None) -> Message:
        """A response that copies what responses copy (RFC 3261 section 8.2.6.2)."""
        to = request["To"]
        if tag and sip.parameter(to, "tag") is None:
            to += f";tag={tag}"
        return Message(f"SIP/2.0 {status} {REASONS.get(status, 'Whatever')}", [
            *(("Via", value) for value in request.values("Via")),
            *(("Record-Route", value) for value in request.values("Record-Route")),
            ("From", request["From"]),
            ("To", to),
            ("Call-ID", request["Call-ID"]),
            ("CSeq", request["CSeq"]),
            *([("Contact", contact)] if contact else []),
            *(headers or []),
            *_content_type(body, headers),
            ("Content-Length", "auto"),
        ], body)

    # Transport

    def send(self, message: Message | bytes, to: Endpoint) -> None:
        raise NotImplementedError

    def _sockets(self) -> list[socket.socket]:
        raise NotImplementedError

    def _read(self, readable: socket.socket) -> list[Incoming]:
        raise NotImplementedError

    def expect(self, wanted: Matcher, what: str, timeout: float = DEADLINE) -> Incoming:
        """The next message that `wanted` accepts. Others, such as retransmissions of earlier ones, are passed over."""
        found = self._receive(wanted, time.monotonic() + timeout)
        if found is None:
            raise AssertionError(f"{self} got no {what} within {timeout:.0f} s; passed over: {self.ignored or 'nothing'}")
        return found

    def _receive(self, wanted: Matcher, deadline: float) -> Incoming | None:
        while True:
            while self._arrived:
                incoming = self._arrived.popleft()
                if wanted(incoming.message):
                    return incoming
                self.ignored.append(incoming.message.start)
            ready, _, _ = select.select(self._sockets(), [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            self._arrived.extend(self._read(ready[0]))

    def deliver(self, message: Message, to: Endpoint, receiver: "Core", *, sent_already: bool = False,
                timeout: float = DEADLINE) -> Incoming:
        """Sends, and sends again, until `receiver` has it. Returns it as it arrived there."""
        give_up = time.monotonic() + timeout
        interval = self.interval or timeout
        while True:
            if not sent_already:
                self.send(message, to)
            sent_already = False
            found = receiver._receive(same(message), min(time.monotonic() + interval, give_up))
            if found:
                return found
            if time.monotonic() >= give_up:
                raise AssertionError(f"{receiver} did not get {self}'s “{message.start}” (to {to[0]}:{to[1]}) within {timeout:.0f} s; "
                                     f"passed over: {receiver.ignored or 'nothing'}")
            interval = min(interval * 2, 4 * T1)

    def reply(self, request: Incoming, response: Message, receiver: "Core") -> Incoming:
        """Delivers a response to where the request came from."""
        return self.deliver(response, response_target(request), receiver)


class UserAgent(Core):
    """One SIP endpoint on a UDP socket."""

    transport = "UDP"
    interval = T1

    def __init__(self, node: Node, user: str, *, port: int = 5060, domain: str = DOMAIN, contact: str | None = None,
                 via: str | None = None, sends_from: int | None = None) -> None:
        """`contact` is the Contact's URI, `via` the sent-by; by default both name the socket's own endpoint. With
        `sends_from` all messages leave from a second socket, on that port; it listens on both."""
        super().__init__(node, user, domain)
        self.endpoint = (node.address, port)
        self.contact = contact or f"sip:{user}@{node.address}:{port}"
        self.via = via or f"{node.address}:{port}"
        self.socket: socket.socket = node.udp_socket(port)
        self.sender = self.socket if sends_from is None else node.udp_socket(sends_from)

    def send(self, message: Message | bytes, to: Endpoint) -> None:
        data = message if isinstance(message, bytes) else message.encode()
        try:
            self.sender.sendto(data, to)
        except ConnectionRefusedError:  # an ICMP error about an earlier datagram
            self.sender.sendto(data, to)

    def _sockets(self) -> list[socket.socket]:
        return [self.socket, self.sender]

    def _read(self, readable: socket.socket) -> list[Incoming]:
        try:
            data, source = readable.recvfrom(65536)
        except ConnectionRefusedError:
            return []
        return [Incoming(Message.parse(data), source, data)]


def _content_type(body: bytes, headers: Headers) -> list[tuple[str, str]]:
    """A body is SDP unless the headers say what else it is."""
    said = any(sip.canonical(name) == "content-type" for name, _ in headers or [])
    return [("Content-Type", "application/sdp")] if body and not said else []


def response_target(request: Incoming) -> Endpoint:
    """RFC 3261 section 18.2.2 and RFC 3581: the source's address, the Via's port, the source's port if rport asks. Over TCP
    it is the connection's other end."""
    via = request.message["Via"]
    if sip.parameter(via, "rport") is not None or sip.transport(via) == "TCP":
        return request.source
    return request.source[0], sip.sent_by(via)[1]


class Relay(UserAgent):
    """A server that knows nothing of NAT: registers Contacts as they are, adds its Via and Record-Route, and relays."""

    def __init__(self, node: Node, port: int = 5060) -> None:
        super().__init__(node, "relay", port=port)
        self.bindings: dict[str, str] = {}
        self._sources: dict[str, Endpoint] = {}

    def relay(self, arrived: Incoming, receiver: Core) -> Incoming:
        """Passes on a message and returns it as `receiver` gets it."""
        message = arrived.message
        if message.status is not None:
            return self._relay_response(message, receiver)
        branch = sip.parameter(message["Via"], "branch")
        self._sources[f"z9hG4bK-relay-{branch}"] = response_target(arrived)
        start, headers = message.start, list(message.headers)
        record_route: list[tuple[str, str]] = []
        if message.values("Route"):
            headers = [entry for entry in headers if sip.canonical(entry[0]) != "route"]
        else:
            user = sip.uri_of(message.uri).split("@")[0]
            start = f"{message.method} {self.bindings[user]} SIP/2.0"
            record_route = [("Record-Route", f"<sip:{self.endpoint[0]}:{self.endpoint[1]};lr>")]
        target = start.split()[1]
        via = ("Via", f"SIP/2.0/{self.transport_to(target)} {self.via};branch=z9hG4bK-relay-{branch}")
        passed = replace(message, start=start, headers=[via, *record_route, *headers])
        return self.deliver(passed, sip.endpoint_of(target), receiver)

    def transport_to(self, _: str) -> str:
        """What a request to that URI goes over."""
        return self.transport

    def _relay_response(self, message: Message, receiver: Core) -> Incoming:
        own = message["Via"]
        index = next(i for i, (name, _) in enumerate(message.headers) if sip.canonical(name) == "via")
        passed = replace(message, headers=message.headers[:index] + message.headers[index + 1:])
        return self.deliver(passed, self._sources[sip.parameter(own, "branch") or ""], receiver)


def register(phone: Core, server: Core, *, at: Endpoint | None = None, expires: int = 3600, cseq: int = 1) -> tuple[Incoming, Incoming]:
    """REGISTER and 200. Returns what the server saw and what the phone got back. `at`: where the phone knows the server."""
    at = at or server.endpoint
    request = phone.request("REGISTER", f"sip:{at[0]}", to=f"<{phone.identity}>", cseq=cseq, headers=[("Expires", str(expires))])
    seen = phone.deliver(request, at, server)
    answer = server.response(seen.message, 200, tag="registrar", contact=f"{seen.message['Contact']};expires={expires}")
    got = server.reply(seen, answer, phone)
    if isinstance(server, Relay):
        server.bindings[sip.uri_of(seen.message["To"]).split("@")[0]] = sip.uri_of(seen.message["Contact"])
    return seen, got


class Dialog:
    """One side of a dialog (RFC 3261 section 12): what its next request looks like and where it goes."""

    def __init__(self, agent: Core, local: str, remote: str, call_id: str, target: str, routes: list[str], cseq: int) -> None:
        self.agent = agent
        self.local = local
        self.remote = remote
        self.call_id = call_id
        self.target = target
        self.routes = routes
        self.cseq = cseq

    @property
    def next_hop(self) -> Endpoint:
        return sip.endpoint_of(self.routes[0] if self.routes else self.target)

    def request(self, method: str, *, body: bytes = b"", cseq: int | None = None, headers: Headers = None) -> Message:
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        return self.agent.request(method, self.target, from_=self.local, to=self.remote, call_id=self.call_id, cseq=cseq, body=body,
                                  headers=[*(("Route", route) for route in self.routes), *(headers or [])])


class Call:
    """An INVITE from `caller` to `callee`, step by step. Each step returns what arrived on the other side.

        caller                         callee
          | invite() ----------------->  |     invite_seen
          | <---------------- respond()  |     (180, 183…)
          | <----------------- answer()  |     ok_seen
          | ack() -------------------->  |
          | <------ request(…) ------->  |     within the dialog, from either side
          | <------ hang_up(…) ------->  |

    With a relay between them each message is passed on by it. A tag of a response other than the callee's own makes
    another dialog of the same INVITE, as a server that forks does.
    """

    def __init__(self, caller: Core, callee: Core, *, to: Endpoint, uri: str | None = None, offer: bytes = b"",
                 relay: Relay | None = None, headers: Headers = None, call_id: str | None = None) -> None:
        self.caller = caller
        self.callee = callee
        self.relay = relay
        self.to = to
        self.invite_sent = caller.request("INVITE", uri or callee.identity, body=offer, headers=headers, call_id=call_id)
        self._launched = False

    def fork(self, callee: Core, *, to: Endpoint, uri: str) -> "Call":
        """The same INVITE to somebody else as well: only Request-URI and branch differ (RFC 3261 section 16.6)."""
        other = Call(self.caller, callee, to=to)
        via, branch = self.invite_sent["Via"], sip.parameter(other.invite_sent["Via"], "branch")
        other.invite_sent = replace(self.invite_sent.with_header("Via", re.sub("branch=[^;]*", f"branch={branch}", via)),
                                    start=f"INVITE {uri} SIP/2.0")
        return other

    def launch(self) -> None:
        """Sends the INVITE once and goes on; invite() then waits for its arrival before it sends it again."""
        self.caller.send(self.invite_sent, self.to)
        self._launched = True

    def invite(self) -> Message:
        self._arrived = self._carry(self.caller, self.invite_sent, self.to, self.callee, sent_already=self._launched)
        self.invite_seen = self._arrived.message
        return self.invite_seen

    def respond(self, status: int, body: bytes = b"", *, tag: str | None = None, headers: Headers = None) -> Message:
        """A provisional or failure response; a failure is acknowledged as well."""
        response = self.callee.response(self.invite_seen, status, body=body, tag=tag or f"{self.callee.user}-tag", headers=headers)
        got = self._carry(self.callee, response, response_target(self._arrived), self.caller).message
        if status >= 300:
            self._carry(self.caller, failure_ack(self.invite_sent, got), self.to, self.callee)
        return got

    def answer(self, body: bytes, *, tag: str | None = None, headers: Headers = None) -> Message:
        self.ok_sent = self.callee.response(self.invite_seen, 200, body=body, tag=tag or f"{self.callee.user}-tag",
                                            contact=f"<{self.callee.contact}>", headers=headers)
        self.ok_seen = self._carry(self.callee, self.ok_sent, response_target(self._arrived), self.caller).message
        return self.ok_seen

    def ack(self, answer: bytes = b"") -> Message:
        """Completes the three-way handshake, and makes the two dialogs. `answer`: when the offer came with the 200."""
        sent, seen = self.invite_sent, self.invite_seen
        self.caller_dialog = Dialog(self.caller, sent["From"], self.ok_seen["To"], sent["Call-ID"], sip.uri_of(self.ok_seen["Contact"]),
                                    list(reversed(self.ok_seen.values("Record-Route"))), int(sent["CSeq"].split()[0]))
        self.callee_dialog = Dialog(self.callee, self.ok_sent["To"], seen["From"], seen["Call-ID"], sip.uri_of(seen["Contact"]),
                                    seen.values("Record-Route"), 100)
        ack = self.caller_dialog.request("ACK", cseq=self.caller_dialog.cseq, body=answer)
        return self._carry(self.caller, ack, self.caller_dialog.next_hop, self.callee).message

    def establish(self, answer: bytes, provisional: tuple[int, ...] = (180,)) -> "Call":
        self.invite()
        for status in provisional:
            self.respond(status)
        self.answer(answer)
        self.ack()
        return self

    def request(self, by: Core, method: str, body: bytes = b"", headers: Headers = None) -> "Transaction":
        """A request within the dialog, up to its arrival."""
        return Transaction(self, by, method, body, headers)

    def hang_up(self, by: Core) -> Message:
        """BYE and its 200. Returns the BYE as it arrived."""
        bye = self.request(by, "BYE")
        bye.respond(200)
        return bye.seen

    def cancel(self) -> None:
        """CANCEL, its 200, and the INVITE's 487 with its ACK (RFC 3261 section 9)."""
        self.give_up()
        self.respond(487)

    def give_up(self) -> None:
        """CANCEL and its 200; the callee has the word."""
        cancel = replace(self.invite_sent, start=self.invite_sent.start.replace("INVITE", "CANCEL", 1), body=b"")
        cancel = cancel.with_header("CSeq", self.invite_sent["CSeq"].replace("INVITE", "CANCEL"))
        cancel = cancel.without_header("Contact").without_header("Content-Type")
        arrived = self._carry(self.caller, cancel, self.to, self.callee)
        response = self.callee.response(arrived.message, 200, tag=f"{self.callee.user}-tag")
        self._carry(self.callee, response, response_target(arrived), self.caller)

    def other(self, agent: Core) -> Core:
        return self.callee if agent is self.caller else self.caller

    def dialog(self, agent: Core) -> Dialog:
        """The side of it that `agent` has."""
        return self.caller_dialog if agent is self.caller else self.callee_dialog

    def _carry(self, sender: Core, message: Message, to: Endpoint, receiver: Core, sent_already: bool = False) -> Incoming:
        if self.relay is None:
            return sender.deliver(message, to, receiver, sent_already=sent_already)
        return self.relay.relay(sender.deliver(message, to, self.relay, sent_already=sent_already), receiver)


class Transaction:
    """A request within a call's dialog.

    seen    the request as it arrived; whoever got it then has to respond()
    """

    def __init__(self, call: Call, by: Core, method: str, body: bytes, headers: Headers) -> None:
        self._call = call
        self._by = by
        self._dialog = call.dialog(by)
        self._sent = self._dialog.request(method, body=body, headers=headers)
        self._arrived = call._carry(by, self._sent, self._dialog.next_hop, call.other(by))
        self.seen = self._arrived.message

    def respond(self, status: int, body: bytes = b"", headers: Headers = None, answer: bytes = b"") -> Message:
        """The response as it arrived; an INVITE's final one is acknowledged as well, in ack_seen.

        `answer` goes into the ACK, when the offer came with the 200.
        """
        answering = self._call.other(self._by)
        contact = f"<{answering.contact}>" if status < 300 and self.seen.method in _WITH_CONTACT else None
        response = answering.response(self.seen, status, body=body, contact=contact, headers=headers)
        got = self._call._carry(answering, response, response_target(self._arrived), self._by).message
        if self.seen.method == "INVITE" and status >= 200:
            failed = status >= 300
            ack = failure_ack(self._sent, got) if failed else self._dialog.request("ACK", cseq=self._dialog.cseq, body=answer)
            self.ack_seen = self._call._carry(self._by, ack, self._dialog.next_hop, answering).message
        return got


def failure_ack(invite: Message, response: Message) -> Message:
    """Within the transaction: same branch and CSeq, to the same place (RFC 3261 section 17.1.1.3)."""
    ack = replace(invite.without_header("Contact"), start=invite.start.replace("INVITE", "ACK", 1), body=b"")
    ack = ack.with_header("CSeq", invite["CSeq"].replace("INVITE", "ACK")).with_header("To", response["To"])
    return ack.without_header("Content-Type")
