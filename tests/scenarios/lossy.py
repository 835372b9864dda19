"""A fifth of all packets is lost each way, half of that before the gateway and half behind it, and a fifth overtakes others.
User agents send again as RFC 3261 says, and nothing else helps: 10 registrations and 20 calls come to pass, 10 each way, and
nothing stays open.
"""

import json

from lab.transactions import Agent, Transactions, register_and_call

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip", "netem"}
TIMEOUT = 240
LOSS = ("delay", "20ms", "loss", "10.6%", "reorder", "80%")
"""What is not delayed overtakes: 20 of 100 wait. Twice on each way: 1 - 0.894² is a fifth."""


def run(lab):
    with lab.network("phone1", "phone2", "server", firewall="restricted") as net:
        net.network.impair(*LOSS)
        transactions = Transactions()
        provider = Agent(transactions, net["server"], "provider")
        phones = [Agent(transactions, net[f"phone{1 + number % 2}"], f"user{number}", port=5060 + 2 * (number // 2)) for number in range(10)]
        register_and_call(transactions, phones, provider)
        net.gateway.assert_media_closed()
        lab.log(f"{transactions.retransmissions} retransmissions")
        assert transactions.retransmissions > 0
        if lab.arm == "sipnat":
            stats = json.loads(net.gateway.control("stats", "--json"))
            assert stats["registrations"] == len(phones), stats
            assert stats["calls"] == 0, stats
