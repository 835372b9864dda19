"""A server outside moves the media of a phone from one party to another: inside, outside, at the server itself.

    phone1 192.168.77.2 --- [gateway] ---+--- server  203.0.113.10 (a B2BUA)
    phone2 192.168.77.3 ---              +--- outside 203.0.113.11
    phone3 192.168.77.4 ---

Alice and Bob talk directly; the server parks Alice (music from itself), and Carol picks her up: directly again. Then the
server forks a call of Alice's to an inside and an outside phone: whichever answers is told, and heard, where it is.
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    with lab.network("phone1", "phone2", "phone3", "server", "outside", firewall="restricted") as net:
        server = UserAgent(net["server"], "server")
        phones = {host: UserAgent(net[host], host) for host in ("phone1", "phone2", "phone3")}
        contacts = {}
        for host, phone in phones.items():
            seen, _ = register(phone, server)
            contacts[host] = sip.uri_of(seen.message["Contact"])
        parked(net, server, phones, contacts)
        for number, winner in enumerate(("phone2", "outside")):
            forked(net, server, phones, contacts, winner, 30000 + 20 * number)
        net.gateway.assert_media_closed()


def parked(net, server, phones, contacts):
    alice, bob, carol = phones.values()
    media = {agent: Media(agent.node, 20000) for agent in (alice, bob, carol)}
    music = Media(net["server"], 40000)

    def leg(agent, offer):
        """The server calls; the phone's description as the server gets it."""
        contact = contacts[agent.node.name]
        call = Call(server, agent, to=sip.endpoint_of(contact), uri=contact, offer=offer)
        call.invite()
        [read] = sdp.streams(call.invite_seen.body)
        ok = call.answer(media[agent].describe())
        call.ack()
        return call, read, ok.body

    def move(call, agent, description):
        """A re-INVITE of the server's: what the phone reads, and its description."""
        request = call.request(server, "INVITE", description)
        [read] = sdp.streams(request.seen.body)
        return read, request.respond(200, media[agent].describe()).body

    # Alice calls; the server calls Bob with her description.
    hers = Call(alice, server, to=server.endpoint, offer=media[alice].describe())
    hers.invite()
    his, read_by_bob, description_of_bob = leg(bob, hers.invite_seen.body)
    [read_by_alice] = sdp.streams(hers.answer(description_of_bob).body)
    hers.ack()
    expect_direct(read_by_bob, media[alice])
    expect_direct(read_by_alice, media[bob])
    talk(media[alice], read_by_alice, media[bob], read_by_bob)

    his.hang_up(by=server)
    read_by_alice, description_of_alice = move(hers, alice, music.describe())
    assert read_by_alice.components == tuple(port.endpoint for port in music.ports), f"Alice is parked at {read_by_alice}"
    [outside] = sdp.streams(description_of_alice)
    talk(music, outside, media[alice], read_by_alice)

    third, read_by_carol, description_of_carol = leg(carol, description_of_alice)
    read_by_alice, _ = move(hers, alice, description_of_carol)
    expect_direct(read_by_carol, media[alice])
    expect_direct(read_by_alice, media[carol])
    talk(media[carol], read_by_carol, media[alice], read_by_alice)
    third.hang_up(by=carol)
    hers.hang_up(by=server)


def forked(net, server, phones, contacts, winner, port):
    alice, bob = phones["phone1"], phones["phone2"]
    media = {"alice": Media(net["phone1"], port), "phone2": Media(net["phone2"], port), "outside": Media(net["outside"], port)}
    call = Call(alice, server, to=server.endpoint, offer=media["alice"].describe())
    call.invite()
    [offered] = sdp.streams(call.invite_seen.body)
    inner = Call(server, bob, to=sip.endpoint_of(contacts["phone2"]), uri=contacts["phone2"], offer=call.invite_seen.body)
    inner.invite()
    [read_by_bob] = sdp.streams(inner.invite_seen.body)
    expect_direct(read_by_bob, media["alice"])
    ringing = inner.respond(183, media["phone2"].describe())
    descriptions = {"phone2": ringing.body, "outside": media["outside"].describe()}
    told = {}
    for host, description in descriptions.items():
        [told[host]] = sdp.streams(call.respond(183, description, tag=host).body)
    expect_direct(told["phone2"], media["phone2"])
    expect_direct(told["outside"], media["outside"])  # which is where it says itself
    talk(media["phone2"], read_by_bob, media["alice"], told["phone2"])
    talk(media["outside"], offered, media["alice"], told["outside"])

    if winner == "phone2":
        inner.answer(media["phone2"].describe())
        inner.ack()
    else:
        inner.cancel()
    call.answer(descriptions[winner], tag=winner)
    call.ack()
    talk(media["alice"], told[winner], media[winner], read_by_bob if winner == "phone2" else offered)
    if winner == "outside":
        wait_until(lambda: net.gateway.open_ports() == list(offered.components), "Bob's ports to be closed", state=net.gateway.state)
    else:
        inner.hang_up(by=bob)
    call.hang_up(by=alice)


def expect_direct(stream, media):
    wanted = tuple(port.endpoint for port in media.ports)
    assert stream.components == wanted, f"told {stream.components}, it is at {wanted}"
