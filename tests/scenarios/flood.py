"""One host sends 3,000 INVITEs, each a call of its own that nobody answers; first from inside, then from outside, at a PBX behind a
port forward. Another phone's 20 calls come to pass meanwhile, one after the other. The sender gets what [limits] allows a host,
and `sipnatctl` and the log say that it wanted more.
"""

import json

from lab.rtp import Media
from lab.transactions import Agent, Flood, Transactions, talk

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 300
DIALOGS, MEDIA, INVITES, CALLS = 200, 100, 3000, 20
SETTINGS = f'[limits]\ndialogs = "{DIALOGS}/20000"\nmedia = "{MEDIA}/100000"\n'


def run(lab):
    lab.for_sipnat_only()
    for inside in (True, False):
        with lab.network("phone1", "phone2", "server", "outside", config=SETTINGS, capture=False, forward_sip_to="phone2") as net:
            flood(lab, net, inside)


def flood(lab, net, inside):
    transactions = Transactions()
    provider, phone = Agent(transactions, net["server"], "provider"), Agent(transactions, net["phone1"], "alice")
    # Takes in what it gets, and says nothing.
    sender, victim = (net["phone2"], net["outside"]) if inside else (net["outside"], net["phone2"])
    silent = victim.udp_socket(5060)
    to = silent.getsockname() if inside else (net["gateway"].address, 5060)
    flooding = Flood(sender, to, f"sip:{to[0]}", INVITES, each_turn=10)
    # The packet that opens the flow, before others of it wait in the queue as well: but for the first they would be dropped.
    flooding.send()
    silent.settimeout(30)
    silent.recv(65536)

    registration = phone.register(provider.ua.endpoint)
    transactions.run_until(lambda: registration in phone.registered, "the registration")
    transactions.each_turn.append(flooding.turn)
    ports = iter(range(24000, 30000, 2))
    provider.answers_with = lambda: Media(net["server"], next(ports))
    for number in range(CALLS):
        # So that each meets its part of it.
        transactions.run_until(lambda: flooding.sent >= number * INVITES // CALLS, "the flood")
        call = phone.call(provider.ua.endpoint, provider.ua.identity, Media(net["phone1"], next(ports)))
        answered = {}

        def is_up():
            answered["it"] = provider.incoming.get(call.invite["Call-ID"])
            return answered["it"] and call.state == answered["it"].state == "established"

        transactions.run_until(is_up, f"call {number}", state=lambda: call)
        talk(transactions, [(call, answered["it"])])
        call.hang_up()
        transactions.run_until(lambda: call.state == "over", f"call {number} to be over")
    transactions.run_until(lambda: flooding.is_over, "the flood's end")

    gateway = net.gateway
    begun_by = "inside" if inside else "outside"
    # Those that still wait in the queue.
    transactions.run_until(lambda: stats(gateway)["messages_call_limit"] >= INVITES - DIALOGS, "the flood to be looked at", state=gateway.report)
    counted = stats(gateway)
    followed = [one for one in json.loads(gateway.control("calls", "--json"))["calls"] if one["begun_by"] == begun_by]
    assert len(followed) == DIALOGS, f"{len(followed)} calls of {sender} are followed"
    assert counted["messages_call_limit"] == INVITES - DIALOGS, counted
    assert counted["queue_overruns"] == 0, counted
    log = gateway.report()
    assert f"call_limit: {sender.address}:" in log and log.count("call_limit: ") < 100, log
    # Room for each is kept through a minute's rest: two ports of the phone's calls are still shown as well.
    of_sender = [one for one in json.loads(gateway.control("media", "--json"))["media"] if one["inside"].startswith(sender.address)]
    assert len(of_sender) == (MEDIA if inside else 0), of_sender
    assert counted["messages_media_limit"] == (DIALOGS - MEDIA // 2 if inside else 0), counted
    lab.log(f"flood from {begun_by}: {counted}")


def stats(gateway):
    return json.loads(gateway.control("stats", "--json"))
