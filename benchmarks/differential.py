"""Differential expression of all perturbations of a screen: ours and scanpy's, on one core in one
run.

    pip install scanpy                                        # not among the dependencies; also
    needs what the project needs python benchmarks/differential.py [--cells 50000 --genes 2000
    --perturbations 200 --density .1] python benchmarks/differential.py --h5ad FILE --total
    total_umis      # on real counts, all perturbations against non-targeting

Both test every perturbation against the same controls: Wilcoxon without tie correction,
Benjamini-Hochberg, log2 fold changes of means. Printed are wall-clock and CPU seconds (of one
thread; both have compiled before), their ratio, and the largest difference of each result, relative
where the result exceeds 1. scanpy returns scores and fold changes as float32, which alone is 6e-8.
"""

from __future__ import annotations

import os

os.environ.update(
    dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
    )
)

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
from scipy import sparse
from screens import CONTROL, Screen

from cdnbench.datasets.cells.screens.counts import log_normalise
from cdnbench.datasets.cells.screens.differential import Controls, RankSums
from cdnbench.datasets.cells.screens.raw import CHUNK, open_raw

RESULTS = ("scores", "logfoldchanges", "pvals_adj")


def seconds(
    work: Callable[[], dict[str, np.ndarray]],
) -> tuple[dict[str, np.ndarray], float, float]:
    """What it returns, wall-clock and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = work()
    return made, time.perf_counter() - wall, time.process_time() - cpu


def ours(
    cells: sparse.csr_matrix, names: np.ndarray, perturbation: np.ndarray
) -> dict[str, np.ndarray]:
    """Each result (P, G), as `bench data prepare` computes them: a range of cells at a time, in the
    order of the file."""
    sums = RankSums(Controls.of(cells[perturbation == CONTROL]), len(names))
    label = np.where(perturbation == CONTROL, -1, np.searchsorted(names, perturbation))
    for low in range(0, cells.shape[0], CHUNK):
        some = label[low : low + CHUNK]
        sums.add(cells[low : low + CHUNK][some >= 0], some[some >= 0])
    tests = [sums.tests(p) for p in range(len(names))]
    return {
        "scores": np.array([t.score for t in tests]),
        "logfoldchanges": np.array([t.log2_fold_change for t in tests]),
        "pvals_adj": np.array([t.p_adjusted for t in tests]),
    }


def theirs(
    cells: sparse.csr_matrix, names: np.ndarray, perturbation: np.ndarray
) -> dict[str, np.ndarray]:
    """The same by scanpy, its genes put back into the order of the file."""
    import pandas as pd
    import scanpy

    obs = pd.DataFrame(
        {"group": pd.Categorical(perturbation)}, index=[str(i) for i in range(cells.shape[0])]
    )
    adata = scanpy.AnnData(cells, obs=obs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about fragmented frames, one per perturbation
        scanpy.tl.rank_genes_groups(
            adata,
            "group",
            groups=list(names),
            reference=CONTROL,
            method="wilcoxon",
            tie_correct=False,
        )
    found = adata.uns["rank_genes_groups"]
    order = {name: np.argsort(found["names"][name].astype(int)) for name in names}
    return {
        result: np.array([found[result][name][order[name]] for name in names], dtype=float)
        for result in RESULTS
    }


def synthetic(screen: Screen) -> tuple[sparse.csr_matrix, np.ndarray]:
    counts = sparse.csr_matrix(sparse.vstack(list(screen.counts())))
    return log_normalise(
        counts, np.asarray(counts.sum(axis=1)).ravel()
    ), screen.perturbation.astype(str)


def real(path: Path, total: str) -> tuple[sparse.csr_matrix, np.ndarray]:
    raw = open_raw(path)
    counts = raw.read(0, raw.n_cells)
    totals = (
        raw.obs[total].to_numpy() if total else np.asarray(counts.sum(axis=1, dtype=float)).ravel()
    )
    kept = raw.obs["perturbation"].notna().to_numpy() & (totals > 0)
    return log_normalise(counts[kept], totals[kept]), raw.obs["perturbation"][kept].astype(
        str
    ).to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--perturbations", type=int, default=200)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--h5ad", type=Path, help="real counts instead, with a column `perturbation`"
    )
    parser.add_argument("--total", default="", help="its column with the total count of a cell")
    arguments = parser.parse_args()
    try:
        version = metadata.version("scanpy")
    except metadata.PackageNotFoundError:
        sys.exit(
            "This benchmark compares with scanpy, which is not installed here: pip install scanpy."
        )

    if arguments.h5ad:
        cells, perturbation = real(arguments.h5ad, arguments.total)
    else:
        sizes = arguments.cells, arguments.genes, arguments.perturbations
        cells, perturbation = synthetic(Screen(*sizes, arguments.density, seed=arguments.seed))
    names = np.array(sorted(set(perturbation) - {CONTROL}))
    print(
        f"{cells.shape[0]:,} cells ({(perturbation == CONTROL).sum():,} controls) x "
        f"{cells.shape[1]:,} genes, {len(names)} perturbations, "
        f"density {cells.nnz / np.prod(cells.shape):.3f}",
        flush=True,
    )
    small = synthetic(Screen(200, 80, 2))
    for work in (ours, theirs):  # compiles
        work(small[0], np.array(sorted(set(small[1]) - {CONTROL})), small[1])

    mine, wall, cpu = seconds(lambda: ours(cells, names, perturbation))
    print(f"ours    {wall:8.2f} s ({cpu:.2f} s CPU)", flush=True)
    other, their_wall, their_cpu = seconds(lambda: theirs(cells, names, perturbation))
    print(f"scanpy  {their_wall:8.2f} s ({their_cpu:.2f} s CPU), version {version}")
    print(f"ratio   {their_wall / wall:8.1f}   ({their_cpu / cpu:.1f} by CPU)")
    for result in RESULTS:
        there = other[result]
        difference = (np.abs(mine[result] - there) / np.maximum(1, np.abs(there))).max()
        print(
            f"largest difference of {result:15} {difference:.1e}  (values from {there.min():.3g} "
            f"to {there.max():.3g})"
        )


if __name__ == "__main__":
    main()
