"""Variances moderated across variables: what is left of a variance that three rows estimate.

G. K. Smyth 2004, Linear models and empirical Bayes methods for assessing differential expression in
microarray experiments, Stat. Appl. Genet. Mol. Biol. 3:3. The variances of all variables have a
common prior, d0 s0^2 / chi-square(d0); each estimate with d degrees of freedom moves towards it,

    s~^2 = (d0 s0^2 + d s^2) / (d0 + d),

and a t statistic made with s~ has d0 + d degrees of freedom. d0 and s0^2 come from the mean and
variance of log s^2 over the variables (section 6.2 of the paper). A prior for variances needs
variables in common units. Where units differ, the log variances spread widely, d0 is small, and
little is moved.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_SMALLEST = 1e-5  # of the median variance: smaller ones count as that in the fit, as in limma


class Prior(NamedTuple):
    """Degrees of freedom d0 (infinite where the variances differ no more than by chance) and
    location s0^2."""

    df: float
    variance: float


def variance_prior(variance: np.ndarray, df: float) -> Prior:
    """The prior of N variances (N,) with `df` degrees of freedom each.

    Variances of zero are left out, as are NaN; with fewer than two others there is no prior: (0,
    0).
    """
    from scipy.special import digamma, polygamma

    used = variance[np.isfinite(variance) & (variance > 0)]
    if len(used) < 2 or df <= 0:
        return Prior(0.0, 0.0)
    used = np.maximum(used, _SMALLEST * np.median(used))
    logs = np.log(used) - digamma(df / 2) + np.log(df / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, df / 2))
    if excess <= 0:
        return Prior(np.inf, float(used.mean()))
    half = trigamma_inverse(excess)
    return Prior(2 * half, float(np.exp(logs.mean() + digamma(half) - np.log(half))))


def moderated(variance: np.ndarray, df: float, prior: Prior) -> np.ndarray:
    """Variances with `df` degrees of freedom, moved towards the prior."""
    if np.isinf(prior.df):
        return np.where(np.isnan(variance), np.nan, prior.variance)
    return (prior.df * prior.variance + df * variance) / (prior.df + df)


def trigamma_inverse(value: float) -> float:
    """The x > 0 with trigamma(x) = value > 0, by Newton's method on 1 / trigamma, which is nearly
    linear (the paper's appendix)."""
    from scipy.special import polygamma

    if value > 1e7:
        return 1 / np.sqrt(value)
    if value < 1e-6:
        return 1 / value
    x = 0.5 + 1 / value
    for _ in range(50):
        at = polygamma(1, x)
        step = at * (1 - at / value) / polygamma(2, x)
        x += step
        if -step / x < 1e-12:
            break
    return float(x)
