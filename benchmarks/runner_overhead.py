"""What the runner costs beyond the method's own call: 1,200 jobs of a numpy-only method that takes
under a millisecond.

    python benchmarks/runner_overhead.py [--jobs 2]

Overhead a job = (elapsed - what the calls took / jobs at once) / number of jobs; it includes
starting the fork server, making the tasks, one process a job, reading the samples, and two files
written to disk.
"""

import argparse
import tempfile
import time
from pathlib import Path

from cdnbench.runners.plan import make_plan
from cdnbench.runners.provenance import host
from cdnbench.runners.run import execute
from cdnbench.store import Store

parser = argparse.ArgumentParser()
parser.add_argument("--jobs", type=int, default=2)
at_once = parser.parse_args().jobs
for methods, seeds in [("random", range(150)), ("ut-igsp,random", range(1, 76))]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        plan = make_plan("synthetic-mini", {}, methods, seeds=list(seeds))
        begin = time.perf_counter()
        execute(plan, store, jobs=at_once)
        elapsed = time.perf_counter() - begin
        called = sum(record["wall_s"] for record in store.records())
    n = len(plan.jobs)
    print(
        f"{methods}: {n} jobs, {at_once} at once: {elapsed:.1f} s, of which calls {called:.1f} s "
        "of a worker; "
        f"overhead {1000 * (elapsed - called / at_once) / n:.1f} ms a job"
    )
print(host())
