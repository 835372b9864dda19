"""kill -9 around every message of a registration with credentials and of a call, and a new daemon that finishes what was begun.

    REGISTER 401 REGISTER 200    INVITE 100 180 200 ACK    (re-)INVITE 200 ACK    BYE 200

At each of these messages the daemon is killed in each of five ways:

    away       before the message is sent, which then passes as it was sent; nobody takes it for his
    unseen     while it waits in the queue
    unsaved    when the kernel has what it needs, and the state file does not (the log names those that save nothing)
    unsent     when all is done but the verdict
    done       when it has arrived

After that the sender repeats it, if it would over UDP, or the other side repeats what it answers. What had arrived before comes
again as it came then. All of this with calls from the phone, and with calls to it.
"""
# label: long

import json

from lab import sip
from lab.audio import AudioCall
from lab.rtp import Media
from lab.ua import UserAgent, same
from lab.wait import wait_until

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 1200
CHALLENGE = [("WWW-Authenticate", 'Digest realm="203.0.113.10", nonce="8f1e", algorithm=MD5, qop="auth"')]
CREDENTIALS = [("Authorization", 'Digest username="alice", realm="203.0.113.10", nonce="8f1e", uri="sip:203.0.113.10", qop=auth, nc=00000001, '
                'cnonce="1", algorithm=MD5, response="66e4f5f1d4c7d1b4f3a2d8a1c1d1e3a5"')]
PHONES = ("phone1", "phone2", "phone3")
"""By turns: there is a limit to the signalling ports of one host, and to its registrations."""
WAYS = ("away", "unseen", "unsaved", "unsent", "done")


def run(lab):
    lab.for_sipnat_only()
    with lab.network(*PHONES, "server", firewall="restricted") as net:
        provider = Party(net["server"], "bob")
        stage = Stage(lab, net, provider, Media(net["server"], 30000))
        outcomes: dict[str, dict[str, str]] = {}
        for inbound in (False, True):
            names = stage.play(inbound, Script(net.gateway))
            for number, name in enumerate(names):
                point = f"{'to' if inbound else 'from'} the phone: {number + 1:2} {name}"
                outcomes[point] = {way: stage.outcome(inbound, point, Script(net.gateway, number, way)) for way in WAYS}
        lab.log("\n".join(f"{point:38} {'  '.join(f'{way} {outcome}' for way, outcome in row.items())}" for point, row in outcomes.items()))
        failed = [f"{point}, {way}" for point, row in outcomes.items() for way, outcome in row.items() if outcome == "FAILED"]
        assert not failed, f"{len(failed)} failed: {failed}"

        again(net.gateway)
        known = {f"sip:{one['contact']}" for one in json.loads(net.gateway.control("registrations", "--json"))["registrations"]}
        assert known == {phone.contact for phone in stage.contacts}, f"registered are {sorted(known)}"
        for phone, contact in stage.contacts.items():
            reaches(provider, phone, contact)
        net.gateway.assert_media_closed()


def again(gateway):
    gateway.kill()
    gateway.start()


class Stage:
    """Where the same play is given again and again, each time by a phone of its own."""

    def __init__(self, lab, net, provider, outside):
        self.lab = lab
        self.net = net
        self.provider = provider
        self.outside = outside
        self.contacts = {}
        """Of all phones so far."""

    def outcome(self, inbound, point, script):
        try:
            self.play(inbound, script)
            return "ok" if script.saves else "ok (saves nothing)"
        except AssertionError as failure:
            self.lab.log(f"{point}, {script.way}: {failure}\n{self.net.gateway.report()}")
            again(self.net.gateway)
            return "FAILED"

    def play(self, inbound, script):
        """Returns what its messages are."""
        number = len(self.contacts)
        node = self.net[PHONES[number % len(PHONES)]]
        phone, inside = Party(node, "alice", port=5100 + number), Media(node, 10000 + 4 * number)
        provider, outside = self.provider, self.outside
        self.contacts[phone] = ""
        phone.script = provider.script = script

        contact = self.contacts[phone] = registered(phone, provider)
        if inbound:
            call = AudioCall(provider, outside, phone, inside, to=sip.endpoint_of(contact), uri=contact, provisional=(100, 180))
        else:
            call = AudioCall(phone, inside, provider, outside, provisional=(100, 180))
        call.talk()
        told = dict(call.told)
        call.offer(provider if inbound else phone)
        assert call.told == told, f"told was {told}, and after the re-INVITE {call.told}"
        call.talk()
        call.hang_up(by=phone if inbound else provider)

        phone.script = provider.script = None
        wait_until(lambda: not self.net.gateway.open_media(), "the media to be closed", state=self.net.gateway.state)
        reaches(provider, phone, contact)
        return script.names


