"""Logarithms of tail probabilities, finite far beyond the 1e-308 at which the probabilities
themselves become zero.

A thousand rows and a halved variance already give p = 1e-27; a tenfold one gives 1e-290. Scores
made of p alone would tie there, and strong effects are what a ranking is about.
"""

from __future__ import annotations

import numpy as np

_SMALLEST = 1e-290  # below it the series is used instead of scipy's incomplete beta function


def log_f_cdf(
    statistic: np.ndarray, df1: np.ndarray | float, df2: np.ndarray | float
) -> np.ndarray:
    """log P(F <= statistic) for F(df1, df2); arguments broadcast, the statistic is finite and >=
    0."""
    odds = np.asarray(statistic, float) * df1 / df2
    with np.errstate(divide="ignore"):
        log_x = -np.log1p(1 / odds)
    return _log_betainc(np.asarray(df1) / 2, np.asarray(df2) / 2, log_x, -np.log1p(odds))


def log_f_sf(statistic: np.ndarray, df1: np.ndarray | float, df2: np.ndarray | float) -> np.ndarray:
    """log P(F > statistic) for F(df1, df2); arguments broadcast, the statistic is finite and >=
    0."""
    odds = np.asarray(statistic, float) * df1 / df2
    with np.errstate(divide="ignore"):
        log_rest = -np.log1p(1 / odds)
    return _log_betainc(np.asarray(df2) / 2, np.asarray(df1) / 2, -np.log1p(odds), log_rest)


def log_f_two_sided(
    statistic: np.ndarray, df1: np.ndarray | float, df2: np.ndarray | float
) -> np.ndarray:
    """log of 2 min(P(F <= statistic), P(F > statistic)); the statistic is finite and > 0."""
    return np.log(2) + np.minimum(log_f_cdf(statistic, df1, df2), log_f_sf(statistic, df1, df2))


def _log_betainc(
    a: np.ndarray, b: np.ndarray, log_x: np.ndarray, log_rest: np.ndarray
) -> np.ndarray:
    """log I_x(a, b) from log x and log (1 - x).

    Where I underflows, by I_x(a, b) = x^a (1 - x)^b / (a B(a, b)) * sum_n prod_{k <= n} x (a + b +
    k - 1) / (a + k) (DLMF 8.17.8 with 15.2.1). x then lies far below the mean a / (a + b), so the
    terms fall geometrically.
    """
    from scipy.special import betainc, betaln

    a, b, log_x, log_rest = np.broadcast_arrays(a, b, log_x, log_rest)
    direct = betainc(a, b, np.exp(log_x))
    with np.errstate(divide="ignore"):
        result = np.log(direct)
    tiny = (direct < _SMALLEST) & np.isfinite(log_x)
    if tiny.any():
        a, b, log_x, log_rest = a[tiny], b[tiny], log_x[tiny], log_rest[tiny]
        x, term, total, k = np.exp(log_x), np.ones(a.shape), np.ones(a.shape), 0
        while (term > 1e-12 * total).any() and k < 100_000:
            k += 1
            term = term * x * (a + b + k - 1) / (a + k)
            total = total + term
        result = np.array(result)
        result[tiny] = a * log_x + b * log_rest - np.log(a) - betaln(a, b) + np.log(total)
    return result
