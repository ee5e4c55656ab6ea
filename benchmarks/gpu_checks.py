"""What only a machine with a GPU can show, in under ten minutes:

    python benchmarks/gpu_checks.py [--minutes 9] [--datasets 2] [--jobs-per-gpu 2]

1. A job that takes more than its share of a GPU is run again with the GPU to itself. One that takes
   more than any GPU has ends as `oom`, and the memory that jobs took is recorded.
2. cdn, dcdi-g, dcdi-dsf and bacadi on some data sets of each setting of `synthetic`: how the jobs
   ended, their time beside that of one CPU core in the committed results, and their memory beside
   what the method declares.

It exits with code 1 if a check fails. What there was no time for is said, and is no failure.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import textwrap
import time
from collections import defaultdict
from pathlib import Path

from cdnbench.archive import find_stores
from cdnbench.record import JobRecord, Status
from cdnbench.registry import entries, load_class, package_of
from cdnbench.runners.api import slots_of
from cdnbench.runners.gpu_jobs import waiting_batch
from cdnbench.runners.gpus import found_gpus
from cdnbench.runners.plan import Limits, Plan, make_plan
from cdnbench.runners.run import Mode, Run
from cdnbench.store import Store

METHODS = ("cdn", "bacadi", "dcdi-g", "dcdi-dsf")
N_SETTINGS = 24
COMMITTED = Path(__file__).parent.parent / "docs" / "results" / "store"

HUNGRY = '''
import os
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.method import MethodInfo


@dataclass(frozen=True)
class Hungry:
    """Takes a part of the GPU that is more than it says."""

    part: float = 0.5
    trace: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(
        name="gpu-check",
        summary="takes memory",
        devices=("cuda",),
        preload=("torch",),
        gpu_memory_mb=lambda sizes: 500.0,
    )

    def predict_targets(self, task, *, seed=0):
        import torch

        with open(self.trace, "a") as file:
            print(os.environ["CUDA_VISIBLE_DEVICES"], file=file)
        n_bytes = int(self.part * torch.cuda.get_device_properties(0).total_memory)
        held = torch.ones(n_bytes // 4, dtype=torch.float32, device="cuda")
        return np.full((task.n_regimes, task.n_variables), float(held[0]))
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--datasets", type=int, default=2)
    parser.add_argument("--jobs-per-gpu", type=int, default=2)
    chosen = parser.parse_args()
    until = time.monotonic() + 60 * chosen.minutes
    gpus = found_gpus()
    if not gpus:
        sys.exit("torch sees no GPU here.")
    for gpu in gpus:
        print(f"GPU {gpu.name}: {gpu.memory_mb:.0f} MB free")
    with tempfile.TemporaryDirectory() as folder:
        failures = memory_checks(Path(folder))
        failures += synthetic(Path(folder), chosen.datasets, chosen.jobs_per_gpu, until)
    for failure in failures:
        print(f"FAIL  {failure}")
    print(f"{len(failures)} checks failed")
    sys.exit(1 if failures else 0)


# --- memory


def memory_checks(folder: Path) -> list[str]:
    """What failed of the checks of memory, in words."""
    register(folder / "site")
    failures = []
    for part, status in ((0.5, Status.ok), (2.0, Status.oom)):
        trace = folder / f"trace-{part}"
        plan = make_plan(
            "synthetic-mini", {}, f"gpu-check:part={part}:trace={trace}", limit=2, device="cuda"
        )
        slots = slots_of(plan, "0", jobs_per_gpu=2)
        run = Run(plan, Store(folder / f"memory-{part}"), Mode(), 2, slots=slots)
        run.execute()
        calls = len(trace.read_text().splitlines())
        found = [(record.status, record.reason, record.peak_gpu_mb) for record in run.records]
        print(f"takes {part:g} of the GPU: {calls} calls for 2 jobs, {found}")
        if any(end != status for end, _, _ in found):
            failures.append(f"jobs that take {part:g} of the GPU ended as {found}")
        if calls != 4:
            failures.append(f"jobs that take {part:g} of the GPU were called {calls} times, not 4")
        peaks = [peak or 0.0 for end, _, peak in found if end == Status.ok]
        if any(peak < 0.4 * slots.gpus[0].memory_mb for peak in peaks):
            failures.append(f"peak memory of half a GPU is recorded as {peaks} MB")
    return failures


def register(site: Path) -> None:
    """Put a method where it is found as those of other packages are."""
    info = site / "gpu_check-1.dist-info"
    info.mkdir(parents=True)
    (site / "gpu_check_method.py").write_text(HUNGRY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gpu-check\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        textwrap.dedent("""
            [cdnbench.methods]
            gpu-check = gpu_check_method:Hungry
            """)
    )
    sys.path.insert(0, str(site))
    for cached in (entries, load_class, package_of):
        cached.cache_clear()


# --- synthetic


def synthetic(folder: Path, n_datasets: int, jobs_per_gpu: int, until: float) -> list[str]:
    """Run the methods as far as time allows; what failed, in words."""
    on_a_cpu, failures = cpu_seconds(), []
    for name in METHODS:
        left = until - time.monotonic()
        if left < 30:
            print(f"{name}: no time left")
            continue
        plan = make_plan(
            "synthetic",
            {},
            name,
            limit=N_SETTINGS * n_datasets,
            limits=Limits(timeout_s=left),
            device="cuda",
        )
        run = Run(plan, Store(folder / name), Mode(), 4, slots=slots_of(plan, None, jobs_per_gpu))
        began = time.monotonic()
        run.execute()
        took = time.monotonic() - began
        print(f"{name}: {len(plan.jobs)} data sets in {took:.0f} s")
        failures += report(plan, run.records, on_a_cpu)
    return failures


def cpu_seconds() -> dict[tuple[str, str], float]:
    """(method, hash of the task) -> seconds on one CPU core, from the committed results."""
    found = {}
    for store in find_stores(COMMITTED):
        for record in store.records():
            ended = isinstance(record, JobRecord) and record.status == Status.ok
            if ended and record.method in METHODS and record.wall_s and record.device == "cpu":
                found[record.method, record.task_hash] = record.wall_s
    return found


def report(
    plan: Plan, records: list[JobRecord], on_a_cpu: dict[tuple[str, str], float]
) -> list[str]:
    """Print how the jobs of one method ended; what failed, in words."""
    name, failures = plan.methods[0].info.name, []
    ends: dict[str, int] = defaultdict(int)
    for record in records:
        ends[str(record.status)] += 1
    done = [record for record in records if record.status == Status.ok]
    print("  " + ", ".join(f"{n} {status}" for status, n in ends.items()))
    reasons = {r.reason for r in records if r.status not in (Status.ok, Status.timeout)}
    failures += [f"{name}: {reason}" for reason in sorted(reasons)]
    if not done:
        return failures
    paired = [
        (record.wall_s, on_a_cpu[name, record.task_hash])
        for record in done
        if record.wall_s and (name, record.task_hash) in on_a_cpu
    ]
    gpu = statistics.median(record.wall_s or 0.0 for record in done)
    print(f"  seconds per data set, median: {gpu:.2f} on the GPU")
    if paired:
        cpu = statistics.median(seconds for _, seconds in paired)
        ratio = statistics.median(seconds / mine for mine, seconds in paired)
        print(f"  {cpu:.2f} on one CPU core ({len(paired)} of them): {ratio:.1f} times as long")
    peaks = [record.peak_gpu_mb for record in done if record.peak_gpu_mb is not None]
    declared = max(
        waiting_batch(batch, lambda lease: None).need_mb for batch in plan.batches(plan.jobs)
    )
    if not peaks:
        return [*failures, f"{name}: no peak of GPU memory was recorded"]
    print(f"  peak GPU memory {max(peaks):.0f} MB; declared {declared:.0f} MB with the context")
    if max(peaks) > declared:
        failures.append(f"{name} took {max(peaks):.0f} MB and declares {declared:.0f} MB")
    return failures


if __name__ == "__main__":
    main()
