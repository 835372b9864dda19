"""What runs in a gateway, its "arm", and what conntrack holds there.

    route    no NAT at all: a control, for what has nothing to do with translated addresses
    none     plain NAT
    kernel   the kernel's own SIP helper (nf_conntrack_sip, nf_nat_sip)
    sipnat   sipnatd, with the configuration that is shipped unless a scenario brings its own

sipnatd's mode is what the kernel can do, or what SIPNAT_MODE says. In maps mode nothing is expected: the same questions
are answered out of the daemon's own nft maps, and out of the ct mark that its media flows have.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import tempfile
from pathlib import Path
from typing import Callable

from lab import netns
from lab.conntrack import Expectation, Flow, parse_expectations, parse_flows
from lab.endpoint import Endpoint
from lab.topology import Network, Node
from lab.trace import SystemCall
from lab.wait import DEADLINE, wait_until

SOURCE = Path(__file__).resolve().parents[2]
ARMS = ("route", "none", "kernel", "sipnat")
MODES = ("expectations", "maps")
MEDIA_MARK = 1
"""In maps mode: the bit of the ct mark that sipnatd gives to media flows."""
_NFQNL_MSG_VERDICT = 3 << 8 | 1
_FAULTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "ThreadSanitizer:")


class Arm:
    """Nothing: the gateway is on its own. The base of the others."""

    name = "none"
    ends_flows = False
    """Whether a media flow's conntrack entry ends with its call, rather than by its timeout."""

    def __init__(self, network: Network, gateway: Node) -> None:
        self.network = network
        self.gateway = gateway

    def start(self) -> None:
        """Returns when packets are handled."""

    def stop(self) -> None:
        """Ends it; raises if it did not do well."""

    def report(self) -> str:
        """What it has to say about itself, for the scenario's log."""
        return ""

    def flows(self, *, status: str | None = None, protocol: str = "udp") -> list[Flow]:
        """conntrack entries; `status` as conntrack(8) has it: EXPECTED are those that an expectation made."""
        filters = ["--status", status] if status else []
        return parse_flows(self.gateway.run("conntrack", "-L", "-p", protocol, *filters, check=False))

    def packets_queued(self) -> int:
        """How many packets this network namespace has queued to user space so far, over all queues."""
        return self._sum_of_queues(7)

    def packets_waiting(self) -> int:
        """How many of them have no verdict yet."""
        return self._sum_of_queues(2)

    def _sum_of_queues(self, column: int) -> int:
        with netns.inside(self.gateway.namespace):
            table = Path("/proc/thread-self/net/netfilter/nfnetlink_queue").read_text()
        return sum(int(line.split()[column]) for line in table.splitlines())

    def expectations(self) -> list[Expectation]:
        return parse_expectations(self.gateway.run("conntrack", "-L", "expect", check=False))

    def open_media(self) -> list[str]:
        """What lets media in, a line each."""
        return [str(one) for one in self._expected_media()]

    def open_ports(self) -> list[Endpoint]:
        """The gateway's own endpoints among those, sorted. Read until two readings agree: who may send to them is changed right
        behind a message."""
        ports = self._ports()
        while (again := self._ports()) != ports:
            ports = again
        return ports

    def _ports(self) -> list[Endpoint]:
        found = (one.expected.destination for one in self._expected_media())
        return sorted(endpoint for endpoint in found if endpoint[0] == self.gateway.address)

    def _expected_media(self) -> list[Expectation]:
        """Those without signalling, which live as long as a registration: class 0, and those towards a SIP server."""
        return [one for one in self.expectations() if one.fields.get("class") != "0" and one.expected.destination[1] != 5060]

    def open_signalling(self) -> list[str]:
        """What lets SIP in to ports that are no flow's own, a line each."""
        return [str(one) for one in self.expectations() if one.fields.get("class") == "0"]

    def media_flows(self) -> list[Flow]:
        """Flows that came in through open_media(), or left because of it."""
        return [flow for flow in self.flows(status="EXPECTED") if 5060 not in (flow.original.source[1], flow.original.destination[1])]

    def forget_media_flows(self) -> None:
        """As their timeouts do in a long silence."""
        for flow in self.media_flows():
            (source, source_port), (destination, destination_port) = flow.original.source, flow.original.destination
            # One may have ended by its own timeout meanwhile, which is the same.
            self.gateway.run("conntrack", "-D", "-p", "udp", "--orig-src", source, "--sport", str(source_port),
                             "--orig-dst", destination, "--dport", str(destination_port), check=False)

    def state(self) -> list[str]:
        """All of conntrack's entries, a line each: what failed waits print."""
        return [*map(str, self.flows()), *(f"expected: {expectation}" for expectation in self.expectations())]

    def assert_media_closed(self) -> None:
        """After a call: nothing lets media in any longer, and no flow is left that did. Waits for that."""
        wait_until(lambda: not self.open_media(), "the media to be closed", state=self.state)
        if self.ends_flows:
            wait_until(lambda: not self.media_flows(), "the media flows to end", 90, state=self.state)


