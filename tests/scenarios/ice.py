"""A phone with ICE behind the gateway, and a provider whose media may be at either of two hosts.

    phone1 --- [gateway] ---+--- server 203.0.113.10   SIP, and a candidate
                            +--- media  203.0.113.12   another candidate

    host candidates       the phone's own are those of its c= and m=, and a further port of it is reached as well
    others' candidates    another interface's address, what a STUN server said, a name: they stay
    connectivity checks   from both hosts of the provider to the phone, and from the phone to both, before either is chosen
    a private address     among the provider's candidates opens nothing
    the result            a re-INVITE from the phone with its outside endpoint, one from the provider that names it
"""

from lab import sdp, sip
from lab.rtp import Media, speak
from lab.sdp import Candidate
from lab.ua import Call, UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
PRIVATE = ("10.1.1.1", 30000)
FOREIGN = (
    Candidate(1, "host", ("10.9.9.9", 40000)),
    Candidate(1, "srflx", ("198.51.100.7", 50000), ("10.9.9.9", 40000)),
    Candidate(1, "host", ("7c0b5e2e-4d0c-4bde-b3c1-a0e0f2f0a3c1.local", 40000)),
)


def run(lab):
    with lab.network("phone1", "server", "media", firewall="restricted") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        seen, _ = register(phone, provider)
        contact = sip.uri_of(seen.message["Contact"])
        for number, calls_out in enumerate((True, False)):
            # Outside of the range for media, so that the outside ports are others.
            inside = Media(net["phone1"], 40000 + 20 * number)
            further = Media(net["phone1"], 40010 + 20 * number)
            places = [Media(net[host], 30000 + 10 * number) for host in ("server", "media")]
            connect(net, phone, provider, contact, calls_out, inside, further, places)
        net.gateway.assert_media_closed()


def connect(net, phone, provider, contact, calls_out, inside, further, places):
    ours = inside.describe(extra=lines([*hosts(inside), *hosts(further), *FOREIGN, Candidate(1, "srflx", ("198.51.100.7", 50002), inside.rtp.endpoint)]))
    theirs = places[0].describe(extra=lines([*hosts(places[0]), *hosts(places[1]), Candidate(1, "host", PRIVATE)]))
    if calls_out:
        call = Call(phone, provider, to=provider.endpoint, offer=ours).establish(theirs)
        from_phone, from_provider = call.invite_seen, call.ok_seen
    else:
        call = Call(provider, phone, to=sip.endpoint_of(contact), uri=contact, offer=theirs).establish(ours)
        from_phone, from_provider = call.ok_seen, call.invite_seen
    assert from_provider.body == theirs, f"the phone reads\n{from_provider}"
    [told] = sdp.streams(from_phone.body)
    found = sdp.candidates(from_phone.body)
    mine, others = found[:2], found[2:4]
    assert [one.endpoint for one in mine] == list(told.components), f"the phone's candidates are {mine}, its media {told}"
    assert found[4:7] == list(FOREIGN), f"candidates that nobody translates arrive as {found[4:7]}"
    assert found[7].endpoint == ("198.51.100.7", 50002) and found[7].related == told.rtp, f"the reflexive candidate arrives as {found[7]}"

    opened = net.gateway.open_media()
    assert not any(PRIVATE[0] in one for one in opened), f"opened for the provider's private address: {opened}"

    further_told = sdp.Stream("audio", tuple(one.endpoint for one in others))
    for place in places:
        speak(place, told, inside, stream_of(place))
        place.send(further_told)
        further.expect(1, place)
        speak(inside, stream_of(place), place, told)
    settle(call, phone, provider, inside, places[1], told)
    call.hang_up(by=phone if calls_out else provider)


def settle(call, phone, provider, inside, place, told):
    """They have chosen the media host, and the phone knows what it looks like there."""
    names_both = f"a=remote-candidates:1 {place.address} {place.port} 2 {place.address} {place.port + 1}\r\n"
    found = [Candidate(number, "prflx", told.components[number - 1], inside.ports[number - 1].endpoint) for number in (1, 2)]
    request = call.request(phone, "INVITE", sdp.audio(told.rtp[0], told.rtp[1], rtcp=f"{told.rtcp[1]} IN IP4 {told.rtcp[0]}",
                                                      extra=lines([*found, *hosts(inside)]) + names_both))
    assert sdp.streams(request.seen.body) == [told], f"the provider was told {told}, and reads\n{request.seen}"
    assert [one.endpoint for one in sdp.candidates(request.seen.body)[:2]] == list(told.components)
    assert names_both in request.seen.body.decode(), f"the provider reads\n{request.seen}"
    request.respond(200, place.describe(extra=lines(hosts(place))))
    speak(inside, stream_of(place), place, told)
    speak(place, told, inside, stream_of(place))

    request = call.request(provider, "INVITE", place.describe(
        extra=lines(hosts(place)) + f"a=remote-candidates:1 {told.rtp[0]} {told.rtp[1]} 2 {told.rtcp[0]} {told.rtcp[1]}\r\n"))
    own = f"a=remote-candidates:1 {inside.address} {inside.port} 2 {inside.address} {inside.port + 1}"
    assert sdp.line(request.seen.body, "a=remote-candidates") == own, f"the phone reads\n{request.seen}"
    answer = request.respond(200, inside.describe(extra=lines(hosts(inside))))
    assert sdp.streams(answer.body) == [told], f"the provider was told {told}, and reads\n{answer}"
    speak(place, told, inside, stream_of(place))
    speak(inside, stream_of(place), place, told)


def hosts(media):
    return [Candidate(number, "host", port.endpoint) for number, port in enumerate(media.ports, 1)]


def lines(candidates):
    return "".join(f"{one}\r\n" for one in candidates)


def stream_of(media):
    """Where media outside is, which nobody translates."""
    return sdp.Stream("audio", tuple(port.endpoint for port in media.ports))
