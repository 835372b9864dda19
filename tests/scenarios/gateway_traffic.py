"""SIP of the gateway itself is none of sipnat's business: its own requests, and scans of its port 5060.

It is not changed, not queued, and leaves no entry that outlives plain UDP's 180 s (a scanner would fill the table).
"""

import time

from lab.ua import UserAgent
from lab.wait import DEADLINE

NEEDS = {"cthelper", "glue", "nft_queue"}
TIMEOUT = 120


def run(lab):
    with lab.network("phone1", "server", "outside") as net:
        server = UserAgent(net["server"], "server")
        before = net.gateway.packets_queued()

        local = UserAgent(net["gateway"], "monitor", port=5070)
        options = local.request("OPTIONS", server.identity)
        seen = local.deliver(options, server.endpoint, server)
        assert seen.raw == options.encode(), f"the gateway's own request was changed:\n{seen.message}"
        answer = server.response(seen.message, 200, tag="s")
        assert server.reply(seen, answer, local).raw == answer.encode()

        # A scan where a program listens, and one where none does.
        scanner = UserAgent(net["outside"], "scanner")
        listening = UserAgent(net["gateway"], "local")
        scan = scanner.request("OPTIONS", "sip:100@203.0.113.1")
        seen = scanner.deliver(scan, listening.endpoint, listening)
        assert seen.raw == scan.encode(), f"a scan was changed:\n{seen.message}"
        listening.reply(seen, listening.response(seen.message, 404, tag="l"), scanner)
        listening.socket.close()
        scan_closed_port(net["outside"].udp_socket(5080), scanner.request("INVITE", "sip:100@203.0.113.1").encode())

        assert net.gateway.packets_queued() == before, f"{net.gateway.packets_queued() - before} packets of the gateway's own were queued"
        lasting = [flow for flow in net.gateway.flows() if flow.timeout > 180]
        assert not lasting, "entries that last:\n" + "\n".join(map(str, lasting))


def scan_closed_port(socket, request):
    """Sends until the ICMP error says that the scan has been dealt with."""
    socket.connect(("203.0.113.1", 5060))
    socket.settimeout(1)
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            socket.send(request)
            socket.recv(100)
        except ConnectionRefusedError:
            return
        except TimeoutError:
            continue
    raise AssertionError("no ICMP error from the gateway's closed port")
