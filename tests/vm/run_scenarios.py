#!/usr/bin/python3
"""Runs scenarios, two at a time, and leaves one result file for each.

    run_scenarios.py --out DIR [--label LABEL] [--jobs N] [NAME…]

Needs root. Used in the virtual machine (boot-all.sh) and on the machine itself (tests/native): it works in network
namespaces of its own, and several runs may go on at once. Without names it runs all scenarios of the label ("" are those
with none). Environment: SIPNAT_BIN_DIR (where sipnatd and sipnatctl are), SIPNAT_ARM, SIPNAT_MODE (see
tests/lab/gateway.py).

    DIR/NAME.result   first line "pass", "fail" or "skip REASON", then the time it took and the log
    DIR/NAME/         a failed scenario's captures and logs
    DIR/progress      a line for each scenario started, the last one last
    DIR/capabilities  what the kernel can do, one name a line, "-" before what it cannot

Each scenario runs in a child of this process: Python starts slowly in emulation, and all of them need the same modules.
Afterwards whatever it left behind is removed; a scenario that passed but left something behind has failed.
"""

import argparse
import os
import re
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from lab import capabilities, netns, phones, rtp, scenario, ua  # noqa: E402, F401 (imported here once for all children)

WORK = Path(f"/run/sipnat-lab-{os.getpid()}")
MARK = "SIPNAT_SCENARIO"
SKIPPED = 77
SCENARIOS_FAILED = 10
GRACE = 30
"""Seconds between a scenario's own time limit, which ends in a traceback, and the runner's patience."""


@dataclass
class Job:
    """A scenario under way."""

    path: Path
    pid: int
    prefix: str
    work: Path
    started: float
    patience: float

    @property
    def name(self) -> str:
        return self.path.stem


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs scenarios; see the docstring.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--label", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.out = options.out.resolve()
    (options.out / "progress").write_text("")

    able = capabilities.probe()
    write_atomically(options.out / "capabilities", "".join(f"{'' if there else '-'}{name}\n" for name, there in able.items()))
    runner = Runner(options.out, able, options.jobs)
    return runner.run(choose(options.names, options.label))


def choose(names: list[str], label: str) -> list[Path]:
    """The scenario files to run. Those that must run alone come last: nothing waits for them then."""
    folder = TESTS / "scenarios"
    if names:
        return [folder / f"{name}.py" for name in names]
    return [path for path in sorted(folder.glob("*.py")) if label_of(path) == label]


def label_of(path: Path) -> str:
    found = re.search(r"^# label: (\S+)$", path.read_text(), re.MULTILINE)
    return found.group(1) if found else ""


def runs_alone(path: Path) -> bool:
    return re.search(r"^ALONE = True$", path.read_text(), re.MULTILINE) is not None


def write_atomically(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.rename(path)


class Runner:
    """Starts jobs while there is room, and deals with those that are done."""

    def __init__(self, out: Path, able: dict[str, bool], places: int) -> None:
        self.out = out
        self.able = able
        self.places = places
        self.under_way: list[Job] = []
        self.failed = 0
        self.number = 0

    def run(self, paths: list[Path]) -> int:
        """Returns 0 if none failed, else SCENARIOS_FAILED: not 1, which is how Python ends after a fault of the runner's."""
        # What all namespaces share is the helper.
        alone = [path for path in paths if runs_alone(path) and self.able["cthelper"]]
        together = [path for path in paths if path not in alone]
        for path in together:
            self._wait_for_room(self.places)
            self._start(path)
        for path in alone:
            self._wait_for_room(1)
            self._start(path)
        self._wait_for_room(1)
        shutil.rmtree(WORK, ignore_errors=True)
        return SCENARIOS_FAILED if self.failed else 0

    def _start(self, path: Path) -> None:
        self.number += 1
        (self.out / f"{path.stem}.result").unlink(missing_ok=True)
        shutil.rmtree(self.out / path.stem, ignore_errors=True)
        with (self.out / "progress").open("a") as progress:
            progress.write(f"{path.stem}\n")
        work = WORK / path.stem
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        prefix = f"lab{os.getpid()}n{self.number}"
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os._exit(child(path, work, self.out, prefix, self.able, mark_of(prefix)))
        self.under_way.append(Job(path, pid, prefix, work, time.monotonic(), time_limit(path) + GRACE))

    def _wait_for_room(self, places: int) -> None:
        while len(self.under_way) >= places:
            time.sleep(0.05)
            for job in list(self.under_way):
                done, status = os.waitpid(job.pid, os.WNOHANG)
                if not done and time.monotonic() - job.started > job.patience:
                    os.killpg(job.pid, signal.SIGKILL)
                    done, status = os.waitpid(job.pid, 0)
                if done:
                    self.under_way.remove(job)
                    self._finish(job, status)

    def _finish(self, job: Job, status: int) -> None:
        took = time.monotonic() - job.started
        log = (job.work / "log").read_text(errors="replace")
        code = os.waitstatus_to_exitcode(status)
        outcome = {0: "pass", 1: "fail"}.get(code, "fail")
        if code == SKIPPED:
            outcome = f"skip {(job.work / 'skipped').read_text().strip()}"
        elif code < 0:
            log += f"\nended by signal {-code}" + (" of the runner: out of time" if code == -signal.SIGKILL else "")
        left = clean_up(job)
        if left:
            log += "\nleft behind: " + ", ".join(left)
            outcome = "fail"
        if outcome == "fail":
            self.failed += 1
            shutil.copytree(job.work, self.out / job.name, ignore=lambda folder, names: [
                name for name in names if not (Path(folder, name).is_file() or Path(folder, name).is_dir())])
        write_atomically(self.out / f"{job.name}.result", f"{outcome}\n{took:.1f} s\n{log}\n")
        shutil.rmtree(job.work, ignore_errors=True)
        print(f"{outcome.split()[0]:4} {took:6.1f} s  {job.name}", flush=True)


def mark_of(prefix: str) -> str:
    """What the environment of all programs of one scenario holds."""
    return f"{MARK}={prefix}"


def child(path: Path, work: Path, out: Path, prefix: str, able: dict[str, bool], mark: str) -> int:
    """The scenario's own process: everything it prints goes to its log."""
    os.setsid()
    name, _, value = mark.partition("=")
    os.environ[name] = value
    log = os.open(work / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        scenario.run(path, work, out, prefix, able)
    except scenario.Skip as missing:
        (work / "skipped").write_text(str(missing))
        return SKIPPED
    except BaseException:  # a scenario's failure must not end as this process's
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def time_limit(path: Path) -> float:
    found = re.search(r"^TIMEOUT = (\d+)$", path.read_text(), re.MULTILINE)
    return float(found.group(1)) if found else 60.0


def clean_up(job: Job) -> list[str]:
    """Ends what the scenario left running and removes its namespaces; returns what there was."""
    left = []
    for pid in processes_with(mark_of(job.prefix)):
        try:
            left.append(f"process {pid} ({Path('/proc', str(pid), 'comm').read_text().strip()})")
            os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            left.append(f"process {pid}")
    if netns.FOLDER.is_dir():
        for namespace in sorted(netns.FOLDER.glob(f"{job.prefix}-*")):
            left.append(f"namespace {namespace.name}")
            netns.run("ip", "netns", "del", namespace.name, check=False)
    return left


def processes_with(mark: str) -> list[int]:
    """The programs that were started, however indirectly, by a scenario: they inherited its mark."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                pass
    return found


if __name__ == "__main__":
    sys.exit(main())
