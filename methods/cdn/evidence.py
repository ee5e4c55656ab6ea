"""Evidence: what can be said of one variable in one regime without its neighbours.

Every statistic of a shift stands here as an effect and in standard errors, and beside the largest
and the median of its regime, since a target is known by what it is among others. Standard errors
come twice, by rows and by effective rows: n (1 - a) / (1 + a) with the lag-1 autocorrelation a
within data sets, for rows that depend on each other.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr
from scipy.stats import rankdata

from cdnbench.methods.cdn.forms import Forms

_MOST_ROWS = 4000.0
_TINY = 1e-6
N_ALONE = 26
N_COMPARED = 8
N_EVIDENCE = N_ALONE + 3 * N_COMPARED
OF_FORM = {
    "level": (*range(8), 11, 12, 15, *range(26, 38), *range(44, 50)),
    "score": (*range(8, 11), 13, 14, 16, 17, *range(38, 44)),
}
"""Statistics that come from one form (bent values are levels); the others, shares of ties, memory
and row counts, come from neither."""


def evidence(forms: Forms) -> np.ndarray:
    """(R, N, N_EVIDENCE) float32 of the R = D - 1 regimes."""
    level, bent, score = (
        _Moments(values, forms) for values in (forms.level, forms.bent, forms.score)
    )
    rows = np.minimum(forms.rows, _MOST_ROWS)[:, None]
    memory = score.autocorrelation()
    effective = np.maximum(rows * (1 - memory) / (1 + memory), 1.5)
    n0, n1 = rows[:1], rows[1:]
    m0, m1 = effective[:1], effective[1:]

    def t(moments: _Moments, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        error = moments.variance[:1] / before + moments.variance[1:] / after
        return moments.shift / np.sqrt(error + _TINY)

    log_ratio = level.log_ratio()
    excess = level.kurtosis() - 1
    heavy = excess[:1] / m0 + excess[1:] / m1
    score_ratio = score.log_ratio()
    median, spread, farthest = _order_statistics(forms)
    distance = _largest_distance(forms)
    share0, share1 = forms.typical_share[:1], forms.typical_share[1:]
    pooled = (share0 * n0 + share1 * n1) / (n0 + n1)
    share_error = np.sqrt(np.maximum(pooled * (1 - pooled), 1 / (n0 + n1)) * (1 / n0 + 1 / n1))
    root = np.sqrt(m0 * m1 / (m0 + m1))
    compared = [
        np.abs(level.shift) / np.sqrt(level.variance[:1] + _TINY),
        np.abs(t(level, n0, n1)),
        np.abs(t(level, m0, m1)),
        np.abs(median[1:] - median[:1]),
        np.abs(t(score, m0, m1)),
        distance * root,
        np.abs(log_ratio) / np.sqrt(heavy + _TINY),
        farthest[1:],
    ]
    shape = level.shift.shape
    alone = [
        level.shift,
        level.shift / np.sqrt(level.variance[:1] + _TINY),
        t(level, n0, n1),
        t(level, m0, m1),
        median[1:] - median[:1],
        (median[1:] - median[:1]) * root,
        bent.shift,
        t(bent, m0, m1),
        score.shift,
        t(score, n0, n1),
        t(score, m0, m1),
        log_ratio,
        log_ratio / np.sqrt(heavy + _TINY),
        score_ratio,
        score_ratio * root / np.sqrt(2),
        np.log((spread[1:] + 0.05) / (spread[:1] + 0.05)),
        distance,
        distance * root,
        (share1 - share0) / share_error,
        np.broadcast_to(share0, shape),
        share1,
        np.broadcast_to(memory[:1], shape),
        memory[1:],
        np.broadcast_to(np.log(n0) - 5, shape),
        np.broadcast_to(np.log(n1) - 5, shape),
        np.log(root) - 2,
    ]
    among = []
    for statistic in compared:
        compressed = np.arcsinh(statistic)
        among += [
            compressed - compressed.max(1, keepdims=True),
            compressed - np.median(compressed, axis=1, keepdims=True),
            _standing(statistic),
        ]
    return np.stack([*(np.arcsinh(x) for x in alone), *among], axis=-1).astype(np.float32)


class _Moments:
    """Variances (D, N) of values (T, N) and shifts (R, N) of their means."""

    def __init__(self, values: np.ndarray, forms: Forms) -> None:
        self._forms = forms
        rows = forms.rows[:, None]
        mean = np.add.reduceat(values, forms.starts, axis=0) / rows
        self._centred = values - np.repeat(mean, forms.rows, axis=0)
        squared = self._centred**2
        squares = np.add.reduceat(squared, forms.starts, axis=0)
        # Moderated by the pooled variance with the weight of two rows: with three rows a variance
        # of its own says little.
        within = squares.sum(0) / max(len(values) - len(rows), 1)
        self.variance = (squares + 2 * within) / np.maximum(rows + 1, 1)
        self._squared, self._squares = squared, squares
        self.shift = mean[1:] - mean[:1]

    def log_ratio(self) -> np.ndarray:
        """(R, N) log of the standard deviation after over before."""
        return 0.5 * np.log((self.variance[1:] + 1e-4) / (self.variance[:1] + 1e-4))

    def kurtosis(self) -> np.ndarray:
        """(D, N) fourth moment over squared variance, in [1.5, 30]."""
        rows = self._forms.rows[:, None]
        fourth = np.add.reduceat(self._squared**2, self._forms.starts, axis=0) / rows
        return np.clip(fourth / (self._squares / rows + _TINY) ** 2, 1.5, 30)

    def autocorrelation(self) -> np.ndarray:
        """(D, N) lag-1 autocorrelation within data sets in [0, 0.98]. The one of the observational
        data is its own, shrunk by 8 rows; few rows of a regime are believed to be as those."""
        forms = self._forms
        products = self._centred[1:] * self._centred[:-1]
        products[forms.starts[1:] - 1] = 0  # across the border of two data sets
        products = np.concatenate([products, np.zeros((1, products.shape[1]))])
        lagged = np.add.reduceat(products, forms.starts, axis=0)
        squares, rows = self._squares, forms.rows[:, None]
        # The estimate is too low by about (1 + 4 a) / n.
        raw = lagged / (squares + _TINY)
        raw = raw + (1 + 4 * np.clip(raw, 0, 1)) / rows
        noise = 2 / np.sqrt(rows)
        before = np.where(raw[:1] > noise[:1], raw[:1], 0.0) * rows[:1] / (rows[:1] + 8)
        after = (np.where(raw > noise, raw, 0.0) * rows + 30 * before) / (rows + 30)
        return np.clip(np.concatenate([before, after[1:]]), 0, 0.98)


def _order_statistics(forms: Forms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(D, N) median and interquartile range of the level, and the farther of its 5 % and 95 %
    quantiles."""
    low, quarter, middle, three, high = np.stack(
        [np.quantile(x, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0) for x in forms.split(forms.level)],
        axis=1,
    )
    return middle, three - quarter, np.maximum(np.abs(low), np.abs(high))


def _largest_distance(forms: Forms) -> np.ndarray:
    """(R, N) the Kolmogorov-Smirnov distance between the scores of each regime and the normal
    distribution that observational scores have."""
    found = []
    for x in forms.split(forms.score)[1:]:
        u = ndtr(np.sort(x, axis=0))
        steps = np.arange(len(u) + 1)[:, None] / len(u)
        found.append(np.maximum((steps[1:] - u).max(0), (u - steps[:-1]).max(0)))
    return np.stack(found)


def _standing(statistic: np.ndarray) -> np.ndarray:
    """(R, N) in [-1, 1]: 1 for the largest of a regime's N variables, ties in the middle."""
    n = statistic.shape[1]
    # Statistics that agree to nine digits are tied: what is left is rounding.
    rounded = np.round(np.log(statistic + _TINY), 8)
    return 2 * (rankdata(rounded, axis=1) - 1) / max(n - 1, 1) - 1
