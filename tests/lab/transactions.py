"""User agents that retransmit by themselves (RFC 3261 section 17), many at once: for networks that lose, double and reorder.

    network = Transactions()
    phone, provider = (Agent(network, node, name) for …)
    phone.register(provider.endpoint)
    call = phone.call(provider.endpoint, provider.identity, Media(…))
    network.run_until(lambda: call.state == "established", …)

    A, B   an INVITE, until it is answered in any way       E, F   any other request, until its final response
    G, H   an INVITE's final response, until its ACK        2xx    the same (13.3.1.4); each copy is acknowledged

Whoever is called rings and answers, whoever gets a REGISTER grants it. Copies of a message have to be the same to the byte.
"""

import heapq
import itertools
import select
import time
from typing import Callable

from lab import sdp, sip
from lab.endpoint import Endpoint
from lab.rtp import Media
from lab.sip import Message
from lab.topology import Node
from lab.ua import Dialog, Incoming, UserAgent, failure_ack, response_target

T1 = 0.25
T2 = 4 * T1
GIVE_UP = 64 * T1
_MOST_AT_ONCE = 50
"""Messages that one agent takes in before the next one's turn."""


class Transactions:
    """All agents of a scenario: one loop that waits for their messages and their timers."""

    def __init__(self) -> None:
        self.agents: list[Agent] = []
        self.each_turn: list[Callable[[], bool]] = []
        """What else is to be done meanwhile, in small pieces; False when there is nothing left of it."""
        self.retransmissions = 0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), action))

    def run_until(self, condition: Callable[[], object], what: str, timeout: float = 120,
                  state: Callable[[], object] = lambda: "") -> None:
        deadline = time.monotonic() + timeout
        sockets = {agent.ua.socket: agent for agent in self.agents}
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout:.0f} s for {what}: {state()}")
            self.each_turn = [turn for turn in self.each_turn if turn()]
            wait = max(0.0, min([0.05, *(due - time.monotonic() for due, _, _ in self._timers[:1])]))
            ready, _, _ = select.select(list(sockets), [], [], 0 if self.each_turn else wait)
            for one in ready:
                sockets[one].receive()
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()


