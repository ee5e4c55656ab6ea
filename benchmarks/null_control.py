"""Observational data against itself: `python benchmarks/null_control.py [--methods cdn,cdn-mlp]
[--suite perturbseq]`.

Some observational rows of a dataset are set apart at random, 200 times, and called a regime: half
of them, or for cells as many as the dataset's own perturbation has. Nothing was perturbed, so no
node may stand out. Printed for each method: how often the favourite node of a dataset comes first,
beside the 95 % point of the same under chance (first places thrown uniformly); the p-value of the
chi-square statistic of all first places, from the same throws; and the median over splits of the
largest score, beside that over real regimes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from cdnbench import Task, load_method, load_suite
from cdnbench.digest import generator

SPLITS, THROWS = 200, 2000


def splits(task: Task, n_apart: int, rng: np.random.Generator) -> Iterator[Task]:
    """One task a split, a single regime each."""
    rows = np.asarray(task.observational)
    for _ in range(SPLITS):
        order = rng.permutation(len(rows))
        before, after = rows[order[n_apart:]], rows[order[:n_apart]]
        names, symbols = [f"X{i}" for i in range(task.n_variables)], task.symbols
        yield Task(
            name="null", variables=names, observational=before, regimes=[after], symbols=symbols
        )


def first_places(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) how often each node has the largest of its split's scores (S, N), ties broken at
    random."""
    top = (scores == scores.max(axis=1, keepdims=True)) * (1 + rng.random(scores.shape))
    return np.bincount(top.argmax(axis=1), minlength=scores.shape[1])


def chi_square(counts: np.ndarray) -> np.ndarray:
    expected = counts.sum(axis=-1, keepdims=True) / counts.shape[-1]
    return ((counts - expected) ** 2 / expected).sum(axis=-1)


def main(methods: list[str], suite_name: str, n_datasets: int) -> None:
    cells = suite_name != "synthetic-dev"
    suite = load_suite(suite_name) if cells else load_suite(suite_name, protocol="clean")
    specs = list(suite.specs())[: None if cells else 24]
    rng = np.random.default_rng(0)
    print(
        f"{'method':<22}{'N':>5}{'favourite first':>17}{'by chance':>11}{'p':>7}"
        f"{'top score':>11}{'of regimes':>12}"
    )
    for spec in specs[:: max(1, len(specs) // n_datasets)][:n_datasets]:
        task = suite.load(spec).task
        n = task.n_variables
        n_apart = len(task.regimes[0]) if cells else len(task.observational) // 2
        thrown = rng.multinomial(SPLITS, np.full(n, 1 / n), size=THROWS)
        for name in methods:
            method = load_method(name)
            scores = np.concatenate(
                [
                    method.predict_targets(null, seed=0)
                    for null in splits(task, n_apart, generator("null", spec.hash))
                ]
            )
            counts = first_places(scores, rng)
            p = (1 + (chi_square(thrown) >= chi_square(counts)).sum()) / (1 + THROWS)
            real = method.predict_targets(task, seed=0).max(1)
            print(
                f"{name:<22}{n:>5}{counts.max() / SPLITS:>17.3f}"
                f"{np.quantile(thrown.max(1), 0.95) / SPLITS:>11.3f}{p:>7.3f}"
                f"{np.median(scores.max(1)):>11.2f}{np.median(real):>12.2f}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="cdn,target-shift,quantile-invariance")
    parser.add_argument(
        "--suite", default="synthetic-dev", choices=["synthetic-dev", "perturbseq", "sciplex"]
    )
    parser.add_argument("--datasets", type=int, default=4)
    arguments = parser.parse_args()
    main(arguments.methods.split(","), arguments.suite, arguments.datasets)
