"""kill -9 while messages go both ways, in nft-map mode: nothing is damaged, and nothing has to be released.

A message each way every 20 ms, over several connections; sipnatd is killed in the middle of that and started again. What
passes meanwhile arrives as it was sent, what comes after it may be edited or not, but every message is whole, is there once,
and in its order.
"""

import re
import time

from lab import sdp
from lab.tcp import TcpAgent

NEEDS = {"maps"}
TIMEOUT = 180
LINES, MESSAGES, KILLS = 8, 150, (40, 90)


def run(lab):
    lab.for_sipnat_only()
    lab.mode = "maps"
    with lab.network("phone1", "server", firewall="restricted") as net:
        server = TcpAgent(net["server"], "bob", listens=5060)
        lines = []
        for number in range(LINES):
            phone = TcpAgent(net["phone1"], f"alice{number}")
            lines.append((phone, phone.connect(server.endpoint), server.accept()))
        sent = {}
        for at in range(MESSAGES):
            if at in KILLS:
                net.gateway.kill()
            if at - 10 in KILLS:
                net.gateway.start()
            for phone, out, back in lines:
                invite = phone.request("INVITE", server.identity, body=sdp.audio(phone.node.address, 20000))
                options = server.request("OPTIONS", f"sip:{phone.user}@{back.peer[0]}:{back.peer[1]};transport=tcp")
                for connection, message in ((out, invite), (back, options)):
                    connection.send(message.encode())
                    sent.setdefault(connection, []).append(message["Call-ID"])
            time.sleep(0.02)
        damaged = []
        for phone, out, back in lines:
            for sender, receiver in ((out, back), (back, out)):
                fault = fault_of(receiver, sent[sender])
                if fault:
                    damaged.append(f"{phone} {'out' if sender is out else 'back'}: {fault}")
        lab.log(f"{len(damaged)} of {2 * LINES} directions damaged; {net.gateway.tcp_events()}")
        assert not damaged, "\n".join(damaged)
        edited = [bytes(back.received).count(b"Contact: <sip:alice%d@203.0.113.1:" % number) for number, (_, _, back) in enumerate(lines)]
        assert min(edited) >= KILLS[0] - 10, f"messages of each line that were edited: {edited}"


def fault_of(receiver, call_ids):
    """Waits until as many messages are there. What is wrong with them, if anything."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and receiver.collect().count(b"Call-ID: ") < len(call_ids) and not receiver.ended:
        time.sleep(0.05)
    time.sleep(0.05)
    text = bytes(receiver.collect())
    found = [one.decode() for one in re.findall(rb"Call-ID: ([^\r]*)\r\n", text)]
    if found != call_ids:
        at = next((i for i, (one, other) in enumerate(zip(found, call_ids)) if one != other), min(len(found), len(call_ids)))
        return f"{len(found)} messages of {len(call_ids)}; from {at} on not the same; {receiver.ended or 'open'}"
    end = 0
    for _ in call_ids:
        frame = receiver._frame(end)
        if not frame:
            return "a message has no end"
        if not re.match(rb"[A-Z]+ sip:[^\r\n]* SIP/2.0\r\n", text[frame[0]:]):
            return f"a message begins {text[frame[0]:frame[0] + 60]!r}"
        end = frame[1]
    return "" if end == len(text) else f"{len(text) - end} bytes too many"
