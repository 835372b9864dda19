"""Two phones behind one gateway, and a server outside at which they meet (nat.local_media)."""

import contextlib
from typing import Iterator, NamedTuple

from lab.scenario import Lab, Playground
from lab.ua import Relay, UserAgent, register


class Way(NamedTuple):
    """How the media of phone1 goes to `host`."""

    host: str
    config: str


HAIRPIN = Way("phone2", '[nat]\nlocal_media = "hairpin"\n')
"""By the gateway's outside address, and back."""
ROUTED = Way("neighbour", '[nat]\nlocal_networks = [["192.168.77.0/24", "192.168.78.0/24"]]\n')
"""From one network to the other through the gateway, as it is."""


class Meeting(NamedTuple):
    net: Playground
    relay: Relay
    alice: UserAgent
    bob: UserAgent


def firewall(lab: Lab, way: Way) -> str:
    """The strictest that media can pass: in maps mode a firewall has to know by itself who may speak to whom inside."""
    return "open" if lab.mode == "maps" and way == ROUTED else "restricted"


@contextlib.contextmanager
def meeting(lab: Lab, way: Way) -> Iterator[Meeting]:
    """Alice on phone1, Bob on the way's host, both registered. Afterwards nothing lets media in any longer."""
    with lab.network("phone1", way.host, "server", config=way.config, firewall=firewall(lab, way)) as net:
        relay = Relay(net["server"])
        alice, bob = UserAgent(net["phone1"], "alice"), UserAgent(net[way.host], "bob")
        for phone in (alice, bob):
            register(phone, relay)
        yield Meeting(net, relay, alice, bob)
        net.gateway.assert_media_closed()