class KernelArm(Arm):
    """The kernel's SIP helper, as an administrator sets it up with nft."""

    name = "kernel"
    _RULESET = """
table ip kernelhelper {
    ct helper sip {
        type "sip" protocol udp;
        l3proto ip;
    }
    ct helper siptcp {
        type "sip" protocol tcp;
        l3proto ip;
    }
    chain prerouting {
        type filter hook prerouting priority filter;
        udp dport 5060 ct helper set "sip"
        tcp dport 5060 ct helper set "siptcp"
    }
}
"""

    def start(self) -> None:
        # The rule loads nf_conntrack_sip alone, which then tracks calls without rewriting anything.
        netns.run("modprobe", "nf_nat_sip", check=False)
        self.gateway.run("nft", "-f", "-", stdin=self._RULESET)


class SipnatArm(Arm):
    """sipnatd, with socket, state and log in the scenario's work folder."""

    name = "sipnat"
    ends_flows = True

    table = "sipnat"
    """sipnatd's own, of nft's family inet."""

    def __init__(self, network: Network, gateway: Node, config: str | None = None) -> None:
        super().__init__(network, gateway)
        # A scenario with several networks, one after the other, has several of these.
        self.folder = Path(tempfile.mkdtemp(prefix=f"{gateway.name}-", dir=network.work))
        self.config = SOURCE / "systemd" / "sipnat.toml"
        text = self.configuration(self.config.read_text() if config is None else config)
        if text != self.config.read_text():
            self.config = self.folder / "sipnat.toml"
            self.config.write_text(text)
        self.environment = {
            "SIPNAT_SOCKET": str(self.folder / "control.sock"),
            "SIPNAT_STATE": str(self.folder / "state"),
            "SIPNAT_RULESET": str(SOURCE / "nft" / "sipnat.nft"),
            "SIPNAT_MAPS_RULESET": str(SOURCE / "nft" / "sipnat-maps.nft"),
        }
        self.process: netns.Process | None = None

    def configuration(self, text: str) -> str:
        """The scenario's settings, with what the mode needs."""
        return text

    @staticmethod
    def program(name: str) -> str:
        folder = os.environ.get("SIPNAT_BIN_DIR")
        if not folder:
            raise RuntimeError("SIPNAT_BIN_DIR is not set: the folder of sipnatd and sipnatctl")
        return str(Path(folder, name))

    def start(self, clock_ahead: int = 0) -> None:
        """With a clock that is so many seconds ahead (a time namespace); then it can only be killed, not stopped."""
        clock = ["unshare", "--time", "--fork", "--kill-child", "--boottime", str(clock_ahead), "--"] if clock_ahead else []
        notified = self.folder / "notify.sock"
        notified.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(str(notified))
            ready.setblocking(False)
            self.process = self.gateway.start(
                *clock, self.program("sipnatd"), "--config", str(self.config), log=f"{self.folder.name}/sipnatd.log",
                environment={**self.environment, "NOTIFY_SOCKET": str(notified)})
            wait_until(lambda: self._running() and _says_ready(ready), "READY=1 from sipnatd", state=self.report)

    def kill(self) -> None:
        """kill -9, in the middle of whatever it does."""
        assert self.process
        if self.process.name == "unshare":
            self.process.kill_child()
        else:
            self.process.kill()

    def kill_before_looking(self, cause: Callable[[], None]) -> None:
        """kill -9 while the packet that `cause()` sends waits in the queue; the kernel drops what waits there."""
        assert self.process
        self.process.signal(signal.SIGSTOP)
        cause()
        wait_until(lambda: self.packets_waiting() == 1, "the packet to wait for sipnatd", state=self.packets_waiting)
        self.process.kill()

    def kill_before_saving(self, cause: Callable[[], None]) -> bool:
        """kill -9 when what the packet of `cause()` needs is open in the kernel, and the state file is about to say so. False if
        it has nothing to say; then as kill_before_verdict()."""
        assert self.process
        state = self.environment["SIPNAT_STATE"]
        call = self.process.kill_at(lambda call: call.is_named("write") and call.file() == state or _is_verdict(call), cause)
        return call.is_named("write")

    def kill_before_verdict(self, cause: Callable[[], None]) -> None:
        """kill -9 when all is done for the packet of `cause()`, but that the kernel has yet to be told to let it go."""
        assert self.process
        self.process.kill_at(_is_verdict, cause)

    def release(self) -> None:
        """What the unit does once the daemon is gone, however: TCP is not queued any more."""
        netns.run(self.program("sipnatd"), "--config", str(self.config), "--release", namespace=self.gateway.namespace,
                  environment=self.environment)

    def stats(self) -> dict:
        return json.loads(self.control("stats", "--json"))

    def tcp_events(self) -> dict[str, int]:
        """What happened to TCP streams, by the daemon's names for it; zeros left out."""
        return {name: count for name, count in json.loads(self.control("status", "--json"))["tcp_events"].items() if count}

    def reload(self) -> None:
        assert self.process
        self.process.signal(signal.SIGHUP)

    def control(self, *arguments: str, check: bool = True) -> str:
        """What sipnatctl prints."""
        return netns.run(self.program("sipnatctl"), *arguments, namespace=self.gateway.namespace, environment=self.environment, check=check)

    def elements(self, name: str) -> list[str]:
        """What a set or map of sipnatd's holds, a line each."""
        kind = "map" if name in ("in", "in_from", "out", "hairpin", "contacts", "in_tcp", "contacts_tcp") else "set"
        listed = json.loads(self.gateway.run("nft", "-j", "list", kind, "inet", self.table, name))
        [content] = [one[kind] for one in listed["nftables"] if kind in one]
        return [f"{name}: {_element(element)}" for element in content.get("elem", [])]

    def stop(self) -> None:
        if self.process is None:
            return
        if not self.process.killed:
            self._running()
            status = self.process.stop(DEADLINE)
            if status != 0:
                raise AssertionError(f"sipnatd ended with status {status} after SIGTERM")
        for fault in _FAULTS:
            if fault in self.process.output():
                raise AssertionError(f"sipnatd's log has: {fault}")

    def report(self) -> str:
        if self.process is None:
            return f"--- sipnatd in {self.gateway.name} was not started"
        status = self.process.status()
        state = "runs" if status is None else "was killed" if self.process.killed else f"ended with status {status}"
        counted = f"--- its counters:\n{self.control('status', check=False)}" if status is None else ""
        return f"--- sipnatd in {self.gateway.name} {state} and says:\n{self.process.output()}{counted}"

    def _running(self) -> bool:
        assert self.process
        status = self.process.status()
        if status is not None:
            raise AssertionError(f"sipnatd has ended by itself, status {status}")
        return True


