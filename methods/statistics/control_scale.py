"""Where the control rows lie and how far they spread: the units in which a shift is measured.

Every function takes the control rows `before` (M0, N) and a regime's rows `after` (M, N) and gives
float64 arrays (N,). A column that is constant in the control rows has no spread of its own there;
the spread of the pooled rows stands for it, so that a variable that starts to move is seen. A
column that is constant throughout has the spread NaN: nothing can be said of it.
"""

from __future__ import annotations

import numpy as np

from cdnbench.errors import CannotRun

_GAUSSIAN_IQR = 1.3489795003921634  # interquartile range of a standard Gaussian


def mean_and_deviation(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n - 1) of the control rows, each (N,).

    Raises
    ------
    CannotRun: fewer than two control rows.
    """
    _need_two(before)
    control = np.asarray(before, dtype=np.float64)
    return control.mean(axis=0), _spread(before, after, control.std(axis=0, ddof=1))


def median_and_range(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and interquartile range of the control rows, each (N,).

    Where the quartiles are equal although the column varies (most counts of a rare event are zero),
    1.349 standard deviations stand for the range, which is what a Gaussian has. Raises as
    `mean_and_deviation`.
    """
    _need_two(before)
    control = np.asarray(before, dtype=np.float64)
    lower, median, upper = np.quantile(control, (0.25, 0.5, 0.75), axis=0)
    deviation = _spread(before, after, control.std(axis=0, ddof=1))
    return median, np.where(upper > lower, upper - lower, _GAUSSIAN_IQR * deviation)


def _spread(before: np.ndarray, after: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """`deviation` (N,) of the control rows, with that of the pooled rows where these are
    constant."""
    constant = np.flatnonzero(np.ptp(before, axis=0) == 0)
    deviation = deviation.copy()
    pooled = np.concatenate([before[:, constant], after[:, constant]])
    still = np.ptp(pooled, axis=0) == 0
    deviation[constant] = np.where(still, np.nan, pooled.astype(np.float64).std(axis=0, ddof=1))
    return deviation


def _need_two(before: np.ndarray) -> None:
    if len(before) < 2:
        raise CannotRun(f"{len(before)} observational row; a spread needs at least 2")


def require_a_score(scores: np.ndarray) -> np.ndarray:
    """The scores, unless nothing can be said of any variable of any regime.

    Raises
    ------
    CannotRun: every score is NaN.
    """
    if np.isnan(scores).all():
        raise CannotRun("every variable is constant before and after")
    return scores
