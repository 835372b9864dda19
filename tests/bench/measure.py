#!/usr/bin/python3
"""Measures all arms side by side and leaves one JSON file.

    measure.py --out FILE [--rounds N] [--seconds S] [--phones N] [--media-calls N,N,…] [--arms NAME,NAME,…] [--engine]

Needs root; SIPNAT_BIN_DIR names the folder with sipnatd, sipload, accept_queue, engine_bench and
growth_bench. Every round builds each
arm's network anew, in turn, the first arm of a round being another each time. A round before the first, which does not
count, finds the rate of "half load": half of what the slowest arm carries, the same for all arms.

Ends with status 1 if an arm did not start or changed the wrong bytes; how fast it was never matters.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterator

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import arms  # noqa: E402
from lab import capabilities, netns  # noqa: E402

SIGNALLING_ARMS = ("direct", "plain", "accept", "kernel", "sipnat")
MEDIA_ARMS = ("direct", "plain", "kernel", "sipnat", "flowtable")
WORKLOADS = ("untouched", "options", "register")
CALLS = ("invite",)
"""These come last: what a gateway still has to do for ended calls must not count for anything else."""
MOST_CYCLES = {"saturation": 40000, "half load": 20000}
MOST_CALLS = {"saturation": 6000, "half load": 2500}
"""A call's outside ports rest for a minute after it: sipnatd's range has to last for what one gateway gets."""
MEDIA_SERIALS = 8500
"""The serial numbers of the media calls begin here: ports that no call of the signalling had."""
TRIALS = 3
"""How often the round that finds the rate of half load tries each arm. The best counts: others use the machine as well."""


class Run:
    """One whole run and its results so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.prefix = f"bench{os.getpid()}"
        self.able = {**capabilities.probe(), "flowtable": arms.has_flowtables(self.prefix)}
        self.softirq = [word for pid in arms.ksoftirqd() for word in ("--softirq", pid)]
        self.signalling: list[dict] = []
        self.media: list[dict] = []
        self.faults: dict[str, str] = {}
        self.absent = self._absent()

    def _absent(self) -> dict[str, str]:
        """Arms that this kernel cannot run, and what it lacks."""
        needs = {"kernel": ["sip_helper", "nf_nat_sip"], "flowtable": ["flowtable"]}
        missing = {arm: [name for name in names if not self.able[name]] for arm, names in needs.items()}
        return {arm: "the kernel has no " + ", ".join(names) for arm, names in missing.items() if names}

    def run(self) -> None:
        with many_expectations():
            for number in range(self.options.rounds + 1):
                for arm in self._order(number):
                    self._one_gateway(number, arm)
                print(f"round {number} of {self.options.rounds} is done", flush=True)

    def _order(self, number: int) -> list[str]:
        wanted = [arm for arm in dict.fromkeys(SIGNALLING_ARMS + MEDIA_ARMS)
                  if arm not in self.absent and (not self.options.arms or arm in self.options.arms)]
        first = number % len(wanted)
        return wanted[first:] + wanted[:first]

    def _one_gateway(self, number: int, arm: str) -> None:
        work = Path(tempfile.mkdtemp(prefix="sipnat-bench."))
        try:
            with arms.place(arm, self.prefix, work, self.able) as place:
                if arm in SIGNALLING_ARMS:
                    self._signalling(number, arm, place, WORKLOADS)
                if arm in MEDIA_ARMS and number > 0:
                    self._media(number, arm, place)
                if arm in SIGNALLING_ARMS:
                    self._signalling(number, arm, place, CALLS)
        except arms.Broken as fault:
            self._fault(arm, str(fault))
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _signalling(self, number: int, arm: str, place: list[str], workloads: tuple[str, ...]) -> None:
        serial = 0
        for workload in workloads:
            most = MOST_CALLS if workload in CALLS else MOST_CYCLES
            trials = [("saturation", 0.0, most["saturation"] // TRIALS)] * TRIALS if number == 0 else [
                ("saturation", 0.0, most["saturation"]), ("half load", self._half_load(workload), most["half load"])]
            for kind, rate, cycles in trials:
                result = self._sipload(place, "signalling", "--workload", workload, "--rate", f"{rate:.1f}",
                                       "--cycles", str(cycles), "--first-serial", str(serial))
                # Only calls use media ports.
                serial += result.get("cycles", 0) if workload in CALLS else 0
                self._keep(self.signalling, arm, number, {"kind": kind, "workload": workload, **result})

    def _half_load(self, workload: str) -> float:
        best: dict[str, float] = {}
        for one in self.signalling:
            if one["round"] == 0 and one["workload"] == workload and "seconds" in one:
                best[one["arm"]] = max(best.get(one["arm"], 0.0), one["cycles"] / one["seconds"])
        return min(best.values()) / 2

    def _media(self, number: int, arm: str, place: list[str]) -> None:
        serial = MEDIA_SERIALS
        for calls in self.options.media_calls:
            result = self._sipload(place, "media", "--calls", str(calls), "--first-serial", str(serial))
            serial += calls
            self._keep(self.media, arm, number, {"calls": calls, **result})

    def _sipload(self, place: list[str], *arguments: str) -> dict:
        command = [str(arms.program("sipload")), *arguments, *place, *self.softirq,
                   "--seconds", str(self.options.seconds), "--patience", str(self.options.patience), "--phones", str(self.options.phones)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            return {"fault": done.stderr.strip()}
        return json.loads(done.stdout)

    def _keep(self, results: list[dict], arm: str, number: int, result: dict) -> None:
        results.append({"arm": arm, "round": number, **result})
        if "fault" in result:
            self._fault(arm, result["fault"])
        elif result["wrong"] and result.get("kind") != "half load":
            # At a given rate a program that others kept from the processor finds its queue full and passes messages as
            # they are: that is for the table. At saturation no queue can fill.
            self._fault(arm, f"{result['wrong']} wrong of {result.get('messages', result.get('packets'))}, "
                             f"{result.get('workload', 'media')}\n{result.get('wrong_one', '')}")

    def _fault(self, arm: str, text: str) -> None:
        if arm not in self.faults:
            self.faults[arm] = text
            print(f"{arm}: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def many_expectations() -> Iterator[None]:
    """Raises the kernel's limit, which is one for all network namespaces, for as long as the measurements take."""
    limit = Path("/proc/sys/net/netfilter/nf_conntrack_expect_max")
    before = limit.read_text()
    limit.write_text("65536\n")
    try:
        yield
    finally:
        limit.write_text(before)


def engine_budget(seconds: float) -> list[dict]:
    """engine_bench's figures: median nanoseconds of each stage, and allocations. "engine alone" is without libosip2."""
    rows: dict[str, dict] = {}
    for program, only, rename in (("engine_bench", ".", ""), ("engine_bench_alone", "SDP/engine", " alone")):
        done = subprocess.run([str(arms.program(program)), "--benchmark_format=json", "--benchmark_repetitions=5", f"--benchmark_filter={only}",
                               f"--benchmark_min_time={seconds}", "--benchmark_enable_random_interleaving=true"],
                              capture_output=True, text=True, check=True)
        for one in json.loads(done.stdout)["benchmarks"]:
            if one["run_type"] != "iteration":
                continue
            name = one["run_name"].removesuffix("/manual_time") + rename
            row = rows.setdefault(name, {"name": name, "nanoseconds": [], "allocations": one.get("allocations"), "bytes": one.get("bytes")})
            row["nanoseconds"].append(1e9 / one["items_per_second"])
    return [{**row, "median": statistics.median(row["nanoseconds"])} for row in rows.values()]


def growth(folder: Path) -> dict:
    """growth_bench's figures. The state file of the starts is written to `folder`."""
    done = subprocess.run([str(arms.program("growth_bench")), "--folder", str(folder)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def machine() -> dict:
    processors = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in processors if line.startswith("model name")]
    return {"kernel": platform.release(), "processors": os.cpu_count(), "model": names[0] if names else "?"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures all arms; see the docstring.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement, at most")
    parser.add_argument("--patience", type=int, default=1000, help="milliseconds after which an answer is lost")
    parser.add_argument("--phones", type=int, default=1000, help="flows that the signalling is spread over")
    parser.add_argument("--media-calls", type=lambda text: [int(word) for word in text.split(",") if word], default=[10, 100, 1000])
    parser.add_argument("--arms", type=lambda text: text.split(","), default=[])
    parser.add_argument("--engine", action="store_true", help="measure the engine's budget and how it grows as well")
    parser.add_argument("--emulated", action="store_true", help="the processor is: the report compares arms only")
    options = parser.parse_args()
    # So that an interrupted run removes its networks as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    netns.FOLDER.mkdir(exist_ok=True)
    started = time.monotonic()
    run = Run(options)
    run.run()
    engine = engine_budget(0.1) if options.engine else []
    grown = growth(options.out.resolve().parent) if options.engine else {}
    options.out.write_text(json.dumps({
        "emulated": options.emulated, "machine": machine(), "rounds": options.rounds, "phones": options.phones, "seconds": options.seconds,
        "took": time.monotonic() - started, "capabilities": run.able, "absent": run.absent, "faults": run.faults,
        "signalling": run.signalling, "media": run.media, "engine": engine, "growth": grown,
    }, indent=1) + "\n")
    return 1 if run.faults else 0


if __name__ == "__main__":
    sys.exit(main())