class Agent:
    """One user agent, or a provider with its registrar."""

    def __init__(self, network: Transactions, node: Node, user: str, *, port: int = 5060, copies: int = 1) -> None:
        """`copies`: how many times each datagram is sent, as a broken switch does."""
        self.network = network
        self.ua = UserAgent(node, user, port=port)
        self.ua.socket.setblocking(False)
        self.copies = copies
        self.registered: set[str] = set()
        """Call-IDs of REGISTERs that were granted."""
        self.bindings: dict[str, str] = {}
        """User → Contact, as the registrar knows it."""
        self.incoming: dict[str, "Call"] = {}
        self.answers_with: Callable[[], Media] | None = None
        """Media of the next call that comes in; without, it is refused."""
        self._outgoing: dict[str, "Call"] = {}
        self._waiting: dict[tuple[str, str], Callable[[Message], None]] = {}
        self._answered: dict[tuple[str, str], tuple[Message, Endpoint]] = {}
        self._acknowledged: set[tuple[str, str]] = set()
        self._seen: dict[tuple, bytes] = {}
        network.agents.append(self)

    def __str__(self) -> str:
        return str(self.ua)

    # What a scenario has it do

    def register(self, at: Endpoint) -> str:
        """Returns the Call-ID, which `registered` will have."""
        request = self.ua.request("REGISTER", f"sip:{at[0]}", to=f"<{self.ua.identity}>", headers=[("Expires", "3600")])
        call_id = request["Call-ID"]
        self.send_request(request, at, lambda response: self.registered.add(call_id) if response.status == 200 else None)
        return call_id

    def call(self, to: Endpoint, uri: str, media: Media) -> "Call":
        call = Call(self, media)
        call.invite = self.ua.request("INVITE", uri, body=media.describe())
        self._outgoing[call.invite["Call-ID"]] = call
        self.send_request(call.invite, to, lambda response: call.take_response(response, to))
        return call

    # Transport

    def send(self, message: Message, to: Endpoint) -> None:
        for _ in range(self.copies):
            self.ua.send(message, to)

    def receive(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                data, source = self.ua.socket.recvfrom(65536)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            message = Message.parse(data)
            key = (message.status, message["CSeq"], message["Call-ID"], sip.parameter(message["Via"], "branch"),
                   sip.parameter(message["To"], "tag"))
            assert self._seen.setdefault(key, data) == data, (
                f"{self} got two that are not the same:\n{Message.parse(self._seen[key])}\n{message}")
            if message.status is None:
                self._take_request(Incoming(message, source, data))
            else:
                self._take_response(message)

    # Transactions

    def send_request(self, request: Message, to: Endpoint, done: Callable[[Message], None]) -> None:
        """Until it is answered; `done` gets each final response."""
        key = _transaction(request)
        is_invite = request.method == "INVITE"
        give_up = time.monotonic() + GIVE_UP
        provisional = []

        def answered(response: Message) -> None:
            if response.status < 200:
                provisional.append(response)
                return
            self._waiting[key] = done
            finished.append(True)
            done(response)

        finished: list[bool] = []

        def again(interval: float) -> None:
            if finished or (is_invite and provisional):
                return
            assert time.monotonic() < give_up, f"{self}'s “{request.start}” was not answered, Call-ID {request['Call-ID']}"
            self.network.retransmissions += 1
            self.send(request, to)
            following = interval * 2 if is_invite else min(interval * 2, T2)
            self.network.after(following, lambda: again(following))

        self._waiting[key] = answered
        self.send(request, to)
        self.network.after(T1, lambda: again(T1))

    def _take_response(self, response: Message) -> None:
        handler = self._waiting.get(_transaction(response))
        assert handler, f"{self} got a response that it never asked for:\n{response}"
        handler(response)

    def _respond(self, request: Incoming, response: Message) -> None:
        """And to the request's copies."""
        target = response_target(request)
        self._answered[_transaction(request.message)] = (response, target)
        self.send(response, target)

    def _respond_until_acknowledged(self, request: Incoming, response: Message, call_id: str) -> None:
        self._respond(request, response)
        target = response_target(request)
        give_up = time.monotonic() + GIVE_UP

        def again(interval: float) -> None:
            if (call_id, request.message["CSeq"].split()[0]) in self._acknowledged:
                return
            assert time.monotonic() < give_up, f"{self} got no ACK for “{response.start}”, Call-ID {call_id}"
            self.network.retransmissions += 1
            self.send(response, target)
            following = min(interval * 2, T2)
            self.network.after(following, lambda: again(following))

        self.network.after(T1, lambda: again(T1))

    def _take_request(self, request: Incoming) -> None:
        message = request.message
        if message.method == "ACK":
            self._acknowledged.add((message["Call-ID"], message["CSeq"].split()[0]))
            if message["Call-ID"] in self.incoming:
                self.incoming[message["Call-ID"]].take_ack()
            return
        answered = self._answered.get(_transaction(message))
        if answered:
            self.send(*answered)
            return
        take = {"REGISTER": self._take_register, "INVITE": self._take_invite, "BYE": self._take_bye}[message.method]
        take(request)

    def _take_register(self, request: Incoming) -> None:
        message = request.message
        self.bindings[sip.uri_of(message["To"]).split("@")[0].removeprefix("sip:")] = sip.uri_of(message["Contact"])
        self._respond(request, self.ua.response(message, 200, tag="registrar", contact=f"{message['Contact']};expires=3600"))

    def _take_invite(self, request: Incoming) -> None:
        message = request.message
        call_id = message["Call-ID"]
        if self.answers_with is None:
            self._respond_until_acknowledged(request, self.ua.response(message, 486, tag=self.ua.user), call_id)
            return
        call = self.incoming[call_id] = Call(self, self.answers_with())
        call.told = _stream(message)
        self._respond(request, self.ua.response(message, 180, tag=self.ua.user))
        answer = self.ua.response(message, 200, tag=self.ua.user, body=call.media.describe(), contact=f"<{self.ua.contact}>")
        call.dialog = Dialog(self.ua, answer["To"], message["From"], call_id, sip.uri_of(message["Contact"]),
                             message.values("Record-Route"), 100)
        self._respond_until_acknowledged(request, answer, call_id)

    def _take_bye(self, request: Incoming) -> None:
        call_id = request.message["Call-ID"]
        call = self.incoming.get(call_id) or self._outgoing.get(call_id)
        assert call, f"{self} got a BYE of no call of its own:\n{request.message}"
        call.state = "over"
        self._respond(request, self.ua.response(request.message, 200))


class Call:
    """One side of a call. state: "calling", "established", "refused", "over"."""

    def __init__(self, agent: Agent, media: Media) -> None:
        self.agent = agent
        self.media = media
        self.state = "calling"
        self.invite: Message | None = None
        self.told: sdp.Stream | None = None
        """Where to send media to."""
        self.dialog: Dialog | None = None
        self._ack: tuple[Message, Endpoint] | None = None

    def __str__(self) -> str:
        return f"{self.agent}: {self.state}"

    def take_response(self, response: Message, to: Endpoint) -> None:
        """A final one to our INVITE, or its copy."""
        if self._ack is None and response.status >= 300:
            self._ack = (failure_ack(self.invite, response), to)
            self.state = "refused"
        elif self._ack is None:
            self.dialog = Dialog(self.agent.ua, self.invite["From"], response["To"], response["Call-ID"],
                                 sip.uri_of(response["Contact"]), list(reversed(response.values("Record-Route"))), 1)
            self._ack = (self.dialog.request("ACK", cseq=1), self.dialog.next_hop)
            self.told = _stream(response)
            self.state = "established"
        self.agent.send(*self._ack)

    def take_ack(self) -> None:
        if self.state == "calling":
            self.state = "established"

    def hang_up(self) -> None:
        def done(response: Message) -> None:
            assert response.status == 200, f"{self.agent}'s BYE: {response.start}"
            self.state = "over"

        self.agent.send_request(self.dialog.request("BYE"), self.dialog.next_hop, done)


def talk(network: Transactions, pairs: list[tuple[Call, Call]]) -> None:
    """Media is sent both ways until each component heard the other from where it was told it is."""
    left = [(one, other) for pair in pairs for one, other in (pair, pair[::-1])]
    rounds = 0

    def is_heard(sender: Call, receiver: Call) -> bool:
        for mine, theirs, told in zip(receiver.media.ports, sender.media.ports, receiver.told.components, strict=True):
            received = mine.collect()
            sources = {source for name, source in zip(received.senders, received.sources) if name == theirs.name}
            assert sources <= {told}, f"{mine} hears {theirs} from {sources}, and is told {told}"
            if not sources:
                return False
        return True

    def all_heard() -> bool:
        nonlocal left, rounds
        left = [pair for pair in left if not is_heard(*pair)]
        rounds += 1
        for sender, _ in left:
            sender.media.send(sender.told)
        return not left

    network.run_until(all_heard, "media both ways", state=lambda: [f"{a} is not heard by {b}" for a, b in left])


def register_and_call(transactions: Transactions, phones: list[Agent], provider: Agent) -> None:
    """Each phone registers, makes a call with media and gets one; all at once."""
    registered = [phone.register(provider.ua.endpoint) for phone in phones]
    transactions.run_until(lambda: all(one in phone.registered for one, phone in zip(registered, phones)), "the registrations")
    assert len(provider.bindings) == len(phones), provider.bindings

    ports = iter(range(20000, 30000, 2))
    provider.answers_with = lambda: Media(provider.ua.node, next(ports))
    outbound = [phone.call(provider.ua.endpoint, provider.ua.identity, Media(phone.ua.node, next(ports))) for phone in phones]
    inbound = []
    for phone in phones:
        phone.answers_with = lambda phone=phone: Media(phone.ua.node, next(ports))
        inbound.append(provider.call(*_contact_of(provider, phone), Media(provider.ua.node, next(ports))))
    pairs: list[tuple[Call, Call]] = []

    def are_up() -> bool:
        pairs[:] = [(call, answering.incoming.get(call.invite["Call-ID"]))
                    for call, answering in [*((one, provider) for one in outbound), *zip(inbound, phones)]]
        return all(other and call.state == other.state == "established" for call, other in pairs)

    transactions.run_until(are_up, "the calls to be up", state=lambda: [str(one) for pair in pairs for one in pair])
    talk(transactions, pairs)
    for number, (caller, callee) in enumerate(pairs):
        (caller if number % 2 else callee).hang_up()
    transactions.run_until(lambda: all(one.state == "over" for pair in pairs for one in pair), "the calls to be over")


def _contact_of(provider: Agent, phone: Agent) -> tuple[Endpoint, str]:
    """Where calls to it go, and their Request-URI."""
    contact = provider.bindings[phone.ua.user]
    return sip.endpoint_of(contact), contact


class Flood:
    """INVITEs that nobody answers, each a call of its own, all from one socket: some in each turn of the loop."""

    def __init__(self, node: Node, to: Endpoint, uri: str, count: int, each_turn: int = 25) -> None:
        self.sent = 0
        self._ua = UserAgent(node, "flood", port=5080)
        self._to = to
        self._uri = uri
        self._count = count
        self._each_turn = each_turn

    @property
    def is_over(self) -> bool:
        return self.sent >= self._count

    def turn(self) -> bool:
        for _ in range(min(self._each_turn, self._count - self.sent)):
            self.send()
        return not self.is_over

    def send(self) -> None:
        self._ua.send(self._ua.request("INVITE", self._uri, body=sdp.audio(self._ua.node.address, 20000 + 2 * self.sent)), self._to)
        self.sent += 1


def _transaction(message: Message) -> tuple[str, str]:
    return sip.parameter(message["Via"], "branch") or "", message["CSeq"].split()[1]


def _stream(message: Message) -> sdp.Stream:
    [stream] = sdp.streams(message.body)
    return stream
