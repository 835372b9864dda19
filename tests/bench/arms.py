"""The gateways that are compared, each in network namespaces of its own.

    direct     no gateway at all: what the load generator and the cables cost by themselves
    plain      masquerade
    accept     masquerade, and a program behind a netfilter queue that accepts every SIP packet
    kernel     the kernel's own SIP helper (nf_nat_sip)
    sipnat     sipnatd, as tests/lab starts it, with its shipped settings
    flowtable  masquerade, and media past the ruleset (nft's flow offload, in software)
"""

import contextlib
import os
from pathlib import Path
from typing import Iterator

from lab import gateway, netns
from lab.topology import Network, Node
from lab.wait import wait_until

PHONES = "192.168.96.0/20"
"""What sipload takes its phones' addresses from."""
QUEUE = 5060
OUTSIDE_PORTS = """
flush chain ip admin postrouting
add rule ip admin postrouting oifname "wan0" udp dport 5060 masquerade to :40000-49999
add rule ip admin postrouting oifname "wan0" masquerade
"""
"""The phones all send from port 5060. What they get instead stays out of the media range: the kernel's helper drops an
INVITE whose RTP port is one that another phone's signalling has."""


class AcceptArm(gateway.Arm):
    """Where the kernel has nft's `queue`, at the hook where sipnatd's table queues; else where xt_NFQUEUE can, before NAT."""

    name = "accept"
    _RULESET = f"""
table ip acceptonly {{
    chain postrouting {{
        type filter hook postrouting priority srcnat + 200;
        meta l4proto udp ct original proto-dst 5060 queue flags bypass to {QUEUE}
    }}
}}
"""

    def __init__(self, network: Network, node: Node, nft_queue: bool) -> None:
        super().__init__(network, node)
        self.nft_queue = nft_queue
        self.process: netns.Process | None = None

    def start(self) -> None:
        self.process = self.gateway.start(gateway.SipnatArm.program("accept_queue"), str(QUEUE), log="accept_queue.log")
        wait_until(lambda: "ready" in self.process.output(), "accept_queue", state=self.process.output)
        if self.nft_queue:
            self.gateway.run("nft", "-f", "-", stdin=self._RULESET)
        else:
            self.gateway.run("iptables-nft", "-t", "mangle", "-A", "PREROUTING", "-p", "udp", "-m", "multiport", "--ports", "5060",
                             "-j", "NFQUEUE", "--queue-num", str(QUEUE), "--queue-bypass")


class FlowtableArm(gateway.Arm):
    """Established media flows leave the ordinary path."""

    name = "flowtable"
    RULESET = """
table ip fast {
    flowtable media {
        hook ingress priority 0;
        devices = { lan0, wan0 };
    }
    chain forward {
        type filter hook forward priority 0;
        meta l4proto udp ct original proto-dst != 5060 flow add @media
    }
}
"""

    def start(self) -> None:
        self.gateway.run("nft", "-f", "-", stdin=self.RULESET)


class Place:
    """A network with an arm in its gateway, and how sipload is told about it."""

    def __init__(self, network: Network, arm: gateway.Arm | None, inside: Node) -> None:
        self.network = network
        self.arm = arm
        self.inside = inside
        process = getattr(arm, "process", None)
        self.arguments = ["--inside", inside.namespace, "--outside", network["server"].namespace]
        if arm is not None and arm.name in ("kernel", "sipnat"):
            self.arguments.append("--rewrites")
        if process is not None:
            self.arguments += ["--daemon", str(process.pid)]

    def say(self) -> str:
        """What the arm's program printed, for a measurement that went wrong."""
        process = getattr(self.arm, "process", None)
        return process.output()[-2000:] if process else ""


@contextlib.contextmanager
def place(name: str, prefix: str, work: Path, able: dict[str, bool]) -> Iterator[Place]:
    """The named arm, running. Everything is ended and removed on the way out."""
    hosts = ("outside", "server") if name == "direct" else ("phone1", "server")
    with Network(prefix, work, hosts, capture=False) as network:
        inside = network[hosts[0]]
        # A whole network of phones in one namespace: every address of it is this host's.
        inside.run("ip", "route", "add", "local", PHONES, "dev", "lo")
        router = network["server"] if name == "direct" else network["gateway"]
        router.run("ip", "route", "add", PHONES, "via", inside.address)
        arm = None
        if name != "direct":
            router.run("nft", "-f", "-", stdin=OUTSIDE_PORTS)
            arm = _arm(name, network, router, able)
            arm.start()
        try:
            yield Place(network, arm, inside)
        finally:
            if isinstance(arm, gateway.SipnatArm):
                arm.stop()


def _arm(name: str, network: Network, node: Node, able: dict[str, bool]) -> gateway.Arm:
    if name == "accept":
        return AcceptArm(network, node, able["nft_queue"])
    if name == "flowtable":
        return FlowtableArm(network, node)
    return gateway.make({"plain": "none"}.get(name, name), network, node)


def ksoftirqd() -> list[str]:
    """Process ids of the kernel's threads that handle packets which nobody else got to."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and (folder / "comm").read_text().startswith("ksoftirqd/"):
                found.append(folder.name)
    return found


def has_flowtables(prefix: str) -> bool:
    """Tried, like lab.capabilities: the devices are a scratch namespace's."""
    name = f"{prefix}-flowtable"
    netns.run("ip", "netns", "add", name)
    try:
        netns.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "wan0", namespace=name)
        netns.run("nft", "-f", "-", namespace=name, stdin=FlowtableArm.RULESET)
        return True
    except RuntimeError:
        return False
    finally:
        netns.run("ip", "netns", "del", name)


def program_folder() -> Path:
    return Path(os.environ["SIPNAT_BIN_DIR"])
