"""A PBX on the gateway itself (nat.gateway_pbx), and an input chain that admits only SIP and what conntrack expects.

    phone1 192.168.77.2:5062 --- 192.168.77.1 [gateway, PBX] 203.0.113.1 ---+--- provider 203.0.113.10
                                                                            +--- trunk    203.0.113.11
                                                                            +--- carrier  203.0.113.12

Nothing of it is translated, but its media has to be expected, or the gateway drops it. In each call the far side's
media comes first: it is not an answer to anything. Translated after all is a PBX whose port outside is another's
already, and one that sends from its inside address.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.topology import Node
from lab.ua import Call, UserAgent, register
from lab.wait import wait_until

NEEDS = {"expectations"}
TIMEOUT = 300
INPUT = """
table ip local {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        udp dport 5060 accept
    }
}
"""


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server", "outside", "media", firewall="restricted", config="") as net:
        gateway = net.gateway
        gateway.gateway.run("nft", "-f", "-", stdin=INPUT)
        wan = net["gateway"]
        lan = Node(net.network, "gateway", "192.168.77.1")
        pbx = UserAgent(wan, "pbx")
        pbx_inside = UserAgent(lan, "pbx", domain="192.168.77.1")
        phone = UserAgent(net["phone1"], "alice", port=5062, domain="192.168.77.1")
        provider = UserAgent(net["server"], "provider")
        trunk = UserAgent(net["outside"], "trunk")
        carrier = UserAgent(net["media"], "carrier")

        unseen(net, pbx, provider)
        switch(gateway, "true")

        # On a flow that has no helper yet.
        registration_lasts(gateway, pbx, provider)
        untouched(call(pbx, Media(wan, 40000), provider, Media(net["server"], 30000)))
        scan_then_call(gateway, trunk, Media(net["outside"], 30010), pbx, Media(wan, 40010))
        untouched(call(phone, Media(net["phone1"], 30020), pbx_inside, Media(lan, 40020)))
        # A phone listens on any port: the PBX's own says that this is SIP.
        gateway.gateway.run("conntrack", "-D", "-p", "udp", "--orig-src", phone.endpoint[0])
        untouched(call(pbx_inside, Media(lan, 40030), phone, Media(net["phone1"], 30030)))

        masqueraded_port(net, pbx, carrier)
        from_inside_address(net, pbx_inside, lan, provider)
        port_in_use(net, pbx, carrier)
        gateway.assert_media_closed()

        switch(gateway, "false")
        unseen(net, pbx, provider)


def call(caller, caller_media, callee, callee_media):
    """A call with sound both ways, the callee's first; hung up by the callee. Returns it."""
    made = Call(caller, callee, to=callee.endpoint, offer=sdp.audio(caller_media.address, caller_media.port))
    made.establish(sdp.audio(callee_media.address, callee_media.port))
    [offered] = sdp.streams(made.invite_seen.body)
    [answered] = sdp.streams(made.ok_seen.body)
    talk(callee_media, offered, caller_media, answered)
    made.hang_up(by=callee)
    return made


def untouched(made):
    assert made.invite_seen.encode() == made.invite_sent.encode(), f"the INVITE was changed:\n{made.invite_seen}"
    assert made.ok_seen.encode() == made.ok_sent.encode(), f"the 200 was changed:\n{made.ok_seen}"


def unseen(net, pbx, provider):
    """Without the setting the gateway's own SIP is not queued, and nothing is expected for it."""
    before = net.gateway.packets_queued()
    made = Call(pbx, provider, to=provider.endpoint, offer=sdp.audio(pbx.endpoint[0], 40000))
    made.establish(sdp.audio(provider.endpoint[0], 30000))
    assert not net.gateway.expectations(), f"expected: {net.gateway.expectations()}"
    made.hang_up(by=pbx)
    assert net.gateway.packets_queued() == before, "the gateway's own SIP was queued"


def switch(gateway, value):
    gateway.config.write_text(f"[nat]\ngateway_pbx = {value}\n")
    gateway.reload()
    wait_until(lambda: ("PBX on the gateway" in gateway.control("status")) == (value == "true"), f"gateway_pbx = {value}",
               state=gateway.report)


