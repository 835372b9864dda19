"""Session descriptions: a builder with the lines that phones send, and a reader of the endpoints that others would use."""

import itertools
from dataclasses import dataclass

from lab.endpoint import Endpoint

_version = itertools.count(1)
"""Of o=: no two descriptions have the same one, so each is a new one (RFC 3264 section 8)."""


@dataclass(frozen=True)
class Stream:
    """Where a description wants one media stream's packets: RTP and RTCP, or the one port of anything else."""

    kind: str
    components: tuple[Endpoint, ...]

    @property
    def rtp(self) -> Endpoint:
        return self.components[0]

    @property
    def rtcp(self) -> Endpoint:
        return self.components[1]


def session(address: str, *media: str, origin: str | None = None) -> bytes:
    """A description of these streams, each an m= line with what belongs to it, as audio_lines() makes them."""
    lines = [
        "v=0",
        f"o=- 4711 {next(_version)} IN IP4 {origin or address}",
        "s=-",
        f"c=IN IP4 {address}",
        "t=0 0",
    ]
    return ("\r\n".join(lines) + "\r\n" + "".join(media)).encode()


def audio_lines(port: int, *, rtcp: str | None = None, direction: str = "sendrecv", extra: str = "") -> str:
    """`rtcp` is the value of an a=rtcp line, `extra` further lines at the end, each ending in CRLF."""
    lines = [
        f"m=audio {port} RTP/AVP 8 101",
        *([f"a=rtcp:{rtcp}"] if rtcp else []),
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        f"a={direction}",
    ]
    return "\r\n".join(lines) + "\r\n" + extra


def audio(address: str, port: int, *, origin: str | None = None, **options: str) -> bytes:
    """One audio stream; `options` are audio_lines()'."""
    return session(address, audio_lines(port, **options), origin=origin)


def streams(body: bytes) -> list[Stream]:
    """The streams of a description, with what c= and a=rtcp say about each."""
    session_address = ""
    found: list[dict] = []
    for line in body.decode("utf-8", "replace").splitlines():
        if line.startswith("c="):
            address = line.split()[2].split("/")[0]
            if found:
                found[-1]["address"] = address
            else:
                session_address = address
        elif line.startswith("m="):
            kind, port, protocol = line[2:].split()[:3]
            found.append({"kind": kind, "port": int(port.split("/")[0]), "protocol": protocol, "address": None, "rtcp": None})
        elif line.startswith("a=rtcp:") and found:
            found[-1]["rtcp"] = line[len("a=rtcp:"):].split()
    return [_stream(one, session_address) for one in found]


def _stream(one: dict, session_address: str) -> Stream:
    address = one["address"] or session_address
    components = [(address, one["port"])]
    if "RTP/" in one["protocol"]:
        components.append((address, one["port"] + 1))
    if one["rtcp"]:
        components[1] = (one["rtcp"][3] if len(one["rtcp"]) > 3 else address, int(one["rtcp"][0]))
    return Stream(one["kind"], tuple(components))


@dataclass(frozen=True)
class Candidate:
    """Of ICE (RFC 8839 section 5.1): where else a component might be reached. Component 1 is RTP, 2 is RTCP."""

    component: int
    kind: str
    endpoint: Endpoint
    related: Endpoint | None = None

    def __str__(self) -> str:
        related = f" raddr {self.related[0]} rport {self.related[1]}" if self.related else ""
        return f"a=candidate:{self.kind} {self.component} UDP {2130706431 - self.component} {self.endpoint[0]} {self.endpoint[1]} typ {self.kind}{related}"


def candidates(body: bytes) -> list[Candidate]:
    """Those over UDP, of all streams."""
    found = []
    for words in (text.split() for text in body.decode("utf-8", "replace").splitlines() if text.startswith("a=candidate:")):
        if words[2].upper() == "UDP":
            related = (words[9], int(words[11])) if "raddr" in words else None
            found.append(Candidate(int(words[1]), words[7], (words[4], int(words[5])), related))
    return found


def line(body: bytes, start: str) -> str:
    """The first line that begins with `start`, e.g. "o=", "m=audio"."""
    for text in body.decode("utf-8", "replace").splitlines():
        if text.startswith(start):
            return text
    raise AssertionError(f"no {start} line in\n{body.decode('utf-8', 'replace')}")
