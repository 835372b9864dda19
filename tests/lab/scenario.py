"""Loads one scenario file and runs it.

A scenario file has a docstring that says what it shows, and:

    NEEDS     what the kernel must be able to do (see capabilities): a set of names. "expectations" or "maps" for what
              is about one of sipnatd's modes; the rest runs in either
    TIMEOUT   seconds, in the virtual machine
    ALONE     optional, True: nothing else may run meanwhile on a kernel with user-space helpers. Whatever has SIP over TCP:
              whether TCP is queued holds for all network namespaces of a kernel, and each sipnatd that ends says no
    run(lab)  the scenario; it fails by raising

A comment line "# label: long" keeps it out of ordinary runs.
"""

import contextlib
import importlib.util
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Iterator

from lab import gateway
from lab.topology import Network


DAEMONS_OWN = {"cthelper", "glue", "nft_queue"}
"""What only sipnatd needs; with another arm a scenario runs without them."""
EXPECTATIONS_NEED = DAEMONS_OWN | {"nf_nat_sip"}
"""What sipnatd needs of the kernel in expectations mode; a scenario that names it needs "maps" instead in maps mode."""


class Skip(Exception):
    """The scenario can't run here; the text names what is missing."""


class Lab:
    """What a scenario gets: its name, its work folder, and networks to play with."""

    def __init__(self, name: str, work: Path, out: Path, prefix: str, capabilities: dict[str, bool]) -> None:
        self.name = name
        self.work = work
        self.out = out
        """For what is to be kept also when the scenario passes."""
        self.prefix = prefix
        self.capabilities = capabilities
        self.arm = os.environ.get("SIPNAT_ARM", "sipnat")
        if self.arm not in gateway.ARMS:
            raise ValueError(f"SIPNAT_ARM={self.arm}: one of {', '.join(gateway.ARMS)}")
        can_expect = all(capabilities.get(name) for name in EXPECTATIONS_NEED)
        self.mode = os.environ.get("SIPNAT_MODE") or ("expectations" if can_expect else "maps")
        """sipnatd's."""
        if self.mode not in gateway.MODES:
            raise ValueError(f"SIPNAT_MODE={self.mode}: one of {', '.join(gateway.MODES)}")

    def log(self, text: str) -> None:
        print(text, flush=True)

    def for_sipnat_only(self) -> None:
        """For scenarios about the daemon itself."""
        if self.arm != "sipnat":
            raise Skip("this is about sipnatd, and SIPNAT_ARM is another")

    def need(self, *capabilities: str) -> None:
        missing = [name for name in capabilities if not self.has(name)]
        if missing:
            raise Skip(f"missing: {', '.join(sorted(missing))}")

    def has(self, name: str) -> bool:
        if name == "expectations":
            return self.mode == "expectations" and all(map(self.capabilities.get, EXPECTATIONS_NEED))
        return bool(self.capabilities.get(name))

    def needs_of(self, module: ModuleType) -> set[str]:
        """A scenario's NEEDS, as this arm and this mode have them."""
        if self.arm != "sipnat":
            return module.NEEDS - DAEMONS_OWN - {"expectations"}
        if self.mode == "maps" and module.NEEDS & DAEMONS_OWN:
            return module.NEEDS - DAEMONS_OWN | {"maps"}
        return module.NEEDS

    @contextlib.contextmanager
    def network(self, *hosts: str, arm: str | None = None, mode: str | None = None, config: str | None = None,
                **options: object) -> Iterator["Playground"]:
        """The named hosts with their gateways, and the arm (by default SIPNAT_ARM's, in self.mode) running in each gateway.

        `options` are Network's. On the way out everything is ended and removed, and a daemon that crashed raises.
        """
        arm = arm or self.arm
        mode = mode or self.mode
        if arm == "sipnat" and mode == "maps":
            options["media_mark"] = gateway.MEDIA_MARK
        if arm == "route":
            options["nat"] = "route"
        with Network(self.prefix, self.work, hosts, **options) as network:
            playground = Playground(network, {
                name: gateway.make(arm, mode, network, node, config) for name, node in network.gateways.items()
            })
            try:
                for one in playground.arms.values():
                    one.start()
                yield playground
                for one in playground.arms.values():
                    one.stop()
            except BaseException:
                for one in playground.arms.values():
                    self.log("\n".join([f"--- conntrack in {one.gateway}:", *one.state()]))
                raise
            finally:
                for one in playground.arms.values():
                    self.log(one.report())


class Playground:
    """A network with arms in its gateways. `net["phone1"]` is a host, `net.gateway` the (first) gateway's arm."""

    def __init__(self, network: Network, arms: dict[str, gateway.Arm]) -> None:
        self.network = network
        self.arms = arms

    def __getitem__(self, name: str):
        return self.network[name]

    @property
    def gateway(self) -> gateway.Arm:
        return self.arms["gateway"]


def load(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def run(path: Path, work: Path, out: Path, prefix: str, capabilities: dict[str, bool]) -> None:
    """Runs the scenario in this process. Raises Skip, or whatever it fails with."""
    module = load(path)

    def out_of_time(*_: object) -> None:
        raise TimeoutError(f"the scenario was not done within {module.TIMEOUT} s")

    lab = Lab(path.stem, work, out, prefix, capabilities)
    lab.need(*lab.needs_of(module))
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(module.TIMEOUT)
    module.run(lab)
    signal.alarm(0)
