"""How far each variable's own mean fell: `target-shift` for interventions that lower their target,
such as knock-downs.

The score is -z_m of `target-shift`: minus the shift of the winsorised mean in standard errors.
Parameters as there.

Our own; there is no reference code. Licence: MIT, with this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.method import MethodInfo, Trial
from cdnbench.methods.target_shift import shifts
from cdnbench.ranges import BELOW_A_HALF
from cdnbench.task import Task


@dataclass(frozen=True)
class TargetShiftDown:
    """Standardised fall of each variable's own mean."""

    winsorised: float = 0.005

    info: ClassVar[MethodInfo] = MethodInfo(
        name="target-shift-down",
        summary="Robust z-scores of how far each gene's own mean fell, for knock-downs",
        version="3",
        licence="MIT",
        preload=("scipy.special",),
        needs_symbols=True,
        timeout_s=lambda sizes: 60.0 + 0.01 * sizes.n_variables * sizes.n_regimes,
        baseline=True,
        trial=Trial(finds_target=False),
        takes={"winsorised": BELOW_A_HALF},
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) in standard errors, positive where the mean fell."""
        return -shifts(task.observational, task.regimes, self.winsorised).z_mean
