"""Normal scores of control and perturbed rows together: what permutations of the rows act on.

A value becomes Phi^-1(rank / (n + 1)), its rank being that among all n rows (van der Waerden 1952);
tied values share the mean of their scores. The square of a score tells of spread (Klotz 1962, Ann.
Math. Stat. 33). Scores do not depend on units, one broken row is no more than the largest one, and
for Gaussian data tests on them lose nothing against t tests (Chernoff and Savage 1958).

Many perturbations share their controls: `Controls` sorts those once, and a merge with the sorted
perturbed rows gives the joint ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import ndtri

from cdnbench.compilation import kept_njit
from cdnbench.errors import InvalidData

MOST_ROWS = 2000
"""Rows per side that are used. More would add time and hardly any power."""
_VALUES_AT_ONCE = 2**22
_KEPT_VALUES = 2**25


class Controls:
    """Control rows (M0, N), an array or a sparse matrix, prepared for many comparisons.

    Of more than `MOST_ROWS` rows that many are used, chosen at random by `rng`. Their order within
    each column is found once and kept, unless they are more than about 33 million values: then
    blocks of columns are sorted again for each perturbation, and memory stays small.
    """

    def __init__(self, rows: Any, rng: np.random.Generator) -> None:
        self.rows = thinned(rows, rng)
        self._sorted: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._sorting = Lock()

    @property
    def n_rows(self) -> int:
        return self.rows.shape[0]

    @property
    def n_variables(self) -> int:
        return self.rows.shape[1]

    def sorted_columns(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `sort_columns` of the controls."""
        if self.n_rows * self.n_variables > _KEPT_VALUES:
            return sort_columns(self.rows, columns)
        with self._sorting:
            if not self._sorted:
                self._sorted[0] = sort_columns(self.rows, np.arange(self.n_variables))
        values, order = self._sorted[0]
        return values[columns], order[columns]


def thinned(rows: Any, rng: np.random.Generator) -> Any:
    """At most `MOST_ROWS` rows, chosen at random; sparse ones in a form that is read by columns.

    Raises
    ------
    InvalidData: it is no table of rows and columns, has no rows, or values that are not finite.
    """
    if not sparse.issparse(rows):
        rows = np.asarray(rows)
    if rows.ndim != 2 or 0 in rows.shape:
        raise InvalidData(
            f"Samples have shape {rows.shape}; expected rows x variables, at least one of each."
        )
    if not np.isfinite(rows.data if sparse.issparse(rows) else rows).all():
        raise InvalidData("Samples hold values that are not finite. Drop or impute them first.")
    if rows.shape[0] > MOST_ROWS:
        rows = rows[rng.choice(rows.shape[0], MOST_ROWS, replace=False)]
    return sparse.csc_array(rows) if sparse.issparse(rows) else rows


def sort_columns(rows: Any, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (w, M) of w columns, ascending, and the row numbers (w, M) that they come from."""
    x = rows[:, columns]
    x = np.ascontiguousarray((x.toarray() if sparse.issparse(x) else x).T)
    order = np.argsort(x, axis=1).astype(np.int32)
    return np.take_along_axis(x, order, axis=1).astype(np.float64), order


def score_blocks(
    controls: Controls, perturbed: Any, columns: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(columns, level, spread) of one block of w columns after another.

    level, spread: (w, M0 + M) float32, the controls first: normal scores and their squares, both
    with mean 0 in each column, so that both are 0 throughout in a constant one. perturbed: as
    `thinned` returns. columns: which ones; all by default.
    """
    n0, n1 = controls.n_rows, perturbed.shape[0]
    n = n0 + n1
    score = ndtri(np.arange(1, n + 1) / (n + 1))
    square = score**2
    sums = np.concatenate([[0.0], np.cumsum(score)])
    sums_of_squares = np.concatenate([[0.0], np.cumsum(square - square.mean())])
    columns = np.arange(controls.n_variables) if columns is None else columns
    width = max(1, _VALUES_AT_ONCE // n)
    for start in range(0, len(columns), width):
        block = columns[start : start + width]
        level, spread = np.empty((2, len(block), n), dtype=np.float32)
        _merge(
            *controls.sorted_columns(block),
            *sort_columns(perturbed, block),
            sums,
            sums_of_squares,
            level,
            spread,
        )
        yield block, level, spread


def score_variances(n: int) -> tuple[float, float]:
    """Variances of level and spread in a column of n rows without ties."""
    score = ndtri(np.arange(1, n + 1) / (n + 1))
    return float(np.mean(score**2)), float(np.var(score**2))


@kept_njit()
def _merge(values0, order0, values1, order1, sums, squares, level, spread):
    n0, n1 = values0.shape[1], values1.shape[1]
    for g in range(len(values0)):
        i = j = 0
        while i < n0 or j < n1:
            if j == n1 or (i < n0 and values0[g, i] <= values1[g, j]):
                value = values0[g, i]
            else:
                value = values1[g, j]
            first_i, first_j = i, j
            while i < n0 and values0[g, i] == value:
                i += 1
            while j < n1 and values1[g, j] == value:
                j += 1
            low, high = first_i + first_j, i + j
            a = (sums[high] - sums[low]) / (high - low)
            b = (squares[high] - squares[low]) / (high - low)
            for k in range(first_i, i):
                level[g, order0[g, k]] = a
                spread[g, order0[g, k]] = b
            for k in range(first_j, j):
                level[g, n0 + order1[g, k]] = a
                spread[g, n0 + order1[g, k]] = b
