"""What may change in a message that passes NAT, read off the message itself as plainly as possible.

Written from the table of places (which headers, which SDP lines, in which direction), without any of the code that it
judges. `expected()` gives the spans that may change and what each becomes; every other byte stays as it is.
"""
import ipaddress
import re
from dataclasses import dataclass, replace

MEDIA_PORTS = range(10000, 32768)
COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
           "c": "content-type", "r": "refer-to", "b": "referred-by", "s": "subject", "k": "supported", "o": "event",
           "y": "identity", "e": "content-encoding", "u": "allow-events", "d": "request-disposition"}
# URIs that others send to: host and port have to be those of the mapping.
ROUTABLE = {"contact": "Contact", "route": "Route", "record-route": "Record-Route", "path": "Path",
            "service-route": "Service-Route", "refer-to": "Refer-To", "reply-to": "Reply-To"}
# Names of somebody: the host alone.
IDENTITY = {"from": "From", "to": "To", "referred-by": "Referred-By", "p-asserted-identity": "P-Asserted-Identity",
            "p-preferred-identity": "P-Preferred-Identity", "diversion": "Diversion",
            "remote-party-id": "Remote-Party-ID"}
NEGOTIATES = {"INVITE", "ACK", "PRACK", "UPDATE"}


def address(text):
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


@dataclass
class Header:
    name: str  # lower case, long form
    value: str  # folds inside
    offset: int  # of the value


class Message:
    """Start line, headers with their folds, body. ValueError for what has no end of its headers."""

    def __init__(self, text):
        self.text = text
        at = len(text) - len(text.lstrip("\r\n"))
        end = text.index("\n", at)
        self.start, self.start_offset = text[at:end].rstrip("\r"), at
        self.headers = []
        at = end + 1
        while True:
            end = text.index("\n", at)
            if not text[at:end].strip("\r"):
                break
            while text[end + 1:end + 2] in (" ", "\t"):
                end = text.index("\n", end + 1)
            name, colon, value = text[at:end].partition(":")
            if colon:
                name = name.strip().lower()
                begin = at + len(text[at:end]) - len(value.lstrip())
                self.headers.append(Header(COMPACT.get(name, name), value.strip(), begin))
            at = end + 1
        self.body_offset = end + 1
        length = self.value("content-length")
        rest = text[self.body_offset:]
        self.body = rest[:int(length)] if length and length.isdigit() else rest
        self.is_request = not self.start.upper().startswith("SIP/")
        self.method = (self.value("cseq") or "").split()[-1:] or [""]
        self.method = self.method[0]
        self.status = 0 if self.is_request else int(self.start.split()[1])

    def value(self, name):
        return next((header.value for header in self.headers if header.name == name), None)

    def values(self, name):
        return [header for header in self.headers if header.name == name]

    def tag(self, name):
        found = re.search(r";\s*tag\s*=\s*([^;,\s]*)", self.value(name) or "")
        return found and found[1]


@dataclass
class Span:
    """`new`: a text, or a function that says whether a text will do. Not `must`: the old text will do, too."""
    offset: int
    length: int
    place: str
    new: object
    must: bool = True


@dataclass
class Host:
    offset: int  # of the host, brackets included
    text: str
    port: int | None
    length: int  # with the port
    parsed: object
    scheme: str = "sip"
    transport: str = ""


HOST = r"(\[[0-9A-Fa-f:.]+\]|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})(?::(\d{1,5}))?(?![\w.:-])"
URI = re.compile(r"(sips?):(?:[^@<>\s\"]*@)?" + HOST, re.I)
SENT_BY = re.compile(r"SIP\s*/\s*2\.0\s*/\s*([\w-]+)\s+(\[[0-9A-Fa-f:.]+\]|\d+\.\d+\.\d+\.\d+)"
                     r"(?:\s*:\s*(\d{1,5}))?(?![\w.-])", re.I)
