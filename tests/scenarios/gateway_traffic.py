"""SIP of the gateway itself is none of sipnat's business: its own requests, and scans of its port 5060.

It is not changed, not queued, and leaves no entry that outlives plain UDP's 180 s (a scanner would fill the table).
"""

from lab.scanner import Scanner, assert_none_lasts
from lab.ua import UserAgent

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


def answered_request(net):
    server = UserAgent(net["server"], "server")
    local = UserAgent(net["gateway"], "monitor", port=5070)
    options = local.request("OPTIONS", server.identity)
    seen = local.deliver(options, server.endpoint, server)
    assert seen.raw == options.encode(), f"the gateway's own request was changed:\n{seen.message}"
    answer = server.response(seen.message, 200, tag="s")
    assert server.reply(seen, answer, local).raw == answer.encode()
