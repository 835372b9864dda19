"""Calls with audio and video: four components, RTP and RTCP of each both ways, and each at its own outside port.

    together   both streams from the beginning
    added      video comes with a re-INVITE of the other side, and goes again with one of the phone's (port 0)
    refused    the answer takes the audio only, and the video's ports are closed
    apart      video is the first line, has RTCP ports of its own choice, and goes to another host than the audio
"""

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    with lab.network("phone1", "server", "media", firewall="restricted") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        for case in (together, added, refused, apart):
            case(net, phone, provider)
        net.gateway.assert_media_closed()


def pair(node, audio, video):
    return Media(node, audio), Media(node, video)


def describe(audio, video, struck_out=False):
    return sdp.session(audio.address, sdp.audio_lines(audio.port), video_lines(0 if struck_out else video.port))


def video_lines(port, *, at="", rtcp=""):
    """With a c= line and an a=rtcp line of its own, where given."""
    lines = [f"m=video {port} RTP/AVP 96", f"c=IN IP4 {at}" if at else "", "a=rtpmap:96 VP8/90000", f"a=rtcp:{rtcp}" if rtcp else "", "a=sendrecv"]
    return "".join(f"{line}\r\n" for line in lines if line)


def dial(phone, provider, offer, answer):
    """The streams that each was told: those of the offer, those of the answer."""
    call = Call(phone, provider, to=provider.endpoint, offer=offer).establish(answer)
    sip.assert_translated(call.invite_seen)
    return call, sdp.streams(call.invite_seen.body), sdp.streams(call.ok_seen.body)


def all_talk(first, first_to, second, second_to):
    for to in (first_to, second_to):
        endpoints = [endpoint for stream in to for endpoint in stream.components]
        assert len(set(endpoints)) == len(endpoints), f"components share an endpoint: {endpoints}"
    for stream in zip(first, first_to, second, second_to, strict=True):
        talk(*stream)


def together(net, phone, provider):
    inside, outside = pair(net["phone1"], 40000, 40002), pair(net["server"], 30000, 30002)
    call, offered, answered = dial(phone, provider, describe(*inside), describe(*outside))
    all_talk(inside, answered, outside, offered)
    call.hang_up(by=phone)


def added(net, phone, provider):
    inside, outside = pair(net["phone1"], 40010, 40012), pair(net["server"], 30010, 30012)
    call, offered, answered = dial(phone, provider, inside[0].describe(), outside[0].describe())
    all_talk(inside[:1], answered, outside[:1], offered)

    request = call.request(provider, "INVITE", describe(*outside))
    answer = request.respond(200, describe(*inside))
    now = sdp.streams(answer.body)
    assert now[0] == offered[0], f"with the video the audio went from {offered[0]} to {now[0]}"
    all_talk(outside, now, inside, sdp.streams(request.seen.body))

    request = call.request(phone, "INVITE", describe(*inside, struck_out=True))
    gone = sdp.streams(request.seen.body)
    assert gone[0] == now[0] and gone[1].rtp[1] == 0, f"the provider reads {gone}"
    request.respond(200, describe(*outside, struck_out=True))
    wait_until(lambda: net.gateway.open_ports() == sorted(gone[0].components), "the video's ports to be closed", state=net.gateway.state)
    talk(inside[0], answered[0], outside[0], gone[0])
    call.hang_up(by=provider)


def refused(net, phone, provider):
    inside, outside = pair(net["phone1"], 40020, 40022), pair(net["server"], 30020, 30022)
    call, offered, answered = dial(phone, provider, describe(*inside), describe(*outside, struck_out=True))
    assert answered[1].rtp[1] == 0, f"the phone reads {answered}"
    talk(inside[0], answered[0], outside[0], offered[0])
    call.hang_up(by=phone)


def apart(net, phone, provider):
    audio, video = Media(net["phone1"], 40100), Media(net["phone1"], 40050, 40055)
    audio_there, video_there = Media(net["server"], 30100), Media(net["media"], 30100, 30105)
    offer = sdp.session(video.address, video_lines(video.port, rtcp="40055"), sdp.audio_lines(audio.port))
    answer = sdp.session(audio_there.address, video_lines(video_there.port, at=video_there.address, rtcp="30105"), sdp.audio_lines(audio_there.port))
    call, offered, answered = dial(phone, provider, offer, answer)
    all_talk((video, audio), answered, (video_there, audio_there), offered)
    call.hang_up(by=provider)
