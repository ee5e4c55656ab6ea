"""The statistics of a report. The dataset is the unit, never the regime.

Regimes, seeds and the tasks of a dataset are averaged to one value per dataset first. Within one
setting there are a mean, a standard deviation and a t-interval, and no p-value. Over several
settings there are a paired bootstrap stratified by setting, a sign-flip test, and Holm's
correction. Where one gene is a target in several cell lines, its tasks are resampled together and
their signs are flipped together: a cluster bootstrap by gene.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from cdnbench.digest import generator

RESAMPLES = 10_000
UNIT = ("setting", "dataset")
GENE = "gene"
"""The column of `with_genes`."""


def with_genes(readings: pd.DataFrame) -> pd.DataFrame:
    """The readings with a column that names what was perturbed, "" where that is not known."""
    if "perturbation" not in readings:
        return readings.assign(**{GENE: ""})
    return readings.assign(**{GENE: readings["perturbation"].astype(object).fillna("").astype(str)})


def dataset_means(regimes: pd.DataFrame, metrics: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """One row per (`by`, setting, dataset): the mean over its regimes, undefined values left out.

    by: what is never averaged over: the factors of the results, and whatever tells readings apart.
    """
    keys = list(dict.fromkeys([*by, *UNIT]))
    groups = regimes.groupby(keys, observed=True, sort=False)
    return groups[list(metrics)].mean().reset_index()


def over_datasets(means: pd.DataFrame, metrics: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Long frame with one row per `by` and metric: mean, sd (ddof 1), n and t-interval (low, high)
    over datasets.

    sd and interval are NaN for a single dataset.
    """
    long = means.melt(
        id_vars=list(by), value_vars=list(metrics), var_name="metric", value_name="value"
    ).dropna(subset=["value"])
    found = (
        long.groupby([*by, "metric"], observed=True, sort=False)["value"]
        .agg(["mean", "std", "count"])
        .reset_index()
    )
    found = found.rename(columns={"std": "sd", "count": "n"})
    half = t_halfwidth(found["sd"].to_numpy(), found["n"].to_numpy())
    return found.assign(low=found["mean"] - half, high=found["mean"] + half)


def t_halfwidth(sd: np.ndarray | float, n: np.ndarray | int, level: float = 0.95) -> np.ndarray:
    """Half the t-interval of a mean of n values; NaN below two."""
    n = np.asarray(n, dtype=float)
    quantile = stats.t.ppf((1 + level) / 2, np.where(n > 1, n - 1, np.nan))
    return np.asarray(quantile * sd / np.sqrt(n))


def average_ranks(values: np.ndarray, ran: np.ndarray) -> np.ndarray:
    """Average rank (1 is best) of every method over datasets, failures tied last.

    values: (n_datasets, n_methods), higher is better, NaN = failed. ran: same shape; False where
    the method was not run at all, which leaves it out of that dataset. Returns (n_methods,); NaN
    for a method that was never run.
    """
    values = np.where(ran, np.where(np.isnan(values), -np.inf, values), np.nan)
    ranks = pd.DataFrame(values).rank(axis=1, ascending=False, method="average").to_numpy()
    counts = ran.sum(axis=0)
    return np.divide(
        np.nansum(ranks, axis=0), counts, out=np.full(values.shape[1], np.nan), where=counts > 0
    )


def bootstrap_interval(
    values: np.ndarray, strata: np.ndarray, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (n,), resampled within strata (n,).

    For paired data, the values are differences.

    From a stratum of n, n - 1 are drawn, so that the variance is unbiased for small n (McCarthy and
    Snowden 1985). Strata of one are pooled. The same strata are always resampled in the same way.
    NaN below two values.
    """
    if len(values) < 2:
        return np.nan, np.nan
    codes = _pool_singletons(np.unique(np.asarray(strata), return_inverse=True)[1])
    means = _resampling(codes.tobytes(), resamples) @ np.asarray(values, dtype=float)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@lru_cache(maxsize=2)
def _resampling(strata: bytes, resamples: int) -> np.ndarray:
    """(resamples, n) weights of the values in each resample's mean; `strata` are the bytes of (n,)
    int64 codes."""
    codes = np.frombuffer(strata, dtype=np.int64)
    rng = generator("reports", "bootstrap", codes.tolist())
    weights = np.empty((resamples, len(codes)))
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        size, draws = len(members), max(len(members) - 1, 1)
        counts = rng.multinomial(draws, np.full(size, 1 / size), size=resamples)
        weights[:, members] = counts * (size / draws / len(codes))
    return weights


def cluster_bootstrap_interval(
    values: np.ndarray, clusters: np.ndarray, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (n,), whole clusters (n,) resampled with all
    their values. NaN below two clusters."""
    codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    sums, sizes = np.bincount(codes, weights=np.asarray(values, dtype=float)), np.bincount(codes)
    if len(sizes) < 2:
        return np.nan, np.nan
    weights = _resampling(np.zeros(len(sizes), dtype=np.int64).tobytes(), resamples)
    low, high = np.quantile(
        (weights @ sums) / (weights @ sizes), [(1 - level) / 2, (1 + level) / 2]
    )
    return float(low), float(high)


def _pool_singletons(codes: np.ndarray) -> np.ndarray:
    """Strata of one become one stratum, since a single value says nothing about its spread. A lone
    one joins the largest stratum."""
    counts = np.bincount(codes)
    single = counts[codes] == 1
    lone = single.sum() == 1 and len(counts) > 1
    pooled = np.where(single, counts.argmax() if lone else -1, codes)
    return np.unique(pooled, return_inverse=True)[1].astype(np.int64)


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


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values of one family; NaN entries stay NaN and do not count."""
    p = np.asarray(p, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted
