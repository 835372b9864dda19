"""Who may send media to a phone once both sides have said where they receive: nat.media_source.

    phone1 --- [gateway] ---+--- server  203.0.113.10   SIP and media
                            +--- outside 203.0.113.11   a stranger, or where the media really comes from

latch: the announced address only, while it is heard; a party that sends from elsewhere gets through after 3 seconds.
strict: never. any: always. Before the answer anybody may.
"""

import time

from lab import sdp
from lab.rtp import Media
from lab.ua import Call, UserAgent
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


def run(lab):
    lab.for_sipnat_only()
    for source in ("latch", "strict", "any"):
        with lab.network("phone1", "server", "outside", config=f'[nat]\nmedia_source = "{source}"\n', firewall="restricted") as net:
            phone = UserAgent(net["phone1"], "alice")
            provider = UserAgent(net["server"], "bob")
            heard(net, phone, provider, source)
            silent(net, phone, provider, source)
            earlier(net, phone, provider, source)
            net.gateway.assert_media_closed()


def begin(net, phone, provider, port):
    """An established call: the phone's Media, the announced one, and where the phone is seen."""
    inside, announced = Media(net["phone1"], port), Media(net["server"], port + 10000)
    call = Call(phone, provider, to=provider.endpoint, offer=inside.describe())
    call.establish(announced.describe())
    [offered] = sdp.streams(call.invite_seen.body)
    return call, inside, announced, offered


def heard(net, phone, provider, source):
    """The announced party speaks, and so does a stranger."""
    call, inside, announced, offered = begin(net, phone, provider, 20000)
    stranger = Media(net["outside"], 30500)
    announced.send(offered)
    inside.expect(1, announced)
    wait_for_senders(net, source)
    # Past the latch, too: its word was heard.
    for pause in (0.0, 4.0):
        time.sleep(pause)
        stranger.send(offered)
        announced.send(offered)
        inside.expect(1, announced)
        if source == "any":
            inside.expect(1, stranger)
    names = {port.name for port in stranger.ports}
    got = [name for port in inside.ports for name in port.collect().senders if name in names]
    assert bool(got) == (source == "any"), f"{source}: of the stranger's packets {len(got)} arrived"
    call.hang_up(by=phone)


def silent(net, phone, provider, source):
    """The media comes from another host than the SDP says."""
    call, inside, announced, offered = begin(net, phone, provider, 20010)
    real = Media(net["outside"], 30510)
    wait_for_senders(net, source)
    names = {port.name for port in real.ports}

    def arrived():
        real.send(offered)
        time.sleep(0.2)
        return any(name in names for port in inside.ports for name in port.collect().senders)

    if source == "strict":
        for _ in range(25):
            assert not arrived(), "somebody else's media came in"
    else:
        wait_until(arrived, "the media to come in", 30, state=net.gateway.state)
    call.hang_up(by=phone)


def earlier(net, phone, provider, source):
    """A stranger speaks while it rings, which anybody may: with "strict" that ends with the answer."""
    inside, announced, stranger = Media(net["phone1"], 20020), Media(net["server"], 30020), Media(net["outside"], 30520)
    call = Call(phone, provider, to=provider.endpoint, offer=inside.describe())
    call.invite()
    [offered] = sdp.streams(call.invite_seen.body)
    call.respond(183, announced.describe())
    stranger.send(offered)
    inside.expect(1, stranger)
    call.answer(announced.describe())
    call.ack()
    wait_for_senders(net, source)
    announced.send(offered)
    inside.expect(1, announced)

    def goes_on():
        before = len(inside.rtp.collect())
        stranger.send(offered)
        time.sleep(0.2)
        return len(inside.rtp.collect()) > before

    if source == "strict":
        wait_until(lambda: not goes_on(), "the stranger's flow to end", 30, state=net.gateway.state)
    else:
        assert goes_on(), f"{source}: a flow that was there was cut off"
    call.hang_up(by=phone)


def wait_for_senders(net, source):
    """Until the kernel knows who may send: right after the answer has left."""
    if source != "any":
        wait_until(lambda: "203.0.113.10:any" in net.gateway.control("media"), "the sender to be named",
                   state=lambda: net.gateway.control("media"))
