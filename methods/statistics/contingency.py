"""Chi-square tests of independence on binned data: k-means bins, a binary variable against many,
logarithms of p."""

from __future__ import annotations

import numpy as np

_SMALLEST = (
    1e-290  # below it the continued fraction is used instead of scipy's incomplete gamma function
)


def kmeans_bins(samples: np.ndarray, n_bins: int, max_iterations: int = 300) -> np.ndarray:
    """(n, N) int bins 0 .. n_bins - 1 of each column of an (n, N) array, by one-dimensional
    k-means.

    Lloyd's algorithm from the midpoints of equally wide bins until the centres' squared shift is
    below 1e-4 of the column's variance (scikit-learn's `KBinsDiscretizer(strategy="kmeans")`). A
    centre without samples stays where it is.
    """
    x = np.asarray(samples, dtype=np.float64)
    low, width = x.min(axis=0), np.ptp(x, axis=0)
    width = np.where(width > 0, width, 1.0)
    x = (x - low) / width
    centres = np.tile(((np.arange(n_bins) + 0.5) / n_bins)[:, None], (1, x.shape[1]))
    ordered = np.sort(x, axis=0)
    sums = np.vstack([np.zeros(x.shape[1]), np.cumsum(ordered, axis=0)])
    tolerance = 1e-4 * x.var(axis=0)
    active = np.arange(x.shape[1])
    for _ in range(max_iterations):
        current = centres[:, active]
        edges = (current[1:] + current[:-1]) / 2
        ends = np.stack([(ordered[:, active] <= edge).sum(axis=0) for edge in edges])
        ends = np.vstack([np.zeros_like(active), ends, np.full_like(active, len(x))])
        counts = np.diff(ends, axis=0)
        totals = np.diff(np.take_along_axis(sums[:, active], ends, axis=0), axis=0)
        centres[:, active] = np.where(counts > 0, totals / np.maximum(counts, 1), current)
        shift = ((centres[:, active] - current) ** 2).sum(axis=0)
        active = active[shift > tolerance[active]]
        if not len(active):
            break
    edges = (centres[1:] + centres[:-1]) / 2
    return sum(((x > edge).astype(np.int64) for edge in edges), np.zeros(x.shape, np.int64))


def quantile_bins(samples: np.ndarray, n_bins: int) -> np.ndarray:
    """(n, N) int bins 0 .. n_bins - 1 of each column of an (n, N) array, of equal counts but for
    ties."""
    x = np.asarray(samples, dtype=np.float64)
    edges = np.quantile(x, np.arange(1, n_bins) / n_bins, axis=0)
    return sum(((x > edge).astype(np.int64) for edge in edges), np.zeros(x.shape, np.int64))


def log_p_independent(
    group: np.ndarray, bins: np.ndarray, strata: np.ndarray, n_bins: int
) -> np.ndarray:
    """(Y,) log p of Pearson's chi-square tests that `group` is independent of each column of `bins`
    within strata.

    group: (n,) 0 or 1. bins: (n, Y) ints below n_bins. strata: (n,) ints >= 0. Statistics and
    degrees of freedom add up over the strata; rows and columns of a stratum's table that are empty
    do not count. No degree of freedom: log p = 0.
    """
    n_columns = bins.shape[1]
    n_strata = int(strata.max()) + 1
    cell = ((strata * n_bins)[:, None] + bins) * 2 + group[:, None]
    cell = cell + np.arange(n_columns) * (n_strata * n_bins * 2)
    size = n_columns * n_strata * n_bins * 2
    table = (
        np.bincount(cell.ravel(), minlength=size)
        .reshape(n_columns, n_strata, n_bins, 2)
        .astype(float)
    )
    in_bin = table.sum(axis=3)  # (Y, K, B)
    in_group = (
        np.bincount(strata * 2 + group, minlength=2 * n_strata).reshape(n_strata, 2).astype(float)
    )
    both = (in_group > 0).all(axis=1)
    in_bin, ones, in_group = in_bin[:, both], table[..., 1][:, both], in_group[both]
    share = (in_group[:, 1] / in_group.sum(axis=1))[:, None]
    # sum over the two groups of (observed - expected)^2 / expected, which deviate by the same
    # amount
    occupied = in_bin > 0
    terms = (ones - in_bin * share) ** 2 / (np.where(occupied, in_bin, 1.0) * share * (1 - share))
    statistic = (terms * occupied).sum(axis=(1, 2))
    degrees = (occupied.sum(axis=2) - 1).sum(axis=1)
    return np.where(degrees > 0, log_chi2_sf(statistic, np.maximum(degrees, 1)), 0.0)


def log_chi2_sf(statistic: np.ndarray, degrees: np.ndarray | float) -> np.ndarray:
    """log P(chi-square with `degrees` > statistic), finite where the probability itself is not.

    There Q(a, x) = x^a e^-x / Gamma(a) / (x + 1 - a - 1 (1 - a) / (x + 3 - a - 2 (2 - a) / ...))
    (DLMF 8.9.2).
    """
    from scipy.special import gammaincc, gammaln

    a, x = np.broadcast_arrays(np.asarray(degrees, float) / 2, np.asarray(statistic, float) / 2)
    direct = gammaincc(a, x)
    tiny = direct < _SMALLEST
    result = np.log(np.where(tiny, 1.0, direct))
    if tiny.any():
        a, x = a[tiny], x[tiny]
        fraction = x + 201 - a
        for k in range(100, 0, -1):
            fraction = x + 2 * k - 1 - a - k * (k - a) / fraction
        result[tiny] = a * np.log(x) - x - gammaln(a) - np.log(fraction)
    return result
