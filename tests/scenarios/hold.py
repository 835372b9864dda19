"""A call is held and resumed: by either side of it, called from either side, in every style that there is.

    a=sendonly     the holder goes on sending (music), and is answered with a=recvonly
    a=inactive     nobody sends
    c=0.0.0.0      the older way (RFC 2543): the port stays, the address is nobody's

The outside port stays the stream's in all of them, held or not: what resumes is the call that there was. In the last
round each side holds the other, and they resume one after the other.
"""

from functools import partial

from lab import sdp, sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    with lab.network("phone1", "server", firewall="restricted") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        seen, _ = register(phone, provider)
        contact = sip.uri_of(seen.message["Contact"])

        # The second port lies outside of the range for media, so that the outside one differs.
        out = AudioCall(phone, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        back_in = AudioCall(provider, Media(net["server"], 30010), phone, Media(net["phone1"], 40000), to=sip.endpoint_of(contact), uri=contact)
        for call in (out, back_in):
            call.talk()
            for holder in (phone, provider):
                held = call.call.other(holder)
                for style in (sendonly, inactive, by_update, nowhere):
                    style(net, call, holder, held)
            both(net, call, phone, provider)
            call.talk()
            call.hang_up(by=phone)
            if call is out:
                back_in.talk()
        net.gateway.assert_media_closed()


def sendonly(net, call, holder, held):
    with Unchanged(net, call):
        request = hold(call, holder, "sendonly", "recvonly")
        assert sdp.line(request.seen.body, "a=send") == "a=sendonly", f"{held} reads {request.seen}"
        call.speak(holder)
        # RTCP goes on (RFC 3264 section 5.1).
        port, to = call.media[held].rtcp, call.told[held].rtcp
        port.send(to, 3)
        call.media[holder].rtcp.expect(3, port)
    resume(call, holder)


def inactive(net, call, holder, _):
    """For so long that conntrack forgets the flows. It resumes as many PBXs do: it has the other side offer."""
    with Unchanged(net, call):
        hold(call, holder, "inactive", "inactive")
        net.gateway.forget_media_flows()
    resume(call, holder, AudioCall.ask_for_offer)


def by_update(net, call, holder, _):
    """RFC 3311."""
    with Unchanged(net, call):
        hold(call, holder, "sendonly", "recvonly", method="UPDATE")
    resume(call, holder, partial(AudioCall.offer, method="UPDATE"))


def nowhere(net, call, holder, held):
    """The holder's own description has 0.0.0.0; the answer names the other side as ever."""
    media = call.media[holder]
    before = call.told[held]
    with Unchanged(net, call, but=held):
        request = call.offer(holder, sdp.audio("0.0.0.0", media.port, origin=media.address))
        told = call.told[held]
        assert told.rtp == ("0.0.0.0", before.rtp[1]), f"{held} is told {told.rtp} instead of 0.0.0.0 and port {before.rtp[1]}"
        origin = sdp.line(request.seen.body, "o=").split()[-1]
        assert origin == before.rtp[0], f"{held} reads an origin of {origin}"
        # It may play music all the same, and is heard from where it was.
        media.send(call.told[holder], 3)
        assert call.media[held].expect(3, media) == before.components
    resume(call, holder)


def both(net, call, first, second):
    with Unchanged(net, call):
        hold(call, first, "sendonly", "recvonly")
        hold(call, second, "inactive", "inactive")
        hold(call, first, "recvonly", "sendonly")  # the first resumes, as far as the second lets it
        call.speak(second)
    resume(call, second)


def hold(call, holder, offered, answered, **options):
    held = call.call.other(holder)
    return call.offer(holder, call.media[holder].describe(direction=offered), call.media[held].describe(direction=answered), **options)


def resume(call, holder, again=AudioCall.offer):
    """Both ways again, whichever side is the first to send."""
    told = {agent: stream.rtp[1] for agent, stream in call.told.items()}
    again(call, holder)
    for agent, stream in call.told.items():
        assert stream.rtp[1] == told[agent], f"{agent} is told port {stream.rtp[1]} after the hold instead of {told[agent]}"
        call.talk(first=agent)


class Unchanged:
    """Meanwhile what each side is told stays the same, but for the one named, and so do the ports that let media in."""

    def __init__(self, net, call, but=None):
        self._gateway = net.gateway
        self._call = call
        self._but = but

    def __enter__(self):
        self._told = dict(self._call.told)
        self._open = self._gateway.open_ports()

    def __exit__(self, failure, *_):
        if failure:
            return
        for agent, stream in self._told.items():
            if agent is not self._but:
                assert self._call.told[agent] == stream, f"{agent} was told {stream}, and then {self._call.told[agent]}"
        assert self._gateway.open_ports() == self._open, f"{self._open} let media in, and now {self._gateway.open_ports()}"