def registered(phone, provider):
    """Returns the Contact as the provider has it."""
    server = f"sip:{provider.endpoint[0]}"
    first = phone.request("REGISTER", server, to=f"<{phone.identity}>")
    seen = phone.deliver(first, provider.endpoint, provider)
    provider.reply(seen, provider.response(seen.message, 401, tag="registrar", headers=CHALLENGE), phone)
    second = phone.request("REGISTER", server, from_=first["From"], to=first["To"], call_id=first["Call-ID"], cseq=2, headers=CREDENTIALS)
    seen = phone.deliver(second, provider.endpoint, provider)
    contact = seen.message["Contact"]
    got = provider.reply(seen, provider.response(seen.message, 200, tag="registrar", contact=f"{contact};expires=3600"), phone)
    sip.assert_translated(seen.message)
    assert sip.endpoint_of(contact) == seen.source, f"the provider sees Contact {contact}, from {seen.source}"
    assert sip.uri_of(got.message["Contact"]) == phone.contact, f"the phone reads Contact {got.message['Contact']}"
    assert sip.sent_by(got.message["Via"]) == phone.endpoint, f"the phone reads Via {got.message['Via']}"
    return sip.uri_of(contact)


def reaches(provider, phone, contact):
    seen = provider.deliver(provider.request("OPTIONS", contact), sip.endpoint_of(contact), phone)
    assert seen.message.uri == phone.contact, f"{phone} reads Request-URI {seen.message.uri}"


class Party(UserAgent):
    """A user agent that has its messages delivered by the script, if there is one."""

    script = None

    def deliver(self, message, to, receiver, **options):
        if self.script is None:
            return super().deliver(message, to, receiver, **options)
        return self.script.deliver(self, message, to, receiver)


class Script:
    """Delivers messages, and kills the daemon around one of them, in one of the WAYS; around none if none is named."""

    def __init__(self, gateway, number=None, way="none"):
        self.gateway = gateway
        self.number = number
        self.way = way
        self.names = []
        self.saves = True
        """Whether the message that it was killed at had something to save, as far as that was looked at."""
        self.before = None

    def deliver(self, sender, message, to, receiver):
        step = Step(sender, message, to, receiver)
        self.names.append(message.start.split()[1 if message.status else 0])
        if len(self.names) - 1 == self.number:
            self.kill(step)
            self.gateway.start()
            if is_answer_to_repetition(message):
                self.before.carry()
        self.before = step
        return step.carry()

    def kill(self, step):
        gateway = self.gateway
        if self.way == "away":
            gateway.kill()
            step.send()
            seen = step.receiver.expect(same(step.message), "message with nobody there")
            assert seen.raw == step.message.encode(), f"it was changed with nobody there:\n{seen.message}"
        elif self.way == "done":
            step.carry()
            gateway.kill()
        elif self.way == "unseen":
            gateway.kill_before_looking(step.send)
        elif self.way == "unsaved":
            self.saves = gateway.kill_before_saving(step.send)
        else:
            gateway.kill_before_verdict(step.send)


def is_answer_to_repetition(message):
    """Whether it comes again only when the other side repeats itself: not requests, but ACK; not an INVITE's responses after 100."""
    if message.status is None:
        return message.method == "ACK"
    return message.method != "INVITE" or message.status == 100


class Step:
    """One message on its way; carry() for another time, and it has to arrive as it did before."""

    def __init__(self, sender, message, to, receiver):
        self.sender = sender
        self.message = message
        self.to = to
        self.receiver = receiver
        self.arrived = None

    def send(self):
        self.sender.send(self.message, self.to)

    def carry(self):
        arrived = UserAgent.deliver(self.sender, self.message, self.to, self.receiver)
        before = self.arrived or arrived
        assert arrived[1:] == before[1:], f"it came from {before.source}:\n{before.message}\nand again from {arrived.source}:\n{arrived.message}"
        self.arrived = arrived
        return arrived
