"""The same packets through the kernel's own SIP helper and through sipnat: what arrives of each.

Every row is something that phones send. A row's verdict is "right", "dropped", or what was changed wrongly. sipnat has
to have all of them right; the kernel's column is asserted where it was measured first, on 6.1.
The table goes to competition.txt beside the results.
"""

import os

from lab import sdp, sip
from lab.rtp import Media
from lab.sip import Message
from lab.ua import Call, Relay, UserAgent, register, same

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
PHONE = "192.168.77.2"
GATEWAY = "203.0.113.1"

# Kernels differ in this one: 6.1.192 passes it. The row is there to be seen.
KERNELS_DIFFER = {"TAB after the headers' colons"}


def run(lab):
    columns = {}
    for arm in ("kernel", "sipnat") if lab.arm == "sipnat" else (lab.arm,):
        with lab.network("phone1", "phone2", "server", arm=arm) as net:
            columns[arm] = {name: case(net) for name, case in CASES.items()}
    lab.log(table(columns))
    (lab.out / "competition.txt").write_text(table(columns))

    if "sipnat" in columns:
        wrong = {name: verdict for name, verdict in columns["sipnat"].items() if verdict != "right"}
        assert not wrong, f"sipnat: {wrong}"
    if "kernel" in columns and os.uname().release.startswith("6.1."):
        unexpected = [name for name, verdict in columns["kernel"].items() if verdict == "right" and name not in KERNELS_DIFFER]
        assert not unexpected, f"the kernel's helper does these right after all: {unexpected}"


def table(columns: dict[str, dict[str, str]]) -> str:
    width = max(map(len, CASES))
    lines = [f"kernel {os.uname().release}", ""]
    for name in CASES:
        lines += [f"{name:{width}}  {arm:6}  {verdicts[name]}" for arm, verdicts in columns.items()]
    return "\n".join(lines) + "\n"


class Case:
    """A phone's INVITE, changed in one respect, and the judgement of what arrives."""

    number = 0

    def __init__(self, change, judge, port=None):
        """`port`: the phone's; by default every case has a flow of its own."""
        self.change = change
        self.judge = judge
        self.port = port

    def __call__(self, net) -> str:
        Case.number += 1
        phone = UserAgent(net["phone1"], "alice", port=self.port or 5100 + Case.number)
        server = UserAgent(net["server"], "bob")
        try:
            sent = self.change(phone.request("INVITE", server.identity, body=sdp.audio(PHONE, 20000 + 10 * Case.number)))
            arrived = through(phone, server, sent)
            return "dropped" if arrived is None else self.judge(sent, arrived)
        finally:
            phone.socket.close()
            server.socket.close()


def through(phone: UserAgent, server: UserAgent, sent: Message) -> Message | None:
    """Sends it once. An OPTIONS on its heels shows when it would have arrived."""
    sentinel = phone.request("OPTIONS", server.identity)
    phone.deliver(phone.request("OPTIONS", server.identity), server.endpoint, server)
    phone.send(sent, server.endpoint)
    phone.send(sentinel, server.endpoint)
    arrived = server.expect(lambda message: same(sent)(message) or same(sentinel)(message), "INVITE or OPTIONS").message
    return None if same(sentinel)(arrived) else arrived


def judge(*checks):
    """Right if every check is; else what is wrong. The headers and the Content-Length are part of every judgement."""

    def verdict(sent: Message, arrived: Message) -> str:
        faults = [fault for check in (headers_translated, length_right, *checks) if (fault := check(sent, arrived))]
        return "; ".join(faults) or "right"

    return verdict


def headers_translated(_: Message, arrived: Message) -> str | None:
    for name in ("Via", "Contact"):
        if PHONE in arrived[name]:
            return f"{name} as sent: {arrived[name]}"
    return None


def length_right(sent: Message, arrived: Message) -> str | None:
    if not sent.values("Content-Length"):
        return None
    stated = int(arrived["Content-Length"])
    return None if stated == len(arrived.body) else f"Content-Length {stated}, body {len(arrived.body)}"


def sdp_line(start: str, wanted: str | None = None):
    """The body has the line `wanted`; by default, one with the gateway's address and not the phone's."""

    def check(_: Message, arrived: Message) -> str | None:
        found = sdp.line(arrived.body, start)
        good = found == wanted if wanted else PHONE not in found and GATEWAY in found
        return None if good else f"arrives as {found}"

    return check


def in_body(old: str, new: str):
    """Replaces text in the body; the Content-Length follows."""

    def change(message: Message) -> Message:
        assert old.encode() in message.body
        message.body = message.body.replace(old.encode(), new.encode())
        return message

    return change


