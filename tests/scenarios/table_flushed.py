"""The administrator's firewall is loaded anew ("flush ruleset") while sipnatd runs: the table comes back by itself, the daemon
says so, the call that is up goes on, and the next one works as well. A registered phone whose conntrack entry is deleted by hand
is reached at once, before it has said a word.
"""

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "server") as net:
        gateway = net.gateway
        node = gateway.gateway
        provider = UserAgent(net["server"], "bob")
        alice = UserAgent(net["phone1"], "alice")
        contact = sip.uri_of(register(alice, provider)[0].message["Contact"])
        call = AudioCall(alice, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        call.talk()

        node.run("nft", "delete", "table", "inet", gateway.table)
        wait_until(lambda: gateway.table in node.run("nft", "list", "tables"), "the table to be there again", 20,
                   state=gateway.report)
        assert "is gone" not in gateway.control("status")  # it answers when all of it is loaded
        assert f"somebody changed table inet {gateway.table}" in gateway.report(), gateway.report()
        call.talk()
        carol = UserAgent(net["phone2"], "carol")
        other = AudioCall(carol, Media(net["phone2"], 22000), provider, Media(net["server"], 32000))
        other.talk()
        for one, phone in ((call, alice), (other, carol)):
            one.hang_up(by=phone)
        gateway.assert_media_closed()

        node.run("conntrack", "-D", "-p", "udp", "-s", alice.endpoint[0], "--dport", "5060")
        options = provider.request("OPTIONS", contact)
        arrived = provider.deliver(options, sip.endpoint_of(contact), alice)
        assert arrived.message.uri == alice.contact, arrived.message.uri
