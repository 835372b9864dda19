"""A phone that was restarted registers from another port than before, with the Contact that it had.

    sends from  192.168.77.2:40000, then 192.168.77.2:41000
    listens on  192.168.77.2:5062, on the same port outside all the time

Nothing is sent on its first flow any more, which ends, and what hangs on that flow in the kernel with it. Calls come in at
the Contact all the same, within the minute that sipnatd takes to look.
"""

import json

from lab import sip
from lab.ua import UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server") as net:
        phone = UserAgent(net["phone1"], "alice", port=5062, sends_from=40000)
        provider = UserAgent(net["server"], "bob")

        seen, _ = register(phone, provider)
        contact = sip.uri_of(seen.message["Contact"])
        phone.sender = net["phone1"].udp_socket(41000)
        seen, _ = register(phone, provider)
        assert sip.uri_of(seen.message["Contact"]) == contact, f"the new flow moved the Contact to {seen.message['Contact']}"

        known = json.loads(net.gateway.control("registrations", "--json"))["registrations"]
        assert [(one["contact"], one["inside"]) for one in known] == [
            ("alice@192.168.77.2:5062", "192.168.77.2:40000"), ("alice@192.168.77.2:5062", "192.168.77.2:41000")], f"registered: {known}"

        net.gateway.gateway.run("conntrack", "-D", "-p", "udp", "--orig-src", phone.endpoint[0], "--sport", "40000")
        wait_until(net.gateway.open_signalling, "the Contact's port to be open again", 90, state=net.gateway.state)

        probe = provider.request("OPTIONS", contact)
        arrived = provider.deliver(probe, sip.endpoint_of(contact), phone)
        assert arrived.message.uri == phone.contact, f"the phone reads Request-URI {arrived.message.uri}"