class MapsArm(SipnatArm):
    """sipnatd in nft-map mode."""

    table = "sipnat_maps"

    def configuration(self, text: str) -> str:
        section = f'[nat]\nmode = "maps"\nmark = {MEDIA_MARK}\nmask = {MEDIA_MARK}\n'
        text = text.replace("[nat]\n", section, 1) if "[nat]\n" in text else text + section
        return text + (f'\n[[outside]]\ninterface = "wan0"\naddress = "{self.gateway.address}"\n'
                       'inside = ["192.168.0.0/16"]\n')

    def open_media(self) -> list[str]:
        return [*self._media_elements(), *self.elements("streams")]

    def open_signalling(self) -> list[str]:
        # Only they are guarded like media; a flow's own port is not.
        guarded = [one.removeprefix("media: ") for one in self.elements("media")]
        contacts = [one for one in self.elements("contacts") if any(f" . {endpoint} : " in one for endpoint in guarded)]
        return [*contacts, *self.elements("contacts_tcp"), *self.elements("in_tcp")]

    def _ports(self) -> list[Endpoint]:
        found = (element.split(" : ")[0].split(" . ")[-2:] for element in self._media_elements())
        return sorted((address.split()[-1], int(port)) for address, port in found)

    def _media_elements(self) -> list[str]:
        """For anybody, and for one sender."""
        return [*self.elements("in"), *self.elements("in_from")]

    def media_flows(self) -> list[Flow]:
        return [flow for flow in self.flows() if int(flow.fields.get("mark", "0")) & MEDIA_MARK]

    def state(self) -> list[str]:
        names = ("in", "in_from", "out", "hairpin", "contacts", "signalling", "media", "streams", "forwarded", "in_tcp", "contacts_tcp", "signalling_tcp")
        return [*map(str, self.flows()), *(element for name in names for element in self.elements(name))]


def _is_verdict(call: SystemCall) -> bool:
    return call.is_named("sendto") and struct.unpack_from("=H", call.data(6), 4)[0] == _NFQNL_MSG_VERDICT


def _element(json_value: object) -> str:
    """An element as nft writes it, without its timeout: 203.0.113.1 . 20000 : 192.168.77.2 . 4000"""
    if isinstance(json_value, dict) and "elem" in json_value:
        return _element(json_value["elem"]["val"])
    if isinstance(json_value, dict) and "concat" in json_value:
        return " . ".join(map(str, json_value["concat"]))
    if isinstance(json_value, list):
        return " : ".join(map(_element, json_value))
    return str(json_value)


def _says_ready(listening: socket.socket) -> bool:
    with contextlib.suppress(BlockingIOError):
        while True:
            if b"READY=1" in listening.recv(4096).splitlines():
                return True
    return False


def make(name: str, mode: str, network: Network, gateway: Node, config: str | None = None) -> Arm:
    if name == "sipnat":
        return {"expectations": SipnatArm, "maps": MapsArm}[mode](network, gateway, config)
    return {"route": Arm, "none": Arm, "kernel": KernelArm}[name](network, gateway)
