"""Two phones of one LAN that meet outside, and other descriptions than one audio stream's.

    phone1 192.168.77.2 ---+--- [gateway] --- server 203.0.113.10
    phone2 192.168.77.3 ---

    video          audio and video, with one c= for both or one each; the answer takes both, or the audio only
    muxed          the offer would have RTCP on RTP's port (RFC 5761), and the answer agrees, or does not
    fax            audio becomes T.38, by either side's re-INVITE, and audio again
    click to dial  the server calls both; the one's offer comes in its 200, and the answer goes to it in the ACK
    named inside   a media server inside is announced for a phone (nat.media_hosts): it is the host of the media that counts

All of it with the media direct, and by the outside address.
"""

from lab import sdp, sip
from lab.audio import AudioCall
from lab.rtp import Media, talk
from lab.ua import Call, Relay, UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
GATEWAY = "203.0.113.1"


def run(lab):
    lab.for_sipnat_only()
    for way in ("direct", "hairpin"):
        config = f'[nat]\nlocal_media = "{way}"\nmedia_hosts = ["192.168.77.4"]\n'
        with lab.network("phone1", "phone2", "phone3", "server", config=config, firewall="restricted") as net:
            relay = Relay(net["server"])
            phones = alice, bob = [UserAgent(net[host], user) for host, user in (("phone1", "alice"), ("phone2", "bob"))]
            for phone in phones:
                register(phone, relay)
            meeting = Meeting(relay, alice, bob, way == "direct")
            for number, (at_media, takes_both) in enumerate(((False, True), (True, True), (False, False), (True, False))):
                video(meeting, 20000 + 20 * number, at_media, takes_both)
            for number, agrees in enumerate((True, False)):
                muxed(meeting, 21000 + 20 * number, agrees)
            fax(net, meeting)
            click_to_dial(meeting)
            named_inside(net, meeting)
            net.gateway.assert_media_closed()


class Meeting:
    """Who meets where, and what each has to be told of the other."""

    def __init__(self, relay, alice, bob, direct):
        self.relay = relay
        self.alice = alice
        self.bob = bob
        self.direct = direct

    def dial(self, offer, answer):
        """The call, and the streams that Bob and Alice read."""
        call = Call(self.alice, self.bob, to=self.relay.endpoint, offer=offer, relay=self.relay).establish(answer)
        return call, sdp.streams(call.invite_seen.body), sdp.streams(call.ok_seen.body)

    def expect(self, told, media):
        self.expect_at(told, tuple(port.endpoint for port in media.ports))

    def expect_at(self, told, inside):
        if self.direct:
            assert told.components == inside, f"who is at {inside} is said to be at {told.components}"
        else:
            assert {address for address, _ in told.components} == {GATEWAY}, f"who is at {inside} is said to be at {told.components}"


def video(meeting, port, at_media, takes_both):
    """`at_media`: each line has its own c=, and the session's names nobody."""
    alices, bobs = ([Media(agent.node, port), Media(agent.node, port + 10)] for agent in (meeting.alice, meeting.bob))

    def describe(media, takes_video=True):
        address = media[0].address
        at = f"c=IN IP4 {address}\r\n" if at_media else ""
        lines = [f"m=audio {media[0].port} RTP/AVP 8\r\n{at}a=rtpmap:8 PCMA/8000\r\n",
                 f"m=video {media[1].port if takes_video else 0} RTP/AVP 96\r\n{at}a=rtpmap:96 VP8/90000\r\n"]
        return sdp.session("0.0.0.0" if at_media else address, *lines, origin=address)

    call, offered, answered = meeting.dial(describe(alices), describe(bobs, takes_both))
    assert takes_both or answered[1].rtp[1] == 0, f"{meeting.alice} reads {answered}"
    for index in range(2 if takes_both else 1):
        meeting.expect(offered[index], alices[index])
        meeting.expect(answered[index], bobs[index])
        talk(alices[index], answered[index], bobs[index], offered[index])
    call.hang_up(by=meeting.alice)


def muxed(meeting, port, agrees):
    alices, bobs = Media(meeting.alice.node, port), Media(meeting.bob.node, port)
    mux = "a=rtcp-mux\r\n"
    call, [offered], [answered] = meeting.dial(alices.describe(extra=mux), bobs.describe(extra=mux if agrees else ""))
    meeting.expect(offered, alices)
    meeting.expect_at(sdp.Stream("audio", answered.components[:1] if agrees else answered.components),
                      tuple(one.endpoint for one in bobs.ports[:1 if agrees else 2]))
    if agrees:
        for ours in (alices, bobs):
            ours.ports = ours.ports[:1]
        offered, answered = (sdp.Stream(stream.kind, stream.components[:1]) for stream in (offered, answered))
    talk(alices, answered, bobs, offered)
    talk(bobs, offered, alices, answered)
    call.hang_up(by=meeting.bob)


def fax(net, meeting):
    alice, bob = meeting.alice, meeting.bob
    call = AudioCall(alice, Media(alice.node, 22000), bob, Media(bob.node, 22000), relay=meeting.relay)
    call.talk()
    audio = net.gateway.open_ports()
    for number, asking in enumerate((alice, bob)):
        papers = {agent: Media(agent.node, 22020 + 10 * number, fax=True) for agent in (alice, bob)}
        other = call.call.other(asking)
        request = call.call.request(asking, "INVITE", describe_fax(papers[asking]))
        [read_by_other] = sdp.streams(request.seen.body)
        [read_by_asking] = sdp.streams(request.respond(200, describe_fax(papers[other])).body)
        meeting.expect(read_by_other, papers[asking])
        meeting.expect(read_by_asking, papers[other])
        talk(papers[other], read_by_other, papers[asking], read_by_asking)
        call.offer(other)
        call.talk(first=asking)
        wait_until(lambda: net.gateway.open_ports() == audio, "the fax's ports to be closed", state=net.gateway.state)
    call.hang_up(by=alice)


def describe_fax(media):
    return sdp.session(media.address, f"m=image {media.port} udptl t38\r\na=T38FaxVersion:0\r\na=T38FaxRateManagement:transferredTCF\r\n")


def click_to_dial(meeting):
    """RFC 3725, flow I."""
    alice, bob, server = meeting.alice, meeting.bob, meeting.relay
    alices, bobs = Media(alice.node, 23000), Media(bob.node, 23000)
    hers, his = (Call(server, agent, to=sip.endpoint_of(contact), uri=contact)
                 for agent in (alice, bob) for contact in [server.bindings[f"sip:{agent.user}"]])
    hers.invite()
    his.invite_sent = server.request("INVITE", his.invite_sent.uri, body=hers.answer(alices.describe()).body)
    [read_by_bob] = sdp.streams(his.invite().body)
    answer = his.answer(bobs.describe()).body
    his.ack()
    [read_by_alice] = sdp.streams(hers.ack(answer).body)
    meeting.expect(read_by_bob, alices)
    meeting.expect(read_by_alice, bobs)
    talk(bobs, read_by_bob, alices, read_by_alice)
    talk(alices, read_by_alice, bobs, read_by_bob)
    hers.hang_up(by=alice)
    his.hang_up(by=server)


def named_inside(net, meeting):
    alices, bobs = Media(meeting.alice.node, 24000), Media(net["phone3"], 24000)
    call, [offered], [answered] = meeting.dial(alices.describe(), bobs.describe())
    meeting.expect(offered, alices)
    meeting.expect(answered, bobs)
    talk(bobs, offered, alices, answered)
    talk(alices, answered, bobs, offered)
    call.hang_up(by=meeting.bob)
