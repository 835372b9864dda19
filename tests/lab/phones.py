"""Real programs: baresip and linphone as phones, kamailio as the server. All headless, all files in the work folder.

Each phone plays a tone of its own pitch and records what it hears, so "hears the other" is something to measure.
They are watched through their own interfaces until they are where they should be; nothing sleeps for a while and hopes.
"""

import contextlib
import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Callable

from lab import netns, tone
from lab.sip import Message
from lab.topology import Node
from lab.wait import wait_until

SERVER = "203.0.113.10"
PASSWORD = "secret"
PATIENCE = 60.0


_BARESIP_TRACE = re.compile(rb"\x1b\[36;1m#\n(\w+ \S+ -> \S+\n)(.*?)\x1b\[;m", re.DOTALL)


class Baresip:
    """A baresip 1.0, driven through its ctrl_tcp module (JSON in netstrings).

    It does not latch onto where media comes from, so audio proves that the SDP was right.
    """

    def __init__(self, node: Node, user: str, hertz: int, *, server: str = SERVER, rtp_ports: str = "20000-20100", transport: str = "udp",
                 answers: str = "auto", video: bool = False, ice: bool = False) -> None:
        """answers: "auto", or "early": it rings with its own tone, until it is told to answer()."""
        self.node = node
        self.user = user
        self.uri = f"sip:{user}@{server}"
        self.hertz = hertz
        self._folder = node.network.work / f"baresip-{user}-{node.name}"
        (self._folder / "sound").mkdir(parents=True)
        (self._folder / "config").write_text(self._config(rtp_ports, video, ice))
        (self._folder / "contacts").write_text("")
        (self._folder / "accounts").write_text(
            f"<{self.uri};transport={transport}>;auth_pass={PASSWORD};regint=60;answermode={answers}{';medianat=ice' if ice else ''}\n")
        self._process = node.start("baresip", "-4", "-s", "-f", str(self._folder), log=f"{self._folder.name}.log")
        self._control: socket.socket | None = None
        self._buffer = b""
        self._looked_at = 0
        wait_until(self._connect, f"{self}'s control port", PATIENCE, self._process.output)

    def __str__(self) -> str:
        return f"baresip {self.user} on {self.node}"

    def wait_registered(self) -> None:
        wait_until(lambda: "OK" in self.command("reginfo"), f"{self} to be registered", PATIENCE, self._process.output)

    def dial(self, uri: str) -> None:
        self.command("dial", uri)

    def answer(self) -> None:
        self.command("accept")

    def wait_established(self) -> None:
        wait_until(lambda: "ESTABLISHED" in self.command("listcalls"), f"{self}'s call to be established", PATIENCE, self._process.output)

    def hold(self) -> None:
        self.command("hold")

    def resume(self) -> None:
        self.command("resume")

    def expect(self, wanted: Callable[[Message], bool], what: str) -> Message:
        """The next message that it reads and `wanted` accepts; those before it are passed over."""
        def found() -> Message | None:
            received = self._received()
            while self._looked_at < len(received):
                self._looked_at += 1
                if wanted(received[self._looked_at - 1]):
                    return received[self._looked_at - 1]
            return None

        return wait_until(found, f"{self} to read {what}", PATIENCE, lambda: [message.start for message in self._received()])

    def _received(self) -> list[Message]:
        """All SIP messages so far, out of the phone's own log."""
        port = f" -> {self.node.address}:5060\n".encode()
        return [Message.parse(data) for way, data in _BARESIP_TRACE.findall(self._process.log.read_bytes()) if way.endswith(port)]

    def hang_up(self) -> None:
        self.command("hangup")

    def wait_idle(self) -> None:
        """Until the call is over here as well: its BYE has arrived."""
        wait_until(lambda: "ESTABLISHED" not in self.command("listcalls"), f"{self}'s call to end", PATIENCE, self._process.output)

    def listener(self, hertz: int) -> "Ear":
        """For the next call: what was recorded before it does not count."""
        earlier = set(self._recordings())
        return Ear(str(self), lambda: [path for path in self._recordings() if path not in earlier], hertz)

    def _recordings(self) -> list[Path]:
        return sorted((self._folder / "sound").glob("*dec.wav"))

    def command(self, name: str, parameters: str = "") -> str:
        """One command's answer; events that come before it are passed over."""
        assert self._control
        text = json.dumps({"command": name, "params": parameters, "token": name}).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))
        while True:
            message = self._read()
            if message.get("response"):
                return message.get("data") or ""

    def _connect(self) -> bool:
        if self._process.status() is not None:
            raise AssertionError(f"{self} has ended:\n{self._process.output()}")
        with netns.inside(self.node.namespace):
            control = socket.socket()
        control.settimeout(PATIENCE)
        try:
            control.connect(("127.0.0.1", 4444))
        except ConnectionRefusedError:
            control.close()
            return False
        self._control = self.node.network.closing(control)
        return True

    def _read(self) -> dict:
        """The next netstring, LENGTH:JSON, with a comma behind it."""
        assert self._control
        while True:
            length, colon, rest = self._buffer.partition(b":")
            if colon and len(rest) > int(length):
                self._buffer = rest[int(length) + 1:]
                return json.loads(rest[:int(length)])
            received = self._control.recv(65536)
            if not received:
                raise AssertionError(f"{self} has ended:\n{self._process.output()}")
            self._buffer += received

    def _config(self, rtp_ports: str, video: bool, ice: bool) -> str:
        """Tone in (ausine), recordings of both directions out (sndfile); it takes no loopback address for its own.

        The video is a test picture, and as small as emulation needs it.
        """
        settings = {
            "poll_method": "epoll",
            "sip_listen": f"{self.node.address}:5060",
            "call_max_calls": "4",
            "audio_source": f"ausine,{self.hertz}",
            "audio_player": "aubridge,player",
            "audio_alert": "aubridge,alert",
            "ausrc_srate": "48000",
            "ausrc_channels": "2",
            "audio_buffer": "20-160",
            "rtp_ports": rtp_ports,
            "rtcp_mux": "no",
            "jitter_buffer_delay": "5-10",
            "module_path": "/usr/lib/baresip/modules",
            "ctrl_tcp_listen": "127.0.0.1:4444",
            "snd_path": str(self._folder / "sound"),
            "menu_bell": "no",
            "ringback_disabled": "yes",
        }
        modules = [("module", "g711"), ("module", "ausine"), ("module", "aubridge"), ("module", "sndfile"), ("module_tmp", "uuid"),
                   ("module_tmp", "account"), ("module_app", "contact"), ("module_app", "debug_cmd"), ("module_app", "menu"),
                   ("module_app", "ctrl_tcp")]
        if video:
            settings.update(video_source="fakevideo,nil", video_display="fakevideo,nil", video_size="128x96", video_bitrate="64000", video_fps="5")
            modules[:0] = [("module", "vp8"), ("module", "fakevideo")]
        if ice:
            modules.insert(0, ("module", "ice"))
        lines = [f"{name} {value}" for name, value in settings.items()] + [f"{kind} {name}.so" for kind, name in modules]
        return "\n".join(lines) + "\n"


