"""Two phones with the same source port send their first packets to the same server at once.

Until a flow is confirmed it has reserved no outside port, so both packets can wait in the queue with the same one, and
the kernel drops the later: a retransmission is allowed. Both calls must come about, with audio. The daemon is stopped
(SIGSTOP) until both packets are there.
"""

import contextlib
import signal

from lab import sdp, sip
from lab.rtp import Media, talk
from lab.ua import Call, UserAgent
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240


@contextlib.contextmanager
def both_waiting(arm):
    """What is sent meanwhile waits in the queue together."""
    if arm.name != "sipnat":
        yield
        return
    before = arm.packets_queued()
    arm.process.signal(signal.SIGSTOP)
    yield
    wait_until(lambda: arm.packets_queued() == before + 2, "both INVITEs in the queue", state=arm.packets_queued)
    arm.process.signal(signal.SIGCONT)


def run(lab):
    with lab.network("phone1", "phone2", "server") as net:
        provider = UserAgent(net["server"], "bob")
        calls = []
        for number, host in enumerate(("phone1", "phone2")):
            inside = Media(net[host], 20000 + 10 * number)
            outside = Media(net["server"], 30000 + 10 * number)
            phone = UserAgent(net[host], host)
            calls.append((Call(phone, provider, to=provider.endpoint, offer=sdp.audio(inside.address, inside.port)), inside, outside))

        with both_waiting(net.gateway):
            for call, *_ in calls:
                call.launch()
        for call, _, outside in calls:
            call.establish(sdp.audio(outside.address, outside.port))
            sip.assert_translated(call.invite_seen)
        contacts = {sip.endpoint_of(call.invite_seen["Contact"]) for call, *_ in calls}
        assert len(contacts) == 2, f"both phones are told to be at {contacts}"

        for call, inside, outside in calls:
            [offered] = sdp.streams(call.invite_seen.body)
            [answered] = sdp.streams(call.ok_seen.body)
            talk(inside, answered, outside, offered)
        for call, *_ in calls:
            bye = call.hang_up(by=provider)
            assert bye.uri == call.caller.contact
        net.gateway.assert_media_closed()
