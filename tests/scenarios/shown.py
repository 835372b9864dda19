"""What `sipnatctl` shows of a gateway at work: registrations, calls with the packets of their media, a stream that goes one way
only, what is mapped, all counters; and a reload that can't be."""

import json

from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
SETTINGS = "[nat]\nkeep_ports = false\n"


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "server", config=SETTINGS) as net:
        gateway = net.gateway
        for command in ("calls", "media", "registrations"):
            assert gateway.control(command).startswith("no "), gateway.control(command)
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        register(phone, provider)
        call = AudioCall(phone, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        call.talk()

        [shown] = asked(net, "calls")
        assert (shown["state"], shown["begun_by"], shown["inside"], shown["remote"]) == (
            "established", "inside", phone.endpoint[0], provider.endpoint[0]), shown
        streams = shown["streams"]
        assert [(one["media"], one["component"], one["inside"], one["remote"]) for one in streams] == [
            ("audio", "rtp", "192.168.77.2:20000", ["203.0.113.10:30000"]),
            ("audio", "rtcp", "192.168.77.2:20001", ["203.0.113.10:30001"])], streams
        wait_until(lambda: packets(net) == [(5, 5), (5, 5)], "all packets to be counted", state=gateway.report)
        assert "ONE-WAY" not in gateway.control("calls"), gateway.control("calls")
        assert shown["call_id"] in gateway.control("calls"), gateway.control("calls")

        one_way(net, call, phone, provider)
        mapped(net, call, phone, streams)
        faulty_reload(net)


def asked(net, command):
    return json.loads(net.gateway.control(command, "--json"))[command]


def packets(net):
    return [(one["packets_sent"], one["packets_received"]) for one in asked(net, "calls")[0]["streams"]]


def one_way(net, call, phone, provider):
    """The phone hears nothing of a second call: only it sends."""
    carol = UserAgent(net["phone2"], "carol")
    other = AudioCall(carol, Media(net["phone2"], 22000), provider, Media(net["server"], 32000))
    other.media[carol].send(other.told[carol], 60)
    text = ""

    def is_named():
        nonlocal text
        text = net.gateway.control("calls")
        return "60 out, 0 in  ONE-WAY: nothing comes in" in text

    wait_until(is_named, "the one-way stream to be named", state=lambda: text)
    assert text.count("ONE-WAY") == 1, text
    other.hang_up(by=carol)
    assert len(asked(net, "calls")) == 1, net.gateway.control("calls")


def mapped(net, call, phone, streams):
    mappings = asked(net, "media")
    assert [(one["outside"], one["inside"], one["state"]) for one in mappings if one["inside"].startswith(phone.endpoint[0])] == [
        (one["outside"], one["inside"], "open") for one in streams], mappings
    assert {one["state"] for one in mappings if one["inside"].startswith("192.168.77.3")} == {"resting"}, mappings
    stats = json.loads(net.gateway.control("stats", "--json"))
    assert (stats["calls"], stats["registrations"], stats["mappings"]) == (1, 1, 4), stats
    assert stats["messages_rewritten"] > 10 and stats["holes_opened"] == 8 and stats["holes_closed"] == 4, stats
    call.hang_up(by=phone)
    net.gateway.assert_media_closed()


def faulty_reload(net):
    gateway = net.gateway
    assert gateway.control("reload") == "settings reloaded\n"
    settings = gateway.config.read_text()
    gateway.config.write_text(settings.replace("keep_ports = false\n", "keep_ports = false\non_no_media = \"nothing\"\n"))
    text = gateway.control("reload", check=False)
    assert "sipnat.toml:" in text and "on_no_media" in text and text.endswith("the running settings stay\n"), text
    assert json.loads(gateway.control("reload", "--json", check=False))["reloaded"] is False
    gateway.config.write_text(settings)
    assert json.loads(gateway.control("reload", "--json")) == {"reloaded": True, "faults": [], "warnings": []}
