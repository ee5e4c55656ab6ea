"""Inference times of `cdn`, `cdn-axial` and `cdn-mlp`: `python benchmarks/cdn.py [--threads 1]
[--wide]`.

Amortised over the regimes of a dataset of `synthetic-dev` (N = 20, 60 regimes, 983 rows),
featurisation included; T = 50 and 100
marginal estimates a data set. With --wide: N = 1000, 500 rows a side, one regime, and the peak
memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch

from cdnbench import Task, load_method, load_suite

METHODS = (
    ("cdn", {}),
    ("cdn-axial", {}),
    ("cdn-axial", {"n_batches": 100}),
    ("cdn-mlp", {"n_batches": 100}),
)


def usual() -> None:
    suite = load_suite("synthetic-dev")
    task = next(suite.load(spec).task for spec in suite.specs() if spec.n_variables == 20)
    for name, parameters in METHODS:
        method = load_method(name, **parameters)
        method.predict_targets(task, seed=0)
        took = []
        for seed in range(3):
            began = time.perf_counter()
            method.predict_targets(task, seed=seed)
            took.append(time.perf_counter() - began)
        print(
            f"{name} {parameters or ''}: {1000 * np.median(took) / task.n_regimes:.1f} ms a regime",
            flush=True,
        )


def wide(n: int = 1000) -> None:
    rng = np.random.default_rng(0)
    weights = np.triu((rng.random((n, n)) < 2 / n) * rng.uniform(0.3, 0.9, (n, n)), 1)
    samples = rng.normal(size=(1000, n)) @ np.linalg.inv(np.eye(n) - weights)
    samples[500:, 3] = 2 + 0.5 * rng.normal(size=500)
    names = [f"X{i}" for i in range(n)]
    task = Task(name="wide", variables=names, observational=samples[:500], regimes=[samples[500:]])
    for name in ("cdn", "cdn-mlp", "cdn-axial"):
        began = time.perf_counter()
        scores = load_method(name).predict_targets(task, seed=0)[0]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        place = 1 + int((scores > scores[3]).sum())
        print(
            f"{name}: N = {n}: {time.perf_counter() - began:.0f} s, peak {peak:.1f} GB, target in "
            f"place {place}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wide", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    wide() if arguments.wide else usual()
