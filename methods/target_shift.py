"""How far each variable's own mean and variance moved: the baseline that every method has to beat.

It looks at one variable at a time, so a descendant of a target that moved as far as the target counts as much.

For each variable and data set: winsorised mean m, winsorised log-variance v and their standard errors, estimated
from the data without assuming a distribution:

    se(m)^2 = s^2 / (n (1 - 2 g)^2)              Tukey and McLaughlin 1963, Sankhya A 25:331
    se(v)^2 = (k - 1 + 2 / (n - 1)) / n          from Var(s^2) = sigma^4 (k - 1 + 2 / (n - 1)) / n, Cramer 1946, 27.4

with n rows, s^2 the winsorised variance, k the winsorised kurtosis (3 for a Gaussian) and g the share clipped at
either end. With the two shifts divided by their standard errors, z_m and z_v,

    score = sqrt(z_m^2 + z_v^2),

a Wald statistic that takes the two as independent, as they are for symmetric noise.

Parameters: `winsorised`, the share of rows clipped at either end to the nearest kept value (0.005: of 970 rows the 4
outermost at either end, so that a few broken cells or gates do not decide).

Our own; there is no reference code. Licence: MIT, with this package.
Degenerate data: a variance below float32's resolution of the values counts as that resolution, so a variable that
became constant gets a large finite score, and one that is constant throughout gets 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from cdnbench.method import MethodInfo
from cdnbench.methods._columns import column_blocks
from cdnbench.task import Task

_RESOLUTION = float(np.finfo(np.float32).eps) ** 2  # relative variance that float32 values cannot resolve


class Moments(NamedTuple):
    """Of one data set, each (N,), of winsorised values. Errors are squared standard errors."""

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
        licence="MIT",
        timeout_s=lambda sizes: 60.0 + 0.01 * sizes.n_variables * sizes.n_regimes,
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores >= 0, in standard errors."""
        z_mean, before, after, floor = mean_shifts(task, self.winsorised)
        log_ratio = np.log(np.maximum(after.variance, floor) / np.maximum(before.variance, floor))
        z_variance = log_ratio / np.sqrt(before.log_variance_error + after.log_variance_error)
        return np.hypot(z_mean, z_variance)


def mean_shifts(task: Task, winsorised: float) -> tuple[np.ndarray, Moments, Moments, np.ndarray]:
    """z_m (R, N); moments before (N,) and after (R, N); the least variance that can be told from 0 (R, N)."""
    before = winsorised_moments(task.observational, winsorised)
    after = Moments(*np.stack([winsorised_moments(x, winsorised) for x in task.regimes], axis=1))
    # Nothing is known below float32's resolution of the values: not a variance, and not a difference of means.
    floor = _RESOLUTION * (after.mean**2 + before.mean**2 + after.variance + before.variance) + np.finfo(float).tiny
    z_mean = (after.mean - before.mean) / np.sqrt(before.mean_error + after.mean_error + floor)
    return z_mean, before, after, floor


def winsorised_moments(samples: np.ndarray, share: float) -> Moments:
    """Moments of an (n, N) array, each column clipped to the range of all but its `share` n outermost rows per end."""
    n, n_variables = samples.shape
    clipped = int(share * n)
    moments = np.empty((4, n_variables))
    for block in column_blocks(n, n_variables):
        x = np.array(samples[:, block], dtype=np.float64)
        if clipped:
            ordered = np.partition(x, (clipped, n - 1 - clipped), axis=0)
            x = np.clip(x, ordered[clipped], ordered[n - 1 - clipped])
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
