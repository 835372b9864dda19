"""Waiting for conditions. The deadlines are generous: software emulation runs 12 to 25 times slower than the machine."""

import time
from typing import Callable, TypeVar

T = TypeVar("T")

DEADLINE = 30.0
POLL = 0.05


def wait_until(condition: Callable[[], T], what: str, timeout: float = DEADLINE, state: Callable[[], object] | None = None) -> T:
    """Polls until `condition` gives something true, and returns that.

    Raises AssertionError with `what` and the last state: `state()` where given, else what the condition gave last.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            last = state() if state else result
            raise AssertionError(f"waited {timeout:.0f} s for {what}; the last state was:\n{describe(last)}")
        time.sleep(POLL)


def describe(state: object) -> str:
    """One line per element, for messages of failed waits."""
    if isinstance(state, (list, tuple)):
        return "\n".join(f"    {element}" for element in state) or "    (nothing)"
    return f"    {state}"
