"""Milliseconds per regime of the classical methods, and of the code that two of them stand in
for or wrap, on one core.

    python benchmarks/classical.py [--regimes 6] [--gnies-regimes 2]

The tasks are the suite's: linear and sigmoid, hard and soft, E = 2N, about 970 rows per data set.
`cd-nod` answers with both of its tests in that time; beside it stands causal-learn's `cdnod`
(Fisher's z, no limit on the sets) on the same rows. PreDITEr's reference code has no licence and is
not run. `gnies` is the package itself and takes at most 12 variables.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy is imported
os.environ["TQDM_DISABLE"] = (
    "1"  # causal-learn draws its progress bar whatever it is told, and that takes time
)

import numpy as np  # noqa: E402

from cdnbench import Task, load_suite  # noqa: E402
from cdnbench.methods.cd_nod import CDNOD  # noqa: E402
from cdnbench.methods.gnies import GnIES  # noqa: E402
from cdnbench.methods.prediter import PreDITEr  # noqa: E402

SETTINGS = (
    "linear-hard-uniform",
    "linear-soft-scale",
    "sigmoid-hard-uniform",
    "sigmoid-soft-scale",
)


def causal_learn(task: Task) -> None:
    """causal-learn's CD-NOD on each regime."""
    from causallearn.search.ConstraintBased.CDNOD import cdnod

    for regime in task.regimes:
        pooled = np.concatenate([task.observational, regime]).astype(float)
        context = np.repeat([0.0, 1.0], [len(task.observational), len(regime)])[:, None]
        cdnod(pooled, context, indep_test="fisherz", show_progress=False)


def milliseconds(run: Callable[[Task], object], task: Task) -> float:
    """Wall-clock milliseconds per regime."""
    begin = time.perf_counter()
    run(task)
    return 1000 * (time.perf_counter() - begin) / task.n_regimes


parser = argparse.ArgumentParser()
parser.add_argument("--regimes", type=int, default=6)
parser.add_argument("--gnies-regimes", type=int, default=2)
arguments = parser.parse_args()

suite = load_suite("synthetic")
specs = {spec.name: spec for spec in suite.specs()}
for n in (10, 20):
    names = [f"n{n}-e{2 * n}-{setting}-clean-0" for setting in SETTINGS]
    tasks = [suite.load(specs[name]).task for name in names]

    def first(task: Task, n_regimes: int) -> Task:
        return replace(
            task, regimes=task.regimes[:n_regimes], candidates=task.candidates[:n_regimes]
        )

    def mean(run: Callable[[Task], object], n_regimes: int, tasks: list[Task] = tasks) -> float:
        run(first(tasks[0], 1))  # imports and first calls are not timed
        return float(np.mean([milliseconds(run, first(task, n_regimes)) for task in tasks]))

    ours, theirs = (
        mean(CDNOD().predict_outputs, arguments.regimes),
        mean(causal_learn, arguments.regimes),
    )
    print(
        f"N = {n}  cd-nod    {ours:7.1f} ms a regime; causal-learn {theirs:.1f} ms, "
        f"{theirs / ours:.1f} times as long"
    )
    print(
        f"N = {n}  prediter  {mean(PreDITEr().predict_outputs, arguments.regimes):7.1f} ms a regime"
    )
    if find_spec("gnies") is None:
        print(f"N = {n}  gnies     not installed")
    elif n > (GnIES.info.max_variables or n):
        print(f"N = {n}  gnies     takes at most {GnIES.info.max_variables} variables")
    else:
        print(
            f"N = {n}  gnies     {mean(GnIES().predict_outputs, arguments.gnies_regimes):7.1f} ms "
            "a regime"
        )
