"""Somebody sets the clock, an hour ahead and an hour back (a gateway without a battery, at the first answer of NTP): calls stay up,
their media open, registrations as long as they were; also over a restart of sipnatd behind each step.
"""

import contextlib
import json
import time

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent, register

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip", "own_kernel"}
TIMEOUT = 240
ALONE = True
HOUR = 3600
GRANTED = 1800


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server", firewall="restricted", config='[nat]\nmedia_timeout = "30s"\n') as net:
        gateway = net.gateway
        provider = UserAgent(net["server"], "bob")
        phone = UserAgent(net["phone1"], "alice")
        contact = sip.uri_of(register(phone, provider, expires=GRANTED)[0].message["Contact"])
        registered = time.monotonic()
        call = AudioCall(phone, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        call.talk()
        ports = gateway.open_ports()

        def look():
            [one] = json.loads(gateway.control("registrations", "--json"))["registrations"]
            left = GRANTED - (time.monotonic() - registered)
            assert left - 60 < one["expires_in"] <= GRANTED and not one["stale"], f"{one}, and {left} s are left"
            assert gateway.open_ports() == ports, f"{ports} let media in, and now {gateway.open_ports()}"
            for first in (phone, provider):
                call.talk(first=first)
            options = provider.request("OPTIONS", contact)
            assert provider.deliver(options, sip.endpoint_of(contact), phone).message.uri == phone.contact

        for step in (HOUR, -HOUR):
            with clock_set(step):
                look()
                gateway.stop()
                gateway.start()
                look()
                gateway.kill()
            gateway.start()
            look()
        call.hang_up(by=phone)
        gateway.assert_media_closed()


@contextlib.contextmanager
def clock_set(seconds):
    """The clock of the wall, `seconds` ahead."""

    def set_by(step):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + step)

    set_by(seconds)
    try:
        yield
    finally:
        set_by(-seconds)
