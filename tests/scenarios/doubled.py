"""Every datagram comes twice, as a broken switch or two paths deliver it. Copies leave alike to the byte (the lab's agents look),
and one set of holes is opened: 10 registrations and 20 calls, all at once, and nothing stays open.
"""

import json

from lab.transactions import Agent, Transactions, register_and_call

NEEDS = {"cthelper", "glue", "nft_queue", "nf_nat_sip"}
TIMEOUT = 240
HOLES_OF_A_CALL = 4
"""RTP's and RTCP's: one that lets in, and one that leads to the other side."""


def run(lab):
    with lab.network("phone1", "phone2", "server", firewall="restricted") as net:
        transactions = Transactions()
        provider = Agent(transactions, net["server"], "provider", copies=2)
        phones = [Agent(transactions, net[f"phone{1 + number % 2}"], f"user{number}", port=5060 + 2 * (number // 2), copies=2)
                  for number in range(10)]
        register_and_call(transactions, phones, provider)
        net.gateway.assert_media_closed()
        if lab.arm == "sipnat":
            stats = json.loads(net.gateway.control("stats", "--json"))
            assert stats["holes_opened"] == stats["holes_closed"] == 20 * HOLES_OF_A_CALL, stats
            assert (stats["registrations"], stats["calls"]) == (len(phones), 0), stats
