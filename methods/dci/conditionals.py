"""Covariances of subsamples given any few variables, by Schur complements: what every test of DCI
is made of.

Sweeping variable k out of a covariance matrix S leaves the covariances given k, S - S[:, k] S[k, :]
/ S[k, k]; again with the next variable, and so on. A test on a conditioning set then reads a
handful of numbers, whatever the rows.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations

import numpy as np

CHUNK = 1 << 16
"""Tests that are made at once: arrays of half a megabyte, which fit a core's cache and bound the
memory."""


class Conditionals:
    """Covariance matrices of B subsamples of one data set, and the same given the variables of a
    prefix.

    covariances: (B, N, N), with rows - 1 in the denominator. n_rows: rows of a subsample.
    cache_bytes: how much of what `given` returns is kept; a task's observational side is asked
        again for every regime.
    """

    def __init__(self, covariances: np.ndarray, n_rows: int, cache_bytes: int = 1 << 26) -> None:
        self.covariances = covariances
        self.n_rows = n_rows
        self._cache: dict[tuple[int, ...], np.ndarray] = {(): covariances}
        self._path: dict[int, tuple[tuple[int, ...], np.ndarray]] = {}
        self._free = cache_bytes

    @property
    def n_variables(self) -> int:
        return self.covariances.shape[1]

    @cached_property
    def precisions(self) -> np.ndarray:
        """(B, N, N) inverses of the covariance matrices."""
        try:
            return np.linalg.inv(self.covariances)
        except np.linalg.LinAlgError:
            return np.linalg.pinv(self.covariances, hermitian=True)

    def largest_condition(self) -> float:
        """The largest condition number (in the maximum norm) of a subsample's correlation
        matrix."""
        with np.errstate(all="ignore"):
            scale = np.sqrt(np.diagonal(self.covariances, axis1=1, axis2=2))
            outer = scale[:, :, None] * scale[:, None]
            norms = [
                np.abs(m).sum(axis=2).max(axis=1)
                for m in (self.covariances / outer, self.precisions * outer)
            ]
        condition = norms[0] * norms[1]
        return float(np.where(np.isfinite(condition), condition, np.inf).max())

    def given(self, prefix: tuple[int, ...]) -> np.ndarray:
        """(B, N, N) covariances given the variables of `prefix`; its own rows and columns mean
        nothing."""
        known = self._cache.get(prefix)
        if known is not None:
            return known
        depth = len(prefix)
        if depth in self._path and self._path[depth][0] == prefix:
            return self._path[depth][1]
        shorter = self.given(prefix[:-1])
        k = prefix[-1]
        column = shorter[:, :, k]
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = column / shorter[:, k, k, None]
        swept = column[:, :, None] * scaled[:, None, :]
        np.subtract(shorter, swept, out=swept)
        if swept.nbytes <= self._free:
            self._free -= swept.nbytes
            self._cache[prefix] = swept
        else:
            self._path[depth] = prefix, swept
        return swept

    def select(self, columns: np.ndarray) -> Conditionals:
        """The same subsamples of some variables only.

        Returns `self` if that is all of them, so that its cache serves again.
        """
        if len(columns) == self.n_variables:
            return self
        return Conditionals(
            np.ascontiguousarray(self.covariances[:, columns][:, :, columns]), self.n_rows
        )

    def block(self, subsamples: slice) -> Conditionals:
        """Some of the subsamples."""
        return Conditionals(self.covariances[subsamples], self.n_rows)


def covariances(samples: np.ndarray, subsamples: np.ndarray) -> np.ndarray:
    """(B, N, N) covariance matrices of the subsamples (B, m), rows of the samples (n, N)."""
    centred = samples - samples.mean(axis=0)
    result = np.empty((len(subsamples), samples.shape[1], samples.shape[1]))
    for b, rows in enumerate(subsamples):
        chosen = centred[rows]
        chosen -= chosen.mean(axis=0)
        result[b] = chosen.T @ chosen
    return result / max(subsamples.shape[1] - 1, 1)


def sizes_and_prefixes(n_variables: int, size: int) -> list[tuple[int, ...]]:
    """Increasing tuples of `size` of the variables, in the order in which they share beginnings."""
    return list(combinations(range(n_variables), size))


def critical_f(df1: float, df2: float, alpha: np.ndarray) -> np.ndarray:
    """The values that F(df1, df2) exceeds with probabilities alpha, in [0, 1]; NaN without degrees
    of freedom."""
    from scipy.special import fdtri

    value = fdtri(df1, df2, np.clip(1 - alpha, 1e-300, 1 - 1e-16))
    return np.where(
        np.isnan(value), value, np.where(alpha >= 1, 0.0, np.where(alpha <= 0, np.inf, value))
    )
