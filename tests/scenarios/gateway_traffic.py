"""SIP of the gateway itself is none of sipnat's business: its own requests, and scans of its port 5060.

It is not changed, not queued, and leaves no entry that outlives plain UDP's 180 s (a scanner would fill the table).
With a PBX on the gateway (nat.gateway_pbx) it is queued, and a scan leaves no more than without.
"""

import time

from lab.ua import UserAgent
from lab.wait import DEADLINE, wait_until

NEEDS = {"cthelper", "glue", "nft_queue"}
TIMEOUT = 120


def run(lab):
    with lab.network("phone1", "server", "outside", config="") as net:
        gateway = net.gateway
        scanner = Scanner(net)
        before = gateway.packets_queued()
        answered_request(net)
        scanner.scan()
        assert gateway.packets_queued() == before, f"{gateway.packets_queued() - before} packets of the gateway's own were queued"
        assert_none_lasts(gateway)

        if lab.arm != "sipnat":
            return
        gateway.config.write_text("[nat]\ngateway_pbx = true\n")
        gateway.reload()
        wait_until(lambda: "PBX on the gateway" in gateway.control("status"), "the reload", state=gateway.report)
        gateway.gateway.run("conntrack", "-F")
        scanner.scan()
        assert gateway.packets_queued() > before, "no packet of the gateway's own was queued"
        assert_none_lasts(gateway)


def answered_request(net):
    server = UserAgent(net["server"], "server")
    local = UserAgent(net["gateway"], "monitor", port=5070)
    options = local.request("OPTIONS", server.identity)
    seen = local.deliver(options, server.endpoint, server)
    assert seen.raw == options.encode(), f"the gateway's own request was changed:\n{seen.message}"
    answer = server.response(seen.message, 200, tag="s")
    assert server.reply(seen, answer, local).raw == answer.encode()


def assert_none_lasts(gateway):
    flows = gateway.flows()
    assert flows, "conntrack shows no flow"
    lasting = [flow for flow in flows if flow.timeout > 180]
    assert not lasting, "entries that last:\n" + "\n".join(map(str, lasting))


class Scanner:
    """Asks the gateway's port 5060."""

    def __init__(self, net):
        self.gateway = net["gateway"]
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
        listening.socket.close()
        self._scan_closed_port(self.plain.request("INVITE", "sip:100@203.0.113.1").encode())

    @staticmethod
    def _ask(asking, listening, gets_answer):
        request = asking.request("OPTIONS", "sip:100@203.0.113.1")
        seen = asking.deliver(request, listening.endpoint, listening)
        assert seen.raw == request.encode(), f"a scan was changed:\n{seen.message}"
        listening.reply(seen, listening.response(seen.message, 404, tag="l"), gets_answer)

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
