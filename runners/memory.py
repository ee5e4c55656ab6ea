"""Memory of a job: what the method's call added, and what its whole process group holds now."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import psutil

from cdnbench.runners.family import descendants

MB = 1024.0 * 1024.0
_STATUS = Path("/proc/self/status")


class PeakMemory:
    """Peak resident memory that a piece of code adds to this process, in MB.

    On Linux the kernel's high-water mark is reset first, so the pages a forked process shares with
    its server do not count. Elsewhere the growth of the process's lifetime maximum is reported, a
    lower bound.
    """

    def __init__(self) -> None:
        self._resettable = _reset_high_water_mark()
        self._before = self._now() if self._resettable else _lifetime_peak()

    def mb(self) -> float:
        after = _status_mb("VmHWM:") if self._resettable else _lifetime_peak()
        return max(0.0, after - self._before)

    @staticmethod
    def _now() -> float:
        return _status_mb("VmRSS:")


def resident_mb() -> float:
    """What this process holds in memory now, shared pages included, in MB."""
    return psutil.Process().memory_info().rss / MB


def group_mb(pid: int, baseline_mb: float) -> float:
    """Memory of a process and its descendants beyond `baseline_mb`, what the first of them held at
    the start, in MB.

    A process alone: what its resident size grew by. Several share pages, so their proportional
    sizes are added (resident sizes where the system has no others). What the processes still share
    with the server counts as a part of it only, so the baseline is not taken off again.
    """
    try:
        main = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return 0.0
    children = descendants(pid)
    if not children:
        return max(0.0, _resident_mb(main) - baseline_mb)
    return sum(_proportional_mb(process) for process in (main, *children))


def _resident_mb(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / MB
    except psutil.Error:
        return 0.0


def _proportional_mb(process: psutil.Process) -> float:
    try:
        full = process.memory_full_info()
        return getattr(full, "pss", full.rss) / MB
    except psutil.Error:
        return _resident_mb(process)


def _reset_high_water_mark() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _STATUS.exists()
    except OSError:
        return False


def _status_mb(field: str) -> float:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024.0
    return 0.0


def _lifetime_peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak / 1024.0
