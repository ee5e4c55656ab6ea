"""Tests of a difference, and Holm's correction for many of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import special

from cdnbench.digest import generator
from cdnbench.reports.statistics.intervals import RESAMPLES


def sign_flip_test(differences: np.ndarray, resamples: int = RESAMPLES) -> float:
    """Two-sided p-value of a zero mean of `differences` (n,) under random signs.

    Exact where 2^n <= resamples, otherwise (b + 1) / (resamples + 1) from random flips. NaN if n =
    0.
    """
    differences = np.asarray(differences, dtype=float)
    n = len(differences)
    if n == 0:
        return float("nan")
    observed = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    if 2**n <= resamples:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float(np.mean(np.abs(signs @ differences) >= observed))
    return float(
        (np.sum(np.abs(_flips(n, resamples) @ differences) >= observed) + 1) / (resamples + 1)
    )


@lru_cache(maxsize=2)
def _flips(n: int, resamples: int) -> np.ndarray:
    """(resamples, n) random signs."""
    return generator("reports", "sign-flip", n).integers(0, 2, size=(resamples, n)) * 2.0 - 1


def holm(p: np.ndarray | Sequence[float]) -> np.ndarray:
    """Holm's adjusted p-values of one family; NaN entries stay NaN and do not count."""
    p = np.asarray(p, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted


def agreement_limit(
    sd: np.ndarray | float, other_sd: np.ndarray | float, n: int, other_n: int
) -> np.ndarray:
    """The largest difference of two means of n and other_n datasets that still agrees at 5 %.

    Welch's test: the standard error does not pool the spreads, and the degrees of freedom are those
    of Welch and Satterthwaite, from n + other_n - 2 where the spreads are equal down to those of
    one mean where the other has no spread. 0 where neither has one; NaN where one is not known.
    """
    own, other = (np.square(np.asarray(s, float)) / k for s, k in ((sd, n), (other_sd, other_n)))
    total = own + other
    squares = np.square(own) / (n - 1) + np.square(other) / (other_n - 1)
    freedom = np.divide(np.square(total), squares, out=np.ones_like(total), where=squares > 0)
    return np.asarray(special.stdtrit(freedom, 0.975) * np.sqrt(total))
