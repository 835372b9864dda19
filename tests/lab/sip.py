"""SIP messages, with every byte under the scenario's control.

A message is its start line, its headers in order as (name, value), and its body. What is parsed is not normalised:
names keep their form, values their spaces and folds, so that "exactly as it was sent" can be asserted.
"""

import re
from dataclasses import dataclass, field, replace

from lab.endpoint import Endpoint


COMPACT = {
    "v": "via", "f": "from", "t": "to", "m": "contact", "i": "call-id", "l": "content-length", "c": "content-type",
    "e": "content-encoding", "k": "supported", "s": "subject", "r": "refer-to", "b": "referred-by", "o": "event",
}
REASONS = {
    100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted", 401: "Unauthorized", 404: "Not Found",
    481: "Call/Transaction Does Not Exist", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
    491: "Request Pending", 603: "Decline",
}


def canonical(name: str) -> str:
    """A header's name in lower case and in full."""
    lower = name.strip().lower()
    return COMPACT.get(lower, lower)


@dataclass
class Message:
    """A request or a response."""

    start: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    @staticmethod
    def parse(data: bytes) -> "Message":
        head, _, body = data.partition(b"\r\n\r\n")
        lines: list[str] = []
        for line in head.decode("utf-8", "surrogateescape").split("\r\n"):
            if line[:1] in (" ", "\t") and lines:
                lines[-1] += "\r\n" + line
            else:
                lines.append(line)
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers.append((name, value.strip(" \t")))
        return Message(lines[0], headers, body)

    def encode(self) -> bytes:
        """The bytes. A Content-Length of "auto" becomes the body's length; without that header there is none."""
        lines = [self.start]
        for name, value in self.headers:
            lines.append(f"{name}: {len(self.body) if value == 'auto' else value}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + self.body

    def __getitem__(self, name: str) -> str:
        """The first value of a header, whichever form its name has."""
        values = self.values(name)
        if not values:
            raise AssertionError(f"no {name} in {self.start}")
        return values[0]

    def values(self, name: str) -> list[str]:
        return [value for header, value in self.headers if canonical(header) == canonical(name)]

    def with_header(self, name: str, value: str) -> "Message":
        """A copy with one header's (only) value replaced, in its place, or added at the end."""
        headers = [(header, value if canonical(header) == canonical(name) else old) for header, old in self.headers]
        if not self.values(name):
            headers.append((name, value))
        return replace(self, headers=headers)

    def without_header(self, name: str) -> "Message":
        return replace(self, headers=[entry for entry in self.headers if canonical(entry[0]) != canonical(name)])

    @property
    def status(self) -> int | None:
        """A response's code, None for a request."""
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else None

    @property
    def method(self) -> str:
        """The request's method; a response's is that of its CSeq."""
        return self.start.split()[0] if self.status is None else self["CSeq"].split()[1]

    @property
    def uri(self) -> str:
        return self.start.split()[1]

    def __str__(self) -> str:
        return self.encode().decode("utf-8", "replace").replace("\r\n", "\n")


def uri_of(value: str) -> str:
    """The URI in a From, To, Contact, Route… value: what is between the angle brackets, else all before parameters."""
    found = re.search(r"<([^>]*)>", value)
    return found.group(1) if found else value.split(";")[0].strip()


def endpoint_of(uri: str) -> Endpoint:
    """Host and port of a URI or of an address's value."""
    uri = uri_of(uri)
    found = re.match(r"sips?:(?:[^@]*@)?(\[[^\]]*\]|[^:;?]+)(?::(\d+))?", uri, re.IGNORECASE)
    if not found:
        raise AssertionError(f"no endpoint in {uri}")
    return found.group(1), int(found.group(2) or 5060)


def sent_by(via: str) -> Endpoint:
    """Host and port of a Via value."""
    found = re.match(r"SIP\s*/\s*2\.0\s*/\s*\w+\s+([^:;\s]+)\s*(?::\s*(\d+))?", via)
    if not found:
        raise AssertionError(f"no sent-by in Via: {via}")
    return found.group(1), int(found.group(2) or 5060)


def transport(via: str) -> str:
    """A Via's: UDP, TCP."""
    found = re.match(r"SIP\s*/\s*2\.0\s*/\s*(\w+)", via)
    if not found:
        raise AssertionError(f"no transport in Via: {via}")
    return found.group(1).upper()


def parameter(value: str, name: str) -> str | None:
    """A header parameter, "" if it has no value, None if it is not there. Parameters inside <> are the URI's, not it."""
    outside = re.sub(r"<[^>]*>", "", value)
    found = re.search(rf";\s*{re.escape(name)}\s*(?:=\s*([^;,\s]+))?(?=[;,\s]|$)", outside, re.IGNORECASE)
    return (found.group(1) or "") if found else None


def assert_translated(message: Message, inside: str = "192.168.", outside: str = "203.0.113.1") -> None:
    """What left the gateway names no inside address anywhere, and the gateway's in Contact if it has one."""
    if inside in str(message):
        raise AssertionError(f"an inside address got out:\n{message}")
    for contact in message.values("Contact"):
        if endpoint_of(contact)[0] != outside:
            raise AssertionError(f"Contact is {contact}, not at {outside}")
