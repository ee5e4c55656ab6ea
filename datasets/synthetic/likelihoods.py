"""Log densities of M residuals under the noise laws, and of uniform roots under interventions.

Shapes broadcast; `n` is the number of rows M.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cdnbench.datasets.synthetic.interventions import Branch
from cdnbench.datasets.synthetic.quadrature import DROP, gauss_legendre, logsumexp

# Samples are c * (2 u - 1) in floating point: a bound may be passed by a rounding error.
SLACK = 1 + 1e-12


def log_gaussian(sum_of_squares: np.ndarray, n: int, variance: np.ndarray | float) -> np.ndarray:
    """log prod_m N(e_m; 0, variance) from sum_m e_m^2."""
    return -n / 2 * np.log(2 * np.pi * variance) - sum_of_squares / (2 * variance)


def log_gaussian_mixture(sum_of_squares: np.ndarray, n: int, low: float, high: float) -> np.ndarray:
    """log of the integral of prod_m N(e_m; 0, v) over v ~ U(low, high).

    In t = log v the likelihood falls from its peak t* = log(Q / n) by (n / 2) (s + exp(-s) - 1), s
    = t - t*, which is convex in s; the window of integration comes from lower bounds of that fall.
    """
    peak = np.log(np.maximum(sum_of_squares, 1e-300) / n)
    t_low, t_high = np.log(low), np.log(high)
    start = np.clip(peak, t_low, t_high) - peak
    level = start + np.exp(-start) - 1 + 2 * DROP / n
    with np.errstate(divide="ignore"):
        reach = (
            2 * DROP / n / np.abs(1 - np.exp(-start))
        )  # the tangent at an end of the interval; inf in its interior
    # s + exp(-s) - 1 is at least s^2 / (2 + s) for s > 0 and at least s^2 / 2 for s < 0.
    above = np.minimum((level + np.sqrt(level**2 + 8 * level)) / 2, start + reach)
    below = np.maximum(-np.sqrt(2 * level), start - reach)
    window_high = np.minimum(peak + above, t_high)
    window_low = np.maximum(peak + below, t_low)

    nodes, log_weights = gauss_legendre(32)
    column = (-1,) + (1,) * np.ndim(peak)
    half = (window_high - window_low) / 2
    t = (window_low + window_high) / 2 + half * nodes.reshape(column)
    # dv = exp(t) dt
    values = t * (1 - n / 2) - sum_of_squares / 2 * np.exp(-t) + log_weights.reshape(column)
    return logsumexp(values) + np.log(half / (high - low)) - n / 2 * np.log(2 * np.pi)


def log_laplace(sum_of_sizes: np.ndarray, n: int, variance: np.ndarray) -> np.ndarray:
    """log prod_m Laplace(e_m; 0, variance) from sum_m |e_m|."""
    return -n / 2 * np.log(2 * variance) - sum_of_sizes * np.sqrt(2 / variance)


def log_uniform(largest: np.ndarray, n: int, bound: float) -> np.ndarray:
    """log density of n draws from U(-bound, bound), the largest |x| of which is given; -inf
    outside."""
    return np.where(largest <= bound * SLACK, -n * np.log(2 * bound), -np.inf)


def log_scaled_uniform(
    largest: np.ndarray, n: int, bound: float, law: Sequence[Branch]
) -> np.ndarray:
    """log density of n draws of c U(-bound, bound), c integrated over its law.

    With c = exp(t), the integral of c^-n from l = max(low, log(largest / bound)) to high is
    (exp(-n l) - exp(-n high)) / n.
    """
    with np.errstate(divide="ignore"):
        needed = np.log(largest / bound)
        branches = []
        for branch in law:
            low = np.clip(
                needed, branch.low, branch.high
            )  # no c is large enough: an empty interval, -inf
            integral = -n * low + np.log1p(-np.exp(-n * (branch.high - low))) - np.log(n)
            branches.append(integral + np.log(branch.probability / (branch.high - branch.low)))
    return logsumexp(np.stack(branches)) - n * np.log(2 * bound)


def log_shifted_uniform(
    smallest: np.ndarray, largest: np.ndarray, n: int, bound: float, law: Sequence[Branch]
) -> np.ndarray:
    """log density of n draws of d + U(-bound, bound), d integrated over its law: the probability of
    the d in [largest - bound, smallest + bound], times (2 bound)^-n. `smallest`, `largest`: of the
    signed values.
    """
    probability = np.zeros(np.shape(largest))
    for branch in law:
        near, far = (
            (largest - bound, smallest + bound)
            if branch.sign > 0
            else (-smallest - bound, bound - largest)
        )
        near, far = np.maximum(near, np.exp(branch.low)), np.minimum(far, np.exp(branch.high))
        share = np.log(np.maximum(far, near) / near) / (branch.high - branch.low)
        probability += branch.probability * share
    with np.errstate(divide="ignore"):
        return np.log(probability) - n * np.log(2 * bound)
