"""What the methods under the name of root-cause analysis cost, in milliseconds per regime, on one
core.

    python benchmarks/root_cause.py [--tasks 6]

Tasks: the first ones of `synthetic-dev` with 10 and with 20 variables (30 and 60 regimes of 967
rows; linear, nn and nn_add; hard and soft). A call on the first task comes before the clock starts,
so imports do not count.
"""

import argparse
import os
import time
from itertools import islice

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"  # before numpy is imported

import numpy as np  # noqa: E402

from cdnbench import load_method, load_suite  # noqa: E402
from cdnbench.runners.provenance import host  # noqa: E402

METHODS = ("regression-invariance", "quantile-invariance", "rcd", "mechanism-shift")

parser = argparse.ArgumentParser()
parser.add_argument("--tasks", type=int, default=6, help="tasks of each size")
n_tasks = parser.parse_args().tasks
suite = load_suite("synthetic-dev")
print(
    f"{'':22s}{'N':>4s}{'ms per regime: median':>21s}{'largest':>9s}"
    f"{'seconds per task: largest':>25s}"
)
for n_variables in (10, 20):
    specs = islice((spec for spec in suite.specs() if spec.n_variables == n_variables), n_tasks)
    tasks = [suite.load(spec).task for spec in specs]
    for name in METHODS:
        method = load_method(name)
        method.predict_outputs(tasks[0].regime(0))
        seconds = []
        for task in tasks:
            begin = time.perf_counter()
            method.predict_outputs(task)
            seconds.append(time.perf_counter() - begin)
        each = 1000 * np.array(seconds) / tasks[0].n_regimes
        print(
            f"{name:22s}{n_variables:4d}{np.median(each):21.1f}{each.max():9.1f}{max(seconds):25.2f}"
        )
print(host())
