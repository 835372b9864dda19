"""Network namespaces: entering one for a moment, and starting programs in one.

A socket belongs to the namespace in which it was made, whichever namespace its process is in later. So one process
enters a namespace, makes its socket, leaves, and goes on to the next.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
from pathlib import Path
from typing import Callable, Iterator, Mapping

from lab import trace

CLONE_NEWNET = 0x40000000
FOLDER = Path("/run/netns")

_libc = ctypes.CDLL(None, use_errno=True)


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """The calling thread is in the namespace `name` for the block's duration."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(FOLDER / name, os.O_RDONLY)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(before)
    finally:
        os.close(before)


def sysctl(name: str, value: object) -> None:
    """Sets a network sysctl of the namespace that the caller is in; the dots of `name` are its path."""
    Path("/proc/sys", name.replace(".", "/")).write_text(f"{value}\n")


@contextlib.contextmanager
def kernel_sysctl(name: str, value: object) -> Iterator[None]:
    """Has a sysctl that holds for all of the kernel, in the initial namespace, at `value` for the block's duration."""
    path = Path("/proc/sys", name.replace(".", "/"))
    before = path.read_text()
    path.write_text(f"{value}\n")
    try:
        yield
    finally:
        path.write_text(before)


def run(*command: str, namespace: str | None = None, stdin: str | None = None, check: bool = True, timeout: float = 60,
        environment: Mapping[str, str] | None = None) -> str:
    """Runs a program to its end and returns what it printed. With `check`, a failure raises with its error output."""
    with inside(namespace) if namespace else contextlib.nullcontext():
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
                              stdin=subprocess.DEVNULL if stdin is None else None, env={**os.environ, **(environment or {})})
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}\n{stdin or ''}")
    return done.stdout


def descendants(pid: int) -> list[int]:
    """The processes that this one started, and theirs."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return children + [grandchild for child in children for grandchild in descendants(child)]


class Process:
    """A program in a namespace. Its output goes to `log`. Whoever starts one stops it; `Network` does so for all of its own."""

    def __init__(self, command: list[str], log: Path, namespace: str | None = None, environment: Mapping[str, str] | None = None,
                 stdin: int = subprocess.DEVNULL) -> None:
        self.name = Path(command[0]).name
        self.log = log
        self.killed = False
        with inside(namespace) if namespace else contextlib.nullcontext(), log.open("ab") as output:
            self._process = subprocess.Popen(command, stdin=stdin, stdout=output, stderr=subprocess.STDOUT,
                                             env={**os.environ, **(environment or {})})

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdin(self):
        return self._process.stdin

    def status(self) -> int | None:
        """None while it runs, else its exit status (negative: the signal that ended it)."""
        return self._process.poll()

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        self.killed = True
        self._process.kill()
        self._process.wait(30)

    def kill_at(self, wanted: Callable[[trace.SystemCall], bool], cause: Callable[[], None]) -> trace.SystemCall:
        """SIGKILL at the first system call after `cause()` that is wanted; it is not made any more. Returns it."""
        call = trace.kill_at(self.pid, wanted, cause)
        self.kill()
        return call

    def kill_child(self) -> None:
        """The same of a program that this one started and waits for (unshare --fork); it ends with it."""
        self.killed = True
        [child] = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        self._process.wait(30)

    def stop(self, timeout: float = 30) -> int:
        """SIGTERM, and SIGKILL when that is not heeded, to its children as well. Returns the exit status."""
        if self.status() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                # kamailio's processes wait for each other now and then.
                children = descendants(self.pid)
                self.kill()
                for child in children:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        return self._process.returncode
