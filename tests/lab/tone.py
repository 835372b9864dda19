"""Listening to recordings: for how long does the other side's tone carry most of the energy?

A recording is read while it still grows, so what its header says about its length is not believed.
"""

import array
import math
import struct
from pathlib import Path
from typing import Callable

_WINDOW = 0.25
ENOUGH = 2.0
"""Seconds of the other's tone that make a conversation."""
_QUIET = 200
"""Root mean square of 16-bit samples below which a window is silence."""
_ENOUGH_RATE = 8000
_USUAL_HEADER = 44
_NOTHING = (0, 1, array.array("h"))


class Listener:
    """Follows samples that grow. `heard()` is cumulative, and looks only at what is new since the last time."""

    def __init__(self, name: str, source: Callable[[], tuple[int, int, "array.array[int]"]], hertz: float) -> None:
        """`source` gives (rate, channels, all samples so far); a rate of 0 while there are none."""
        self.name = name
        self.hertz = hertz
        self.good = 0
        self.loud = 0
        self._source = source
        self._windows = 0

    def __str__(self) -> str:
        return f"{self.name}: {self.loud * _WINDOW:.2f} s of sound, {self.good * _WINDOW:.2f} s of {self.hertz:.0f} Hz"

    def heard(self) -> float:
        """Seconds of the wanted tone so far."""
        rate, channels, samples = self._source()
        if rate:
            self._listen(rate, samples[::channels])
        return self.good * _WINDOW

    def _listen(self, rate: int, samples: "array.array[int]") -> None:
        size = int(rate * _WINDOW)
        step = max(1, rate // _ENOUGH_RATE)
        while (self._windows + 1) * size <= len(samples):
            window = samples[self._windows * size:(self._windows + 1) * size:step]
            self._windows += 1
            energy = sum(sample * sample for sample in window)
            if energy < len(window) * _QUIET ** 2:
                continue
            self.loud += 1
            if _share(window, energy, self.hertz * step / rate) > 0.5:
                self.good += 1


def recording(path: Path, hertz: float) -> Listener:
    """Of a WAV file, also one that is not there yet."""
    return Listener(path.name, lambda: _samples(path.read_bytes()) if path.exists() else _NOTHING, hertz)


def _share(window: "array.array[int]", energy: int, frequency: float) -> float:
    """The share of the window's energy at `frequency` (in cycles per sample), by Goertzel's algorithm."""
    factor = 2 * math.cos(2 * math.pi * frequency)
    last = before = 0.0
    for sample in window:
        last, before = sample + factor * last - before, last
    return 2 * (last * last + before * before - factor * last * before) / len(window) / energy


def _samples(data: bytes) -> tuple[int, int, "array.array[int]"]:
    """(rate, channels, samples) of a 16-bit WAV file; a rate of 0 while there is no data yet."""
    if data[:4] == b"\0\0\0\0":
        # Linphone leaves room for the header and writes it at the end; a G.711 call is mono at 8 kHz.
        return 8000, 1, _decode(data[_USUAL_HEADER:])
    position, rate, channels = 12, 0, 1
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        position += 8
        if name == b"fmt ":
            _, channels, rate = struct.unpack_from("<HHI", data, position)
        elif name == b"data":
            return rate, channels, _decode(data[position:])
        position += size
    return 0, channels, array.array("h")


def _decode(data: bytes) -> "array.array[int]":
    samples = array.array("h")
    samples.frombytes(data[:len(data) // 2 * 2])
    return samples


def write(path: Path, hertz: int, seconds: int) -> None:
    """A mono tone of 8 kHz; `hertz` a multiple of 100, so that one period of 80 samples repeats."""
    assert hertz % 100 == 0
    period = array.array("h", (int(12000 * math.sin(2 * math.pi * hertz * n / 8000)) for n in range(80)))
    data = period.tobytes() * (100 * seconds)
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", len(data))
    path.write_bytes(header + data)
