"""DCI: our batched engine against causaldag, on the same regimes in the same run, one thread; CPU
seconds.

    python benchmarks/dci.py [--bootstraps 5] [--regimes 3]

Linear and sigmoid, hard and soft settings of the synthetic suite at N = 10 and N = 20, the first
regimes of each, both methods with the published grid of levels. causaldag takes 1 to 130 s a regime
with the published 50 subsamples, so both get 5 here; its time grows in proportion to them, ours
more slowly, so the ratio at 50 is higher than this one. Our time with 50 is printed besides.
"""

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from cdnbench.methods.dci.dci import DCI
from cdnbench.methods.dci.reference import DCIReference
from cdnbench.registry import load_suite
from cdnbench.runners.provenance import host

parser = argparse.ArgumentParser()
parser.add_argument("--bootstraps", type=int, default=5)
parser.add_argument("--regimes", type=int, default=3, help="of each task")
arguments = parser.parse_args()


def seconds(method, task) -> float:
    begin = time.process_time()
    method.predict_outputs(task)
    return time.process_time() - begin


with threadpool_limits(1):
    ours, theirs = (
        DCI(bootstraps=arguments.bootstraps),
        DCIReference(bootstraps=arguments.bootstraps),
    )
    published = DCI()
    suite = load_suite("synthetic")
    specs = [
        spec
        for spec in suite.specs()
        if spec.recipe.index == 0
        and spec.recipe.mechanism in ("linear", "sigmoid")
        and spec.n_variables == spec.recipe.n_edges
    ]
    warm = suite.load(specs[0]).task.regime(0)
    seconds(ours, warm)
    seconds(
        DCIReference(bootstraps=1, alpha_ug=(0.001,), alpha_skeleton=(0.1,), alpha_orient=(0.001,)),
        warm,
    )
    for n in (10, 20):
        times = []
        for spec in specs:
            if spec.n_variables == n:
                task = suite.load(spec).task
                for r in range(arguments.regimes):
                    single = task.regime(r)
                    times.append([seconds(method, single) for method in (theirs, ours, published)])
        reference, batched, full = np.array(times).T
        print(
            f"N = {n}, {len(times)} regimes, {arguments.bootstraps} subsamples: causaldag "
            f"{reference.mean():.2f} s a regime "
            f"(median {np.median(reference):.2f}), ours {1000 * batched.mean():.0f} ms "
            f"(median {1000 * np.median(batched):.0f}): {reference.sum() / batched.sum():.0f} "
            "times as fast; median "
            f"ratio {np.median(reference / batched):.0f}. Ours with 50 subsamples: "
            f"{1000 * full.mean():.0f} ms",
            flush=True,
        )
print(host())