MADDR = re.compile(r"(;\s*maddr\s*=\s*)(\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:.]+)(?![\w-])", re.I)


def blank_quotes(value):
    """Quoted strings as blanks, so that nothing is found in them."""
    return re.sub(r'"(?:\\.|[^"\\])*"', lambda found: " " * len(found[0]), value, flags=re.S)


def uris(value, offset):
    """The hosts of the URIs of a header's values, with what follows them; of a Request-URI in angle brackets."""
    plain = blank_quotes(value)
    if '"' in plain:
        return  # a quote without its end: no reader knows what is quoted
    for part in re.finditer(r"<([^<>]*)>|(?:^|,)\s*([^<>,;\"]*:[^<>,;\"]*)(?=[,;]|$)", plain):
        group = 1 if part[1] is not None else 2
        inner, at = part[group], part.start(group)
        stripped = inner.lstrip()
        at += len(inner) - len(stripped)
        found = URI.match(stripped)
        # No URI has a blank in it, folded or not (RFC 3261 25.1).
        if not found or (group == 1 and re.match(r"\s+\S", stripped[found.end():])):
            continue
        # Bare, everything behind ';' is the header's (RFC 3261 20).
        parameters = stripped[found.end():].partition("?")[0] if group == 1 else ""
        transport = re.search(r";transport=([^;]*)", parameters, re.I)
        begin = at + found.start(2)
        yield Host(offset + begin, found[2], int(found[3]) if found[3] else None, found.end() - found.start(2),
                   address(found[2]), found[1].lower(), transport[1].lower() if transport else ""), \
            (offset + at + found.end(), parameters)


def top_via(message):
    via = message.values("via")
    found = SENT_BY.match(via[0].value) if via else None
    if not found:
        return None
    end = found.end()
    return Host(via[0].offset + found.start(2), found[2], int(found[3]) if found[3] else None,
                end - found.start(2), address(found[2]), "sips" if found[1].upper() == "TLS" else "sip")


def candidates(message):
    """(where, address, port) that somebody's packets could have: what its top Via, Contact or SDP says."""
    found = []
    via = top_via(message)
    if via and via.parsed:
        found.append(("Via", via.parsed, default_port(via)))
    for header in message.values("contact")[:1]:
        for host, _ in uris(header.value, header.offset):
            if host.parsed:
                found.append(("Contact", host.parsed, default_port(host)))
                break
    for part, _ in sdp_parts(message):
        line = re.search(r"^c=IN IP[46] ([^\s/]+)", part, re.M)
        if line and address(line[1]):
            found.append(("SDP", address(line[1]), 5060))
            break
    return [one for one in found if not (one[1].is_unspecified or one[1].is_multicast) and 0 < one[2] < 65536]


NAME = r"[\w.-]*[A-Za-z][\w.-]*\.[\w.-]+"


def names(message):
    """What the sender and the receiver are called, where that is a name: by Via or the answer's Contact, and by the
    Request-URI or the answer's Via."""
    via = re.match(rf"SIP\s*/\s*2\.0\s*/\s*[\w-]+\s+({NAME})", message.value("via") or "", re.I)
    text = message.start if message.is_request else blank_quotes(message.value("contact") or "")
    uri = re.search(rf"sips?:(?:[^@<>\s]*@)?({NAME})", text, re.I)
    pair = [via and via[1], uri and uri[1]]
    return pair if message.is_request else pair[::-1]


def targets(message):
    """Endpoints that the message is addressed to."""
    if message.is_request and len(message.start.split(" ")) == 3:
        for host, _ in uris(f"<{message.start.split(' ')[1]}>", 0):
            if host.parsed and 0 < default_port(host) < 65536:
                yield host.parsed, default_port(host)


def canonical(value):
    """IPv6 references as they are written anew."""
    def rewritten(found):
        parsed = address(found[0])
        return host_text(parsed) if parsed else found[0]
    return re.sub(r"\[[0-9A-Fa-f:.]+\]", rewritten, value)


