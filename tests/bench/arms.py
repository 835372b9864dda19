"""The gateways that are compared, each in network namespaces of its own.

    direct     no gateway at all: what the load generator and the cables cost by themselves
    plain      masquerade
    accept     masquerade, and a program behind a netfilter queue that accepts every SIP packet
    kernel     the kernel's own SIP helper (nf_nat_sip)
    sipnat     sipnatd, as tests/lab starts it on this kernel, with its shipped settings
    flowtable  masquerade, and media past the ruleset (nft's flow offload, in software)
"""

import contextlib
import io
import os
from pathlib import Path
from typing import Iterator

from lab import netns
from lab.scenario import Lab
from lab.topology import Node
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
ACCEPT_RULES = f"""
table ip acceptonly {{
    chain postrouting {{
        type filter hook postrouting priority srcnat + 200;
        meta l4proto udp ct original proto-dst 5060 queue flags bypass to {QUEUE}
    }}
}}
"""
FLOWTABLE_RULES = """
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


class Broken(Exception):
    """An arm that did not start or did not end well; the text has what it said."""


def start_accepting(gateway: Node, nft_queue: bool) -> netns.Process:
    """Where the kernel has nft's `queue`, at the hook where sipnatd's table queues; else where xt_NFQUEUE can, before NAT."""
    process = gateway.start(str(program("accept_queue")), str(QUEUE), log="accept_queue.log")
    wait_until(lambda: "ready" in process.output(), "accept_queue", state=process.output)
    if nft_queue:
        gateway.run("nft", "-f", "-", stdin=ACCEPT_RULES)
    else:
        gateway.run("iptables-nft", "-t", "mangle", "-A", "PREROUTING", "-p", "udp", "-m", "multiport", "--ports", "5060",
                    "-j", "NFQUEUE", "--queue-num", str(QUEUE), "--queue-bypass")
    return process


@contextlib.contextmanager
def place(name: str, prefix: str, work: Path, able: dict[str, bool]) -> Iterator[list[str]]:
    """The named arm, running; gives sipload's arguments for it. Everything is ended and removed on the way out."""
    hosts = ("outside", "server") if name == "direct" else ("phone1", "server")
    in_lab = name if name in ("kernel", "sipnat") else "none"
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), \
                Lab("bench", work, work, prefix, able).network(*hosts, arm=in_lab, capture=False) as net:
            inside = net[hosts[0]]
            router = net["server" if name == "direct" else "gateway"]
            # A whole network of phones in one namespace: every address of it is this host's.
            inside.run("ip", "route", "add", "local", PHONES, "dev", "lo")
            router.run("ip", "route", "add", PHONES, "via", inside.address)
            if name != "direct":
                router.run("nft", "-f", "-", stdin=OUTSIDE_PORTS)
            process = getattr(net.gateway, "process", None) if name == "sipnat" else None
            if name == "accept":
                process = start_accepting(router, able["nft_queue"])
            if name == "flowtable":
                router.run("nft", "-f", "-", stdin=FLOWTABLE_RULES)
            arguments = ["--inside", inside.namespace, "--outside", net["server"].namespace]
            arguments += ["--rewrites"] if in_lab != "none" else []
            arguments += ["--daemon", str(process.pid)] if process else []
            yield arguments
    except (AssertionError, RuntimeError) as fault:
        raise Broken(f"{fault}\n{said.getvalue()[-4000:]}") from fault


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
        netns.run("nft", "-f", "-", namespace=name, stdin=FLOWTABLE_RULES)
        return True
    except RuntimeError:
        return False
    finally:
        netns.run("ip", "netns", "del", name)


def program(name: str) -> Path:
    return Path(os.environ["SIPNAT_BIN_DIR"], name)
