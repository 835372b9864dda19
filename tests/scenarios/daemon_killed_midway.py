"""kill -9 and a new daemon at every stage at which something is pending: no stage is lost, and no port is left open.

    an offer without an answer       early media                  a re-INVITE on its way, that is accepted or refused
    a call that is held (0.0.0.0)    two forks that ring          BYEs without their answers
"""

from lab import sdp, sip
from lab.audio import AudioCall
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "phone2", "server", firewall="restricted") as net:
        provider = UserAgent(net["server"], "bob")
        # The phones' ports outside are others' than inside, and lie outside of the range for media.
        other, phone = (UserAgent(net[host], host) for host in ("phone2", "phone1"))
        contacts = {agent: sip.uri_of(register(agent, provider)[0].message["Contact"]) for agent in (other, phone)}
        calls = [ringing_out(net, phone, provider), ringing_in(net, phone, provider, contacts[phone]),
                 forks(net, phone, other, provider, contacts)]
        for number, inbound in enumerate((False, True)):
            inside, outside = Media(net["phone1"], 40100 + 20 * number), Media(net["server"], 30100 + 20 * number)
            if inbound:
                call = AudioCall(provider, outside, phone, inside, to=sip.endpoint_of(contacts[phone]), uri=contacts[phone])
            else:
                call = AudioCall(phone, inside, provider, outside)
            established(net, call, phone, provider)
            calls.append(call.call)
        byes = [call.request(provider, "BYE") for call in calls]
        again(net)
        for bye in byes:
            assert bye.seen.uri == phone.contact, f"the phone reads BYE {bye.seen.uri}"
            bye.respond(200)
        net.gateway.assert_media_closed()


def again(net):
    net.gateway.kill()
    net.gateway.start()


def ringing_out(net, phone, provider):
    inside, outside = Media(net["phone1"], 40000), Media(net["server"], 30000)
    call = Call(phone, provider, to=provider.endpoint, offer=inside.describe())
    [offered] = sdp.streams(call.invite().body)
    again(net)
    ringing = call.respond(183, outside.describe())
    assert sip.sent_by(ringing["Via"]) == phone.endpoint, f"the phone reads Via {ringing['Via']}"
    talk(outside, offered, inside, sdp.streams(ringing.body)[0])
    again(net)
    [answered] = sdp.streams(call.answer(outside.describe()).body)
    call.ack()
    talk(inside, answered, outside, offered)
    return call


def ringing_in(net, phone, provider, contact):
    inside, outside = Media(net["phone1"], 40010), Media(net["server"], 30010)
    call = Call(provider, phone, to=sip.endpoint_of(contact), uri=contact, offer=outside.describe())
    call.invite()
    again(net)
    [offered] = sdp.streams(call.invite_seen.body)
    [told] = sdp.streams(call.respond(183, inside.describe()).body)
    talk(inside, offered, outside, told)
    again(net)
    [answered] = sdp.streams(call.answer(inside.describe()).body)
    assert answered == told, f"the ringing tone was at {told}, and the answer is at {answered}"
    call.ack()
    talk(outside, answered, inside, offered)
    return call


def forks(net, phone, other, provider, contacts):
    """The loser's end takes none of the winner's."""
    outside = Media(net["server"], 30020)
    call = Call(provider, phone, to=sip.endpoint_of(contacts[phone]), uri=contacts[phone], offer=outside.describe())
    fork = call.fork(other, to=sip.endpoint_of(contacts[other]), uri=contacts[other])
    rings = {one: Media(one.callee.node, 40020) for one in (call, fork)}
    told = {one: sdp.streams(one.invite().body) + sdp.streams(one.respond(183, media.describe()).body) for one, media in rings.items()}
    again(net)
    fork.cancel()
    lost = set(told[fork][1].components)
    wait_until(lambda: lost.isdisjoint(net.gateway.open_ports()), "the loser's ports to be closed", state=net.gateway.state)
    [answered] = sdp.streams(call.answer(rings[call].describe()).body)
    call.ack()
    talk(outside, answered, rings[call], told[call][0])
    return call


def established(net, call, phone, provider):
    call.talk()
    told = dict(call.told)
    for asking in (phone, provider):
        offer = sdp.audio("0.0.0.0", call.media[asking].port, origin=call.media[asking].address)
        request = call.call.request(asking, "INVITE", offer)
        again(net)
        call.accept(request, asking)
        again(net)
        call.offer(asking)
        assert call.told == told, f"told was {told}, and after the hold {call.told}"
        call.talk()

        elsewhere = Media(asking.node, call.media[asking].port + 10)
        request = call.call.request(asking, "INVITE", elsewhere.describe())
        again(net)
        request.respond(488)
        call.talk()
