"""p-values beyond the resolution of permutations: a generalised Pareto tail.

Knijnenburg, Wessels, Reinders and Shmulevich 2009, Fewer permutations, more accurate P-values,
Bioinformatics 25:i161. The largest permutation statistics exceed a threshold t by amounts that
follow a generalised Pareto law with shape k and scale s,

    P(exceeds by more than y) = (1 + k y / s)^(-1 / k),     exp(-y / s) for k = 0,

whatever the law of the statistic (Pickands 1975). Deviations from the paper, all of which make
p-values larger: the shape is never below 0, as a bounded tail would give p = 0 beyond its end; and
no p-value is below `floor`. The paper's test of fit, which shortens the tail until it fits, is left
out: `permutations` hands over a statistic whose tail is near exponential. Shape and scale come from
probability-weighted moments (Hosking and Wallis 1987, Technometrics 29).
"""

from __future__ import annotations

import numpy as np

ENOUGH = 10
"""So many permutations above the observed statistic, and their share is used as it is."""
_IN_TAIL = 250


def tail_p(null: np.ndarray, observed: float, floor: float = 0.0) -> tuple[float, bool]:
    """p-value of an observed statistic that is large when something moved, and whether the fitted
    tail gave it.

    null: (B,) the statistic under permutations. Statistics that differ by rounding count as equal.
    With 10 of them or more at or above the observed one the p-value is (1 + how many) / (1 + B),
    which is valid however large B is (Phipson and Smyth 2010).
    """
    slack = 1e-5 * max(abs(observed), 1e-12)
    above = int((null >= observed - slack).sum())
    share = (1 + above) / (1 + len(null))
    in_tail = min(_IN_TAIL, len(null) // 4)
    if above >= ENOUGH or in_tail < 4 * ENOUGH:
        return share, False
    ordered = np.sort(null)
    threshold = (ordered[-in_tail] + ordered[-in_tail - 1]) / 2
    shape, scale = pareto_of(ordered[-in_tail:] - threshold)
    if scale <= 0:
        return share, False
    beyond = observed - threshold
    log_rest = -beyond / scale if shape == 0 else -np.log1p(shape * beyond / scale) / shape
    p = in_tail / len(null) * float(np.exp(log_rest))
    return min(max(p, floor), 1.0), True


def pareto_of(excess: np.ndarray) -> tuple[float, float]:
    """Shape, at least 0, and scale of the generalised Pareto law of (n,) amounts >= 0."""
    x = np.sort(excess)
    mean = float(x.mean())
    weighted = float(np.mean(x * (len(x) - np.arange(1, len(x) + 1) + 0.35) / len(x)))
    if mean <= 2 * weighted:  # less than no tail at all: equal values
        return 0.0, mean
    shape = 2 - mean / (mean - 2 * weighted)
    if shape <= 0:
        return 0.0, mean
    return shape, 2 * mean * weighted / (mean - 2 * weighted)
