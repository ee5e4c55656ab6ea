"""Whether scores depend on the processor: `python benchmarks/processors.py [--methods cdn,dci]`.

Linear algebra sums in another order on other processors, so that the last bits of a score differ.
They must not decide anything else: a search that compares equal numbers by their last bits finds
another graph. Each method gets the same samples in two processes. One takes the routines that
OpenBLAS, numpy and torch choose for this processor, the other those for one of 2008 without AVX2
and FMA. Printed are the largest difference in a score, relative to the largest score of its task,
and the share of variables whose place in a ranking differs.

Tasks are four of each of `synthetic`, `synthetic-ood` and `synthetic-hard`, with up to six regimes
and at most 50 variables. Methods are all that need no training and no genes.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from cdnbench import Task, load_method, load_suite
from cdnbench.errors import CannotRun

METHODS = (
    "cdn,cdn-suites,cdn-hard,cdn-axial,cdn-mlp,ut-igsp,dci,rcd,cd-nod,prediter,mechanism-shift,"
    "gnies,regression-invariance,quantile-invariance,target-shift,ks-shift,effect-size,"
    "moderated-t,precision-shift,cholesky-root-cause,baro"
)
OLD = {
    "OPENBLAS_CORETYPE": "Nehalem",
    "ATEN_CPU_CAPABILITY": "default",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
}
Scores = dict[str, np.ndarray]


def tasks() -> list[Task]:
    found = []
    for name in ("synthetic", "synthetic-ood", "synthetic-hard"):
        suite = load_suite(name)
        specs = list(suite.specs())
        small = [s for s in specs if s.n_variables <= 50][:: max(1, len(specs) // 4)][:4]
        for task in (suite.load(spec).task for spec in small):
            found.append(
                Task(
                    name=task.name,
                    variables=task.variables,
                    observational=task.observational,
                    regimes=task.regimes[:6],
                )
            )
    return found


def answer(method: str, path: Path) -> None:
    """Read tasks, write "task, reading" -> scores."""
    loaded, found = load_method(method), {}
    for task in pickle.loads(path.read_bytes()):
        try:
            outputs = loaded.predict_outputs(task, seed=0)
        except CannotRun:
            continue
        found |= {f"{task.name}, {reading}": scores for reading, scores in outputs.items()}
    path.with_suffix(".answers").write_bytes(pickle.dumps(found))


def answers(method: str, path: Path, routines: dict[str, str]) -> Scores:
    command = [sys.executable, __file__, "--answer", method, str(path)]
    subprocess.run(command, env={**os.environ, **routines}, check=True)
    return pickle.loads(path.with_suffix(".answers").read_bytes())


def compare(here: Scores, there: Scores) -> tuple[float, float]:
    """Largest relative difference, and largest share of places that differ."""
    if here.keys() != there.keys():
        return np.inf, 1.0
    difference = moved = 0.0
    for key, a in here.items():
        b = there[key]
        largest = np.nanmax(np.abs(a), initial=1e-300, where=np.isfinite(a))
        apart = np.where(a == b, 0.0, np.abs(a - b) / largest)
        difference = max(difference, float(np.nanmax(apart, initial=0.0)))
        places = [np.argsort(np.argsort(-s, axis=1, kind="stable"), axis=1) for s in (a, b)]
        moved = max(moved, float((places[0] != places[1]).mean()))
    return difference, moved


def main(methods: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tasks"
        path.write_bytes(pickle.dumps(tasks()))
        print(f"{'method':<24}{'answers':>8}{'difference':>12}{'places':>8}")
        for method in methods.split(","):
            here = answers(method, path, {})
            difference, moved = compare(here, answers(method, path, OLD))
            print(f"{method:<24}{len(here):>8}{difference:>12.1e}{moved:>8.3f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--answer", nargs=2, metavar=("METHOD", "TASKS"), help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.answer:
        answer(a.answer[0], Path(a.answer[1]))
    else:
        main(a.methods)
