"""How far each variable's own mean and variance moved: the baseline that every method has to beat.

It looks at one variable at a time, so a descendant of a target that moved as far as the target
counts as much.

For each variable and data set: winsorised mean m, winsorised log-variance v and their standard
errors, estimated from the data without assuming a distribution:

    se(m)^2 = s^2 / (n (1 - 2 g)^2)              Tukey and McLaughlin 1963, Sankhya A 25:331
    se(v)^2 = (k - 1 + 2 / (n - 1)) / n          from Var(s^2) = sigma^4 (k - 1 + 2 / (n - 1)) / n,
    Cramer 1946, 27.4

with n rows, s^2 the winsorised variance, k the winsorised kurtosis (3 for a Gaussian) and g the
share clipped at either end. With the two shifts divided by their standard errors, z_m and z_v,

    score = sqrt(z_m^2 + z_v^2),

a Wald statistic that takes the two as independent, as they are for symmetric noise.

A variable that is constant on one side, at a value that it has on the other side too, may be one
that varies rarely: a gene that few cells express, and none of the few cells in a regime. There it
has no log-variance and seems to have no error; the other side's law then stands for both. With n0
rows on the constant side, n on the other,

    se(m0)^2 = se(m)^2 n / n0,    z_v = +-1 / (se(v) sqrt(1 + n / n0)), which compares the variances
    as they are, 0 with s^2.

With fewer than 30 rows on either side these errors are too rough, and what they underestimate comes
first. There z_m and z_v come from `small_samples`: the variance of the difference of means is
moderated across variables, as limma does (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3:3). The prior
supposes that variables have common units, and all that is gained rests on it: with three rows per
side, a target shifted by 4 standard deviations is first among 1,000 variables in .45 of the tasks,
and in .16 by Student's t, which for Gaussian rows is the order of every score that ignores units.
Where units differ the prior has little weight (.13 against .15), but scores from few rows change a
little with them. From 30 rows on units mean nothing.

Parameters: `winsorised`, the share of rows clipped at either end to the nearest kept value (0.005:
of 970 rows the 4 outermost at either end, so that a few broken cells or gates do not decide). Where
that is less than one row, of 5 to 199, the outermost value per end is clipped to the next one only
if it lies more than 10 interquartile ranges outside the quartiles (ranges of the other rows, where
the quartiles are equal): clipping each would take too much from the variance of few rows. 0 clips
nothing.

Our own; there is no reference code. Licence: MIT, with this package.
Degenerate data: a variance below float32's resolution of the values counts as constant; a variable
that became constant gets a large finite score, and one that is constant throughout gets 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from cdnbench.method import MethodInfo
from cdnbench.methods.statistics.columns import column_blocks
from cdnbench.methods.statistics.small_samples import Side, few_row_shift
from cdnbench.ranges import BELOW_A_HALF
from cdnbench.task import Task

_RESOLUTION = (
    float(np.finfo(np.float32).eps) ** 2
)  # relative variance that float32 values cannot resolve
_TINY = float(np.finfo(float).tiny)
_FEW_ROWS = 30  # on either side: from here on a variable's own rows tell its variance
_FENCE_FROM = 5  # rows: of fewer, none can be told to be broken
_FENCE = 10.0  # interquartile ranges outside the quartiles


class Moments(NamedTuple):
    """Moments of the winsorised values of one data set, each (N,).

    Errors are squared standard errors.
    """

    mean: np.ndarray
    mean_error: np.ndarray
    variance: np.ndarray
    log_variance_error: np.ndarray


@dataclass(frozen=True)
class TargetShift:
    """Standardised shift of each variable's own mean and log-variance."""

    winsorised: float = 0.005

    info: ClassVar[MethodInfo] = MethodInfo(
        name="target-shift",
        summary="Robust z-scores of each variable's own shift in mean and log-variance",
        version="3",
        licence="MIT",
        preload=("scipy.special",),
        timeout_s=lambda sizes: 60.0 + 0.01 * sizes.n_variables * sizes.n_regimes,
        baseline=True,
        takes={"winsorised": BELOW_A_HALF},
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores >= 0, in standard errors."""
        found = shifts(task.observational, task.regimes, self.winsorised)
        return np.hypot(found.z_mean, found.z_variance)


class Shifts(NamedTuple):
    """How mean and variance moved.

    z_mean, z_variance (R, N): in standard errors.
    mean_error (R, N): squared standard error of the difference of means.
    before, after: moments, (N,) and (R, N).
    """

    z_mean: np.ndarray
    z_variance: np.ndarray
    mean_error: np.ndarray
    before: Moments
    after: Moments


def shifts(observational: np.ndarray, regimes: Sequence[np.ndarray], winsorised: float) -> Shifts:
    """Compare regimes (M, N) with the observational samples (M0, N)."""
    before = winsorised_moments(observational, winsorised)
    after = Moments(*np.stack([winsorised_moments(x, winsorised) for x in regimes], axis=1))
    # Nothing is known below float32's resolution of the values: not a variance, and not a
    # difference of means.
    floor = (
        _RESOLUTION * (after.mean**2 + before.mean**2 + after.variance + before.variance)
        + np.finfo(float).tiny
    )
    stopped, began = _not_drawn(observational, regimes, before, after, floor)
    growth = np.array([[len(x)] for x in regimes]) / len(observational)
    error_before = np.where(began, after.mean_error * growth, before.mean_error)
    error_after = np.where(stopped, before.mean_error / growth, after.mean_error)
    mean_error = error_before + error_after + floor
    log_ratio = np.log(np.maximum(after.variance, floor) / np.maximum(before.variance, floor))
    rows0, rows = len(observational), np.array([len(x) for x in regimes])
    z_variance = log_ratio / np.sqrt(before.log_variance_error + after.log_variance_error)
    fell = -1 / np.sqrt(np.maximum(before.log_variance_error, _TINY) * (1 + 1 / growth))
    rose = 1 / np.sqrt(np.maximum(after.log_variance_error, _TINY) * (1 + growth))
    z_variance = np.where(stopped, fell, np.where(began, rose, z_variance))
    z_mean = (after.mean - before.mean) / np.sqrt(mean_error)
    for r in np.flatnonzero(np.minimum(rows, rows0) < _FEW_ROWS):
        if rows0 + rows[r] < 3:
            continue
        few = few_row_shift(
            Side(before.mean, before.variance * (rows0 - 1), rows0),
            Side(after.mean[r], after.variance[r] * (rows[r] - 1), int(rows[r])),
            floor[r],
        )
        z_mean[r], mean_error[r] = few.z_mean, few.mean_error
        z_variance[r] = np.where(stopped[r] | began[r], z_variance[r], few.z_variance)
    return Shifts(z_mean, z_variance, mean_error, before, after)


def _not_drawn(
    observational: np.ndarray,
    regimes: Sequence[np.ndarray],
    before: Moments,
    after: Moments,
    floor: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Two (R, N) masks: constant after, and constant before.

    Both only at a value that the other side, which varies, has too.
    """
    still, stopped = before.variance <= floor, after.variance <= floor
    fell, rose = stopped & ~still, still & ~stopped
    for r, samples in enumerate(regimes):
        for one_side, other, constant in (
            (fell, observational, after.mean[r]),
            (rose, samples, before.mean),
        ):
            columns = np.flatnonzero(one_side[r])
            one_side[r, columns] = (
                np.abs(other[:, columns] - constant[columns]) <= np.sqrt(floor[r, columns])
            ).any(axis=0)
    return fell, rose


def _without_broken_rows(x: np.ndarray) -> np.ndarray:
    """The (n, N) values with the outermost one per end and column replaced by the next, where it
    lies beyond the fence."""
    n = len(x)
    quarter, ends = n // 4, (0, 1, n - 2, n - 1)
    ordered = np.partition(x, sorted({*ends, quarter, n - 1 - quarter}), axis=0)
    lower, upper = ordered[quarter], ordered[n - 1 - quarter]
    lowest, next_lowest, next_highest, highest = (ordered[k] for k in ends)
    # Equal quartiles, as where most counts are zero: the other rows' range stands for theirs
    spread = np.where(upper > lower, upper - lower, next_highest - next_lowest)
    reach = np.where(spread > 0, _FENCE * spread, np.inf)
    return np.clip(
        x,
        np.where(lowest < lower - reach, next_lowest, lowest),
        np.where(highest > upper + reach, next_highest, highest),
    )


def winsorised_moments(samples: np.ndarray, share: float) -> Moments:
    """Moments of an (n, N) array, each column clipped to the range of all but its `share` n
    outermost rows per end; of all but a broken row per end where that is less than one."""
    n, n_variables = samples.shape
    clipped = int(share * n)
    moments = np.empty((4, n_variables))
    for block in column_blocks(n, n_variables):
        x = np.array(samples[:, block], dtype=np.float64)
        if clipped:
            ordered = np.partition(x, (clipped, n - 1 - clipped), axis=0)
            x = np.clip(x, ordered[clipped], ordered[n - 1 - clipped])
        elif share > 0 and n >= _FENCE_FROM:
            x = _without_broken_rows(x)
        mean = x.mean(axis=0)
        square = (x - mean) ** 2
        variance = square.sum(axis=0) / max(n - 1, 1)
        population = np.where(variance > 0, square.mean(axis=0), 1.0)
        kurtosis = np.where(variance > 0, np.mean((square / population) ** 2, axis=0), 3.0)
        moments[:, block] = (
            mean,
            variance / (n * (1 - 2 * clipped / n) ** 2),
            variance,
            (np.maximum(kurtosis - 1, 0) + 2 / max(n - 1, 1)) / n,
        )
    return Moments(*moments)
