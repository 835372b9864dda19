"""The hosts and networks of a scenario, each host a network namespace.

            lan 192.168.77.0/24                              wan 203.0.113.0/24
    phone1 .2 --\                                                    /-- server  .10
    phone2 .3 ---+---- lan0 .1 [gateway] wan0 .1 -------------------+--- outside .11
    phone3 .4 --/      lan1 .1                                      +--- media   .12
                        |                                           |
    neighbour .2 -------/                       [gatewayb] wan0 .2 -/
            lan1 192.168.78.0/24                 lan0 .1
                                                  |
                                     phoneb .2 ---/  lanb 192.168.88.0/24

Only the hosts that a scenario names exist, and the gateways that these need. The networks are bridges in a namespace of
their own, so that nothing but the gateway sees a packet of its own twice.
"""

import contextlib
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import netns
from lab.wait import wait_until


@dataclass(frozen=True)
class Attachment:
    """Where a host is plugged in: the network, its address there, and its way out."""

    network: str
    address: str
    gateway: str | None = None


HOSTS = {
    "phone1": Attachment("lan", "192.168.77.2", "192.168.77.1"),
    "phone2": Attachment("lan", "192.168.77.3", "192.168.77.1"),
    "phone3": Attachment("lan", "192.168.77.4", "192.168.77.1"),
    "neighbour": Attachment("lan1", "192.168.78.2", "192.168.78.1"),
    "phoneb": Attachment("lanb", "192.168.88.2", "192.168.88.1"),
    "server": Attachment("wan", "203.0.113.10"),
    "outside": Attachment("wan", "203.0.113.11"),
    "media": Attachment("wan", "203.0.113.12"),
}
GATEWAYS = {
    "gateway": {
        "lan0": Attachment("lan", "192.168.77.1"),
        "lan1": Attachment("lan1", "192.168.78.1"),
        "wan0": Attachment("wan", "203.0.113.1"),
    },
    "gatewayb": {
        "lan0": Attachment("lanb", "192.168.88.1"),
        "wan0": Attachment("wan", "203.0.113.2"),
    },
}


class Node:
    """One host: a network namespace with an address."""

    def __init__(self, network: "Network", name: str, address: str) -> None:
        self.network = network
        self.name = name
        self.address = address
        self.namespace = f"{network.prefix}-{name}"

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"

    def udp_socket(self, port: int, address: str | None = None) -> socket.socket:
        """A UDP socket on this host's address, or on `address`."""
        with netns.inside(self.namespace):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((self.address if address is None else address, port))
        return self.network.closing(made)

    def tcp_socket(self, port: int, address: str | None = None) -> socket.socket:
        """A TCP socket on this host's address, or on `address` (IPv4 or IPv6), yet to connect or to listen."""
        address = self.address if address is None else address
        with netns.inside(self.namespace):
            made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        return self.network.closing(made)

    def run(self, *command: str, stdin: str | None = None, check: bool = True, timeout: float = 60) -> str:
        return netns.run(*command, namespace=self.namespace, stdin=stdin, check=check, timeout=timeout)

    def start(self, *command: str, log: str, environment: dict[str, str] | None = None, stdin: int = subprocess.DEVNULL) -> netns.Process:
        """Starts a program that ends with the network at the latest; its output goes to the file `log` of the work folder."""
        process = netns.Process(list(command), self.network.work / log, self.namespace, environment, stdin)
        self.network.processes.append(process)
        return process


