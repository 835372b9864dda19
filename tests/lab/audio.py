"""A call between two user agents together with its media: what most scenarios begin with."""

from lab import sdp
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent


class AudioCall:
    """An established call of one audio stream; each side offers the ports of its Media.

    offered    what the callee read in the offer, and so where it sends
    answered   what the caller read in the answer
    """

    def __init__(self, caller: UserAgent, inside: Media, callee: UserAgent, outside: Media) -> None:
        self.inside = inside
        self.outside = outside
        self.call = Call(caller, callee, to=callee.endpoint, offer=sdp.audio(inside.address, inside.port))
        self.call.establish(sdp.audio(outside.address, outside.port))
        [self.offered] = sdp.streams(self.call.invite_seen.body)
        [self.answered] = sdp.streams(self.call.ok_seen.body)

    def talk(self) -> None:
        """Media in both directions, the caller's first; see rtp.talk()."""
        talk(self.inside, self.answered, self.outside, self.offered)

    def hang_up(self, by: UserAgent):
        return self.call.hang_up(by=by)
