"""sipnatd stands still (SIGSTOP) while more SIP comes than its queue holds. Afterwards calls work as before, and what was lost
is counted, shown and in the log, with the setting that would have helped.

    fail_open = true     what finds no room goes on, unchanged: the provider reads the phone's own addresses
    fail_open = false    … is dropped, and comes again: nobody ever reads one
"""

import contextlib
import json
import signal

from lab.audio import AudioCall
from lab.rtp import Media
from lab.sip import Message
from lab.ua import UserAgent, register
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
BUFFER = 1 << 16
MESSAGES = 600
"""Some times what such a buffer takes."""


def run(lab):
    lab.for_sipnat_only()
    for fail_open in (True, False):
        settings = f"[queue]\nreceive_buffer = {BUFFER}\nfail_open = {str(fail_open).lower()}\n"
        with lab.network("phone1", "phone2", "server", "outside", config=settings) as net:
            overrun(net, fail_open)


def overrun(net, fail_open):
    gateway = net.gateway
    provider = UserAgent(net["server"], "bob")
    phone = UserAgent(net["phone1"], "alice")
    register(phone, provider)
    before = AudioCall(phone, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
    before.talk()

    sender = UserAgent(net["phone2"], "carol")
    listener = UserAgent(net["outside"], "dave")
    sender.deliver(sender.request("OPTIONS", "sip:203.0.113.11"), listener.endpoint, listener)
    receiver = listener.socket
    receiver.setblocking(False)
    gateway.process.signal(signal.SIGSTOP)
    try:
        arrived = []
        for _ in range(MESSAGES):
            sender.send(sender.request("OPTIONS", "sip:203.0.113.11"), listener.endpoint)
            arrived += messages_at(receiver)
        # Media goes through the kernel alone.
        before.talk()
    finally:
        gateway.process.signal(signal.SIGCONT)

    wait_until(lambda: gateway.packets_waiting() == 0, "the queue to be empty", state=gateway.report)
    before.hang_up(by=phone)
    after = AudioCall(phone, Media(net["phone1"], 20010), provider, Media(net["server"], 30010))
    after.talk()
    after.hang_up(by=provider)
    gateway.assert_media_closed()

    # A loss shows by the next message's number.
    options = sender.request("OPTIONS", "sip:203.0.113.11")
    sender.send(options, listener.endpoint)

    def is_here():
        arrived.extend(messages_at(receiver))
        return any(message["Call-ID"] == options["Call-ID"] for message in arrived)

    wait_until(is_here, "the last message", state=gateway.report)
    lost = json.loads(gateway.control("stats", "--json"))["queue_overruns"]
    unchanged = [message for message in arrived if "192.168.77.3" in str(message)]
    assert 0 < lost < MESSAGES, f"{lost} of {MESSAGES} are said to have found no room"
    assert len(arrived) == MESSAGES + 1 - (0 if fail_open else lost), f"{len(arrived)} of {MESSAGES} arrived, {lost} lost"
    assert len(unchanged) == (lost if fail_open else 0), f"{len(unchanged)} arrived unchanged of {lost}"
    assert f"{lost} overruns" in gateway.control("status"), gateway.control("status")
    said = f"messages found the queue full and {'went on unchanged' if fail_open else 'were dropped'} (queue.receive_buffer)"
    wait_until(lambda: said in gateway.report(), "the log to say so", state=gateway.report)

    # What a restart, and only that, changes.
    gateway.config.write_text(gateway.config.read_text().replace(str(BUFFER), str(2 * BUFFER)))
    assert "take effect with a restart" in gateway.control("reload"), gateway.control("reload")


def messages_at(receiver):
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(Message.parse(receiver.recv(65536)))
    return found
