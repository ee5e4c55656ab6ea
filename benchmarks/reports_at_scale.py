"""Stores at scale: a resume with nothing to do, and a report, each in a process of its own.

    python benchmarks/reports_at_scale.py [--jobs 10000] [--records 100000]

Every job has 10 regimes of 10 variables with one target each, and 50 jobs, one per method, share a
task. The resume opens the store and asks for every job whether it is done, as a run does before it
starts anything. The report is the leaderboard. Peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from cdnbench.digest import digest
from cdnbench.record import JobRecord, Provenance, Status, TaskRecord
from cdnbench.runners.provenance import host
from cdnbench.store import Store
from cdnbench.truth import Truth

REGIMES, VARIABLES, METHODS = 10, 10, 50


def fill(folder: Path, n_jobs: int) -> None:
    """A store of so many finished jobs."""
    rng = np.random.default_rng(0)
    shape = (REGIMES, VARIABLES)
    versions = {package: "1.2.3" for package in ("numpy", "scipy", "torch", "pandas", "python")}
    provenance = Provenance(versions=versions, git_sha="0" * 40, dirty=False, host="a machine")
    store = Store(folder).create()
    for i in range(n_jobs):
        number, method = divmod(i, METHODS)
        hash = digest("task", number)
        metadata = {
            "dataset": f"dataset {number}",
            "protocol": "clean",
            "mechanism": ("linear", "sigmoid")[number % 2],
        }
        about = {"metadata": metadata, "setting": ("mechanism",)}
        if method == 0:
            targets = np.zeros(shape, bool)
            targets[np.arange(REGIMES), rng.integers(VARIABLES, size=REGIMES)] = True
            store.write_task(
                TaskRecord(
                    hash=hash,
                    name=f"task {number}",
                    suite="synthetic",
                    variables=tuple(f"v{i}" for i in range(VARIABLES)),
                    candidates=np.ones(shape, bool),
                    truth=Truth(targets=targets),
                    **about,
                )
            )
        record = JobRecord(
            key=digest("job", i),
            suite="synthetic",
            method=f"method-{method:02}",
            status=Status.ok,
            task=f"task {number}",
            task_hash=hash,
            wall_s=0.123456,
            cpu_s=0.1,
            peak_rss_mb=12.5,
            started_at="2026-01-01T00:00:00+00:00",
            provenance=provenance,
            **about,
        )
        store.write_job(record, {"": rng.normal(size=shape)})
    store.close()


def resume(folder: Path) -> int:
    """How many jobs are done."""
    store = Store(folder)
    return sum(store.is_done(record) for record in store.jobs())


def leaderboard(folder: Path) -> int:
    """How many lines the leaderboard has."""
    from cdnbench import report

    return sum(len(block.rows) for block in report(folder).table().blocks)


def measured(part: Callable[[Path], int], folder: Path) -> tuple[int, float, float, float]:
    """What it returns, wall and CPU seconds, and the peak memory in MB."""
    begin, used = time.perf_counter(), time.process_time()
    found = part(folder)
    wall, cpu = time.perf_counter() - begin, time.process_time() - used
    return found, wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(n_jobs: int, n_records: int) -> None:
    for name, part, n in (
        ("resume with nothing to do", resume, n_jobs),
        ("report", leaderboard, n_records),
    ):
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), n)
            context = multiprocessing.get_context("spawn")  # so that memory is this part's own
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                found, wall, cpu, peak = pool.submit(measured, part, Path(folder)).result()
        assert found == (n if part is resume else min(METHODS, n)), found
        print(f"{name}, {n:,} jobs: {wall:.1f} s, CPU {cpu:.1f} s, peak {peak:,.0f} MB")
    print(host())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=100_000)
    given = parser.parse_args()
    main(given.jobs, given.records)
