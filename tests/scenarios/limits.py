"""[limits], each for one inside host and for all of them: what is over one works as far as it can without, the other hosts have
theirs, and `sipnatctl` and the log say which limit it was.

    dialogs     the call's headers are translated, its body is not: no sound, and it can be hung up
    media       the same
    bindings    the registration works; a reboot of the gateway will lose it
"""

import json

from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    lab.for_sipnat_only()
    hosts = ("phone1", "phone2", "server")
    with lab.network(*hosts, config='[limits]\nbindings = "1/2"\n', firewall="restricted") as net:
        bindings(net)
    with lab.network(*hosts, config='[limits]\ndialogs = "2/3"\n', firewall="restricted") as net:
        calls(net, "call_limit")
    # Two ports a call.
    with lab.network(*hosts, config='[limits]\nmedia = "4/6"\n', firewall="restricted") as net:
        calls(net, "media_limit")


def bindings(net):
    gateway = net.gateway
    provider = UserAgent(net["server"], "bob")
    known = []
    for host, port, over in (("phone1", 5060, 0), ("phone1", 5062, 1), ("phone2", 5060, 1), ("phone2", 5062, 2)):
        phone = UserAgent(net[host], f"{host}-{port}", port=port)
        seen, answer = register(phone, provider)
        assert phone.contact in answer.message["Contact"] and "203.0.113.1" in seen.message["Contact"], answer.message
        if port == 5060:
            known.append(phone.endpoint[0])
        assert stats(gateway)["registrations_over_limits"] == over, stats(gateway)
        assert [one["inside"].split(":")[0] for one in shown(gateway, "registrations")] == known, shown(gateway, "registrations")
    assert "2 over limits.bindings" in gateway.control("status"), gateway.control("status")
    wait_until(lambda: gateway.report().count("limits.bindings") > 0, "the log to say so", state=gateway.report)


def calls(net, limit):
    """Two of a host, three of all."""
    gateway = net.gateway
    provider = UserAgent(net["server"], "bob")
    phones = [UserAgent(net["phone1"], "alice"), UserAgent(net["phone2"], "carol")]
    made = []
    for number, (phone, has_sound) in enumerate(((phones[0], True), (phones[0], True), (phones[0], False), (phones[1], True), (phones[1], False))):
        inside = Media(phone.node, 20000 + 10 * number)
        call = AudioCall(phone, inside, provider, Media(net["server"], 30000 + 10 * number))
        made.append((call, has_sound))
        assert "203.0.113.1" in call.call.invite_seen["Contact"], call.call.invite_seen["Contact"]
        if has_sound:
            call.talk()
        else:
            assert call.told[provider].rtp == (inside.address, inside.port), call.told[provider]
            assert f"{limit}: {phone.endpoint[0]}:" in gateway.report(), gateway.report()
    counted = stats(gateway)[f"messages_{limit}"]
    assert counted > 0 and f"{counted} {limit}" in gateway.control("status"), gateway.control("status")
    for call, has_sound in made:
        if has_sound:
            call.talk()
        call.hang_up(by=provider)
    gateway.assert_media_closed()


def stats(gateway):
    return json.loads(gateway.control("stats", "--json"))


def shown(gateway, what):
    return json.loads(gateway.control(what, "--json"))[what]
