"""Somebody who tries the gateway's own SIP port, and what that leaves in conntrack."""

import time

from lab.ua import UserAgent
from lab.wait import DEADLINE, wait_until


def assert_none_lasts(gateway):
    flows = gateway.flows()
    assert flows, "conntrack shows no flow"
    lasting = [flow for flow in flows if flow.timeout > 180]
    assert not lasting, "entries that last:\n" + "\n".join(map(str, lasting))


class Scanner:
    """Asks the gateway's port 5060."""

    def __init__(self, net):
        self.gateway = net["gateway"]
        self.conntrack = net.gateway
        self.plain = UserAgent(net["outside"], "scanner")
        # Is answered at the port that its Via names, which makes another flow.
        self.crooked = UserAgent(net["outside"], "crooked", port=5082, via="203.0.113.11:5083")
        self.elsewhere = UserAgent(net["outside"], "elsewhere", port=5083)
        self.silent = net["outside"].udp_socket(5080)
        self.silent.connect(("203.0.113.1", 5060))
        self.silent.settimeout(1)

    def scan(self):
        """Once while a program listens there, and once when none does."""
        listening = UserAgent(self.gateway, "local")
        self._ask(self.plain, listening, self.plain)
        self._ask(self.crooked, listening, self.elsewhere)
        self._answer_the_answer(listening)
        listening.socket.close()
        self._scan_closed_port(self.plain.request("INVITE", "sip:100@203.0.113.1").encode())

    @staticmethod
    def _ask(asking, listening, gets_answer):
        request = asking.request("OPTIONS", "sip:100@203.0.113.1")
        seen = asking.deliver(request, listening.endpoint, listening)
        assert seen.raw == request.encode(), f"a scan was changed:\n{seen.message}"
        listening.reply(seen, listening.response(seen.message, 404, tag="l"), gets_answer)

    def _answer_the_answer(self, listening):
        """On the flow that the gateway opened: whatever comes back, it must not last. Each packet could undo what the
        one before it did, so each is looked at."""
        register = listening.request("REGISTER", "sip:203.0.113.11")
        forged = self.elsewhere.response(register, 200, tag="f", contact=f"<{listening.contact}>;expires=3600").encode()
        wait_until(lambda: self._send_until_stream(listening.endpoint), "a flow with more than an unanswered one's timeout",
                   state=self.conntrack.state)
        for data in (b"x", b"\r\n\r\n", forged):
            self.elsewhere.send(data, listening.endpoint)
            start = data.decode().split("\r\n", maxsplit=1)[0]
            listening.expect(lambda message, start=start: message.start == start, f"“{start}” from the scanner")
            assert_none_lasts(self.conntrack)

    def _send_until_stream(self, to):
        """A flow that is answered counts as that only when it is two seconds old: then another timeout holds."""
        self.elsewhere.send(b"x", to)
        return any(flow.timeout > 30 and flow.original.source == to and flow.original.destination == self.elsewhere.endpoint
                   for flow in self.conntrack.flows())

    def _scan_closed_port(self, request):
        """Sends until the ICMP error says that the scan has been dealt with."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                self.silent.send(request)
                self.silent.recv(100)
            except ConnectionRefusedError:
                return
            except TimeoutError:
                continue
        raise AssertionError("no ICMP error from the gateway's closed port")
