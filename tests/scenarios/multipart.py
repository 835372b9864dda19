"""The session description is one part of a multipart/mixed body, in an offer and in an answer, from inside and from outside.

The other parts hold the phone's address too, as text, as XML, and as a body that only looks like SDP or like the boundary:
they arrive as they were sent, byte by byte, and so do preamble and epilogue. Content-Length is the new length of it all.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 180
BOUNDARY = "unique-boundary-1"
LOCATION = (b"Content-Type: application/pidf+xml\r\nContent-ID: <alice@192.168.77.2>\r\n\r\n",
            b'<?xml version="1.0"?>\r\n<presence entity="sip:alice@192.168.77.2:5060">192.168.77.2</presence>\r\n')
ISUP = (b"Content-Type: application/ISUP;version=nxv3;base=etsi121\r\nContent-Disposition: signal;handling=optional\r\n\r\n",
        bytes(range(256)) + b"--unique-boundary\r\nc=IN IP4 192.168.77.2\r\nm=audio 20000 RTP/AVP 8\r\n")
NOT_SDP = (b"Content-Type: text/plain\r\n\r\n", b"v=0\r\no=- 1 1 IN IP4 192.168.77.2\r\ns=-\r\nc=IN IP4 192.168.77.2\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8\r\n")
NO_HEADERS = (b"\r\n", b"c=IN IP4 192.168.77.2\r\n")
SDP = b"Content-Type: application/sdp\r\nContent-Disposition: session\r\n\r\n"


class Multipart:
    """Bodies of these parts, with the description at one place among them."""

    def __init__(self, *others, at, preamble=b"", epilogue=b""):
        self.headers = [("MIME-Version", "1.0"), ("Content-Type", f'multipart/mixed;boundary="{BOUNDARY}"')]
        self._others = others
        self._at = at
        self._preamble = preamble
        self._epilogue = epilogue

    def around(self, description):
        parts = list(self._others)
        parts.insert(self._at, (SDP, description))
        text = b"".join(b"--" + BOUNDARY.encode() + b"\r\n" + headers + content + b"\r\n" for headers, content in parts)
        return self._preamble + text + b"--" + BOUNDARY.encode() + b"--" + self._epilogue

    def description(self, message):
        """The description that arrived; all around it has to be as it was sent."""
        before, _, rest = message.body.partition(SDP)
        found, mark, after = rest.partition(b"\r\n--" + BOUNDARY.encode())
        assert before + SDP + mark + after == self.around(b""), f"the other parts were changed in\n{message}"
        assert int(message["Content-Length"]) == len(message.body), f"Content-Length {message['Content-Length']}, body {len(message.body)}"
        return found


SHAPES = (
    Multipart(LOCATION, at=0),
    Multipart(ISUP, LOCATION, at=2, epilogue=b"\r\n192.168.77.2\r\n"),
    Multipart(NOT_SDP, NO_HEADERS, at=1, preamble=b"from 192.168.77.2\r\n"),
)


def run(lab):
    with lab.network("phone1", "phone2", "server", firewall="restricted") as net:
        provider = UserAgent(net["server"], "bob")
        register(UserAgent(net["phone2"], "carol"), provider)  # has the phone's port outside
        phone = UserAgent(net["phone1"], "alice")
        seen, _ = register(phone, provider)
        contact = sip.uri_of(seen.message["Contact"])
        for number, offer in enumerate(SHAPES):
            answer = SHAPES[number - 1]
            # A port that lies outside of the range for media, so that its text differs in length.
            inside, outside = Media(net["phone1"], 9000 + 10 * number), Media(net["server"], 30000 + 10 * number)
            out = Call(phone, provider, to=provider.endpoint, offer=offer.around(inside.describe()), headers=offer.headers)
            converse(out, offer, inside, answer, outside)
            inside, outside = Media(net["phone1"], 9100 + 10 * number), Media(net["server"], 30100 + 10 * number)
            back_in = Call(provider, phone, to=sip.endpoint_of(contact), uri=contact, offer=offer.around(outside.describe()), headers=offer.headers)
            converse(back_in, offer, outside, answer, inside)
        net.gateway.assert_media_closed()


def converse(call, offer, caller_media, answer, callee_media):
    call.invite()
    call.answer(answer.around(callee_media.describe()), headers=answer.headers)
    call.ack()
    [offered] = sdp.streams(offer.description(call.invite_seen))
    [answered] = sdp.streams(answer.description(call.ok_seen))
    talk(caller_media, answered, callee_media, offered)
    call.hang_up(by=call.callee)
