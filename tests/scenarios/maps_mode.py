"""sipnatd in nft-map mode, whatever the kernel could do: outbound and inbound calls, and what is this mode's own.

The outside port of signalling is the daemon's choice, and stays the phone's when conntrack has forgotten the flow: who the
phone has talked to calls in, and nobody else. A ruleset that is flushed comes back by itself, and a restart in mid-call
loses nothing.
"""

import json
from pathlib import Path

from lab import scenario, sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register
from lab.wait import wait_until

NEEDS = {"maps"}
TIMEOUT = 300


def run(lab):
    lab.for_sipnat_only()
    lab.mode = "maps"
    for name in ("call_outbound", "call_inbound"):
        scenario.load(Path(__file__).with_name(f"{name}.py")).run(lab)
    with lab.network("phone1", "server", "outside") as net:
        phone = UserAgent(net["phone1"], "alice")
        server = UserAgent(net["server"], "bob")
        status(net)
        forgotten_flow(net, phone, server)
        flushed_and_restarted(net, phone, server)
        ports_that_rest(net, phone, server)
        net.gateway.assert_media_closed()


def status(net):
    text = net.gateway.control("status")
    assert "udp 5060, tcp 5060" in text and "wan0 203.0.113.1: inside 192.168.0.0/16" in text, text
    answer = json.loads(net.gateway.control("status", "--json"))
    assert (answer["mode"], answer["mode_why"], answer["table_loaded"]) == ("maps", "nat.mode says so", True), answer
    assert not answer["warnings"], answer["warnings"]


def forgotten_flow(net, phone, server):
    """The flow's entry is gone, as after two minutes of silence: the server reaches the phone, a stranger does not."""
    seen, _ = register(phone, server)
    contact = sip.uri_of(seen.message["Contact"])
    assert seen.source == ("203.0.113.1", 5060), f"the phone's own port was free, but it is seen at {seen.source}"
    stranger = UserAgent(net["outside"], "mallory")
    guarded = dropped(net)
    stranger.send(stranger.request("OPTIONS", contact), sip.endpoint_of(contact))
    wait_until(lambda: dropped(net) > guarded, "the stranger's packet to be dropped", state=net.gateway.state)

    net.gateway.gateway.run("conntrack", "-D", "-p", "udp", check=False)
    other_port = UserAgent(net["server"], "bob", port=5080)
    options = other_port.request("OPTIONS", contact)
    arrived = other_port.deliver(options, sip.endpoint_of(contact), phone)
    assert arrived.message.uri == phone.contact, f"the phone reads {arrived.message.uri}"
    phone.reply(arrived, phone.response(arrived.message, 200, tag="p"), other_port)
    assert not any("OPTIONS" in start for start in phone.ignored), phone.ignored
    assert not [flow for flow in net.gateway.flows() if flow.original.source[0] == stranger.endpoint[0]]


def dropped(net):
    """Packets that the guard stopped."""
    listed = json.loads(net.gateway.gateway.run("nft", "-j", "list", "chain", "inet", net.gateway.table, "guard"))
    return sum(part["counter"]["packets"] for one in listed["nftables"] if "rule" in one
               for part in one["rule"]["expr"] if "counter" in part)


def establish(net, phone, server, port):
    inside, outside = Media(net["phone1"], port), Media(net["server"], port + 10000)
    call = Call(phone, server, to=server.endpoint, offer=sdp.audio(inside.address, port))
    call.establish(sdp.audio(outside.address, port + 10000))
    [offered], [answered] = sdp.streams(call.invite_seen.body), sdp.streams(call.ok_seen.body)
    return call, inside, outside, answered, offered


def flushed_and_restarted(net, phone, server):
    call, inside, outside, answered, offered = establish(net, phone, server, 20000)
    talk(inside, answered, outside, offered)
    assert len(net.gateway.media_flows()) == 2, net.gateway.state()
    before = net.gateway.open_media()
    net.gateway.gateway.run("nft", "delete", "table", "inet", net.gateway.table)
    wait_until(lambda: "loading it again" in net.gateway.report(), "the daemon to notice", state=net.gateway.report)
    wait_until(lambda: "MISSING" not in net.gateway.control("status"), "the table", state=net.gateway.report)
    wait_until(lambda: net.gateway.open_media() == before, "the media's elements", state=net.gateway.state)

    net.gateway.stop()
    talk(outside, offered, inside, answered)
    net.gateway.start()
    assert net.gateway.open_media() == before, net.gateway.state()
    # Its flows are forgotten, by an outage say: the maps alone have to know its ports, and signalling's.
    net.gateway.gateway.run("conntrack", "-D", "-p", "udp", check=False)
    talk(outside, offered, inside, answered)
    bye = call.hang_up(by=server)
    assert bye.uri == phone.contact, f"the phone reads BYE {bye.uri}"
    net.gateway.assert_media_closed()


def ports_that_rest(net, phone, server):
    """Late packets to a port that is closed make no entry."""
    call, _, outside, _, offered = establish(net, phone, server, 20010)
    call.hang_up(by=phone)
    net.gateway.assert_media_closed()
    guarded = dropped(net)
    outside.send(offered, 3)
    wait_until(lambda: dropped(net) >= guarded + 6, "the late packets to be dropped", state=net.gateway.state)
    assert not net.gateway.media_flows(), net.gateway.state()
