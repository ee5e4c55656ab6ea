"""Observational data against itself: `python benchmarks/null_control.py [--methods cdn,cdn-mlp]`.

The observational rows of a dataset are split into halves at random, 200 times, and the second half is called a regime. Nothing
was perturbed, so no node may stand out. Printed for each method: how often the favourite node of a dataset comes first,
beside the 95 % point of the same under permutation (first places thrown uniformly); and the largest score of a split beside the largest
in real regimes.
"""

from __future__ import annotations

import argparse

import numpy as np

from cdnbench import Task, load_method, load_suite

SPLITS = 200


def splits(observational: np.ndarray, rng: np.random.Generator) -> list[Task]:
    """One task a split, a single regime each."""
    tasks = []
    for _ in range(SPLITS):
        order = rng.permutation(len(observational))
        half = len(order) // 2
        before, after = observational[order[:half]], observational[order[half:]]
        names = [f"X{i}" for i in range(observational.shape[1])]
        tasks.append(Task(name="null", variables=names, observational=before, regimes=[after]))
    return tasks


def main(methods: list[str], n_datasets: int) -> None:
    suite = load_suite("synthetic-dev", protocol="clean")
    rng = np.random.default_rng(0)
    print(f"{'method':<22}{'N':>4}{'favourite first':>17}{'by chance':>11}{'top score':>11}{'of regimes':>12}")
    for spec in list(suite.specs())[:24][:: 24 // n_datasets]:
        task = suite.load(spec).task
        n = task.n_variables
        nulls = splits(task.observational, rng)
        thrown = np.array([np.bincount(rng.integers(n, size=SPLITS), minlength=n).max() for _ in range(2000)])
        for name in methods:
            method = load_method(name)
            scores = np.concatenate([method.predict_targets(null, seed=0) for null in nulls])
            first = np.bincount(scores.argmax(1), minlength=n).max() / SPLITS
            real = method.predict_targets(task, seed=0).max(1)
            print(
                f"{name:<22}{n:>4}{first:>17.3f}{np.quantile(thrown, 0.95) / SPLITS:>11.3f}"
                f"{np.median(scores.max(1)):>11.2f}{np.median(real):>12.2f}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="cdn,target-shift,quantile-invariance")
    parser.add_argument("--datasets", type=int, default=4)
    arguments = parser.parse_args()
    main(arguments.methods.split(","), arguments.datasets)
