"""Sums and sums of squares of many groups of rows at once, streamed."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from cdnbench.compilation import kept_njit
from cdnbench.prediction.screening import Moments


class GroupedMoments:
    """Moments of N variables over each of G groups of rows. Cost is one step per stored value."""

    def __init__(self, n_groups: int, n_variables: int) -> None:
        self._total = np.zeros((n_groups, n_variables))
        self._squares = np.zeros((n_groups, n_variables))
        self._n = np.zeros(n_groups, dtype=np.int64)

    def add(self, rows: sparse.csr_matrix, group: np.ndarray) -> None:
        """Add rows (M, N). group: (M,) the group of each."""
        group = np.ascontiguousarray(group, dtype=np.int64)
        self._n += np.bincount(group, minlength=len(self._n))
        _add(rows.data, rows.indices, rows.indptr, group, self._total, self._squares)

    def of(self, group: int) -> Moments:
        return Moments(int(self._n[group]), self._total[group], self._squares[group])


@kept_njit()
def _add(data, indices, indptr, group, total, squares):
    for row in range(len(group)):
        g = group[row]
        for i in range(indptr[row], indptr[row + 1]):
            x = float(data[i])
            total[g, indices[i]] += x
            squares[g, indices[i]] += x * x
