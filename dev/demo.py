"""The demonstration: what a phone's messages are before and after the gateway, what conntrack holds, and whether the sound
that arrives is the sound that was sent. Ends with status 2 if this kernel can't do either of sipnatd's modes.

    baresip alice 192.168.77.2 --- [gateway 203.0.113.1] ---+--- kamailio    203.0.113.10
                                   masquerade, sipnatd      +--- baresip bob 203.0.113.11
"""

import difflib
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from lab import capabilities  # noqa: E402
from lab.capture import udp_payloads  # noqa: E402
from lab.phones import PATIENCE, Baresip, Kamailio  # noqa: E402
from lab.scenario import EXPECTATIONS_NEED, Lab  # noqa: E402
from lab.sip import Message  # noqa: E402
from lab.wait import wait_until  # noqa: E402

ALICE_HERTZ = 440
BOB_HERTZ = 1000


def main() -> int:
    able = capabilities.probe()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab("demo", Path(folder), Path(folder), f"demo{os.getpid()}", able)
        missing = [name for name in (EXPECTATIONS_NEED if lab.mode == "expectations" else {"maps"}) if not able.get(name)]
        if missing:
            print(f"kernel {os.uname().release} lacks {', '.join(missing)}")
            return 2
        print(f"kernel {os.uname().release}, sipnatd in {lab.mode} mode")
        with lab.network("phone1", "server", "outside") as net:
            heard = demonstrate(net)
    print(f"\n{'All heard all.' if heard else 'NOT everybody heard the other.'}")
    return 0 if heard else 1


def demonstrate(net) -> bool:
    for host in ("phone1", "server"):
        net.network.capture(net[host])
    Kamailio(net["server"])
    alice = Baresip(net["phone1"], "alice", ALICE_HERTZ)
    bob = Baresip(net["outside"], "bob", BOB_HERTZ, rtp_ports="21000-21100")
    alice.wait_registered()
    bob.wait_registered()
    title("alice registers: as her phone sent it (-), as the registrar got it (+)")
    show_change(net, "REGISTER")

    title("alice calls bob")
    heard = [call(net, alice, bob)]
    title("alice's INVITE: as her phone sent it (-), as the provider got it (+)")
    show_change(net, "INVITE")

    title("bob calls alice")
    heard.append(call(net, bob, alice))

    title("after the calls, sipnatctl status")
    print(net.gateway.control("status"))
    return all(heard)


def title(text: str) -> None:
    print(f"\n=== {text}", flush=True)


def call(net, caller, callee) -> bool:
    ears = [caller.listener(callee.hertz), callee.listener(caller.hertz)]
    caller.dial(callee.uri)
    caller.wait_established()
    callee.wait_established()
    print("what lets media in, after the answer:")
    print(indented(net.gateway.open_media()))
    try:
        wait_until(lambda: all([ear.hears() for ear in ears]), "both to hear each other", PATIENCE, lambda: ears)
        heard = True
    except AssertionError:
        heard = False
    print("conntrack -L, in mid-call:")
    print(indented(net.gateway.flows()))
    for flow in net.gateway.media_flows():
        if not flow.line.count("packets="):
            continue
        counts = [word.split("=")[1] for word in flow.line.split() if word.startswith(("packets=", "bytes="))]
        print(f"media {flow.original.source[0]}:{flow.original.source[1]} > {flow.original.destination[0]}:"
              f"{flow.original.destination[1]}: {counts[0]} packets, {counts[1]} bytes; back {counts[2]} packets, {counts[3]} bytes")
    for ear in ears:
        print(ear)
    callee.hang_up()
    caller.wait_idle()
    callee.wait_idle()
    net.gateway.assert_media_closed()
    return heard


def indented(lines) -> str:
    return "\n".join(f"    {line}" for line in lines)


def show_change(net, method: str) -> None:
    """The last request of that method that both captures have."""
    def captured():
        before = requests(net.network.work / "phone1.pcap", method, from_host=net["phone1"].address)
        after = requests(net.network.work / "server.pcap", method, from_host="203.0.113.1")
        return before, after, [key for key in before if key in after]

    # tcpdump writes down what it saw a moment later.
    wait_until(lambda: captured()[2], f"the {method} in both captures")
    before, after, keys = captured()
    lines = [text.decode(errors="replace").split("\r\n") for text in (before[keys[-1]], after[keys[-1]])]
    for line in difflib.ndiff(*lines):
        if not line.startswith("?"):
            print(f"    {line}")


def requests(capture: Path, method: str, from_host: str) -> dict[tuple[str, str], bytes]:
    """Requests in a capture by (Call-ID, CSeq)."""
    found = {}
    for source, _, payload in udp_payloads(capture):
        if source[0] == from_host and payload.startswith(method.encode() + b" "):
            message = Message.parse(payload)
            found[message["Call-ID"].strip(), message["CSeq"].strip()] = payload
    return found


if __name__ == "__main__":
    os.chdir("/")
    sys.exit(main())