def default_port(host):
    return host.port if host.port is not None else (5061 if host.scheme == "sips" else 5060)


def host_text(parsed):
    return f"[{parsed}]" if parsed.version == 6 else str(parsed)


# --- headers ---------------------------------------------------------------------------------------------------------

UDP = ("", "udp")  # transport parameters: none means UDP (RFC 3263 4.1)
TCP = ("tcp",)


def full(host, old, new, place, transports=UDP):
    """Host and port of a URI or sent-by become those of the mapping; a port stays unwritten if it was and may."""
    default = 5061 if host.scheme == "sips" else 5060
    if host.parsed != old[0] or default_port(host) != old[1] or host.transport not in transports:
        return []
    return [Span(host.offset, host.length, place, at_port(host_text(new[0]), new[1], host.port is not None, default))]


def at_port(host, port, written, default):
    """The host with this port; None: with one of the range."""
    if port is None:
        return lambda text: text.startswith(f"{host}:") and is_port(text[len(host) + 1:])
    return f"{host}:{port}" if written or port != default else host


def further_ports(message, old):
    """Ports of the sender's host, with their transports, beside its packet's at which it is to be reached: of Contact, and
    of the top Via of a request over UDP whose answer goes where that says."""
    ports = []
    via = top_via(message)
    if via and message.is_request and via.parsed == old[0]:
        value = message.values("via")[0].value
        top = blank_quotes(value).partition(",")[0]
        if re.match(r"SIP\s*/\s*2\.0\s*/\s*UDP\s", value, re.I) and not re.search(r";\s*rport\s*(=|;|$)", top, re.I):
            ports.append((default_port(via), UDP))
    for header in message.values("contact"):
        for host, (_, parameters) in uris(header.value, header.offset):
            maddr = MADDR.search(parameters)
            own = host.parsed == old[0] or maddr and address(maddr[2]) == old[0]
            transports = [some for some in (UDP, TCP) if host.transport in some]
            if own and host.scheme == "sip" and transports:
                ports.append((default_port(host), *transports))
    return [port for port in dict.fromkeys(ports) if port != (old[1], UDP) and port[0] >= 1024][:8]


def maddr(text, offset, old, new, place):
    for found in MADDR.finditer(text):
        if address(found[2]) == old[0]:
            bare = str(new[0]) if not found[2].startswith("[") else host_text(new[0])
            yield Span(offset + found.start(2), len(found[2]), place,
                       lambda text, bare=bare: text in (bare, f"[{bare}]"), must=False)


ROUTED = re.compile(r"<\s*(sips?):(?:[^@<>\s\"]*@)?(\[[0-9A-Fa-f:.]+\]|[^\s<>@;:?\[\]]+)(?::(\d{1,5}))?"
                    r"(;[^<>?]*)(?:\?[^<>]*)?>", re.I)


def routed(value, offset, old, new, place, transports=UDP):
    """URIs that their maddr sends to the endpoint (RFC 3261 19.1.1): it stands for the host, and the port beside the host
    is its port."""
    for uri in ROUTED.finditer(blank_quotes(value)):
        found = MADDR.search(uri[4])
        transport = re.search(r";transport=([^;]*)", uri[4], re.I)
        default = 5061 if uri[1].lower() == "sips" else 5060
        if not found or address(found[2]) != old[0] or (int(uri[3]) if uri[3] else default) != old[1]:
            continue
        if (transport[1].lower() if transport else "") not in transports:
            continue
        host = host_text(new[0]) if address(uri[2]) == old[0] else uri[2]
        end = uri.end(3) if uri[3] else uri.end(2)
        yield Span(offset + uri.start(2), end - uri.start(2), place, at_port(host, new[1], bool(uri[3]), default))
        bare = str(new[0]) if not found[2].startswith("[") else host_text(new[0])
        yield Span(offset + uri.start(4) + found.start(2), len(found[2]), place, bare)


