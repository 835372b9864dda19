"""The outside address changes (DHCP, PPPoE) while a phone is registered: its registration is shown as stale, the phone's next
REGISTER leaves with the new address, and calls reach it there. The old address never leaves again.

Not with maps: their outside address is a setting.
"""

import json

from lab import sip
from lab.ua import UserAgent, register
from lab.wait import wait_until

NEEDS = {"expectations"}
TIMEOUT = 300
OLD, NEW = "203.0.113.1", "203.0.113.2"


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server") as net:
        gateway = net.gateway
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        seen, _ = register(phone, provider)
        assert seen.source[0] == OLD, seen.source

        node = gateway.gateway
        node.run("ip", "addr", "add", f"{NEW}/24", "dev", "wan0")
        node.run("ip", "addr", "del", f"{OLD}/24", "dev", "wan0")
        node.run("ip", "addr", "replace", f"{NEW}/24", "dev", "wan0")  # it went with the first one, if that was its primary
        wait_until(lambda: [one["stale"] for one in registrations(net)] == [True], "the registration to be stale", 90,
                   state=gateway.report)
        assert "STALE" in gateway.control("registrations")

        seen, _ = register(phone, provider)
        contact = sip.uri_of(seen.message["Contact"])
        assert seen.source[0] == NEW and NEW in contact, f"from {seen.source}, Contact {contact}"
        wait_until(lambda: [(one["stale"], one["outside"].split(":")[0]) for one in registrations(net)] == [(False, NEW)],
                   "the new registration to be shown", 30, state=lambda: str(registrations(net)))
        call = provider.request("OPTIONS", contact)
        arrived = provider.deliver(call, sip.endpoint_of(contact), phone)
        assert arrived.message.uri == phone.contact, arrived.message.uri


def registrations(net):
    return json.loads(net.gateway.control("registrations", "--json"))["registrations"]
