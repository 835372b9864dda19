"""What conntrack(8) prints, as dictionaries.

    udp  17 29 src=192.168.77.2 dst=203.0.113.10 sport=5060 dport=5060 [UNREPLIED]
               src=203.0.113.10 dst=203.0.113.1 sport=5060 dport=5060 mark=0 helper=sip use=1

    300 proto=17 src=0.0.0.0 dst=203.0.113.1 sport=0 dport=20000 mask-src=0.0.0.0 mask-dst=255.255.255.255 sport=0
        dport=65535 master-src=192.168.77.2 master-dst=203.0.113.10 sport=5060 dport=5060 class=1 helper=sip
"""

import re
from dataclasses import dataclass, field

from lab.endpoint import Endpoint

_FIELD = re.compile(r"([a-z0-9-]+)=(\S+)")


@dataclass(frozen=True)
class Tuple:
    """Source and destination of one direction."""

    source: Endpoint
    destination: Endpoint


@dataclass(frozen=True)
class Flow:
    """One conntrack entry."""

    protocol: str
    timeout: int
    original: Tuple
    reply: Tuple
    fields: dict[str, str] = field(hash=False)
    line: str = field(compare=False)

    def __str__(self) -> str:
        return self.line


@dataclass(frozen=True)
class Expectation:
    """One expected flow. Port 0 and address 0.0.0.0 are wildcards."""

    timeout: int
    expected: Tuple
    master: Tuple
    fields: dict[str, str] = field(hash=False)
    line: str = field(compare=False)

    def __str__(self) -> str:
        return self.line


def parse_flows(text: str) -> list[Flow]:
    return [_flow(line) for line in text.splitlines() if "src=" in line]


def parse_expectations(text: str) -> list[Expectation]:
    return [_expectation(line) for line in text.splitlines() if "master-src=" in line]


def _flow(line: str) -> Flow:
    words = line.split()
    values = _FIELD.findall(line)
    sides = [value for name, value in values if name in ("src", "dst", "sport", "dport")]
    rest = {name: value for name, value in values if name not in ("src", "dst", "sport", "dport", "packets", "bytes")}
    if len(sides) != 8:  # ICMP and other protocols without ports
        addresses = [value for name, value in values if name in ("src", "dst")]
        sides = [addresses[0], addresses[1], "0", "0", addresses[2], addresses[3], "0", "0"]
    return Flow(words[0], int(words[2]), _tuple(sides[:4]), _tuple(sides[4:]), rest, line.strip())


def _expectation(line: str) -> Expectation:
    values = _FIELD.findall(line)
    tuples = [[value for name, value in group if name.endswith(("src", "dst", "sport", "dport"))] for group in _split(values)]
    rest = {name: value for name, value in values if name in ("class", "helper", "proto")}
    return Expectation(int(line.split()[0]), _tuple(tuples[0]), _tuple(tuples[2]), rest, line.strip())


def _split(values: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The expected tuple, its mask, and the master's tuple, in the order in which conntrack prints them."""
    starts = [next(i for i, (name, _) in enumerate(values) if name == first) for first in ("src", "mask-src", "master-src")]
    return [values[begin:end] for begin, end in zip(starts, [*starts[1:], len(values)])]


def _tuple(sides: list[str]) -> Tuple:
    source, destination, source_port, destination_port = sides
    return Tuple((source, int(source_port)), (destination, int(destination_port)))
