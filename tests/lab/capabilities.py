"""What the running kernel can do of what scenarios need. Tried rather than looked up: built-in code is in no module list."""

import contextlib
import os
import socket
import struct
from typing import Callable

from lab import netns

_NETLINK_NETFILTER = 12
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300
_CTHELPER_GET = 9 << 8 | 1
_QUEUE_CONFIG = 3 << 8 | 2
_SCRATCH = f"capabilities-{os.getpid()}"


def probe() -> dict[str, bool]:
    """Capability → present. Needs root."""
    netns.run("ip", "netns", "add", _SCRATCH)
    try:
        return {name: test() for name, test in _TESTS.items()}
    finally:
        netns.run("ip", "netns", "del", _SCRATCH)


def _ruleset_loads(text: str) -> Callable[[], bool]:
    def test() -> bool:
        netns.run("nft", "flush", "ruleset", namespace=_SCRATCH, check=False)
        try:
            netns.run("nft", "-f", "-", namespace=_SCRATCH, stdin=text)
        except RuntimeError:
            return False
        return True

    return test


def _chain(rule: str, hook: str = "type filter hook postrouting priority 300;", before: str = "") -> str:
    return f"table ip t {{\n{before}\nchain c {{\n{hook}\n{rule}\n}}\n}}\n"


def _netlink_error(message_type: int, flags: int, payload: bytes) -> int:
    """Sends one request and returns the errno of the answer, 0 for a success."""
    with netns.inside(_SCRATCH):
        channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    with channel:
        channel.settimeout(10)
        channel.sendto(struct.pack("=IHHII", 16 + len(payload), message_type, _NLM_F_REQUEST | flags, 1, 0) + payload, (0, 0))
        answer = channel.recv(8192)
    (kind,) = struct.unpack_from("=H", answer, 4)
    return -struct.unpack_from("=i", answer, 16)[0] if kind == 2 else 0


def _cthelper() -> bool:
    return _netlink_error(_CTHELPER_GET, _NLM_F_DUMP, struct.pack("=BBH", 0, 0, 0)) == 0


def _glue() -> bool:
    """NFQA_CFG_F_CONNTRACK on a queue: bind it, then set the flag."""

    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)

    queue = struct.pack(">BBH", 0, 0, 0)
    bind = attribute(1, struct.pack(">BxH", 1, socket.AF_INET))
    flag = struct.pack(">I", 1 << 1)
    return _netlink_error(_QUEUE_CONFIG, _NLM_F_ACK, queue + bind + attribute(5, flag) + attribute(4, flag)) == 0


def _kernel_symbol(module: str, symbol: str) -> Callable[[], bool]:
    def test() -> bool:
        with contextlib.suppress(RuntimeError):
            netns.run("modprobe", module)
        with open("/proc/kallsyms", encoding="ascii") as symbols:
            return any(line.split()[2] == symbol for line in symbols)

    return test


_MAPS = """
map to {
type ipv4_addr . inet_service : ipv4_addr . inet_service
flags timeout
}
"""


def _maps() -> bool:
    """What sipnatd's nft-map mode is made of: NAT through maps with timeouts, fib, and a queue of either kind."""
    rules = [("dnat to ip daddr . udp dport map @to", "type nat hook prerouting priority -101;"),
             ("snat to ip saddr . udp sport map @to", "type nat hook postrouting priority 99;")]
    able = all(_ruleset_loads(_chain(rule, hook, _MAPS))() for rule, hook in rules)
    return able and _TESTS["nft_fib"]() and (_TESTS["nft_queue"]() or _target("NFQUEUE", "--queue-bypass"))


def _netem() -> bool:
    """tc's way to lose, double and reorder packets."""
    with contextlib.suppress(RuntimeError):
        netns.run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", "1%", namespace=_SCRATCH)
        return True
    return False


def _own_kernel() -> bool:
    """A virtual machine's: what holds for all of a kernel (its clock, conntrack's limits, helpers) may be changed for a while."""
    return "SIPNAT_OWN_KERNEL" in os.environ


def _target(*arguments: str) -> bool:
    """iptables' target, through nft_compat."""
    try:
        netns.run("iptables-nft", "-t", "mangle", "-A", "PREROUTING", "-p", "udp", "-j", *arguments, namespace=_SCRATCH)
    except RuntimeError:
        return False
    return True


_TESTS: dict[str, Callable[[], bool]] = {
    "cthelper": _cthelper,
    "glue": _glue,
    "nft_queue": _ruleset_loads(_chain("queue flags bypass to 0")),
    "nft_nat": _ruleset_loads(_chain("masquerade", "type nat hook postrouting priority 100;")),
    "nft_fib": _ruleset_loads(_chain("fib daddr type local accept", "type filter hook prerouting priority 0;")),
    "maps": _maps,
    "netem": _netem,
    "own_kernel": _own_kernel,
    "nf_nat_sip": _kernel_symbol("nf_nat_sip", "nf_nat_sdp_media"),
    "sip_helper": _ruleset_loads(_chain('ct helper set "s"', "type filter hook prerouting priority 0;",
                                        'ct helper s {\ntype "sip" protocol udp;\nl3proto ip;\n}')),
}
