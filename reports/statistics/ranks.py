"""Ranks over datasets: average ranks, the Friedman test, and Nemenyi's critical difference.

Demsar 2006, Statistical comparisons of classifiers over multiple data sets (JMLR 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd


def average_ranks(values: np.ndarray, ran: np.ndarray) -> np.ndarray:
    """Average rank (1 is best) of every method over datasets, failures tied last.

    values: (n_datasets, n_methods), higher is better, NaN = failed. ran: same shape; False where
    the method was not run at all, which leaves it out of that dataset. Datasets on which nothing
    finished are left out: they rank nobody. Returns (n_methods,); NaN for a method that is left
    with no dataset.
    """
    finished = np.any(ran & ~np.isnan(values), axis=1)
    ran = ran & finished[:, None]
    values = np.where(ran, np.where(np.isnan(values), -np.inf, values), np.nan)
    ranks = pd.DataFrame(values).rank(axis=1, ascending=False, method="average").to_numpy()
    counts = ran.sum(axis=0)
    return np.divide(
        np.nansum(ranks, axis=0), counts, out=np.full(values.shape[1], np.nan), where=counts > 0
    )


@dataclass(frozen=True)
class Friedman:
    """Whether methods rank differently on the same datasets.

    ranks: average rank of each method, 1 is best. statistic, p: Friedman's chi-square, corrected
    for ties. critical_difference: average ranks that are closer than this cannot be told apart.
    """

    ranks: tuple[float, ...]
    n_datasets: int
    statistic: float
    p: float
    critical_difference: float


def friedman(values: np.ndarray, level: float = 0.05) -> Friedman:
    """The Friedman test of `values` (n_datasets, n_methods), higher is better, NaN = failed, which
    ranks last. Datasets on which nothing finished are left out.

    Raises ValueError for fewer than three methods or two datasets: two methods are compared by
    their paired differences.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values).all(axis=1)]
    n, k = values.shape
    if k < 3 or n < 2:
        raise ValueError(
            f"The Friedman test takes at least three methods and two datasets, not {k} and {n}. "
            "Compare two methods by their paired differences."
        )
    from scipy import stats  # half a second, which other tables need not wait for

    filled = np.where(np.isnan(values), -np.inf, values)
    ranks = average_ranks(values, np.ones(values.shape, bool))
    if (filled == filled[:, :1]).all():
        statistic, p = 0.0, 1.0  # all methods tie everywhere; scipy divides by zero there
    else:
        statistic, p = stats.friedmanchisquare(*(-filled).T)
    return Friedman(
        tuple(ranks.tolist()), n, float(statistic), float(p), critical_difference(k, n, level)
    )


@lru_cache(maxsize=64)
def critical_difference(n_methods: int, n_datasets: int, level: float = 0.05) -> float:
    """Nemenyi's critical difference of average ranks, all pairs at once."""
    from scipy import stats

    q = stats.studentized_range.ppf(1 - level, n_methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_methods * (n_methods + 1) / (6 * n_datasets)))


def indistinct(ranks: np.ndarray, critical: float) -> list[tuple[int, ...]]:
    """Largest groups of methods whose average ranks lie within the critical difference: the bars of
    a diagram. Positions in `ranks` (n_methods,), best first; groups of one are left out."""
    ranks = np.asarray(ranks, float)
    order = np.argsort(ranks, kind="stable")
    found: list[tuple[int, ...]] = []
    reach = 0
    for i, first in enumerate(order):
        within = np.flatnonzero(ranks[order] - ranks[first] < critical)
        end = int(within.max()) + 1
        if end - i > 1 and end > reach:
            found.append(tuple(int(m) for m in order[i:end]))
        reach = max(reach, end)
    return found