def uri_spans(value, offset, old, new, place, transports=UDP):
    """Of the URIs of a header's values that name the endpoint."""
    spans = list(routed(value, offset, old, new, place, transports))
    taken = {span.offset for span in spans}
    for host, _ in uris(value, offset):
        spans += [span for span in full(host, old, new, place, transports) if span.offset not in taken]
    return spans


def identity(message, name, value, offset, old, new, must):
    single = name in ("from", "to")
    if single and "," in re.sub(r"<[^<>]*>", "", blank_quotes(value)):
        return  # a display name that would have to be quoted (RFC 4475 3.1.2.6)
    signed = single and message.value("identity") is not None  # RFC 8224
    for host, _ in list(uris(value, offset))[:1 if single else None]:
        if host.parsed != old[0]:
            continue
        if signed:
            place, fresh = "From and To with an Identity", lambda text, was=host.text: text == was
        else:
            place, fresh = IDENTITY[name], host_text(new[0])
        yield Span(host.offset, len(host.text), place, fresh, must)


def headers(message, old, new, outwards):
    """`old`, `new`: address and port of the party that is translated: the sender outwards, else the receiver."""
    if not outwards and message.is_request:
        uri = message.start.split(" ")[1]
        offset = message.start_offset + message.start.index(" ") + 1
        yield from uri_spans("" if "<" in uri else f"<{uri}>", offset - 1, old, new, "Request-URI")
    via = top_via(message)
    if via and message.is_request == outwards and (spans := full(via, old, new, "Via")):
        yield from spans
        header = message.values("via")[0]
        end = via.offset + via.length
        parameters = blank_quotes(header.value)[end - header.offset:].partition(",")[0]
        yield from maddr(parameters, end, old, new, "Via")
        if not outwards:
            for name, fresh in (("received", str(new[0])), ("rport", str(new[1]))):
                was = str(old[0] if name == "received" else old[1])
                found = re.search(rf";\s*{name}\s*=\s*({re.escape(was)})(?![\w.:])", parameters, re.I)
                if found:
                    yield Span(end + found.start(1), len(found[1]), "Via", fresh)
    further = further_ports(message, old) if outwards else []
    for port, transports in further:
        if via and message.is_request:
            yield from full(via, (old[0], port), (new[0], None), "Via", transports)
    for header in message.headers:
        if header.name in ROUTABLE:
            yield from uri_spans(header.value, header.offset, old, new, ROUTABLE[header.name])
            for port, transports in further:
                for span in uri_spans(header.value, header.offset, (old[0], port), (new[0], None), ROUTABLE[header.name],
                                      transports):
                    # An answer alone is none of a call that anybody follows.
                    yield replace(span, must=message.is_request)
        elif header.name in IDENTITY:
            names_receiver = header.name == ("to" if message.is_request else "from") or message.method == "REGISTER"
            if outwards:
                yield from identity(message, header.name, header.value, header.offset, old, new, True)
            elif header.name not in ("from", "to"):
                yield from identity(message, header.name, header.value, header.offset, old, new, False)
            elif names_receiver:
                yield from identity(message, header.name, header.value, header.offset, old, new, True)


# --- SDP -------------------------------------------------------------------------------------------------------------

def content_type(value):
    kind = re.sub(r"\s", "", (value or "").partition(";")[0]).lower()
    boundary = re.search(r";\s*boundary\s*=\s*(?:\"([^\"]*)\"|([^;\s]*))", value or "", re.I)
    return kind, boundary and (boundary[1] or boundary[2])


def sdp_parts(message):
    """(text, offset) of each application/sdp, at any depth of multipart, but not in signed or encrypted ones."""
    yield from parts_of(message.value("content-type"), message.body, message.body_offset)


