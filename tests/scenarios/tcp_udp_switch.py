"""One phone with both transports on port 5060, as RFC 3261 section 18.1.1 has it: short messages over UDP, long ones over TCP. It
registers over the one, then over the other; calls begin over the one and go on, or end, over the other. Sound both ways all the
while, on the same ports, and nothing is left open.
"""

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.tcp import TcpAgent
from lab.ua import UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
ALONE = True


def run(lab):
    with lab.network("phone1", "server", firewall="restricted") as net:
        phone = Both(UserAgent(net["phone1"], "alice"), TcpAgent(net["phone1"], "alice"))
        provider = Both(UserAgent(net["server"], "bob"), TcpAgent(net["server"], "bob", listens=5060))
        number = 0
        for first, then in (("udp", "tcp"), ("tcp", "udp"), ("tcp", "tcp")):
            for inbound in (False, True):
                number += 1
                switch(net, phone, provider, first, then, inbound, number)


class Both:
    """One party, by either transport."""

    def __init__(self, udp, tcp):
        self.udp = udp
        self.tcp = tcp

    def by(self, transport):
        return getattr(self, transport)


def switch(net, phone, provider, first, then, inbound, number):
    """A call that begins over `first`, is changed over `then`, and is hung up over `first` again or over `then`."""
    inside, outside = Media(net["phone1"], 20000 + 10 * number), Media(net["server"], 30000 + 10 * number)
    seen, _ = register(phone.by(first), provider.by(first))
    contact = sip.uri_of(seen.message["Contact"])
    if inbound:
        call = AudioCall(provider.by(first), outside, phone.by(first), inside, to=sip.endpoint_of(contact), uri=contact)
    else:
        call = AudioCall(phone.by(first), inside, provider.by(first), outside)
    call.talk()
    told = dict(call.told)

    # The phone's next request says where it is to be reached from now on.
    move(call, phone.by(first), phone.by(then), provider.by(first), provider.by(then))
    request = call.offer(phone.by(then))
    retarget(call.call, phone.by(then), request.seen)
    assert [call.told[agent] for agent in call.told] == list(told.values()), f"told was {told}, and over {then} it is {call.told}"
    call.talk()
    call.offer(provider.by(then))
    call.talk()
    bye = call.hang_up(by=provider.by(then) if number % 2 else phone.by(then))
    if number % 2:
        assert bye.uri == phone.by(then).contact, f"the phone reads BYE {bye.uri}"
    else:
        sip.assert_translated(bye)
    net.gateway.assert_media_closed()


def move(call, phone, phone_then, provider, provider_then):
    """The same call between the same parties, by their other transport."""
    places = {phone: phone_then, provider: provider_then}
    call.media = {places[agent]: media for agent, media in call.media.items()}
    call.told = {places[agent]: stream for agent, stream in call.told.items()}
    inner = call.call
    for dialog in (inner.caller_dialog, inner.callee_dialog):
        dialog.agent = places[dialog.agent]
        if dialog.agent is phone_then:
            dialog.target = provider_then.contact
    inner.caller, inner.callee = places[inner.caller], places[inner.callee]


def retarget(call, phone, request):
    """The provider sends its requests to the Contact of the phone's last one (RFC 3261 section 12.2.2)."""
    call.dialog(call.other(phone)).target = sip.uri_of(request["Contact"])
