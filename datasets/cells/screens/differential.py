"""Differential expression of many perturbations against the same control cells, streamed.

Wilcoxon's rank-sum test without tie correction, log2 fold changes of the mean counts and
Benjamini-Hochberg over genes, as `scanpy.tl.rank_genes_groups(method="wilcoxon",
reference=controls, tie_correct=False)` defines them (Wolf, Angerer, Theis 2018).

The rank sum of n1 cells among themselves is n1 (n1 + 1) / 2 whatever the ties, so all that has to
be counted is how many controls lie below each value (those equal to it by half). The controls of a
gene are sorted once; a cell that comes by costs one binary search for each of its non-zero values,
two where controls tie with it. Memory does not grow with the number of perturbed cells, cost does
in proportion, and they need no order. All sums are of float64.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import joblib
import numpy as np
from scipy import sparse
from scipy.special import ndtr

from cdnbench.compilation import kept_njit
from cdnbench.multiple_testing import q_values

_PSEUDO = 1e-9  # added to mean counts in fold changes, as scanpy does


@dataclass(frozen=True, eq=False)
class Controls:
    """The values of n_cells control cells, all non-negative. The non-zero values of gene g are
    sorted in values[start[g] : start[g + 1]]."""

    values: np.ndarray
    start: np.ndarray
    n_cells: int
    mean: np.ndarray
    """(G,) float64: mean of the values."""

    @staticmethod
    def of(cells: sparse.csr_matrix) -> Controls:
        """Sort the values of cells (n_cells, G), log-normalised.

        Raises
        ------
        ValueError: no cells, or negative values.
        """
        if cells.shape[0] == 0:
            raise ValueError("there are no control cells")
        columns = sparse.csc_matrix(cells, copy=True)
        columns.eliminate_zeros()
        if len(columns.data) and columns.data.min() < 0:
            raise ValueError("values of control cells are negative")
        start = columns.indptr.astype(np.int64)
        total = np.zeros(cells.shape[1])
        _in_threads(
            lambda a, b: _sort_columns(columns.data, start[a : b + 1], total[a:b]), len(total)
        )
        return Controls(columns.data, start, cells.shape[0], total / cells.shape[0])

    @property
    def n_genes(self) -> int:
        return len(self.start) - 1


@dataclass(frozen=True, eq=False)
class Tests:
    """Test results of one perturbation, each (G,) float64. score: the standardised rank sum.
    p_adjusted: Benjamini-Hochberg over the genes."""

    score: np.ndarray
    p: np.ndarray
    p_adjusted: np.ndarray
    log2_fold_change: np.ndarray


class RankSums:
    """Sums over the cells seen so far, from which P perturbations are tested."""

    def __init__(self, controls: Controls, n_perturbations: int) -> None:
        self.controls = controls
        shape = controls.n_genes, n_perturbations
        self.below = np.zeros(
            shape
        )  # controls below each non-zero value, those equal to it by half
        self.total = np.zeros(shape)
        self.n_nonzero = np.zeros(shape, dtype=np.int32)
        self.n_cells = np.zeros(n_perturbations, dtype=np.int64)

    def add(self, cells: sparse.csr_matrix, perturbation: np.ndarray) -> None:
        """Add cells (M, G), normalised as the controls are. perturbation: (M,) number of the
        perturbation of each, 0 .. P - 1."""
        columns = sparse.csc_matrix(cells)
        columns.eliminate_zeros()
        labels = np.ascontiguousarray(perturbation, dtype=np.int64)
        self.n_cells += np.bincount(labels, minlength=len(self.n_cells))
        values = columns.data.astype(self.controls.values.dtype, copy=False)
        start = columns.indptr.astype(np.int64)

        def count(a: int, b: int) -> None:
            _count(
                values,
                columns.indices,
                start[a : b + 1],
                labels,
                self.controls.values,
                self.controls.start[a : b + 1],
                self.controls.n_cells,
                self.below[a:b],
                self.total[a:b],
                self.n_nonzero[a:b],
            )

        _in_threads(count, self.controls.n_genes)

    def tests(self, perturbation: int) -> Tests:
        """Test one perturbation against the controls.

        Raises
        ------
        ValueError: no cell of it has been added.
        """
        controls, n1 = self.controls, int(self.n_cells[perturbation])
        if n1 == 0:
            raise ValueError(f"no cells of perturbation {perturbation}")
        n0 = controls.n_cells
        zeros = n0 - np.diff(controls.start)
        u = self.below[:, perturbation] + 0.5 * zeros * (n1 - self.n_nonzero[:, perturbation])
        score = (u - n1 * n0 / 2) / np.sqrt(n1 * n0 * (n1 + n0 + 1) / 12)
        p = 2 * ndtr(-np.abs(score))
        mean = self.total[:, perturbation] / n1
        change = np.log2((np.expm1(mean) + _PSEUDO) / (np.expm1(controls.mean) + _PSEUDO))
        return Tests(score, p, q_values(p), change)


def _in_threads(work: Callable[[int, int], None], n_genes: int) -> None:
    """Call `work(a, b)` for blocks of genes a .. b - 1, one thread per core.

    numba's own parallel loops would set the number of OpenMP threads of the whole process, torch's
    among them.
    """
    n_threads = joblib.cpu_count()
    ends = np.linspace(0, n_genes, 4 * n_threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(work, ends[:-1], ends[1:]))


@kept_njit(nogil=True)
def _sort_columns(values, start, total):
    for g in range(len(start) - 1):
        values[start[g] : start[g + 1]].sort()
        for i in range(start[g], start[g + 1]):
            total[g] += values[i]


@kept_njit()
def _first_not_below(values, x, low, high):
    while low < high:
        middle = (low + high) // 2
        if values[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@kept_njit()
def _first_above(values, x, low, high):
    while low < high:
        middle = (low + high) // 2
        if values[middle] <= x:
            low = middle + 1
        else:
            high = middle
    return low


@kept_njit(nogil=True)
def _count(data, cell, start, labels, controls, control_start, n_controls, below, total, n_nonzero):
    for g in range(len(start) - 1):
        first, last = control_start[g], control_start[g + 1]
        zeros = n_controls - (last - first)
        for i in range(start[g], start[g + 1]):
            x, p = data[i], labels[cell[i]]
            left = _first_not_below(controls, x, first, last)
            right = left
            if left < last and controls[left] == x:
                right = _first_above(controls, x, left + 1, last)
            below[g, p] += zeros + left - first + 0.5 * (right - left)
            total[g, p] += x
            n_nonzero[g, p] += 1