def tabs(message: Message) -> Message:
    message.headers = [(name, f"\t{len(message.body) if value == 'auto' else value}") for name, value in message.headers]
    return message


def identity_with_address(message: Message) -> Message:
    return message.with_header("From", f"<sip:alice@{PHONE}>;tag=t")


def identity_without_port(_: Message, arrived: Message) -> str | None:
    wanted = f"<sip:alice@{GATEWAY}>;tag=t"
    return None if arrived["From"] == wanted else f"From arrives as {arrived['From']}"


def multipart(message: Message) -> Message:
    message.body = (b"--b\r\nContent-Type: application/sdp\r\n\r\n" + message.body
                    + b"\r\n--b\r\nContent-Type: application/x\r\n\r\nx\r\n--b--\r\n")
    return message.with_header("Content-Type", "multipart/mixed;boundary=b")


def rtcp_moved(_: Message, arrived: Message) -> str | None:
    [stream] = sdp.streams(arrived.body)
    return None if stream.rtcp[0] == GATEWAY else f"a=rtcp names {stream.rtcp[0]}"


def same_rtp_port(net) -> str:
    """Two phones, one RTP port, one server: the second INVITE."""
    server = UserAgent(net["server"], "bob")
    verdict = "?"
    for host in ("phone1", "phone2"):
        phone = UserAgent(net[host], host)
        sent = phone.request("INVITE", server.identity, body=sdp.audio(net[host].address, 20000))
        arrived = through(phone, server, sent)
        verdict = "dropped" if arrived is None else judge(sdp_line("c="))(sent, arrived)
        phone.socket.close()
    server.socket.close()
    return verdict


def local_call(net) -> str:
    """Two phones of the LAN meet at a server that relays: what each hears of the other, and from where."""
    relay = Relay(net["server"])
    phones = [UserAgent(net[host], host) for host in ("phone1", "phone2")]
    media = {phone: Media(phone.node, port) for phone, port in zip(phones, (29000, 29100))}
    try:
        for phone in phones:
            register(phone, relay)
        caller, callee = phones
        call = Call(caller, callee, to=relay.endpoint, offer=media[caller].describe(), relay=relay)
        call.establish(media[callee].describe())
        told = {phone: sdp.streams(message.body)[0] for phone, message in ((caller, call.ok_seen), (callee, call.invite_seen))}
        for phone in phones:
            media[phone].rtp.send(told[phone].rtp, 3)
        # On its heels, and a longer way: by now media that does arrive is there.
        for phone in phones:
            contact = relay.bindings[f"sip:{phone.user}"]
            relay.deliver(relay.request("OPTIONS", contact), sip.endpoint_of(contact), phone)
        faults = []
        for phone, other in (phones, phones[::-1]):
            received = media[phone].rtp.collect()
            right = sum(one == (media[other].rtp.name, told[phone].rtp) for one in zip(received.senders, received.sources))
            if right < 3:
                faults.append(f"{phone.user} hears {len(received)} of 3 packets, {right} of them from where it is told")
        return "; ".join(faults) or "right"
    finally:
        for agent in (relay, *phones):
            agent.socket.close()


CASES = {
    "a call between two phones of the LAN": local_call,
    "second phone with the same RTP port": same_rtp_port,
    "SDP without Content-Length": Case(lambda message: message.without_header("Content-Length"), judge(sdp_line("c="))),
    "a name in c=": Case(in_body(f"c=IN IP4 {PHONE}", "c=IN IP4 media.example.org"), judge(sdp_line("c=", "c=IN IP4 media.example.org"))),
    "c=IN IP6 over IPv4": Case(in_body(f"c=IN IP4 {PHONE}", "c=IN IP6 2001:db8::7"), judge(sdp_line("c=", "c=IN IP6 2001:db8::7"))),
    "m=audio 9, as ICE has it": Case(lambda message: in_body(sdp.line(message.body, "m=").split()[1] + " RTP", "9 RTP")(message),
                                     judge(sdp_line("m=", "m=audio 9 RTP/AVP 8 101"), sdp_line("c="))),
    "TAB after the headers' colons": Case(tabs, judge(sdp_line("c="))),
    "hold with 0.0.0.0": Case(in_body(f"c=IN IP4 {PHONE}", "c=IN IP4 0.0.0.0"), judge(sdp_line("c=", "c=IN IP4 0.0.0.0"), sdp_line("o="))),
    "From with an address and no port": Case(identity_with_address, judge(identity_without_port, sdp_line("c=")), port=5060),
    "a=rtcp with an address": Case(in_body("a=sendrecv", f"a=rtcp:20999 IN IP4 {PHONE}"), judge(rtcp_moved)),
    "SDP in a multipart body": Case(multipart, judge(sdp_line("c="))),
}
