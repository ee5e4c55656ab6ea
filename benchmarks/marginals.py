"""Marginal estimates: our batched FCI and PC against causal-learn's, on the same batches in the
same run, one thread.

    python benchmarks/marginals.py [--batches 2000] [--reference 200]

Batches of 5 variables and 500 rows of random linear-Gaussian models with hidden variables. Ours are
timed from rows to marks (correlations included) for all batches, causal-learn on the first ones;
CPU seconds, the best of three for ours. Disagreements of the two are counted besides.
"""

import argparse
import time

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from cdnbench.digest import generator
from cdnbench.methods.cdn.paper.featuriser import BATCH_ROWS, BATCH_VARIABLES
from cdnbench.methods.cdn.paper.marginals import marginal_estimates, reference_estimate
from cdnbench.methods.cdn.paper.statistics import correlation
from cdnbench.runners.provenance import host

parser = argparse.ArgumentParser()
parser.add_argument("--batches", type=int, default=2000, help="for ours")
parser.add_argument("--reference", type=int, default=200, help="for causal-learn")
arguments = parser.parse_args()


def random_batches(count: int, hidden: int = 2) -> np.ndarray:
    """(count, rows, variables): each of a model of its own, from sparse to dense, in random
    order."""
    rng, n = generator("benchmark marginals"), BATCH_VARIABLES + hidden
    weights = rng.uniform(0.25, 1, (count, n, n)) * rng.choice([-1, 1], (count, n, n))
    weights = np.triu(
        weights * (rng.random((count, n, n)) < rng.uniform(0.1, 0.8, (count, 1, 1))), 1
    )
    samples = rng.normal(size=(count, BATCH_ROWS, n)) @ np.linalg.inv(np.eye(n) - weights)
    return np.stack([x[:, rng.permutation(n)[:BATCH_VARIABLES]] for x in samples])


def ours(batches: np.ndarray, algorithm: str) -> np.ndarray:
    centred = batches - batches.mean(1, keepdims=True)
    correlations = correlation(centred.transpose(0, 2, 1) @ centred / BATCH_ROWS)
    return marginal_estimates(
        torch.from_numpy(correlations), BATCH_ROWS, algorithm=algorithm
    ).numpy()


def timed(call, *args) -> tuple[float, np.ndarray]:
    begin = time.process_time()
    result = call(*args)
    return time.process_time() - begin, result


torch.set_num_threads(1)
with threadpool_limits(1):
    batches = random_batches(arguments.batches)
    for algorithm in ("fci", "pc"):
        ours(batches[:10], algorithm)
        reference_estimate(batches[0], algorithm=algorithm)
        runs = [timed(ours, batches, algorithm) for _ in range(3)]
        seconds, marks = min(run[0] for run in runs), runs[0][1]
        first = batches[: arguments.reference]
        reference_seconds, expected = timed(
            lambda: np.stack([reference_estimate(x, algorithm=algorithm) for x in first])  # noqa: B023
        )
        each, reference_each = seconds / len(batches), reference_seconds / len(first)
        different = (expected != marks[: len(first)]).any(axis=(1, 2)).sum()
        print(
            f"{algorithm}: ours {1e6 * each:.0f} us a batch ({len(batches)} at once), causal-learn "
            f"{1e3 * reference_each:.2f} ms a batch ({len(first)}): {reference_each / each:.0f} "
            "times as fast; "
            f"{different} of {len(first)} differ",
            flush=True,
        )
print(host())
