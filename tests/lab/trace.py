"""Ending a program at one of its system calls, before the kernel does anything of it (ptrace(2)).

Only for programs that this process started: it has to be the parent that waits for them.
"""

import ctypes
import os
import platform
import signal
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

_NUMBERS = {"x86_64": {"write": 1, "sendto": 44}, "aarch64": {"write": 64, "sendto": 206}}
_ATTACH, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 16, 24, 0x4200, 0x420E
_MARK_SYSCALLS, _EXITKILL = 1, 0x100000
_AT_ENTRY = 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class SystemCall:
    """One that is about to be made."""

    pid: int
    number: int
    arguments: tuple[int, ...]

    def is_named(self, name: str) -> bool:
        return self.number == _NUMBERS[platform.machine()][name]

    def file(self) -> str:
        """What the first argument, a descriptor, refers to."""
        return os.readlink(f"/proc/{self.pid}/fd/{self.arguments[0]}")

    def data(self, length: int) -> bytes:
        """The beginning of what the second argument points to."""
        with Path(f"/proc/{self.pid}/mem").open("rb") as memory:
            memory.seek(self.arguments[1])
            return memory.read(length)


def kill_at(pid: int, wanted: Callable[[SystemCall], bool], cause: Callable[[], None]) -> SystemCall:
    """SIGKILL at the first system call after `cause()` that is wanted; returns that. The caller has yet to wait for the process."""
    _ptrace(_ATTACH, pid)
    _wait_for_stop(pid)
    _ptrace(_SETOPTIONS, pid, 0, _MARK_SYSCALLS | _EXITKILL)
    cause()
    passed_on = 0
    while True:
        _ptrace(_SYSCALL, pid, 0, passed_on)
        stopped_by = _wait_for_stop(pid)
        passed_on = 0
        if stopped_by != signal.SIGTRAP | 0x80:
            passed_on = stopped_by
            continue
        call = _system_call(pid)
        if call and wanted(call):
            os.kill(pid, signal.SIGKILL)
            return call


def _wait_for_stop(pid: int) -> int:
    """The signal that it stopped with."""
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):
        raise AssertionError(f"the traced program has ended, status {os.waitstatus_to_exitcode(status)}")
    return os.WSTOPSIG(status)


def _system_call(pid: int) -> SystemCall | None:
    """The one that it is about to make; nothing when it is on its way out of one."""
    information = ctypes.create_string_buffer(88)
    _ptrace(_GET_SYSCALL_INFO, pid, len(information), ctypes.addressof(information))
    if information.raw[0] != _AT_ENTRY:
        return None
    number, *arguments = struct.unpack_from("=7Q", information.raw, 24)
    return SystemCall(pid, number, tuple(arguments))


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> None:
    if _libc.ptrace(ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_void_p(address), ctypes.c_void_p(data)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"ptrace: {os.strerror(code)}")
