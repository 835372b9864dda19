"""conntrack's table is full (net.netfilter.nf_conntrack_max). What is up stays up; a new phone's packets are the kernel's to drop, and
`sipnatctl status` says so; one that just finds room itself has none for what a call needs beyond: headers are translated, the
body stays as sent. With room again everything is as ever.
"""

import json
from pathlib import Path

from lab import netns, sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent, register
from lab.wait import wait_until

NEEDS = {"expectations", "own_kernel"}
TIMEOUT = 240
ALONE = True
MOST = "net.netfilter.nf_conntrack_max"


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "phone3", "server", firewall="restricted") as net:
        gateway = net.gateway
        provider = UserAgent(net["server"], "bob")
        phone = UserAgent(net["phone1"], "alice")
        register(phone, provider)
        before = AudioCall(phone, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        before.talk()
        # The kernel throws out what is not assured to make room (early_drop), which UDP is once it has lasted for two seconds.
        assure(gateway, before, phone, provider)

        late, later = UserAgent(net["phone2"], "carol"), UserAgent(net["phone3"], "dave")
        with netns.kernel_sysctl(MOST, count(gateway) + 1):
            # The first packet takes the last place; the entry that its expectations hang on finds none.
            silent = AudioCall(late, Media(net["phone2"], 22000), provider, Media(net["server"], 32000))
            assert silent.told[provider].rtp == ("192.168.77.3", 22000), silent.told[provider]
            assert sip.endpoint_of(silent.call.invite_seen["Contact"])[0] == "203.0.113.1", silent.call.invite_seen["Contact"]
            assert "nf_conntrack_max is reached" in gateway.report(), gateway.report()
            refused = json.loads(gateway.control("stats", "--json"))["messages_media_refused"]
            assert refused > 0 and f"{refused} media_refused" in gateway.control("status"), gateway.control("status")
            assert "conntrack's table is full" in gateway.control("status"), gateway.control("status")
            before.talk()
        assert "conntrack's table is full" not in gateway.control("status"), gateway.control("status")

        silent.offer(by=late)
        silent.talk()
        assure(gateway, silent, late, provider)
        with netns.kernel_sysctl(MOST, count(gateway)):
            request = later.request("OPTIONS", provider.identity)
            later.send(request, provider.endpoint)
            for call in (before, silent):
                call.talk()
            assert "conntrack's table is full" in gateway.control("status"), gateway.control("status")
            assert not [flow for flow in gateway.flows() if flow.original.source[0] == "192.168.77.4"], gateway.state()
        register(later, provider)
        after = AudioCall(later, Media(net["phone3"], 24000), provider, Media(net["server"], 34000))
        after.talk()
        for call in (before, silent, after):
            call.hang_up(by=provider)
        gateway.assert_media_closed()


def count(gateway):
    """Of this network namespace, which is what the kernel compares."""
    with netns.inside(gateway.gateway.namespace):
        return int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text())


def assure(gateway, call, phone, provider):
    """By packets both ways until all flows are."""

    def are_assured():
        request = phone.request("OPTIONS", provider.identity)
        provider.reply(seen := phone.deliver(request, provider.endpoint, provider), provider.response(seen.message, 200), phone)
        call.talk()
        flows = [line for line in gateway.gateway.run("conntrack", "-L", check=False).splitlines() if "src=" in line]
        return all("[ASSURED]" in line for line in flows)

    wait_until(are_assured, "all flows to be assured", state=gateway.state)
