"""How precisely jobs are held to their limits.

    python benchmarks/trust_limits.py [--seconds 1] [--memory-gb 0.25]

It starts jobs that never end, or that fill memory at a given speed, and prints for each the limit
that was asked for, where the job was stopped, and by how much that is too late. Each row is the
worst of `--repeats` jobs. Run it on an idle machine: other work delays the runner's looks.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cdnbench import run
from cdnbench.runners.provenance import host

METHODS = '''
import ctypes, mmap, os, subprocess, sys, time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.method import MethodInfo


@dataclass(frozen=True)
class Endless:
    """Works for ever: in Python, in one call of numpy, or in C with all signals blocked."""

    where: str = "python"
    began: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(name="trust-endless", summary="never ends")

    def predict_targets(self, task, *, seed=0):
        with open(self.began, "w", encoding="ascii") as file:
            file.write(str(time.monotonic()))
        if self.where == "python":
            while True:
                pass
        if self.where == "numpy":
            x = np.full((3000, 3000), 0.5)
            while True:
                x = x @ x / 3000
        if self.where == "child":
            subprocess.run([sys.executable, "-S", "-c", "while True: pass"])
        ctypes.CDLL(None).sleep(10**6)


@dataclass(frozen=True)
class Fills:
    """Fills memory at some GB per second, after some seconds: pages of its own, a file without a
    name, or a file in /dev/shm."""

    speed: float = 1.0
    where: str = "heap"
    after: float = 0.0
    info: ClassVar[MethodInfo] = MethodInfo(name="trust-fills", summary="fills memory")

    def predict_targets(self, task, *, seed=0):
        time.sleep(self.after)
        block, kept, began, done = 1 << 20, [], time.perf_counter(), 0
        data = os.urandom(block)
        if self.where == "memfd":
            file = os.memfd_create("x")
        elif self.where == "shm":
            file = os.open("/dev/shm/cdnbench-trust", os.O_RDWR | os.O_CREAT)
        while True:
            if self.where == "heap":
                kept.append(np.ones(block // 8))
            elif self.where == "shm":
                os.close(file)  # a file that nobody has open counts as well
                file = os.open("/dev/shm/cdnbench-trust", os.O_WRONLY | os.O_APPEND)
                os.write(file, data)
            else:
                os.write(file, data)
            done += block
            ahead = done / (self.speed * 2**30) - (time.perf_counter() - began)
            if ahead > 0:
                time.sleep(ahead)
'''

ENTRIES = """
[cdnbench.methods]
trust-endless = cdnbench_trust_methods:Endless
trust-fills = cdnbench_trust_methods:Fills
"""


@dataclass(frozen=True)
class Row:
    """One line of the table, in seconds or in GB. status: how the runner calls the end."""

    what: str
    unit: str
    limit: float
    stopped: float
    status: str

    @property
    def overshoot(self) -> float:
        """How much too late, as a share of the limit."""
        return self.stopped / self.limit - 1


def time_rows(seconds: float, repeats: int) -> Iterator[Row]:
    """Jobs that never end, and when they were ended."""
    for where in ("python", "numpy", "child", "sleep in C"):
        found = [_lasted(where.split()[0], seconds) for _ in range(repeats)]
        yield Row(f"time, {where}", "s", seconds, *max(found))


def memory_rows(memory_gb: float, repeats: int) -> Iterator[Row]:
    """Jobs that fill memory, and what they held when they were ended."""
    for where, speed, after in [
        ("heap", 0.1, 0),
        ("heap", 0.5, 0),
        ("heap", 2.0, 0),
        ("heap", 100.0, 0),
        ("heap", 100.0, 3),
        ("memfd", 1.0, 0),
        ("shm", 1.0, 0),
    ]:
        method = f"trust-fills:where={where},speed={speed},after={after}"
        found = [_held(method, memory_gb) for _ in range(repeats)]
        fast = "as fast as it can" if speed > 50 else f"{speed:g} GB/s"
        what = f"memory, {where}, {fast}" + (f", after {after} s" if after else "")
        yield Row(what, "GB", memory_gb, *max(found))


def _lasted(where: str, seconds: float) -> tuple[float, str]:
    """Seconds from the call of the method to when its record was stored, and its status."""
    with tempfile.TemporaryDirectory() as folder:
        began, ended = Path(folder, "began"), []
        store = run(
            "synthetic-mini",
            f"trust-endless:where={where},began={began}",
            out=Path(folder, "out"),
            jobs=1,
            limit=1,
            timeout=seconds,
            on_record=lambda record: ended.append(time.monotonic()),
        )
        (record,) = store.jobs()
        return ended[0] - float(began.read_text(encoding="ascii")), str(record.status)


def _held(method: str, memory_gb: float) -> tuple[float, str]:
    """GB that a job held when it was ended, and its status."""
    with tempfile.TemporaryDirectory() as folder:
        store = run(
            "synthetic-mini", method, out=folder, jobs=1, limit=1, timeout=60, memory_gb=memory_gb
        )
        (record,) = store.jobs()
        return (record.peak_rss_mb or 0.0) / 1024, str(record.status)


@contextmanager
def trial_methods() -> Iterator[None]:
    """The methods above, registered as those of any package are."""
    from cdnbench import registry

    before = os.environ.get("PYTHONPATH")
    with tempfile.TemporaryDirectory() as name:
        folder, info = Path(name), Path(name, "cdnbench_trust-1.dist-info")
        info.mkdir()
        (folder / "cdnbench_trust_methods.py").write_text(METHODS, encoding="utf-8")
        about = "Metadata-Version: 2.1\nName: cdnbench-trust\nVersion: 1\n"
        (info / "METADATA").write_text(about, encoding="utf-8")
        (info / "entry_points.txt").write_text(textwrap.dedent(ENTRIES), encoding="utf-8")
        sys.path.insert(0, name)
        importlib.invalidate_caches()
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [name, before]))
        registry.entries.cache_clear()
        try:
            yield
        finally:
            sys.path.remove(name)
            registry.entries.cache_clear()
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="limit of time")
    parser.add_argument("--memory-gb", type=float, default=0.25, help="limit of memory")
    parser.add_argument("--repeats", type=int, default=3, help="jobs per row")
    chosen = parser.parse_args(arguments)
    print(f"{'what':44s} {'limit':>9s} {'stopped at':>11s} {'overshoot':>10s}  status")
    with trial_methods():
        for rows in (
            time_rows(chosen.seconds, chosen.repeats),
            memory_rows(chosen.memory_gb, chosen.repeats),
        ):
            for row in rows:
                print(
                    f"{row.what:44s} {row.limit:7.2f} {row.unit:2s} {row.stopped:8.2f} "
                    f"{row.unit:2s} {row.overshoot:9.0%}  {row.status}",
                    flush=True,
                )
    print(host())


if __name__ == "__main__":
    main()
