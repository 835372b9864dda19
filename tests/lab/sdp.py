"""Session descriptions: a builder with the lines that phones send, and a reader of the endpoints that others would use."""

from dataclasses import dataclass

from lab.endpoint import Endpoint



@dataclass(frozen=True)
class Stream:
    """Where a description wants one media stream's packets."""

    kind: str
    rtp: Endpoint
    rtcp: Endpoint


def audio(address: str, port: int, *, origin: str | None = None, rtcp: str | None = None, extra: str = "") -> bytes:
    """One audio stream. `rtcp` is the value of an a=rtcp line, `extra` further lines at the end, each ending in CRLF."""
    lines = [
        "v=0",
        f"o=- 4711 1 IN IP4 {origin or address}",
        "s=-",
        f"c=IN IP4 {address}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 8 101",
        *([f"a=rtcp:{rtcp}"] if rtcp else []),
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=sendrecv",
    ]
    return ("\r\n".join(lines) + "\r\n" + extra).encode()


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
            kind, port = line[2:].split()[:2]
            found.append({"kind": kind, "port": int(port.split("/")[0]), "address": None, "rtcp": None})
        elif line.startswith("a=rtcp:") and found:
            found[-1]["rtcp"] = line[len("a=rtcp:"):].split()
    return [_stream(one, session_address) for one in found]


def _stream(one: dict, session_address: str) -> Stream:
    address = one["address"] or session_address
    rtcp = (address, one["port"] + 1)
    if one["rtcp"]:
        rtcp = (one["rtcp"][3] if len(one["rtcp"]) > 3 else address, int(one["rtcp"][0]))
    return Stream(one["kind"], (address, one["port"]), rtcp)


def line(body: bytes, start: str) -> str:
    """The first line that begins with `start`, e.g. "o=", "m=audio"."""
    for text in body.decode("utf-8", "replace").splitlines():
        if text.startswith(start):
            return text
    raise AssertionError(f"no {start} line in\n{body.decode('utf-8', 'replace')}")
