"""Both sides of a call send a re-INVITE at the same time, and both are refused with 491 (RFC 3261 section 14.1).

Each offers another port. Two transactions of one dialog, with the same CSeq number, are pending at once, and the end of
either must end nothing but itself: the session before stays up, with its media, and the ports that were only offered are
closed. Then they collide again, and only one is refused; the other side's is in force. At last the phone gets its port.
"""

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    with lab.network("phone1", "server", firewall="restricted") as net:
        phone = UserAgent(net["phone1"], "alice")
        provider = UserAgent(net["server"], "bob")
        seen, _ = register(phone, provider)
        contact = sip.uri_of(seen.message["Contact"])
        out = AudioCall(phone, Media(net["phone1"], 40000), provider, Media(net["server"], 30000))
        collide(net, out, phone, provider)
        back_in = AudioCall(provider, Media(net["server"], 30010), phone, Media(net["phone1"], 40010), to=sip.endpoint_of(contact), uri=contact)
        collide(net, back_in, phone, provider)
        net.gateway.assert_media_closed()


def collide(net, call, phone, provider):
    call.talk()
    before = net.gateway.open_ports()
    there = {agent: Media(agent.node, media.port + 100) for agent, media in call.media.items()}
    for request in cross(call, phone, provider, there):
        request.respond(491)
        call.talk()
    wait_until(lambda: net.gateway.open_ports() == before, "the ports that were only offered to be closed", state=net.gateway.state)
    call.talk()

    # The provider overlooks the collision, and gets its answer.
    ours, theirs = cross(call, phone, provider, there)
    ours.respond(491)
    call.media[provider] = there[provider]
    call.accept(theirs, provider)
    call.talk()
    wait_until(lambda: net.gateway.open_ports() == before, "the ports that were only offered to be closed", state=net.gateway.state)

    call.media[phone] = there[phone]
    call.offer(phone)
    call.talk()
    call.hang_up(by=provider)


def cross(call, phone, provider, there):
    """A re-INVITE from each, before either is answered."""
    call.call.dialog(phone).cseq = call.call.dialog(provider).cseq = max(call.call.dialog(agent).cseq for agent in there)
    ours, theirs = (call.call.request(agent, "INVITE", there[agent].describe()) for agent in (phone, provider))
    assert ours.seen["CSeq"] == theirs.seen["CSeq"]
    sip.assert_translated(ours.seen)
    assert theirs.seen.uri == phone.contact, f"the phone reads Request-URI {theirs.seen.uri}"
    return ours, theirs
