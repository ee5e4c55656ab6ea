"""CPU time and memory of the default methods against the number of variables: one core, one task.

    python benchmarks/scaling.py [--limit 30] [--methods a,b] [--sizes 10,20,...] [--out FILE]

A task of each size: a linear system with as many edges as variables, 967 observational rows, and
three hard interventions on one, two and three variables. Each method has a process of its own, held
to one core and one thread, in which it first solves a task of 6 variables; that call and all
imports are not counted. A method that has not answered within --limit CPU seconds did not finish,
and larger tasks are not tried; one that needs more than 8 GB has failed. CPU seconds rather than
wall time, since other work may share the machine; both are in the file. `added_mb` is the peak of
resident memory during the call less what the process held just before it: the task itself, imports,
and what the method keeps from its first call, such as weights, are not in it. (Off Linux it is a
lower bound, see `PeakMemory`.)

The file is written after each measurement, and the same command goes on where it ended. It holds
one machine's figures: another machine has to write another file.
"""

import argparse
import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from cdnbench.errors import CannotRun
from cdnbench.registry import METHODS, entries, load_class, load_method
from cdnbench.runners.memory import PeakMemory
from cdnbench.runners.provenance import host
from cdnbench.runners.timing import on_one_core
from cdnbench.task import Task

SIZES = (10, 20, 50, 100, 300, 1000)
COLUMNS = (
    "method", "version", "n_variables", "status", "cpu_s", "wall_s", "added_mb", "limit_s",
    "load_average", "host",
)  # fmt: skip
MEMORY_GB = 8
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
OUT = Path(__file__).parent.parent / "docs" / "results" / "scaling.csv"


def task_of(n_variables: int) -> Task:
    from cdnbench.datasets.synthetic.generate import simulate
    from cdnbench.datasets.synthetic.recipe import Recipe
    from cdnbench.datasets.synthetic.tasks import task

    recipe = Recipe(
        seed=("scaling",),
        n_variables=n_variables,
        n_edges=n_variables,
        mechanism="linear",
        intervention="hard-uniform",
        factor=(1.0, 1.0),
        rows=967,
        regimes_per_count=1,
        index=0,
    )
    return task(simulate(recipe))


def default_methods() -> list[str]:
    """Methods that run without being asked for, without training and on any kind of variable."""
    infos = {name: load_class(METHODS, name).info for name in entries(METHODS)}  # type: ignore[attr-defined]
    return [
        name
        for name, info in infos.items()
        if info.name == name
        and info.default
        and info.supervised != "required"
        and not info.needs_symbols
    ]


def measure(name: str, n_variables: int, limit_s: int) -> dict:
    """Status, times and memory of one call in this process."""
    on_one_core()
    method, task = load_method(name), task_of(n_variables)
    if reason := method.info.why_skip(task):
        return {"status": f"skipped: {reason}"}
    method.predict(task_of(6), seed=0)
    before = resource.getrusage(resource.RUSAGE_SELF)
    used = before.ru_utime + before.ru_stime
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_GB << 30, MEMORY_GB << 30))
    soft = int(used) + limit_s + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, soft + 5))
    memory = PeakMemory()
    begin = time.perf_counter()
    try:
        method.predict(task, seed=0)
    except CannotRun as error:
        return {"status": f"skipped: {error}"}
    wall_s, added_mb = time.perf_counter() - begin, memory.mb()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "status": "ok",
        "cpu_s": round(after.ru_utime + after.ru_stime - used, 4),
        "wall_s": round(wall_s, 4),
        "added_mb": round(added_mb, 1),
    }


def measured(name: str, n_variables: int, limit_s: int) -> dict:
    """`measure` in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", name, str(n_variables), "--limit", str(limit_s)],
        env={**os.environ, **dict.fromkeys(THREADS, "1")},
        capture_output=True,
        text=True,
    )
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return {"status": "did not finish"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {"status": f"failed: {lines[-1]}"}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int, default=30, help="CPU seconds of one call")
    parser.add_argument("--methods", help="instead of all default ones")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "N"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, n = arguments.one
        print(json.dumps(measure(name, int(n), arguments.limit)))
        return
    rows = []
    if arguments.out.exists():
        with arguments.out.open(newline="") as file:
            rows = list(csv.DictReader(file))
    if any(set(row) != set(COLUMNS) for row in rows):
        sys.exit(
            f"{arguments.out} is of an earlier version, which measured memory in another way; "
            "name another file with --out, or move it away."
        )
    if any(row["host"] != host() for row in rows):
        sys.exit(f"{arguments.out} is of another machine; name another file with --out.")
    methods = arguments.methods.split(",") if arguments.methods else default_methods()
    for n in map(int, arguments.sizes.split(",")):
        for name in methods:
            version = load_class(METHODS, name).info.version  # type: ignore[attr-defined]
            own = [row for row in rows if (row["method"], row["version"]) == (name, version)]
            if any(int(row["n_variables"]) == n for row in own):
                continue
            given_up = [row for row in own if row["status"] != "ok" and int(row["n_variables"]) < n]
            found = (
                {"status": f"not tried: {given_up[0]['status'].split(':')[0]} at fewer"}
                if given_up
                else measured(name, n, arguments.limit)
            )
            load = round(os.getloadavg()[0], 2)
            facts = {"method": name, "version": version, "n_variables": str(n), **found}
            facts |= {"limit_s": arguments.limit, "load_average": load, "host": host()}
            rows.append(facts)
            print(f"{name}, N = {n}: {found}", flush=True)
            partial = arguments.out.with_suffix(".part")
            with partial.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
            partial.replace(arguments.out)


if __name__ == "__main__":
    main()
