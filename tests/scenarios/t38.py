"""A fax: an audio call becomes T.38 by a re-INVITE, and audio again by another.

What is sent instead of audio is one port of UDPTL. The phone's fax port lies beside its audio port or is the very same,
and either side asks; some strike the audio line out (port 0) and add a line for the fax. A refused one (488) changes
nothing.
"""

from lab import sdp, sip
from lab.audio import AudioCall
from lab.rtp import Media, talk
from lab.ua import UserAgent
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    with lab.network("phone1", "server", firewall="restricted") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        call = AudioCall(phone, Media(net["phone1"], 40000), provider, Media(net["server"], 30000))
        call.talk()
        audio = net.gateway.open_ports()

        request = call.call.request(provider, "INVITE", describe(Media(net["server"], 30020, fax=True), beside_audio=False))
        request.respond(488)
        call.talk()

        fax(call, provider, Media(net["phone1"], 40020, fax=True), Media(net["server"], 30030, fax=True))
        back_to_audio(net, call, provider, audio)
        fax(call, phone, Media(net["phone1"], 40030, fax=True), Media(net["server"], 30040, fax=True), beside_audio=True)
        back_to_audio(net, call, provider, audio)
        # The audio's own socket, which both kinds of packets go through.
        fax(call, provider, call.media[phone].as_fax(), Media(net["server"], 30050, fax=True))
        back_to_audio(net, call, phone, audio)
        call.hang_up(by=provider)
        net.gateway.assert_media_closed()


def fax(call, asking, inside, outside, beside_audio=False):
    phone = call.call.caller
    mine, theirs = (inside, outside) if asking is phone else (outside, inside)
    request = call.call.request(asking, "INVITE", describe(mine, beside_audio))
    answer = request.respond(200, describe(theirs, beside_audio))
    sip.assert_translated(request.seen if asking is phone else answer)
    offered, answered = (fax_stream(body, beside_audio) for body in (request.seen.body, answer.body))
    if asking is phone:
        talk(inside, answered, outside, offered)
    else:
        talk(outside, answered, inside, offered)


def fax_stream(body, beside_audio):
    *others, stream = sdp.streams(body)
    assert [other.rtp[1] for other in others] == [0] * beside_audio, f"what was struck out came back:\n{body.decode()}"
    assert stream.kind == "image"
    return stream


def describe(media, beside_audio):
    lines = ["m=audio 0 RTP/AVP 8\r\n"] if beside_audio else []
    lines.append(f"m=image {media.port} udptl t38\r\na=T38FaxVersion:0\r\na=T38FaxRateManagement:transferredTCF\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n")
    return sdp.session(media.address, *lines)


def back_to_audio(net, call, asking, before):
    call.offer(asking)
    call.talk()
    wait_until(lambda: net.gateway.open_ports() == before, "the fax's ports to be closed", state=net.gateway.state)
