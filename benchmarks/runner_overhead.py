"""What the runner costs beyond the method's own call.

    python benchmarks/runner_overhead.py [--jobs 2]

It runs 1,200 jobs of a numpy-only method that takes under a millisecond. The overhead per job is
(elapsed - what the calls took / jobs at once) / number of jobs. It includes starting the fork
server, making the tasks, one process per job, reading the samples, and storing the results.
"""

import argparse
import resource
import tempfile
import time

from cdnbench import run
from cdnbench.runners.provenance import host


def cpu_s() -> float:
    """Of this process and of all that have ended, the fork server and its jobs among them."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


parser = argparse.ArgumentParser()
parser.add_argument("--jobs", type=int, default=2)
at_once = parser.parse_args().jobs
for methods, seeds in [("random", range(150)), ("ut-igsp,random", range(1, 76))]:
    with tempfile.TemporaryDirectory() as folder:
        begin, before = time.perf_counter(), cpu_s()
        store = run("synthetic-mini", methods, seeds=list(seeds), out=folder, jobs=at_once)
        elapsed, used = time.perf_counter() - begin, cpu_s() - before
        records = list(store.jobs())
    called = sum(record.wall_s or 0.0 for record in records)
    overhead = 1000 * (elapsed - called / at_once) / len(records)
    print(
        f"{methods}: {len(records)} jobs, {at_once} at once: {elapsed:.1f} s, of which calls "
        f"{called:.1f} s of a worker; overhead {overhead:.1f} ms per job, "
        f"{1000 * used / len(records):.1f} ms of CPU with the calls"
    )
print(host())
