"""sipnatd is stopped and started anew, as an upgrade of its package does, while two speak: no packet of theirs is lost.

Each sends 50 packets a second, without a pause: two upgrades, and then sipnatd is away for five seconds.
"""

import threading
import time

from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
INTERVAL = 0.02


def run(lab):
    lab.for_sipnat_only()
    with lab.network("phone1", "server", firewall="restricted") as net:
        phone, provider = UserAgent(net["phone1"], "alice"), UserAgent(net["server"], "bob")
        call = AudioCall(phone, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
        with Conversation(call) as conversation:
            for packets in (0, 0, 250):
                conversation.wait_for(100)
                net.gateway.stop()
                conversation.wait_for(packets)
                net.gateway.start()
            conversation.wait_for(100)
        for agent in (phone, provider):
            mine, theirs = call.media[agent], call.media[call.call.other(agent)]
            sources = mine.expect(theirs.rtp.sent, theirs)
            assert sources == call.told[agent].components, f"{agent} sends to {call.told[agent]}, and hears {sources}"
            lab.log(f"{agent} has got all packets, {theirs.rtp.sent} of RTP")
        call.hang_up(by=provider)
        net.gateway.assert_media_closed()


class Conversation:
    """Both sides send, RTP and RTCP, and take in what arrives, in a thread of its own; a context manager."""

    def __init__(self, call):
        self.call = call
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.speak)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def speak(self):
        due = time.monotonic()
        while not self.ended.is_set():
            for agent, media in self.call.media.items():
                media.send(self.call.told[agent])
                for port in media.ports:
                    port.collect()
            due += INTERVAL
            time.sleep(max(0.0, due - time.monotonic()))

    def wait_for(self, packets):
        """Until each has sent so many more."""
        ports = [media.rtp for media in self.call.media.values()]
        wanted = [port.sent + packets for port in ports]
        wait_until(lambda: all(port.sent >= count for port, count in zip(ports, wanted)), f"{packets} packets to be sent", 120,
                   lambda: [f"{port}: {port.sent}" for port in ports])
