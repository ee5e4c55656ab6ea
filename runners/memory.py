"""Memory of a job: what the method's call added, and what its whole process group holds now."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from cdnbench.runners.family import descendants
from cdnbench.runners.memory_files import MemoryFiles

MB = 1024.0 * 1024.0
FASTEST_MB_PER_S = 4000.0
"""At most this much memory is filled in a second: two threads that write to fresh pages."""

SHORTEST_S, LONGEST_S = 0.002, 0.25
"""Between two looks at a job's memory."""


@dataclass(frozen=True)
class Held:
    """What one process holds, in MB: resident in all, and the shared part, which is files in memory
    that are mapped."""

    resident: float = 0.0
    shared: float = 0.0

    @staticmethod
    def by(pid: int | str) -> Held:
        """0 once it has ended."""
        try:
            with open(f"/proc/{pid}/status", "rb") as file:
                found = _fields(file.read(), b"VmRSS:", b"RssShmem:")
            return Held(*found)
        except OSError:
            return Held(_resident_mb(pid))


class PeakMemory:
    """Peak resident memory that a piece of code adds to this process, in MB.

    On Linux the kernel's high-water mark is reset first, so the pages a forked process shares with
    its server do not count. Elsewhere the growth of the process's lifetime maximum is reported, a
    lower bound.
    """

    def __init__(self) -> None:
        self._resettable = _reset_high_water_mark()
        self._before = Held.by("self").resident if self._resettable else _lifetime_peak()

    def mb(self) -> float:
        after = _high_water_mark() if self._resettable else _lifetime_peak()
        return max(0.0, after - self._before)


@dataclass
class JobMemory:
    """The memory of a job beyond what its first process held at the start.

    baseline: that of the first process when the method was about to be called.
    """

    pid: int
    files: MemoryFiles
    baseline: Held = Held()

    def start(self, baseline: Held, own_shm: bool) -> None:
        """The method is about to be called. own_shm: as in `MemoryFiles`."""
        self.baseline, self.files.own = baseline, own_shm

    def mb(self) -> float:
        """What its processes hold, and its files in memory, now.

        A process alone: what its resident size grew by. Several share pages, so their proportional
        sizes are added (resident sizes where the system has no others). What the processes still
        share with the server counts as a part of it only, so the baseline is not taken off again.
        Files that are mapped are among that already.
        """
        children = descendants(self.pid)
        pids = [self.pid, *children]
        if children:
            held = [_proportional(pid) for pid in pids]
            resident = sum(one.resident for one in held)
        else:
            held = [Held.by(self.pid)]
            resident = max(0.0, held[0].resident - self.baseline.resident)
        mapped = max(0.0, sum(one.shared for one in held) - self.baseline.shared)
        return resident + max(0.0, self.files.mb(pids) - mapped)

    def files_mb(self) -> float:
        """What its files in memory take now."""
        return self.files.mb([self.pid, *descendants(self.pid)])


def next_look(held_mb: float, limit_mb: float, took_s: float) -> float:
    """Seconds until memory should be looked at again: before it can have reached the limit.

    took_s: what the last look took, of which looking must stay a small part.
    """
    left = max(0.0, limit_mb - held_mb) / FASTEST_MB_PER_S
    return min(max(left, SHORTEST_S, 10 * took_s), LONGEST_S)


def _proportional(pid: int) -> Held:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return Held(*_fields(file.read(), b"Pss:", b"Pss_Shmem:"))
    except OSError:
        return Held.by(pid)


def _fields(content: bytes, *names: bytes) -> Sequence[float]:
    """The sizes in MB behind names at the beginning of lines; 0 where there is none."""
    found = dict.fromkeys(names, 0.0)
    for line in content.split(b"\n"):
        name, _, value = line.partition(b":")
        if name + b":" in found:
            found[name + b":"] = int(value.split()[0]) / 1024.0
    return list(found.values())


def _resident_mb(pid: int | str) -> float:
    try:
        return psutil.Process(None if pid == "self" else int(pid)).memory_info().rss / MB
    except psutil.Error:
        return 0.0


def _reset_high_water_mark() -> bool:
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        return os.path.exists("/proc/self/status")
    except OSError:
        return False


def _high_water_mark() -> float:
    with open("/proc/self/status", "rb") as file:
        return _fields(file.read(), b"VmHWM:")[0]


def _lifetime_peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak / 1024.0
