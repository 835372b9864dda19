"""The kernel refuses an expectation, and nothing is left by halves.

    one of another program's is there   the call gets another port, and nobody notices
    nf_nat_sip was unloaded             headers are translated, the body stays as sent: no sound, until it is loaded again
"""

import json

from lab import netns
from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent, register

NEEDS = {"expectations", "own_kernel"}
TIMEOUT = 180
ALONE = True


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server", firewall="restricted") as net:
        provider = UserAgent(net["server"], "bob")
        phone = UserAgent(net["phone1"], "alice")
        register(phone, provider)
        taken(net, phone, provider)
        module_gone(net, phone, provider)


def taken(net, phone, provider):
    """Of the other program's two, one is as wide as ours and one is narrower; each on one of the ports that the phone has."""
    gateway = net.gateway
    master = ("--orig-src", "192.168.77.2", "--orig-dst", "203.0.113.10", "--orig-port-src", "5060", "--orig-port-dst", "5060")
    for source, mask, port in (("0.0.0.0", "0.0.0.0", 20000), ("203.0.113.10", "255.255.255.255", 20011)):
        gateway.gateway.run(
            "conntrack", "-I", "expect", "-p", "udp", "-t", "300", *master, "--tuple-src", source, "--tuple-dst", "203.0.113.1",
            "--tuple-port-src", "0", "--tuple-port-dst", str(port), "--mask-src", mask, "--mask-dst", "255.255.255.255",
            "--mask-port-src", "0", "--mask-port-dst", "65535")
    strange = gateway.expectations()
    assert len(strange) == 2, strange
    for port in (20000, 20010):
        call = AudioCall(phone, Media(net["phone1"], port), provider, Media(net["server"], 30000 + port))
        assert call.told[provider].rtp[1] != port, "the call got a port that another program expects media on"
        call.talk()
        call.hang_up(by=phone)
    there = {one.expected for one in gateway.expectations()}
    assert there >= {one.expected for one in strange}, f"{strange} were there, and now {there}"
    gateway.gateway.run("conntrack", "-F", "expect")


def module_gone(net, phone, provider):
    gateway = net.gateway
    netns.run("modprobe", "-r", "nf_nat_sip")
    try:
        silent = AudioCall(phone, Media(net["phone1"], 21000), provider, Media(net["server"], 31000))
    finally:
        netns.run("modprobe", "nf_nat_sip")
    assert silent.told[provider].rtp == ("192.168.77.2", 21000), silent.told[provider]
    assert "203.0.113.1" in silent.call.invite_seen["Contact"], silent.call.invite_seen["Contact"]
    assert not gateway.expectations(), gateway.expectations()
    refused = json.loads(gateway.control("stats", "--json"))["messages_media_refused"]
    assert refused > 0 and f"{refused} media_refused" in gateway.control("status"), gateway.control("status")
    assert "media_refused: " in gateway.report() and "load nf_nat_sip" in gateway.report(), gateway.report()

    silent.offer(by=phone)
    silent.talk()
    silent.hang_up(by=provider)
    gateway.assert_media_closed()