class Linphone:
    """A linphonec that plays a tone from a file and records to one, driven through its standard input."""

    hertz = 700

    def __init__(self, node: Node, user: str, *, transport: str = "udp") -> None:
        self.node = node
        self.user = user
        self.uri = f"sip:{user}@{SERVER}"
        self._folder = node.network.work / f"linphone-{user}"
        # Without this folder in its home it never opens its SIP port.
        (self._folder / ".local" / "share" / "linphone").mkdir(parents=True)
        (self._folder / ".config" / "linphone").mkdir(parents=True)
        (self._folder / "linphonerc").write_text(self._config(transport))
        self._recording = self._folder / "heard.wav"
        tone.write(self._folder / "tone.wav", self.hertz, 120)
        self._process = node.start("linphonec", "-c", str(self._folder / "linphonerc"), "-d", "6", "-l", str(self._folder / "debug.log"),
                                   log=f"linphone-{user}.log", environment={"HOME": str(self._folder)}, stdin=subprocess.PIPE)
        for command in ("soundcard use files", f"play {self._folder}/tone.wav", f"record {self._recording}"):
            self._say(command)

    def __str__(self) -> str:
        return f"linphone {self.user} on {self.node}"

    def wait_registered(self) -> None:
        def registered() -> bool:
            self._say("status register")
            return "registered, identity" in self._process.output()

        wait_until(registered, f"{self} to be registered", PATIENCE, self._process.output)

    def dial(self, uri: str) -> None:
        self._say(f"call {uri}")

    def wait_established(self) -> None:
        def running() -> bool:
            self._say("calls")
            return "StreamsRunning" in self._process.output()

        wait_until(running, f"{self}'s call to be established", PATIENCE, self._process.output)

    def hang_up(self) -> None:
        self._say("terminate")

    def wait_idle(self) -> None:
        def idle() -> bool:
            before = len(self._process.output())
            self._say("calls")
            return "No active call" in wait_until(lambda: self._process.output()[before:], f"{self} to speak", PATIENCE)

        wait_until(idle, f"{self}'s call to end", PATIENCE, self._process.output)

    def listener(self, hertz: int) -> "Ear":
        return Ear(str(self), lambda: [self._recording], hertz)

    def _say(self, command: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{command}\n".encode())
            self._process.stdin.flush()

    def _config(self, transport: str) -> str:
        udp, tcp = (5060, 0) if transport == "udp" else (0, -1)
        sections = {
            "sip": {"sip_port": udp, "sip_tcp_port": tcp, "sip_tls_port": 0, "default_proxy": 0, "guess_hostname": 1, "use_ipv6": 0,
                    "contact": f'"{self.user}" <sip:{self.user}@unknown-host>', "lime": 0},
            "proxy_0": {"reg_proxy": f"<sip:{SERVER};transport={transport}>", "reg_identity": self.uri, "reg_expires": 120,
                        "reg_sendregister": 1, "publish": 0},
            "auth_info_0": {"username": self.user, "passwd": PASSWORD, "realm": SERVER, "domain": SERVER},
            "rtp": {"audio_rtp_port": 20000, "rtcp_xr_enabled": 0},
            "net": {"mtu": 1300, "firewall_policy": 0},
            "video": {"enabled": 0, "capture": 0, "display": 0},
            "misc": {"history_max_size": 0, "uuid": 0},
            "sound": {"remote_ring": "", "local_ring": ""},
        }
        return "\n".join(f"[{section}]\n" + "".join(f"{name}={value}\n" for name, value in entries.items())
                         for section, entries in sections.items())


class Ear:
    """What one phone hears of another's tone."""

    def __init__(self, name: str, recordings, hertz: int) -> None:
        self._name = name
        self._recordings = recordings
        self._hertz = hertz
        self._listeners: dict[Path, tone.Listener] = {}

    def __str__(self) -> str:
        return f"{self._name} hears: " + (", ".join(map(str, self._listeners.values())) or "no recording")

    def hears(self) -> bool:
        for path in self._recordings():
            self._listeners.setdefault(path, tone.recording(path, self._hertz))
        return any([listener.heard() >= tone.ENOUGH for listener in self._listeners.values()])


def converse(caller, callee, dialled: str | None = None) -> None:
    """`caller` dials `callee`, by its own URI or by that which it has for the caller; each must hear the other's tone; the
    callee hangs up."""
    ears = [caller.listener(callee.hertz), callee.listener(caller.hertz)]
    caller.dial(dialled or callee.uri)
    caller.wait_established()
    callee.wait_established()
    wait_heard(ears)
    callee.hang_up()
    caller.wait_idle()
    callee.wait_idle()


def wait_heard(ears) -> None:
    """Until each of them has heard its tone; see Ear, and capture.WireEar."""
    wait_until(lambda: all([ear.hears() for ear in ears]), "all to hear each other", PATIENCE, lambda: list(ears))


class Kamailio:
    """A registrar with digest authentication and a record-routing proxy that knows nothing of NAT.

    No nathelper, no rtpproxy, no fixed Contacts: whatever the gateway lets through is what everybody uses.
    """

    _MODULES = ("kex", "corex", "tm", "sl", "rr", "pv", "maxfwd", "textops", "siputils", "usrloc", "registrar", "xlog", "auth")
    _ROUTES = """
request_route {
    if (!mf_process_maxfwd_header("10")) {
        sl_send_reply("483", "Too Many Hops");
        exit;
    }
    if (is_method("CANCEL")) {
        if (t_check_trans()) t_relay();
        exit;
    }
    if (has_totag()) {
        if (loose_route()) {
            if (is_method("INVITE|UPDATE")) record_route();
            t_relay();
        } else if (is_method("ACK")) {
            if (t_check_trans()) t_relay();
        } else {
            sl_send_reply("404", "Not Here");
        }
        exit;
    }
    if (is_method("REGISTER")) {
        if (!pv_www_authenticate("$td", "PASSWORD", "0")) {
            www_challenge("$td", "1");
            exit;
        }
        consume_credentials();
        xlog("L_NOTICE", "REGISTER $tu from $si:$sp Contact $ct\\n");
        if (!save("location")) sl_reply_error();
        exit;
    }
    if (is_method("OPTIONS") && uri == myself) {
        sl_send_reply("200", "OK");
        exit;
    }
    if (is_method("PUBLISH|SUBSCRIBE")) {
        sl_send_reply("404", "Not Here");
        exit;
    }
    record_route();
    if (!lookup("location")) {
        sl_send_reply("404", "Not Found");
        exit;
    }
    xlog("L_NOTICE", "$rm from $si:$sp Contact $ct goes to $ru\\n");
    t_relay();
}
"""

    def __init__(self, node: Node) -> None:
        self.node = node
        folder = node.network.work / "kamailio"
        folder.mkdir()
        modules = [path for path in Path("/usr/lib").glob("*/kamailio/modules") if path.is_dir()]
        settings = ["#!KAMAILIO", "debug=2", "log_stderror=yes", "children=2", "tcp_children=2", "auto_aliases=no",
                    f'mpath="{modules[0]}/"', *(f'loadmodule "{name}.so"' for name in self._MODULES),
                    'modparam("usrloc", "db_mode", 0)', 'modparam("auth", "nonce_expire", 300)', 'modparam("rr", "append_fromtag", 1)',
                    'modparam("tm", "fr_inv_timer", 60000)']
        config = folder / "kamailio.cfg"
        config.write_text("\n".join(settings) + self._ROUTES.replace("PASSWORD", PASSWORD))
        listen = f"{node.address}:5060"
        self._process = node.start("kamailio", "-DD", "-E", "-f", str(config), "-l", f"udp:{listen}", "-l", f"tcp:{listen}",
                                   "-P", str(folder / "pid"), "-Y", str(folder), "-m", "32", "-M", "8", log="kamailio.log")
        self._probe = node.udp_socket(5999)
        self._probe.settimeout(0.5)
        wait_until(self._answers, f"kamailio on {node}", PATIENCE, self._process.output)

    def _answers(self) -> bool:
        if self._process.status() is not None:
            raise AssertionError(f"kamailio has ended:\n{self._process.output()}")
        address = self.node.address
        options = (f"OPTIONS sip:{address} SIP/2.0\r\nVia: SIP/2.0/UDP {address}:5999;branch=z9hG4bK-up\r\nMax-Forwards: 5\r\n"
                   f"From: <sip:up@{address}>;tag=1\r\nTo: <sip:{address}>\r\nCall-ID: up\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
        with contextlib.suppress(TimeoutError, ConnectionRefusedError):
            self._probe.sendto(options.encode(), (address, 5060))
            return self._probe.recv(4096).startswith(b"SIP/2.0 200")
        return False
