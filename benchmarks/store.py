"""What a store costs: disk, writing, finding out what is done, and reading scores and tasks.

    python benchmarks/store.py [--jobs 10000]

Every job has 30 regimes of 10 variables, and 8 jobs share a task. "Data" are the bytes of scores,
truths and records without any packing. Times are of one process on an idle machine.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from cdnbench.digest import digest
from cdnbench.record import JobRecord, Provenance, Status, TaskRecord
from cdnbench.runners.provenance import host
from cdnbench.store import Store
from cdnbench.truth import Truth

REGIMES, VARIABLES, PER_TASK = 30, 10, 8


def main(n_jobs: int) -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"v{i}" for i in range(VARIABLES))
    shape = (REGIMES, VARIABLES)
    metadata = {name: f"value of {name}" for name in ("dataset", "protocol", "mechanism", "graph")}
    versions = {package: "1.2.3" for package in ("numpy", "scipy", "torch", "pandas", "python")}
    provenance = Provenance(versions=versions, git_sha="0" * 40, dirty=False, host="a machine")
    data = 0
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder)).create()
        begin = time.perf_counter()
        for i in range(n_jobs):
            task = digest("task", i // PER_TASK)
            if i % PER_TASK == 0:
                targets = np.zeros(shape, bool)
                targets[np.arange(REGIMES), rng.integers(VARIABLES, size=REGIMES)] = True
                truth = Truth(targets=targets, ceiling_scores=rng.normal(size=shape))
                made = TaskRecord(
                    hash=task,
                    name=f"task {i}",
                    suite="synthetic",
                    variables=names,
                    candidates=np.ones(shape, bool),
                    truth=truth,
                    metadata=metadata,
                )
                store.write_task(made)
                data += sum(a.nbytes for a in made.arrays.values()) + len(json.dumps(made.plain()))
            record = JobRecord(
                key=digest("job", i),
                suite="synthetic",
                method="a-method",
                status=Status.ok,
                task=f"task {i // PER_TASK}",
                task_hash=task,
                metadata=metadata,
                wall_s=0.123456,
                cpu_s=0.1,
                peak_rss_mb=12.5,
                started_at="2026-01-01T00:00:00+00:00",
                provenance=provenance,
            )
            store.write_job(record, {"": rng.normal(size=shape)})
            data += 8 * REGIMES * VARIABLES + len(json.dumps(record.plain()))
        store.close()
        wrote = time.perf_counter() - begin
        disk = sum(p.stat().st_blocks * 512 for p in Path(folder).rglob("*") if p.is_file())
        begin = time.perf_counter()
        store = Store(Path(folder))
        done = sum(store.is_done(record) for record in store.jobs())
        resumed = time.perf_counter() - begin
        begin = time.perf_counter()
        for record in store.jobs():
            store.scores(record.key)
        scores = time.perf_counter() - begin
        begin = time.perf_counter()
        for hash in {record.task_hash for record in store.jobs()}:
            store.task(hash)
        tasks = time.perf_counter() - begin
    assert done == n_jobs
    print(
        f"{n_jobs:,} jobs: data {data / 1e6:.1f} MB, on disk {disk / 1e6:.1f} MB; writing "
        f"{1e3 * wrote / n_jobs:.2f} ms per job; finding out what is done {resumed:.2f} s; all "
        f"scores {scores:.2f} s; all tasks {tasks:.2f} s"
    )
    print(host())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=10_000)
    main(parser.parse_args().jobs)
