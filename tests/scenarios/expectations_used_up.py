"""The kernel's table of expectations is full (net.netfilter.nf_conntrack_expect_max). A call's headers are translated all the same
and its body stays as sent, with nothing opened by halves: it can be hung up, and has no sound. sipnatd says why. With room again
the next call is as ever; one that was up before never noticed.
"""

import json

from lab import netns
from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent, register

NEEDS = {"expectations", "own_kernel"}
TIMEOUT = 180
ALONE = True
MOST = "net.netfilter.nf_conntrack_expect_max"


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "server", firewall="restricted") as net:
        gateway = net.gateway
        provider = UserAgent(net["server"], "bob")
        phone, other = UserAgent(net["phone1"], "alice"), UserAgent(net["phone2"], "carol")
        for one in (phone, other):
            register(one, provider)
        before = AudioCall(phone, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        before.talk()

        open_media = gateway.open_media()
        # Room for RTP's expectation, and none for RTCP's.
        with netns.kernel_sysctl(MOST, len(gateway.expectations()) + 1):
            silent = AudioCall(other, Media(net["phone2"], 22000), provider, Media(net["server"], 32000))
            told = silent.told[provider].rtp
            assert told == ("192.168.77.3", 22000), f"the provider is told {told}"
            assert "203.0.113.1" in silent.call.invite_seen["Contact"], silent.call.invite_seen["Contact"]
            assert gateway.open_media() == open_media, f"{open_media} let media in, and now {gateway.open_media()}"
            before.talk()
            refused = json.loads(gateway.control("stats", "--json"))["messages_media_refused"]
            assert refused > 0 and f"{refused} media_refused" in gateway.control("status"), gateway.control("status")
            assert "nf_conntrack_expect_max is reached" in gateway.report(), gateway.report()
            assert "nf_conntrack_expect_max is" in gateway.control("status"), gateway.control("status")

        # Room again: a re-INVITE gives sound to the call that had none.
        silent.offer(by=other)
        silent.talk()
        silent.hang_up(by=provider)
        after = AudioCall(other, Media(net["phone2"], 24000), provider, Media(net["server"], 34000))
        after.talk()
        for call in (before, after):
            call.hang_up(by=provider)
        gateway.assert_media_closed()
