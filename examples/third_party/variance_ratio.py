"""A method in a package of its own: how much the variance of each variable changed."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench import MethodInfo, Task


@dataclass(frozen=True)
class VarianceRatio:
    """|log variance ratio| of each variable; `floor` keeps constant columns finite (in squared
    units of the data)."""

    floor: float = 1e-12
    info: ClassVar[MethodInfo] = MethodInfo(
        name="variance-ratio", summary="absolute log ratio of a variable's variances", licence="MIT"
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores, higher = more likely a target."""
        before = np.log(task.observational.var(axis=0, dtype=np.float64) + self.floor)
        after = np.log([x.var(axis=0, dtype=np.float64) + self.floor for x in task.regimes])
        return np.abs(after - before)
