"""How far each variable's mean moved, in standard deviations of the control rows.

    score = |mean after - mean before| / (standard deviation before)

This is Glass's delta (Glass 1976, Educational Researcher 5:3), without a sign. Unlike the z-scores
of `target-shift` it takes no notice of the number of rows. Where rows depend on each other (time
series, cells of one batch) a standard error claims a precision that is not there, and an effect
size does not; where rows are independent, `target-shift` knows more.

It has no parameters. Our own; there is no reference code. Licence: MIT, with this package.
Degenerate data: a variable that is constant before and moves is measured in standard deviations of
the rows before and after together, and one that is constant throughout gets NaN. One row per regime
is enough; the control needs two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.method import MethodInfo
from cdnbench.methods.statistics.columns import column_blocks
from cdnbench.methods.statistics.control_scale import mean_and_deviation, require_a_score
from cdnbench.task import Task


@dataclass(frozen=True)
class EffectSize:
    """Absolute shift of each variable's mean in control standard deviations."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="effect-size",
        summary="Absolute shift of each variable's mean in standard deviations of the control rows",
        citation="Glass 1976, Primary, secondary, and meta-analysis of research, Educational "
        "Researcher 5",
        licence="MIT",
        timeout_s=lambda sizes: 60.0 + 0.01 * sizes.n_variables * sizes.n_regimes,
        min_samples=1,
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores >= 0, in control standard deviations; NaN for constant variables.

        Raises
        ------
        CannotRun: fewer than two control rows, or nothing varies.
        """
        scores = np.empty((task.n_regimes, task.n_variables))
        for r, after in enumerate(task.regimes):
            rows = len(task.observational) + len(after)
            for block in column_blocks(rows, task.n_variables):
                mean, deviation = mean_and_deviation(task.observational[:, block], after[:, block])
                moved = np.mean(after[:, block], axis=0, dtype=np.float64) - mean
                scores[r, block] = np.abs(moved) / deviation
        return require_a_score(scores)
