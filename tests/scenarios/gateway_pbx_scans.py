"""With a PBX on the gateway (nat.gateway_pbx) its SIP is looked at, and a scan leaves no more entries than without.

What the PBX itself registers is what lasts, from its 200 on.
"""

from lab.scanner import Scanner, assert_none_lasts
from lab.ua import UserAgent, register
from lab.wait import wait_until

NEEDS = {"expectations"}
TIMEOUT = 120


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server", "outside", config="") as net:
        gateway = net.gateway
        scanner = Scanner(net)
        before = gateway.packets_queued()
        gateway.config.write_text("[nat]\ngateway_pbx = true\n")
        gateway.reload()
        wait_until(lambda: "PBX on the gateway" in gateway.control("status"), "the reload", state=gateway.report)
        scanner.scan()
        assert gateway.packets_queued() > before, "no packet of the gateway's own was queued"
        assert_none_lasts(gateway)
        registration_lasts(net)


def registration_lasts(net):
    pbx = UserAgent(net["gateway"], "pbx")
    provider = UserAgent(net["server"], "provider")
    request = pbx.request("REGISTER", "sip:203.0.113.10", to=f"<{pbx.identity}>")
    seen = pbx.deliver(request, provider.endpoint, provider)
    provider.reply(seen, provider.response(seen.message, 401, tag="r"), pbx)
    assert_none_lasts(net.gateway)
    register(pbx, provider, cseq=2)
    assert lasts(net, pbx, provider), "\n".join(net.gateway.state())
    pbx.send(b"\r\n\r\n", provider.endpoint)
    provider.expect(lambda message: message.start == "", "keepalive")
    assert lasts(net, pbx, provider), "\n".join(net.gateway.state())


def lasts(net, pbx, provider):
    [flow] = [one for one in net.gateway.flows() if one.original.source == pbx.endpoint and one.original.destination == provider.endpoint]
    return flow.timeout > 180
