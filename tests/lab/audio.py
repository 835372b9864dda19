"""A call between two user agents together with its media: what most scenarios begin with."""

from lab import sdp
from lab.endpoint import Endpoint
from lab.rtp import Media, speak
from lab.ua import Call, Relay, Transaction, UserAgent


class AudioCall:
    """An established call of one audio stream; each side describes the ports of its Media.

    media   each side's Media
    told    where each side was told last to send: what it read in the other's description
    """

    def __init__(self, caller: UserAgent, caller_media: Media, callee: UserAgent, callee_media: Media, *, to: Endpoint | None = None,
                 relay: Relay | None = None, provisional: tuple[int, ...] = (180,), **options) -> None:
        """`options` are further ones of ua.Call's, `provisional` the responses before the 200. A relay gets the INVITE, unless `to`
        says otherwise."""
        self.media = {caller: caller_media, callee: callee_media}
        self.told: dict[UserAgent, sdp.Stream] = {}
        self.call = Call(caller, callee, to=to or (relay or callee).endpoint, offer=caller_media.describe(), relay=relay, **options)
        self.call.establish(callee_media.describe(), provisional)
        self._read(callee, self.call.invite_seen.body)
        self._read(caller, self.call.ok_seen.body)

    def offer(self, by: UserAgent, offer: bytes | None = None, answer: bytes | None = None, *, method: str = "INVITE") -> Transaction:
        """A re-INVITE, or an UPDATE, with its answer; without descriptions, of the ports that each has."""
        request = self.call.request(by, method, offer or self.media[by].describe())
        self.accept(request, by, answer)
        return request

    def accept(self, request: Transaction, by: UserAgent, answer: bytes | None = None) -> None:
        """The other side's answer to an offer of `by`."""
        other = self.call.other(by)
        self._read(other, request.seen.body)
        self._read(by, request.respond(200, answer or self.media[other].describe()).body)

    def ask_for_offer(self, by: UserAgent) -> None:
        """A re-INVITE without an offer: that comes in the 200, and its answer in the ACK (RFC 3261 section 14.1)."""
        other = self.call.other(by)
        request = self.call.request(by, "INVITE")
        self._read(by, request.respond(200, self.media[other].describe(), answer=self.media[by].describe()).body)
        self._read(other, request.ack_seen.body)

    def talk(self, first: UserAgent | None = None) -> None:
        """Media in both directions, the caller's first unless told otherwise; see rtp.talk()."""
        first = first or self.call.caller
        self.speak(first)
        self.speak(self.call.other(first))

    def speak(self, sender: UserAgent) -> None:
        """Media in one direction."""
        receiver = self.call.other(sender)
        speak(self.media[sender], self.told[sender], self.media[receiver], self.told[receiver])

    def hang_up(self, by: UserAgent):
        return self.call.hang_up(by=by)

    def _read(self, agent: UserAgent, body: bytes) -> None:
        [self.told[agent]] = sdp.streams(body)
