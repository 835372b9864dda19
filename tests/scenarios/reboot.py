"""The gateway is booted anew while two phones are registered: all of the kernel's state is gone, and calls reach both at once,
before either of them has said a word.

    phone1  192.168.77.2:5060, its Contact as well
    phone2  sends from 192.168.77.3:40000, Contact 192.168.77.3:5062
"""

import json

from lab import sip
from lab.ua import UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "server") as net:
        provider = UserAgent(net["server"], "bob")
        phones = [UserAgent(net["phone1"], "alice"), UserAgent(net["phone2"], "carol", port=5062, sends_from=40000)]
        contacts = [sip.uri_of(register(phone, provider)[0].message["Contact"]) for phone in phones]
        before = registrations(net)
        assert len(before) == 2, f"registered: {before}"

        boot_anew(net)
        after = registrations(net)
        assert [dict(one, expires_in=0) for one in after] == [dict(one, expires_in=0) for one in before], f"{after} after {before}"
        for phone, contact in zip(phones, contacts):
            call = provider.request("OPTIONS", contact)
            arrived = provider.deliver(call, sip.endpoint_of(contact), phone)
            assert arrived.message.uri == phone.contact, f"{phone} reads Request-URI {arrived.message.uri}"


def registrations(net):
    return json.loads(net.gateway.control("registrations", "--json"))["registrations"]


def boot_anew(net):
    """What a reboot leaves: the state file, of a boot with another id. The kernel has forgotten everything."""
    net.gateway.kill()
    node = net.gateway.gateway
    node.run("nft", "delete", "table", "inet", net.gateway.table)
    for table in ("conntrack", "expect"):
        node.run("conntrack", "-F", table)
    path = net.gateway.folder / "state"
    header, _, lines = path.read_bytes().partition(b"\n")
    magic, version, boot = header.split()
    path.write_bytes(b" ".join((magic, version, bytes(reversed(boot)))) + b"\n" + lines)
    net.gateway.start()
