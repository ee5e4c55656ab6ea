"""z-scores of a shift of mean and of variance from a handful of rows.

Errors estimated from three rows are mostly too large or too small, and what they make too small
comes first. Here the variance of the difference of means is moderated across variables (limma;
Smyth 2004, `moderation`), and both statistics become normal quantiles by their exact laws for
Gaussian rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cdnbench.methods.statistics.tails import log_f_sf, log_f_two_sided
from cdnbench.moderation import moderated, variance_prior


class Side(NamedTuple):
    """One data set: (N,) means, (N,) sums of squares about them, rows that count."""

    mean: np.ndarray
    squares: np.ndarray
    rows: int


class FewRowShift(NamedTuple):
    """(N,) each: z of the mean, z of the variance, squared error of the difference of means."""

    z_mean: np.ndarray
    z_variance: np.ndarray
    mean_error: np.ndarray


def few_row_shift(before: Side, after: Side, floor: np.ndarray) -> FewRowShift:
    """The shift between two data sets with at least three rows together.

    floor: (N,) variances below which nothing is known.

    Mean: a two-sample t statistic with the pooled variance, moved towards a prior common to all
    variables, on as many more degrees of freedom. Variance: an F statistic of the two variances,
    each with one more row at the variable's own pooled variance, without which equal values on one
    side, frequent among three counts, would mean certainty.
    """
    df = before.rows + after.rows - 2
    pooled = (before.squares + after.squares) / df
    prior = variance_prior(np.where(pooled > floor, pooled, 0.0), df)
    error = moderated(pooled, df, prior) * (1 / before.rows + 1 / after.rows) + floor
    t = (after.mean - before.mean) / np.sqrt(error)
    z_mean = t
    if np.isfinite(prior.df):
        z_mean = np.sign(t) * _normal_quantile(log_f_sf(t**2, 1.0, df + prior.df))

    df0, df1 = before.rows - 1, after.rows - 1
    if min(df0, df1) == 0:
        return FewRowShift(z_mean, np.zeros_like(t), error)
    ratio = (after.squares + pooled + floor) / (before.squares + pooled + floor)
    ratio *= (df0 + 1) / (df1 + 1)
    z_variance = np.sign(np.log(ratio)) * _normal_quantile(log_f_two_sided(ratio, df1, df0))
    return FewRowShift(z_mean, z_variance, error)


def _normal_quantile(log_p: np.ndarray) -> np.ndarray:
    """The z >= 0 whose two-sided normal p-value has this logarithm."""
    from scipy.special import ndtri_exp

    return -ndtri_exp(np.minimum(log_p, 0.0) - np.log(2))
