"""With a PBX on the gateway (nat.gateway_pbx) its SIP is looked at, and a scan leaves no more entries than without."""

from lab.scanner import Scanner, assert_none_lasts
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