class Network:
    """The namespaces of a scenario; a context manager that removes them, and whatever was started in them."""

    def __init__(self, prefix: str, work: Path, hosts: tuple[str, ...], *, nat: str = "masquerade", firewall: str = "open",
                 forward_sip_to: str | None = None, capture: bool = True, media_mark: int = 0) -> None:
        """
        nat: "masquerade", "snat" or "route" (none: the outside hosts have routes to the inside networks).
        firewall: "open", or "restricted": the gateways forward new flows from the phones to port 5060 outside, over UDP and TCP,
            and otherwise only what conntrack calls established or related.
        media_mark: the bit of the ct mark by which a restricted firewall knows sipnatd's media in maps mode, where
            nothing is related.
        forward_sip_to: a host of the LAN that gets what reaches the gateway's port 5060 from outside, over UDP and TCP (an inside PBX).
        """
        self.prefix = prefix
        self.work = work
        self.nat = nat
        self.firewall = firewall
        self.forward_sip_to = forward_sip_to
        self.media_mark = media_mark
        self.processes: list[netns.Process] = []
        self._sockets: list[socket.socket] = []
        self._capture = capture
        self._captures: list[netns.Process] = []
        self._namespaces: list[str] = []
        self.hosts = {name: Node(self, name, HOSTS[name].address) for name in hosts}
        ways_out = {HOSTS[name].gateway for name in hosts}
        self.gateways = {
            name: Node(self, name, interfaces["wan0"].address)
            for name, interfaces in GATEWAYS.items()
            if any(interface.address in ways_out for interface in interfaces.values())
        }

    def __getitem__(self, name: str) -> Node:
        return self.hosts[name] if name in self.hosts else self.gateways[name]

    def __enter__(self) -> "Network":
        try:
            self._build()
            if self._capture:
                for gateway in self.gateways.values():
                    self.capture(gateway)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def closing(self, made: socket.socket) -> socket.socket:
        self._sockets.append(made)
        return made

    def capture(self, node: Node) -> Path:
        """Captures everything that `node` sends and receives into NODE.pcap, from now on. Returns the file."""
        log, path = self.work / f"{node.name}.tcpdump", self.work / f"{node.name}.pcap"
        process = netns.Process(["tcpdump", "-i", "any", "-U", "-n", "-Z", "root", "-w", str(path)], log, node.namespace)
        self._captures.append(process)
        wait_until(lambda: "listening on" in process.output(), f"tcpdump on {node}", state=process.output)
        return path

    def impair(self, *netem: str) -> None:
        """Has every host and every gateway send its packets through netem(8) with these arguments. Needs "netem"."""
        for node, interface, _ in self._attachments():
            node.run("tc", "qdisc", "add", "dev", interface, "root", "netem", *netem)

    def _build(self) -> None:
        switch = f"{self.prefix}-switch"
        attachments = self._attachments()
        networks = sorted({attachment.network for _, _, attachment in attachments})
        self._namespaces = [switch, *(node.namespace for node in [*self.hosts.values(), *self.gateways.values()])]
        netns.run("ip", "-batch", "-", stdin="".join(f"netns add {name}\n" for name in self._namespaces))
        for name in self._namespaces:
            with netns.inside(name):
                netns.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
                netns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        wires = [f"link add {network} type bridge\n" for network in networks]
        for number, (node, interface, attachment) in enumerate(attachments):
            wires.append(f"link add w{number} master {attachment.network} type veth peer name {interface} netns {node.namespace}\n")
            wires.append(f"link set w{number} up\n")
        wires += [f"link set {network} up\n" for network in networks]
        netns.run("ip", "-n", switch, "-batch", "-", stdin="".join(wires))
        self._keep_bridges_out_of_netfilter(switch)
        for node in [*self.hosts.values(), *self.gateways.values()]:
            self._configure(node, [(interface, attachment) for owner, interface, attachment in attachments if owner is node])
        for name, gateway in self.gateways.items():
            with netns.inside(gateway.namespace):
                netns.sysctl("net.ipv4.ip_forward", 1)
            gateway.run("nft", "-f", "-", stdin=self._ruleset(name))

    def _attachments(self) -> list[tuple[Node, str, Attachment]]:
        """(host, interface, where to) of every cable."""
        cables = [(node, "eth0", HOSTS[name]) for name, node in self.hosts.items()]
        used = {attachment.network for _, _, attachment in cables} | {"wan"}
        for name, gateway in self.gateways.items():
            cables += [(gateway, interface, at) for interface, at in GATEWAYS[name].items() if at.network in used]
        return cables

    def _configure(self, node: Node, interfaces: list[tuple[str, Attachment]]) -> None:
        lines = ["link set lo up\n"]
        for interface, attachment in interfaces:
            lines.append(f"addr add {attachment.address}/24 dev {interface}\n")
            lines.append(f"link set {interface} up\n")
            if attachment.gateway:
                lines.append(f"route add default via {attachment.gateway}\n")
            elif self.nat == "route" and node.name in self.hosts:
                lines.append("route add 192.168.0.0/16 via 203.0.113.1\n")
        netns.run("ip", "-n", node.namespace, "-batch", "-", stdin="".join(lines))
        with netns.inside(node.namespace):
            # The stricter of "all" and the interface counts, and distributions set either.
            for interface in ["all", "default", *(name for name, _ in interfaces)]:
                netns.sysctl(f"net.ipv4.conf.{interface}.rp_filter", 0)

    @staticmethod
    def _keep_bridges_out_of_netfilter(switch: str) -> None:
        """With br_netfilter loaded, bridged packets would be tracked and filtered in the switch as well."""
        with netns.inside(switch):
            for family in ("arptables", "iptables", "ip6tables"):
                with contextlib.suppress(FileNotFoundError):
                    netns.sysctl(f"net.bridge.bridge-nf-call-{family}", 0)

    def _ruleset(self, gateway: str) -> str:
        """The administrator's own table, as a stranger's gateway would have it."""
        policy = "accept"
        allowed: list[str] = []
        if self.firewall == "restricted":
            policy = "drop"
            allowed = ["ct state established,related accept",
                       *(f'iifname "lan*" oifname "wan0" {protocol} dport 5060 accept' for protocol in ("udp", "tcp"))]
            if self.media_mark:
                allowed += ["ct status dnat accept", f"ct mark and {self.media_mark} == {self.media_mark} accept"]
        source_nat = {
            "masquerade": ['oifname "wan0" masquerade'],
            "snat": [f'oifname "wan0" ip saddr 192.168.0.0/16 snat to {GATEWAYS[gateway]["wan0"].address}'],
            "route": [],
        }[self.nat]
        destination_nat = []
        if self.forward_sip_to and gateway == "gateway":
            destination_nat = [f'iifname "wan0" {protocol} dport 5060 dnat to {HOSTS[self.forward_sip_to].address}'
                               for protocol in ("udp", "tcp")]
        chains = [
            ("forward", f"type filter hook forward priority 0; policy {policy};", allowed),
            ("prerouting", "type nat hook prerouting priority -100;", destination_nat),
            ("postrouting", "type nat hook postrouting priority 100;", source_nat),
        ]
        text = "table ip admin {\n"
        for name, hook, rules in chains:
            text += "".join(f"\t{line}\n" for line in [f"chain {name} {{", hook, *rules, "}"])
        return text + "}\n"

    def _remove(self) -> None:
        for made in self._sockets:
            made.close()
        for process in reversed(self.processes):
            process.stop()
        for process in self._captures:
            process.stop()
        if self._namespaces:
            there = [name for name in self._namespaces if os.path.exists(netns.FOLDER / name)]
            netns.run("ip", "-batch", "-", stdin="".join(f"netns del {name}\n" for name in there))