def parts_of(kind, body, offset, depth=0):
    kind, boundary = content_type(kind)
    if kind == "application/sdp":
        if body.strip():
            yield body, offset
        return
    if not kind.startswith("multipart/") or kind in ("multipart/signed", "multipart/encrypted") or not boundary:
        return
    if depth == 4:
        return
    marks = list(re.finditer(r"(?:^|(?<=\n))--" + re.escape(boundary) + r"(--)?[ \t]*\r?(?:\n|$)", body))
    for i, mark in enumerate(marks):
        if mark[1]:
            break
        end = marks[i + 1].start() if i + 1 < len(marks) else len(body)
        part = body[mark.end():end]
        if i + 1 < len(marks):
            part = part.removesuffix("\n").removesuffix("\r")
        head = re.match(r"(?:[^\r\n]+\r?\n)*\r?\n", part)
        if not head:
            continue
        fields = dict((name.strip().lower(), value.strip()) for name, _, value in
                      (line.partition(":") for line in re.sub(r"\r?\n[ \t]+", " ", head[0]).splitlines()))
        fields = {COMPACT.get(name, name): value for name, value in fields.items()}
        if fields.get("content-transfer-encoding", "").lower() in ("base64", "quoted-printable"):
            continue
        yield from parts_of(fields.get("content-type"), part[head.end():], offset + mark.end() + head.end(), depth + 1)


@dataclass
class Stream:
    fields: list
    port: int
    offset: int
    length: int
    connection: object = None  # its own c=: an address, or False where it is none
    attributes: list = None


def words(line, offset):
    return [(found[0], offset + found.start()) for found in re.finditer(r"[^ \t]+", line)]


def network_address(fields):
    """The address of "IN IP4 192.0.2.1/127"."""
    if len(fields) < 3 or fields[0][0].upper() != "IN":
        return None, None
    text, offset = fields[2][0].partition("/")[0], fields[2][1]
    parsed = address(text) if "[" not in text else None
    if parsed is not None and fields[1][0].upper() != f"IP{parsed.version}":
        parsed = None
    return parsed, (offset, len(text))


def sdp(message, body, offset, old, new, prefix=""):
    """Spans of one body. Outwards only: what comes in names the other side's own endpoints."""
    inside, outside = old[0], new[0]
    session, streams, spans = None, [], []

    def address_span(fields, place):
        parsed, where = network_address(fields)
        if parsed is not None and parsed == inside:
            spans.append(Span(*where, prefix + place, str(outside)))
        return False if parsed is None else parsed

    for found in re.finditer(r"([a-z])=([^\n]*?)\r?(?:\n|$)", body):
        kind, line, at = found[1], found[2], offset + found.start(2)
        fields = words(line, at)
        if kind == "o":
            address_span(fields[-3:], "SDP o=")
        elif kind == "c":
            parsed = address_span(fields, "SDP c=")
            if not streams:
                session = parsed if session is None else session
            elif streams[-1].connection is None:
                streams[-1].connection = parsed
        elif kind == "m" and len(fields) > 2 and (port := re.match(r"\d+", fields[1][0])):
            streams.append(Stream([word for word, _ in fields], int(port[0]), fields[1][1], len(port[0]), None, []))
        elif kind == "a" and streams:
            streams[-1].attributes.append((line, at))
    for stream in streams:
        spans += stream_spans(message, stream, session, inside, outside, prefix)
    return spans


def is_port(text):
    return text.isdigit() and int(text) in MEDIA_PORTS


