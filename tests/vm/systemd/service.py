"""sipnatd.service as it is shipped, under a real systemd.

The gateway is a network namespace, which a drop-in puts the service into; everything else is as installed.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lab import gateway, netns  # noqa: E402
from lab.audio import AudioCall  # noqa: E402
from lab.rtp import Media  # noqa: E402
from lab.scenario import Playground  # noqa: E402
from lab.segments import HandMade, Wire  # noqa: E402
from lab.tcp import TcpAgent, Writer  # noqa: E402
from lab.topology import Network  # noqa: E402
from lab.translation import Line, outwards  # noqa: E402
from lab.ua import UserAgent  # noqa: E402
from lab.wait import wait_until  # noqa: E402

UNIT = "sipnatd.service"
PATIENCE = 90.0


class Service(gateway.Arm):
    """The installed unit in the gateway's namespace."""

    name = "service"
    ends_flows = True

    def start(self) -> None:
        folder = Path(f"/run/systemd/system/{UNIT}.d")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "namespace.conf").write_text(f"[Service]\nNetworkNamespacePath=/run/netns/{self.gateway.namespace}\n")
        netns.run("systemctl", "daemon-reload")
        netns.run("systemctl", "start", UNIT, timeout=PATIENCE)

    def stop(self) -> None:
        netns.run("systemctl", "stop", UNIT, timeout=PATIENCE)
        assert shown("Result") == "success", f"after systemctl stop the unit's result is {shown('Result')}"

    def report(self) -> str:
        return "--- the journal says:\n" + journal()

    def kill_and_wait(self) -> None:
        """Returns when systemd has started it again."""
        before = shown("MainPID")
        netns.run("systemctl", "kill", "--signal=KILL", UNIT)
        wait_until(lambda: shown("ActiveState") == "active" and shown("MainPID") not in ("0", before), "systemd to start it again",
                   PATIENCE, journal)


def shown(name: str) -> str:
    return netns.run("systemctl", "show", "--value", "-p", name, UNIT).strip()


def journal() -> str:
    return netns.run("journalctl", "--no-pager", "-o", "cat", "-u", UNIT)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with Network("unit", Path(folder), ("phone1", "server")) as network:
            service = Service(network, network["gateway"])
            try:
                names_a_blacklisted_module(service)
                raises_the_limit()
                serves_a_call_through_a_kill(Playground(network, {"gateway": service}))
                serves_tcp_through_a_kill(network, service)
                service.stop()
            finally:
                print(service.report())


def names_a_blacklisted_module(service: Service) -> None:
    """With `install … /bin/true` modprobe succeeds and loads nothing: only sipnatd can tell."""
    block = Path("/etc/modprobe.d/no-sip-alg.conf")
    block.write_text("# SIP ALG off\ninstall nf_nat_sip /bin/true\n")
    netns.run("modprobe", "-r", "nf_nat_sip", check=False)
    netns.run("systemctl", "start", UNIT, check=False, timeout=PATIENCE)
    wait_until(lambda: f"{block}:2" in journal(), "the fault that names the blacklisting line", PATIENCE, journal)
    assert shown("ActiveState") != "active"
    block.unlink()
    netns.run("systemctl", "stop", UNIT, timeout=PATIENCE)
    netns.run("systemctl", "reset-failed", UNIT, check=False)
    netns.run("systemctl", "stop", "modprobe@nf_nat_sip.service")
    print("a blacklisted nf_nat_sip is named, with file and line")


def raises_the_limit() -> None:
    """In the initial namespace: the kernel lets nobody else set it."""
    limit = Path("/proc/sys/net/netfilter/nf_conntrack_expect_max")
    netns.run("modprobe", "nf_conntrack")
    limit.write_text("1000")
    netns.run("systemctl", "start", UNIT, timeout=PATIENCE)
    assert limit.read_text().strip() == "81920", f"expect_max is {limit.read_text()}"
    limit.write_text("100000")
    netns.run("systemctl", "restart", UNIT, timeout=PATIENCE)
    assert limit.read_text().strip() == "100000", "a larger value of the administrator's does not stay"
    netns.run("systemctl", "stop", UNIT, timeout=PATIENCE)
    netns.run("nft", "delete", "table", "inet", "sipnat")
    buckets = Path("/sys/module/nf_conntrack/parameters/expect_hashsize").read_text().strip()
    assert buckets == "20480", f"nf_conntrack was loaded with expect_hashsize={buckets}"
    print("expect_max is raised and never lowered, and the hash has the shipped size")


def serves_a_call_through_a_kill(net: Playground) -> None:
    net.gateway.start()
    assert Path("/sys/module/nf_nat_sip").exists(), "the unit's modprobe@nf_nat_sip.service loaded nothing"
    phone = UserAgent(net["phone1"], "alice")
    provider = UserAgent(net["server"], "bob")
    call = AudioCall(phone, Media(net["phone1"], 20000), provider, Media(net["server"], 30000))
    call.talk()
    print("a call through the unit has audio both ways")

    net.gateway.kill_and_wait()
    call.talk()
    call.hang_up(by=provider)
    net.gateway.assert_media_closed()
    assert shown("NRestarts") == "1", f"it was restarted {shown('NRestarts')} times"
    print("after kill -9 systemd started it again, the audio went on, and BYE cleaned up")


def serves_tcp_through_a_kill(network: Network, service: Service) -> None:
    """Streams whose numbers have shifted both ways: one between messages, one with half a message held."""
    server = TcpAgent(network["server"], "bob", listens=5060)
    line = Line(network["phone1"], server)
    for _ in range(3):
        line.edited()
    # By hand, so that nothing is sent again while nobody is there.
    phone = HandMade(network["phone1"], 40000)
    phone.connect(server.endpoint)
    wire = Wire(phone, server.accept())
    message = Writer(network["phone1"], "alice", 40000).request("OPTIONS", server.identity).encode()
    whole = wire.whole(message)
    assert whole == outwards(message, phone.endpoint, wire.connection.peer), f"the server reads {whole!r}"
    wire.assert_acknowledged()
    print("TCP through the unit is edited both ways")

    line.settle()

    def killed_halfway(at: int) -> int:
        phone.put(at, message[:100])
        service.kill_and_wait()
        phone.put_all(message, [100], at=at)
        return at + len(message)

    wire.arrives(whole, killed_halfway, "the message at which it was killed")
    for _ in range(3):
        line.edited()
    wire.carry(message, [100], whole)
    print("after kill -9 both streams go on, and their messages are edited again")

    line.settle()
    netns.run("systemctl", "stop", UNIT, timeout=PATIENCE)
    for _ in range(3):
        line.untouched()
    line.untouched(b"x" * 100_000)
    netns.run("systemctl", "start", UNIT, timeout=PATIENCE)
    line.untouched(b"x" * 100_000)
    line.untouched()
    again = Line(network["phone1"], server)
    again.edited()
    for one in (line, again):
        one.end()
    print("without it a stream goes on as it is sent, and new ones are edited by the next")


if __name__ == "__main__":
    main()
