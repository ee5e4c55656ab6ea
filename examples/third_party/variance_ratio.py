"""A method in a package of its own: how much the variance of each variable changed.

Scores are |log(variance after / variance before)|. Scaling a column changes nothing.

Parameters: `floor` keeps constant columns finite (1e-12, in squared units of the data).

Licence: MIT.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench import MethodInfo, Task
from cdnbench.ranges import POSITIVE


@dataclass(frozen=True)
class VarianceRatio:
    """Absolute log ratio of variances."""

    floor: float = 1e-12

    info: ClassVar[MethodInfo] = MethodInfo(
        name="variance-ratio",
        summary="Absolute log ratio of each variable's variances after and before",
        licence="MIT",
        baseline=True,
        takes={"floor": POSITIVE},
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores >= 0. Higher means more likely a target."""
        before = np.log(task.observational.var(axis=0, dtype=np.float64) + self.floor)
        after = np.log([x.var(axis=0, dtype=np.float64) + self.floor for x in task.regimes])
        return np.abs(after - before)
