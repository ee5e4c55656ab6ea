"""Did a variable's regression on all the others change? A Chow test and a variance-ratio test for
each variable.

For variable i, each data set d (observational 0, perturbed r) has a regression of x_i on the other
N - 1 variables with an intercept, with residual sum of squares RSS_d and n_d - N degrees of
freedom, and so have the two together (RSS_p):

    coefficients   F_c = ((RSS_p - RSS_0 - RSS_r) / N) / ((RSS_0 + RSS_r) / (n_0 + n_r - 2 N)),
                   upper tail
    noise          F_v = (RSS_0 / (n_0 - N)) / (RSS_r / (n_r - N)), two-sided

(the first is Chow 1960, Econometrica 28:591). Under the null of one Gaussian regression the two are
independent, since RSS_0 / RSS_r is independent of RSS_0 + RSS_r and of F_c's numerator, so Fisher's
combination is exact: with s = -log p_c - log p_v,

    score = -log p = s - log(1 + s)      (the upper tail of chi-square with 4 degrees of freedom at
    2 s).

All variables at once: RSS_d(i) = 1 / (W_d^{-1})_ii with W_d the centred scatter matrix, so a regime
costs three eigendecompositions and not 3 N regressions. Logarithms of tail probabilities never
underflow.

What it cannot do: regressing on *all* others means on the Markov blanket. After an intervention on
i the regressions of i's parents change as well, so it finds a neighbourhood, of which the target is
usually the most changed. This is our own simple classical baseline for the idea of invariant
regressions (Peters et al. 2016, JRSS B 78:947); it has no
parameters and no reference code. Licence: MIT, with this package.

Needs more than N + 2 rows in each data set. Collinear variables: an eigenvalue of a scatter matrix
(variables in units of the pooled standard deviation) below 1e-10 a row counts as 1e-10 a row, what
float32 cannot tell from zero. Copies of a column, which predict each other perfectly before and
after, are scored as one (`copies.py`). A variable that became constant scores high.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.method import MethodInfo
from cdnbench.methods.copies import solve_without_copies
from cdnbench.methods.statistics.tails import log_f_sf, log_f_two_sided
from cdnbench.task import Task

_SMALLEST_EIGENVALUE = 1e-10


def _timeout_s(sizes) -> float:
    n = sizes.n_variables
    return 60.0 + sizes.n_regimes * (0.1 + 1e-7 * n**3)


@dataclass(frozen=True)
class RegressionInvariance:
    """Chow and variance-ratio tests of each variable's regression on all others."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="regression-invariance",
        summary="Tests whether each variable's regression on all others changed, in coefficients "
        "or noise",
        citation="Chow 1960, Tests of equality between sets of coefficients in two linear "
        "regressions, Econometrica 28",
        version="2",
        licence="MIT",
        preload=("scipy.special",),
        timeout_s=_timeout_s,
        min_samples=4,
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores >= 0: -log p.

        Raises
        ------
        CannotRun: a data set with N + 2 rows or fewer.
        """
        if task.n_samples <= task.n_variables + 2:
            raise CannotRun(
                f"{task.n_samples} rows in the smallest data set; regressing on "
                f"{task.n_variables - 1} variables needs "
                f"more than {task.n_variables + 2}"
            )
        return solve_without_copies(task, lambda part: {"": _solve(part)})[""]


def _solve(task: Task) -> np.ndarray:
    before = _scatter(task.observational)
    return np.stack([_minus_log_p(before, _scatter(x)) for x in task.regimes])


def _scatter(samples: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Rows n, means (N,) and centred scatter matrix (N, N) of an (n, N) array."""
    x = np.array(samples, dtype=np.float64)
    mean = x.mean(axis=0)
    x -= mean
    return len(x), mean, x.T @ x


def _minus_log_p(
    before: tuple[int, np.ndarray, np.ndarray], after: tuple[int, np.ndarray, np.ndarray]
) -> np.ndarray:
    """(N,) combined -log p of the change between two data sets given by their scatter."""
    (n0, mean0, scatter0), (n1, mean1, scatter1) = before, after
    shift = mean1 - mean0
    pooled = scatter0 + scatter1 + np.outer(shift, shift) * (n0 * n1 / (n0 + n1))
    scale = np.sqrt(np.diag(pooled) / (n0 + n1))
    scale = np.where(scale > 0, scale, 1.0)
    rows = np.array([n0, n1, n0 + n1])
    rss0, rss1, rss = _residual_sums(
        np.stack([scatter0, scatter1, pooled]) / np.outer(scale, scale), rows
    )
    n = len(shift)
    coefficients = np.maximum(rss - rss0 - rss1, 0) / n / ((rss0 + rss1) / (n0 + n1 - 2 * n))
    noise = (rss0 / (n0 - n)) / (rss1 / (n1 - n))
    s = -log_f_sf(coefficients, n, n0 + n1 - 2 * n) - log_f_two_sided(noise, n0 - n, n1 - n)
    return s - np.log1p(s)


def _residual_sums(scatter: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(D, N) residual sums of squares of each variable on all others, from D data sets' (D, N, N)
    scatter matrices."""
    eigenvalues, eigenvectors = np.linalg.eigh(scatter)
    eigenvalues = np.maximum(eigenvalues, _SMALLEST_EIGENVALUE * rows[:, None])
    return 1 / np.einsum("dik,dk->di", eigenvectors**2, 1 / eigenvalues)
