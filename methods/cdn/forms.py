"""Forms: each variable as the network sees it, in ways that do not depend on its unit.

    level   (x - median) / scale by the observational data, linear up to `_KNEE` scales and
            logarithmic beyond, so that relations with little noise stay exact and no single row
            decides
    bent    asinh of twice the level: logarithmic from about half a scale on
    score   normal scores: where x stands among the observational values, as the quantile of a
            normal distribution, ties in random order; beyond all of them it grows like asinh

The scale is the observational interquartile range over 1.349 (the standard deviation where more
than half of the values are nearly one), moderated by the standard deviation within all data sets
with a weight of `_MODERATION` rows, which decides where there are three observational rows.

All forms are the same after a column is multiplied by a positive number or shifted. The order of
ties is drawn from the ranks of the column alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

_KNEE = 10.0
_MODERATION = 4.0
_RESOLUTION = 1e-6  # of a value: below this share of it, float32 differences are rounding


@dataclass(frozen=True, eq=False)
class Forms:
    """Of D data sets, the observational one first, with N variables and T rows in all.

    rows: (D,) int. level, bent, score: (T, N), the data sets one below the other. typical_share:
    (D, N), the share of rows that hold the most frequent observational value of the variable; 0
    where no observational value repeats.
    """

    rows: np.ndarray
    level: np.ndarray
    bent: np.ndarray
    score: np.ndarray
    typical_share: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """(D,) first row of each data set."""
        return np.concatenate([[0], np.cumsum(self.rows)[:-1]])

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """One array per data set of (T, N) values."""
        return np.split(values, self.starts[1:])


def forms(data_sets: Sequence[np.ndarray]) -> Forms:
    """The forms of D data sets (rows, N), the observational one first."""
    rows = np.array([len(x) for x in data_sets])
    values = np.concatenate([np.asarray(x, dtype=np.float64) for x in data_sets])
    starts = np.concatenate([[0], np.cumsum(rows)[:-1]])
    centre, scale = _centre_and_scale(values, rows, starts)
    raw = (values - centre) / scale
    score, typical = np.empty_like(values), np.zeros(values.shape, bool)
    for j in range(values.shape[1]):
        score[:, j], typical[:, j] = normal_scores(values[:, j], rows, float(scale[j]))
    share = np.add.reduceat(typical.astype(np.float64), starts, axis=0) / rows[:, None]
    return Forms(rows, _linear_then_log(raw), np.arcsinh(2 * raw), score, share)


def normal_scores(
    column: np.ndarray, rows: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores (T,) of a column of data sets with `rows` rows, the first one observational,
    and which rows hold the most frequent observational value, if it is there twice.

    Between observational values scores are interpolated. A value that several observational rows
    share gets a score drawn from their range.
    """
    n_before = int(rows[0])
    knots, counts = np.unique(column[:n_before], return_counts=True)
    below = np.cumsum(counts) - counts
    knot_scores = ndtri((below + counts / 2) / n_before)
    scores = np.interp(column, knots, knot_scores)
    beyond = np.maximum(column - knots[-1], 0) - np.maximum(knots[0] - column, 0)
    scores += np.arcsinh(beyond / scale)
    most = int(np.argmax(counts))
    if counts[most] == 1:
        return scores, np.zeros(len(column), bool)
    if len(knots) > 1:
        at = np.minimum(np.searchsorted(knots, column), len(knots) - 1)
        tied = (knots[at] == column) & (counts[at] > 1)
        u = _order_of_ties(at + tied * len(knots), rows)
        within = (below[at] + np.clip(u, 1e-6, 1 - 1e-6) * counts[at]) / n_before
        scores = np.where(tied, ndtri(within), scores)
    return scores, column == knots[most]


def _order_of_ties(places: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Uniforms (T,) from streams named by the places (T,) of the values of a data set among the
    observational ones, and by those of the observational data: no unit and no order of regimes
    changes them."""
    parts = np.split(places.astype("<i4"), np.cumsum(rows)[:-1])
    before = zlib.crc32(parts[0].tobytes())
    seeds = [(before, zlib.crc32(part.tobytes())) for part in parts]
    return np.concatenate(
        [
            np.random.Generator(np.random.PCG64(seed)).random(len(part))
            for seed, part in zip(seeds, parts, strict=True)
        ]
    )


def _centre_and_scale(
    values: np.ndarray, rows: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) each."""
    n_before = rows[0]
    before = values[:n_before]
    low, centre, high = np.quantile(before, (0.25, 0.5, 0.75), axis=0)
    sd = before.std(0)
    quartiles = (high - low) / 1.349
    own = np.where(quartiles > 0.2 * sd, quartiles, sd)
    means = np.add.reduceat(values, starts, axis=0) / rows[:, None]
    squares = ((values - np.repeat(means, rows, axis=0)) ** 2).sum(0)
    within = squares / max(len(values) - len(rows), 1)
    # The more observational rows there are, the less a regime that varies more may say.
    most = np.where(own > 0, own**2 * (1 + 30 / n_before), np.inf)
    moderated = n_before * own**2 + _MODERATION * np.minimum(within, most)
    scale = np.sqrt(moderated / (n_before + _MODERATION))
    rounding = _RESOLUTION * np.abs(centre)
    overall = values.std(0)
    scale = np.where(scale > rounding, scale, np.where(overall > rounding, overall, 1.0))
    return centre, np.maximum(scale, 1e-30)


def _linear_then_log(z: np.ndarray) -> np.ndarray:
    found = z.copy()
    far = np.abs(z) > _KNEE  # few values, and arcsinh is slow
    beyond = np.abs(z[far]) - _KNEE
    found[far] = np.sign(z[far]) * (_KNEE + _KNEE * np.arcsinh(beyond / _KNEE))
    return found