def flow_between(gateway, source, destination):
    [flow] = [one for one in gateway.flows() if one.original.source == source and one.original.destination == destination]
    return flow


def registration_lasts(gateway, pbx, provider):
    register(pbx, provider)
    flow = flow_between(gateway, pbx.endpoint, provider.endpoint)
    assert flow.timeout > 3000, f"the PBX's registration does not last: {flow}"


def scan_then_call(gateway, trunk, trunk_media, pbx, pbx_media):
    """Who asks the PBX something leaves nothing that lasts; once media hangs on the flow it does."""
    ask(trunk, pbx)
    flow = flow_between(gateway, trunk.endpoint, pbx.endpoint)
    assert flow.timeout <= 180, f"a question lasts: {flow}"

    wait_until(lambda: not gateway.open_media(), "the last call's expectations to end", state=gateway.state)
    made = Call(trunk, pbx, to=pbx.endpoint, offer=sdp.audio(trunk_media.address, trunk_media.port))
    made.invite()
    assert not gateway.open_media(), "a stranger's offer opened something"
    made.answer(sdp.audio(pbx_media.address, pbx_media.port))
    made.ack()
    ask(trunk, pbx)
    flow = flow_between(gateway, trunk.endpoint, pbx.endpoint)
    assert flow.timeout > 3000, f"the call's flow does not last: {flow}"
    untouched(made)
    [offered] = sdp.streams(made.invite_seen.body)
    [answered] = sdp.streams(made.ok_seen.body)
    talk(trunk_media, answered, pbx_media, offered)
    made.hang_up(by=trunk)


def ask(agent, pbx):
    seen = agent.deliver(agent.request("OPTIONS", pbx.identity), pbx.endpoint, pbx)
    pbx.reply(seen, pbx.response(seen.message, 200, tag="p"), agent)


def masqueraded_port(net, pbx, carrier):
    """A phone's flow has the gateway's port 5060 towards this carrier already: the PBX leaves from another."""
    phone = UserAgent(net["phone1"], "bob", domain="203.0.113.12")
    seen, _ = register(phone, carrier)
    assert seen.source == pbx.endpoint, f"the phone left from {seen.source}"
    pbx_media = Media(net["gateway"], 40040)
    made = call(pbx, pbx_media, carrier, Media(net["media"], 30040))
    contact = sip.endpoint_of(sip.uri_of(made.invite_seen["Contact"]))
    assert contact[0] == pbx.endpoint[0] and contact != pbx.endpoint, f"the carrier sees Contact {contact}"
    [offered] = sdp.streams(made.invite_seen.body)
    assert offered.rtp == pbx_media.rtp.endpoint, f"the PBX's media is announced at {offered.rtp}"


def from_inside_address(net, pbx, lan, provider):
    """What the PBX sends from its inside address is masqueraded like a phone's, and so is its media."""
    made = call(pbx, Media(lan, 40050), provider, Media(net["server"], 30050))
    [offered] = sdp.streams(made.invite_seen.body)
    assert offered.rtp[0] == "203.0.113.1", f"the PBX's media is announced at {offered.rtp}"
    assert "192.168.77." not in str(made.invite_seen), f"an inside address got out:\n{made.invite_seen}"


def port_in_use(net, pbx, carrier):
    """A phone's media has the gateway's port already (the PBX's RTP ports lie in nat.media_ports): shown, and no harm to the phone."""
    phone = UserAgent(net["phone1"], "carol", port=5064, domain="203.0.113.12")
    inside, outside = Media(net["phone1"], 20000), Media(net["media"], 30060)
    first = Call(phone, carrier, to=carrier.endpoint, offer=sdp.audio(inside.address, inside.port))
    first.establish(sdp.audio(outside.address, outside.port))
    [offered] = sdp.streams(first.invite_seen.body)
    [answered] = sdp.streams(first.ok_seen.body)
    assert offered.rtp == ("203.0.113.1", 20000), f"the phone's media is announced at {offered.rtp}"

    second = Call(pbx, carrier, to=carrier.endpoint, offer=sdp.audio("203.0.113.1", 20000))
    second.invite()
    assert "203.0.113.1:20000 is the outside port of another's media" in net.gateway.report(), net.gateway.report()
    second.respond(488)
    talk(outside, offered, inside, answered)
    first.hang_up(by=phone)
