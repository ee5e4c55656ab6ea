"""Intervals of a mean over datasets. All are at 95 % unless told otherwise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special  # scipy.stats takes half a second to import

from cdnbench.digest import generator

RESAMPLES = 10_000
FEW = 5
"""Fewer datasets than this over several settings have no interval: resampling so few says next to
nothing."""
_AT_ONCE = 1_000_000
"""How many drawn values are held as numbers of 8 bytes at a time."""


def mean_interval(
    values: np.ndarray,
    settings: np.ndarray,
    genes: np.ndarray | None = None,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    level: float = 0.95,
) -> tuple[float, float]:
    """The interval of the mean of one value per dataset: which of the intervals below applies.

    values, settings, genes: (n_datasets,); NaN values are left out. genes: what was perturbed, if
    that is known of all datasets. bounds: what values are possible, which the interval keeps to.

    Within one setting it is a t-interval. Over several it is a bootstrap, by gene where genes are
    given. It is NaN for a single dataset, for fewer than `FEW` over several settings, and where all
    values are equal: they say nothing about their spread.
    """
    values = np.asarray(values, float)
    kept = ~np.isnan(values)
    values, settings = values[kept], np.asarray(settings)[kept]
    several = len(np.unique(settings)) > 1
    if len(values) < (FEW if several else 2) or np.ptp(values) == 0:
        return np.nan, np.nan
    if several and genes is not None:
        low, high = cluster_bootstrap_interval(values, np.asarray(genes)[kept], level)
    elif several:
        low, high = bootstrap_interval(values, settings, level)
    else:
        half = float(t_halfwidth(values.std(ddof=1), len(values), level))
        low, high = float(values.mean()) - half, float(values.mean()) + half
    return float(np.maximum(low, bounds[0])), float(np.minimum(high, bounds[1]))


def t_halfwidth(sd: np.ndarray | float, n: np.ndarray | int, level: float = 0.95) -> np.ndarray:
    """Half the t-interval of a mean of n values; NaN below two."""
    n = np.asarray(n, dtype=float)
    quantile = special.stdtrit(np.where(n > 1, n - 1, np.nan), (1 + level) / 2)
    return np.asarray(quantile * sd / np.sqrt(n))


def proportion_interval(hits: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share: `hits` of n independent trials. NaN without a trial."""
    if n == 0:
        return np.nan, np.nan
    z, share = special.ndtri((1 + level) / 2), hits / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)


def bootstrap_interval(
    values: np.ndarray, strata: np.ndarray, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (n,), resampled within strata (n,).

    For paired data, the values are differences.

    From a stratum of n, n - 1 are drawn, so that the variance is unbiased for small n (McCarthy and
    Snowden 1985). Strata of one are pooled. The distances from the mean are stretched by the ratio
    of Student's t to the normal distribution, for the degrees of freedom that the strata leave
    (Hesterberg 2015): without it, intervals of few datasets are too narrow. The same strata are
    always resampled in the same way. NaN below two values.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return np.nan, np.nan
    codes = _pool_singletons(np.unique(np.asarray(strata), return_inverse=True)[1])
    order = np.argsort(codes, kind="stable")  # so that methods with the same strata share the draws
    (means,) = _resampled(codes[order].tobytes(), resamples, values[order] / len(values))
    return _stretched(means, float(values.mean()), len(values) - len(np.unique(codes)), level)


def cluster_bootstrap_interval(
    values: np.ndarray, clusters: np.ndarray, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (n,), whole clusters (n,) resampled with all
    their values, stretched as that of `bootstrap_interval`. NaN below two clusters."""
    codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    sums, sizes = np.bincount(codes, weights=np.asarray(values, dtype=float)), np.bincount(codes)
    if len(sizes) < 2:
        return np.nan, np.nan
    one_stratum = np.zeros(len(sizes), dtype=np.int64).tobytes()
    above, below = _resampled(one_stratum, resamples, sums, sizes)
    means = above / below
    return _stretched(means, float(sums.sum() / sizes.sum()), len(sizes) - 1, level)


def _stretched(means: np.ndarray, centre: float, freedom: int, level: float) -> tuple[float, float]:
    """The percentile interval of resampled `means`, for a normal mean as wide as Student's."""
    tail = (1 + level) / 2
    factor = _student_to_normal(tail, freedom)
    low, high = np.quantile(means, [1 - tail, tail])
    return float(centre + factor * (low - centre)), float(centre + factor * (high - centre))


@lru_cache(maxsize=1024)
def _student_to_normal(tail: float, freedom: int) -> float:
    """The ratio of the quantiles of both distributions."""
    return float(special.stdtrit(freedom, tail) / special.ndtri(tail))


def _resampled(strata: bytes, resamples: int, *values: np.ndarray) -> list[np.ndarray]:
    """(resamples,) for each of the `values` (n,): their sums in each resample, weighted so that
    values which are divided by n give their mean; `strata` are the bytes of (n,) int64 codes."""
    codes = np.frombuffer(strata, dtype=np.int64)
    sizes = np.bincount(codes)
    scale = (sizes / np.maximum(sizes - 1, 1))[codes]
    weighted = np.column_stack([each * scale for each in values])
    counts = _counts(strata, resamples)
    parts = np.array_split(counts, -(-counts.size // _AT_ONCE))
    return list(np.concatenate([part.astype(float) @ weighted for part in parts]).T)


@lru_cache(maxsize=64)
def _counts(strata: bytes, resamples: int) -> np.ndarray:
    """(resamples, n) how often each value is drawn. Drawing takes ten times as long as weighing,
    and a report asks for the same strata in many places: so the counts are kept in few bytes."""
    codes = np.frombuffer(strata, dtype=np.int64)
    rng = generator("reports", "bootstrap", codes.tolist())
    counts = np.empty((resamples, len(codes)), np.uint16)
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        size, draws = len(members), max(len(members) - 1, 1)
        for part in np.array_split(counts, -(-counts.size // _AT_ONCE)):
            part[:, members] = rng.multinomial(draws, np.full(size, 1 / size), size=len(part))
    small = counts.max(initial=0) < 2**8
    return counts.astype(np.uint8) if small else counts


def _pool_singletons(codes: np.ndarray) -> np.ndarray:
    """Strata of one become one stratum, since a single value says nothing about its spread. A lone
    one joins the largest stratum."""
    counts = np.bincount(codes)
    single = counts[codes] == 1
    lone = single.sum() == 1 and len(counts) > 1
    pooled = np.where(single, counts.argmax() if lone else -1, codes)
    return np.unique(pooled, return_inverse=True)[1].astype(np.int64)