def stream_spans(message, stream, session, inside, outside, prefix):
    spans = []
    connection = session if stream.connection is None else stream.connection
    held = connection not in (None, False) and connection.is_unspecified
    names = {line.partition(":")[0] for line, _ in stream.attributes}
    active = any(line.replace(" ", "") == "setup:active" for line, _ in stream.attributes)
    count = int((stream.fields[1].partition("/") + ("", ""))[2] or 1) if "/" in stream.fields[1] else 1
    rtp = "RTP/" in stream.fields[2]
    opens = connection == inside and stream.port >= 1024 and not active
    in_dialog = bool(message.tag("to")) and message.status < 300
    negotiates = message.method in NEGOTIATES and (
        in_dialog or (message.is_request and message.method == "INVITE"))
    sure = opens and negotiates and count == 1 and "MSRP" not in stream.fields[2] and stream.port < 65535
    if opens or held and stream.port >= 1024:
        spans.append(Span(stream.offset, stream.length, prefix + "SDP m=", is_port, sure))
    for line, at in stream.attributes:
        name, _, value = line.partition(":")
        fields = words(value, at + len(name) + 1)
        if name == "rtcp" and fields and fields[0][0].isdigit():
            explicit, where = network_address(fields[1:])
            if explicit == inside and where:
                spans.append(Span(*where, prefix + "SDP a=rtcp", str(outside)))
            if opens and int(fields[0][0]) >= 1024 and explicit in (None, inside):
                first = next(one for one, _ in stream.attributes if one.startswith("rtcp:")) == line
                must = sure and rtp and first and not names & {"rtcp-mux", "rtcp-mux-only"}
                spans.append(Span(fields[0][1], len(fields[0][0]), prefix + "SDP a=rtcp", is_port, must))
        elif name == "candidate" and len(fields) >= 8 and fields[7][0] == "host" and opens:
            if address(fields[4][0]) == inside and fields[5][0].isdigit():
                must = sure and int(fields[5][0]) == stream.port and fields[2][0].upper() == "UDP"
                spans.append(Span(fields[4][1], len(fields[4][0]), prefix + "SDP a=candidate", str(outside), must))
                spans.append(Span(fields[5][1], len(fields[5][0]), prefix + "SDP a=candidate", is_port, must))
        elif name == "remote-candidates":
            for i in range(0, len(fields) - 2, 3):
                if address(fields[i + 1][0]) == inside:
                    place = prefix + "SDP a=remote-candidates"
                    spans.append(Span(fields[i + 1][1], len(fields[i + 1][0]), place, str(outside), False))
                    spans.append(Span(fields[i + 2][1], len(fields[i + 2][0]), place, is_port, False))
    return spans


def expected(message, old, new, outwards):
    """All spans that may change, in order."""
    spans = list(headers(message, old, new, outwards))
    if outwards:
        for number, (body, offset) in enumerate(sdp_parts(message)):
            prefix = "another part's " if number else ""
            spans += sdp(message, body, offset, old, new, prefix)
    if any(span.offset >= message.body_offset for span in spans):
        for header in message.values("content-length"):
            spans.append(Span(header.offset, len(header.value), "Content-Length", str.isdigit, False))
    return sorted(spans, key=lambda span: span.offset)


def judge(before, after, spans):
    """What is wrong with `after`, as (kind, place, text); nothing when only these spans changed, and as they should."""
    pattern, at = "", 0
    for span in spans:
        pattern += re.escape(before[at:span.offset])
        old = re.escape(before[span.offset:span.offset + span.length])
        new = r"[\[\]\w.:]{1,60}" if callable(span.new) else re.escape(span.new)
        pattern += f"({new}|{old})"
        at = span.offset + span.length
    found = re.fullmatch(pattern + re.escape(before[at:]), after, re.S)
    if not found:
        yield "changed elsewhere", "", difference(before, after)
        return
    for number, span in enumerate(spans, 1):
        old, new = before[span.offset:span.offset + span.length], found[number]
        good = span.new(new) if callable(span.new) else new == span.new
        if not good and not (new == old and not span.must):
            yield ("left" if new == old else "wrong"), span.place, f"{old} -> {new}"


def difference(before, after):
    before, after = before.splitlines(), after.splitlines()
    lines = [f"{old!r} -> {new!r}" for old, new in zip(before, after) if old != new]
    return "; ".join(lines[:3]) or f"{len(before)} and {len(after)} lines"
