"""Covariance matrices of subsamples, which is all that the tests of DCI read of the data."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np


class Covariances:
    """Covariance matrices of B subsamples of one data set.

    matrices: (B, N, N), with rows - 1 in the denominator. n_rows: rows of a subsample.
    """

    def __init__(self, matrices: np.ndarray, n_rows: int) -> None:
        self.matrices = np.ascontiguousarray(matrices, dtype=np.float64)
        self.n_rows = n_rows

    @property
    def n_variables(self) -> int:
        return self.matrices.shape[1]

    @cached_property
    def precisions(self) -> np.ndarray:
        """(B, N, N) inverses of the covariance matrices."""
        try:
            return np.linalg.inv(self.matrices)
        except np.linalg.LinAlgError:
            return np.linalg.pinv(self.matrices, hermitian=True)

    def largest_condition(self) -> float:
        """The largest condition number (in the maximum norm) of a subsample's correlation
        matrix."""
        with np.errstate(all="ignore"):
            scale = np.sqrt(np.diagonal(self.matrices, axis1=1, axis2=2))
            outer = scale[:, :, None] * scale[:, None]
            norms = [
                np.abs(m).sum(axis=2).max(axis=1)
                for m in (self.matrices / outer, self.precisions * outer)
            ]
        condition = norms[0] * norms[1]
        return float(np.where(np.isfinite(condition), condition, np.inf).max())

    def select(self, columns: np.ndarray) -> Covariances:
        """The same subsamples of some variables only, or `self` if that is all of them."""
        if len(columns) == self.n_variables:
            return self
        return Covariances(self.matrices[:, columns][:, :, columns], self.n_rows)


def covariances(samples: np.ndarray, subsamples: np.ndarray) -> np.ndarray:
    """(B, N, N) covariance matrices of the subsamples (B, m), rows of the samples (n, N).

    A subsample is most of the rows, so the products of the others are taken from those of all.
    """
    centred = samples - samples.mean(axis=0)
    n, m = len(samples), subsamples.shape[1]
    few, complement = subsamples, 2 * m > n
    if complement:
        left_out = np.ones((len(subsamples), n), dtype=bool)
        left_out[np.arange(len(subsamples))[:, None], subsamples] = False
        few = (np.flatnonzero(left_out) % n).reshape(len(subsamples), n - m)
    rows = centred[few]
    sums, products = np.ones(few.shape[1]) @ rows, rows.transpose(0, 2, 1) @ rows
    if complement:
        sums, products = centred.sum(axis=0) - sums, centred.T @ centred - products
    products -= sums[:, :, None] * sums[:, None] / m
    return products / max(m - 1, 1)


def critical_f(df1: float, df2: float, alpha: np.ndarray) -> np.ndarray:
    """The values that F(df1, df2) exceeds with probabilities alpha, in [0, 1]; NaN without degrees
    of freedom."""
    return _critical_f(df1, df2, tuple(alpha.tolist()))


@lru_cache(maxsize=1000)
def _critical_f(df1: float, df2: float, levels: tuple[float, ...]) -> np.ndarray:
    from scipy.special import fdtri

    alpha = np.array(levels)
    value = fdtri(df1, df2, np.clip(1 - alpha, 1e-300, 1 - 1e-16))
    found = np.where(
        np.isnan(value), value, np.where(alpha >= 1, 0.0, np.where(alpha <= 0, np.inf, value))
    )
    found.flags.writeable = False
    return found
