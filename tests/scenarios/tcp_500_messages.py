"""520 messages over one connection, 260 each way, most of them several at a time and cut anywhere: both streams arrive to the byte as
they were sent but for the translated addresses (lab.translation says what has to come), and the connection goes on as if nothing
had become shorter or longer.

Requests both ways, then what they are answered, in rounds. Calls with descriptions are among them, and what looks like an address
and is none of the gateway's business: in a Call-ID, in a User-Agent, in the text of a MESSAGE.
"""

import random
import time

from lab import sdp, sip
from lab.sip import Message
from lab.tcp import TcpAgent
from lab.translation import inwards, outwards

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
ALONE = True
ROUNDS = 13
BATCH = 10
PHONE = "192.168.77.2"


def run(lab):
    with lab.network("phone1", "server", firewall="restricted") as net:
        phone, server = TcpAgent(net["phone1"], "alice"), TcpAgent(net["server"], "bob", listens=5060)
        out = phone.connect(server.endpoint)
        back = server.accept()
        streams = Streams(out, back, translates=lab.arm != "route")
        contact = f"sip:alice@{back.peer[0]}:{back.peer[1]};transport=tcp"
        dice = random.Random(1)
        began = time.monotonic()
        for number in range(ROUNDS):
            asked_out = [from_phone(phone, number * BATCH + place) for place in range(BATCH)]
            asked_in = [to_phone(server, contact, number * BATCH + place) for place in range(BATCH)]
            seen_outside = streams.carry(out, asked_out, dice)
            seen_inside = streams.carry(back, asked_in, dice)
            streams.compare()
            streams.carry(back, [answer(server, one) for one in seen_outside], dice)
            streams.carry(out, [answer(phone, one, sdp.audio(PHONE, 22000 + 2 * (number % 5))) for one in seen_inside], dice)
            streams.compare()
        took = time.monotonic() - began
        lab.log(f"{streams.messages} messages, {len(out.received)} bytes in and {len(back.received)} out, in {took:.1f} s")
        assert streams.messages == 520
        # The outside port is the connection's own, and the end of it arrives.
        out.close()
        assert back.wait_ended() == "closed"


class Streams:
    """What has to arrive on either side."""

    def __init__(self, out, back, translates):
        self.out = out
        self.back = back
        self.wanted = {out: b"", back: b""}
        """By the end that it arrives at."""
        self.translates = translates
        self.messages = 0

    def carry(self, sender, messages, dice):
        """Sends them as one stream in pieces; returns them as they have to arrive."""
        inside, outside = self.out.local, self.back.peer
        receiver, translate = (self.back, outwards) if sender is self.out else (self.out, inwards)
        arriving = [translate(one, inside, outside) if self.translates else one for one in messages]
        self.wanted[receiver] += b"".join(arriving)
        self.messages += len(messages)
        stream = b"".join(messages)
        while stream:
            length = dice.choice((1, 20, 300, 700, 1200, 3000, len(stream)))
            sender.send(stream[:length])
            stream = stream[length:]
        return arriving

    def compare(self):
        for end, wanted in self.wanted.items():
            end.expect(wanted)


def from_phone(phone, number):
    trap = [("User-Agent", f"a phone at {PHONE} ({PHONE}:5060)"), ("Subject", f"<sip:x@{PHONE}>")]
    kind = number % 5
    if kind == 0:
        return phone.request("REGISTER", "sip:203.0.113.10", headers=[("Expires", "600"), *trap]).encode()
    if kind == 1:
        return phone.request("INVITE", "sip:bob@203.0.113.10", body=sdp.audio(PHONE, 20000 + 2 * number), headers=trap).encode()
    if kind == 2:
        return phone.request("MESSAGE", "sip:bob@203.0.113.10", call_id=f"{number}@{PHONE}", body=f"I am at {PHONE}:5060\r\n\r\nc=IN IP4 {PHONE}".encode(),
                             headers=[("Content-Type", "text/plain")]).encode()
    if kind == 3:
        return phone.request("OPTIONS", "sip:bob@203.0.113.10", from_=f"<sip:alice@{PHONE}>;tag={number}").encode() + b"\r\n\r\n"
    message = phone.request("SUBSCRIBE", "sip:bob@203.0.113.10", headers=[("Event", "presence")])
    message.headers = [(sip_compact(name), value) for name, value in message.headers]
    return message.encode()


def to_phone(server, contact, number):
    kind = number % 3
    if kind == 0:
        return server.request("INVITE", contact, body=sdp.audio("203.0.113.10", 30000 + 2 * number)).encode()
    if kind == 1:
        return server.request("MESSAGE", contact, body=b"Your address is 203.0.113.1", headers=[("Content-Type", "text/plain")]).encode()
    return b"\r\n" + server.request("NOTIFY", contact, body=b"x" * (number * 10), headers=[("Content-Type", "text/x")]).encode()


def answer(agent, raw, description=b""):
    request = Message.parse(raw.strip(b"\r\n") + b"\r\n\r\n" if b"Content-Length: 0" in raw else raw.lstrip(b"\r\n"))
    body = description if request.method == "INVITE" else b""
    status = 200 if request.method != "INVITE" or description else 486
    contact = request["Contact"] + ";expires=600" if request.method == "REGISTER" else f"<{agent.contact}>"
    return agent.response(request, status, tag=agent.user, body=body, contact=contact if status == 200 else None).encode()


def sip_compact(name):
    compact = {full: short for short, full in sip.COMPACT.items()}
    return compact.get(sip.canonical(name), name)
