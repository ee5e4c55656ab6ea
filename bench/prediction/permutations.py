"""Did anything move? A test by permutations of the rows, on four statistics at once.

With z_j the standardised difference of the means of a feature between perturbed and control rows,
the statistics are

    level      largest z_j^2 of the normal scores: a variable moved up or down
    levels     sum of z_j^2 of the normal scores: many variables moved a little
    spread     largest z_j^2 of the squared scores: a variable became wider or narrower
    relation   largest z_j^2 of score times its prediction from the other variables: a variable no
               longer follows what it followed. The prediction is a ridge regression on all rows
               alike, over the `MOST_RELATED` variables with the fewest ties.

Every feature is made from all rows without looking at their labels, so that under exchangeable
rows each permutation of the labels is as likely as the true one. The variance of a feature is
raised by a small constant (as in SAM, Tusher et al. 2001): a variable that hardly ever varies, such
as a gene seen in one cell, would otherwise have large z by chance and hide the others.

Each statistic is turned into an approximate p-value by a Pearson type III law with the mean,
variance and skewness of its permutations (as Mielke and Berry do), and the smallest of the four
counts, as C = -log p. Its own permutations say what C means, so that neither the approximation nor
the choice of the smallest needs a correction. C has a nearly exponential tail, which `tails`
extends.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaincc, ndtr, ndtri

from cdnbench.prediction.normal_scores import Controls, score_blocks, score_variances

STATISTICS = ("level", "levels", "spread", "relation")
MOST_RELATED = 200
_FUDGE = 0.05
"""Of the variance of a feature without ties, added to the variance of each."""
_RIDGE = 0.1
_LEAST_ROWS = 50
"""Of both sides together, for the statistic `relation`."""


class Outcome(NamedTuple):
    """statistics: (4, 1 + B), the observed ones first. z, skewness: (2, N) observed z of level and
    spread, and the skewness of their permutation laws."""

    statistics: np.ndarray
    z: np.ndarray
    skewness: np.ndarray


def labels(n0: int, n1: int, n_permutations: int, rng: np.random.Generator) -> np.ndarray:
    """(1 + B, n0 + n1) float32, 1 where a row counts as perturbed: the true labels first."""
    found = np.zeros((1 + n_permutations, n0 + n1), dtype=np.float32)
    found[0, n0:] = 1
    few, these = min(n0, n1), 1.0 if n1 <= n0 else 0.0
    drawn = np.argpartition(rng.random((n_permutations, n0 + n1), dtype=np.float32), few - 1)
    found[1:] = 1 - these
    np.put_along_axis(found[1:], drawn[:, :few], np.float32(these), axis=1)
    return found


def permuted(controls: Controls, perturbed: Any, drawn: np.ndarray) -> Outcome:
    """The statistics under the true labels and under permutations.

    perturbed: (M, N), as `normal_scores.thinned` returns. drawn: as `labels` returns.
    """
    n0, n1 = controls.n_rows, perturbed.shape[0]
    n, n_variables = n0 + n1, controls.n_variables
    found = np.zeros((len(STATISTICS), len(drawn)))
    z, skewness = np.zeros((2, 2, n_variables))
    sampled = _sampled(n0, n1)
    variances = np.zeros(n_variables)
    full = score_variances(n)
    for columns, level, spread in score_blocks(controls, perturbed):
        for feature, scores in enumerate((level, spread)):
            variance = np.asarray(np.mean(scores**2, axis=1, dtype=np.float64))
            signed = _z(scores, drawn, variance + _FUDGE * full[feature])
            z[feature, columns] = signed[:, 0]
            third = np.mean(scores**3, axis=1, dtype=np.float64)
            skewness[feature, columns] = sampled * third / np.maximum(variance, 1e-9) ** 1.5
            np.square(signed, out=signed)
            largest = 0 if feature == 0 else 2
            np.maximum(found[largest], signed.max(axis=0), out=found[largest])
            if feature == 0:
                variances[columns] = variance
                found[1] += signed.sum(axis=0, dtype=np.float64)
    varied = np.flatnonzero(variances > _FUDGE * full[0])
    if len(varied) > 1 and n >= _LEAST_ROWS:
        chosen = np.sort(varied[np.argsort(-variances[varied], kind="stable")[:MOST_RELATED]])
        together = _together(controls, perturbed, chosen, variances[chosen])
        variance = np.asarray(np.mean(together**2, axis=1, dtype=np.float64))
        found[3] = np.square(_z(together, drawn, variance + _FUDGE)).max(axis=0)
    return Outcome(found, z, skewness)


def _sampled(n0: int, n1: int) -> float:
    """The skewness of the mean of n1 of n values, in units of the skewness of the values."""
    n = n0 + n1
    return np.sqrt(n - 1) * (n - 2 * n1) / (max(n - 2, 1) * np.sqrt(n1 * n0))


def _z(features: np.ndarray, drawn: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """(w, 1 + B) standardised differences of the means of features (w, n) with mean 0."""
    n = features.shape[1]
    n1 = float(drawn[0].sum())
    factor = np.sqrt((1 / n1 + 1 / (n - n1)) * (n - 1) / n / variance)
    return (features @ drawn.T) * factor[:, None].astype(np.float32)


def _together(
    controls: Controls, perturbed: Any, columns: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """(k, n) score times its prediction from the other columns, less its mean."""
    level = np.concatenate([b for _, b, _ in score_blocks(controls, perturbed, columns)])
    level /= np.sqrt(variances)[:, None].astype(np.float32)
    correlation = (level @ level.T / level.shape[1]).astype(np.float64)
    inverse = np.linalg.inv(correlation + _RIDGE * np.eye(len(columns)))
    weights = np.eye(len(columns)) - inverse / np.diag(inverse)[:, None]
    together = level * (weights.astype(np.float32) @ level)
    return together - together.mean(axis=1, keepdims=True)


def combined(statistics: np.ndarray) -> np.ndarray:
    """(1 + B,) C = -log of the smallest approximate p-value, from (4, 1 + B) statistics.

    The laws are those of the permutations alone.
    """
    best = np.zeros(statistics.shape[1])
    for values in statistics:
        null = values[1:]
        spread = null.std()
        if spread <= 1e-9 * max(1.0, abs(null.mean())):  # a statistic that nothing changes
            continue
        standard = (values - null.mean()) / spread
        p = upper_tail(standard, float(np.mean(standard[1:] ** 3)))
        best = np.maximum(best, -np.log(np.maximum(p, 1e-300)))
    return best


def upper_tail(z: np.ndarray, skewness: np.ndarray | float) -> np.ndarray:
    """P(Z >= z) under a Pearson type III law with mean 0, variance 1 and this skewness; under the
    normal law where the skewness is not positive, which makes p larger."""
    shape = 4 / np.maximum(skewness, 0.05) ** 2
    skewed = gammaincc(shape, np.maximum(shape + z * np.sqrt(shape), 0))
    return np.where(np.asarray(skewness) < 0.05, ndtr(-z), skewed)


def separated(n0: int, n1: int) -> tuple[float, float]:
    """What is the most that one variable without ties can show: z^2 of its level where all
    perturbed rows lie beyond all controls, and the smallest of `variable_p_values`, by level or
    spread."""
    n = n0 + n1
    score = ndtri(np.arange(1, n + 1) / (n + 1))
    square = np.sort(score**2 - np.mean(score**2))
    full = score_variances(n)
    # the columns: separated by level, wider than all controls, narrower than all controls
    sums = np.array([score[n0:].sum(), square[n0:].sum(), square[:n1].sum()])
    features = np.array([0, 1, 1])
    variance = np.array(full)[features]
    z = sums * np.sqrt((1 / n1 + 1 / n0) * (n - 1) / n / ((1 + _FUDGE) * variance))
    third = np.array([np.mean(score**3), np.mean(square**3)])[features]
    both_z, both_skewness = np.zeros((2, 2, 3))
    both_z[features, range(3)] = z
    both_skewness[features, range(3)] = _sampled(n0, n1) * third / variance**1.5
    p = variable_p_values(Outcome(np.empty((0, 0)), both_z, both_skewness))
    return float(z[0] ** 2), float(p.min())


def with_level(statistics: np.ndarray, squared_z: float) -> np.ndarray:
    """The statistics of `Outcome`, with others in the place of the observed ones: a largest squared
    z of level, and all else as it is on average."""
    changed = statistics.copy()
    changed[:, 0] = statistics[:, 1:].mean(axis=1)
    changed[0, 0] = squared_z
    return changed


def variable_p_values(outcome: Outcome) -> np.ndarray:
    """(N,) two-sided p-values of each variable alone: twice the smaller of level and spread.

    Pearson type III laws with the skewness of the permutation law, or the normal law where that
    gives more: few perturbed rows, or a gene that few cells express, have skewed means.
    """
    z, skewness = outcome.z, outcome.skewness
    tails = [
        np.maximum(upper_tail(sign * z, sign * skewness), ndtr(-sign * z)) for sign in (1.0, -1.0)
    ]
    return np.minimum(1, 4 * np.minimum(*tails).min(axis=0))
