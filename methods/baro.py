"""BARO's robust scorer: the farthest row of a regime from the control's median, in interquartile
ranges.

L. Pham, H. Ha, H. Zhang 2024, BARO: Robust root cause analysis for microservices via multivariate
Bayesian online change point detection, Proc. ACM Softw. Eng. 1 (FSE): its second step, the
nonparametric hypothesis test named RobustScorer. The first step, which finds when the failure
began, has nothing to do here, since a task says which rows are from before and after.

    score = max over the regime's rows x of |x - median| / (upper quartile - lower quartile),

median and quartiles of the control rows. A single row is enough to score high, so it suits short
incidents, and it is not for regimes of thousands of rows, whose largest value says little.

Parameters
    two_sided    True: distances in either direction; False: only values above the median count, as
                 in the authors' code, which suits latencies and error counts. The paper's formula
                 has no absolute value either; a fall is an intervention too, hence our default

Deviations from the reference
    - `two_sided`, as said. With False the scores are the reference's to rounding.
    - Equal quartiles: the reference divides by 1 there, so that units decide. Here 1.349 standard
      deviations stand for the range, those of the pooled rows where the control is constant, and a
      variable that is constant throughout gets NaN.
    - A variable that is constant on one side only has a score. The reference leaves it out, and so
      ranks nothing where there is a single row after.
    - No preprocessing that knows microservices.

Reference: https://github.com/phamquiluan/baro (MIT), `robust_scorer`, reimplemented. Licence of
this file: MIT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.method import MethodInfo, Trial
from cdnbench.methods.statistics.columns import column_blocks
from cdnbench.methods.statistics.control_scale import median_and_range, require_a_score
from cdnbench.task import Task


@dataclass(frozen=True)
class BARO:
    """Largest robust z-score of a regime's rows."""

    two_sided: bool = True

    info: ClassVar[MethodInfo] = MethodInfo(
        name="baro",
        summary="Largest distance of a row from the control's median, in interquartile ranges",
        citation="Pham, Ha, Zhang 2024, BARO: Robust root cause analysis for microservices via "
        "multivariate Bayesian online change point detection, Proc. ACM Softw. Eng. 1 (FSE)",
        licence="MIT",
        reference="https://github.com/phamquiluan/baro",
        preload=("numpy.ma",),  # by numpy.quantile
        timeout_s=lambda sizes: 60.0 + 0.02 * sizes.n_variables * sizes.n_regimes,
        min_samples=1,
        trial=Trial(finds_target=False),  # the farthest of 500 rows is a matter of chance
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores, in interquartile ranges of the control; NaN for constant variables.

        Raises
        ------
        CannotRun: fewer than two control rows, or nothing varies.
        """
        scores = np.empty((task.n_regimes, task.n_variables))
        for r, after in enumerate(task.regimes):
            rows = len(task.observational) + len(after)
            for block in column_blocks(rows, task.n_variables):
                median, spread = median_and_range(task.observational[:, block], after[:, block])
                distance = after[:, block] - median
                if self.two_sided:
                    distance = np.abs(distance)
                scores[r, block] = distance.max(axis=0) / spread
        return require_a_score(scores)
