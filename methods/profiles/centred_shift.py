"""How far each gene's mean moved beyond what it does in the average perturbation.

Screens share a response (stress, growth arrest) that moves the same genes whatever was perturbed.
With d the shift of a gene's winsorised mean, m the mean of its shifts over the training
perturbations that have it (0 if none has) and se the standard error of d (`target_shift`),

    score = |d - m| / se,

and 0 for a gene that is constant throughout.

Parameters: `winsorised` as in `target-shift`. Our own; there is no reference code. Licence: MIT,
with this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.method import MethodInfo
from cdnbench.methods.profiles.profiles import Profiles, places
from cdnbench.methods.target_shift import shifts
from cdnbench.methods.trained import Trained
from cdnbench.ranges import BELOW_A_HALF
from cdnbench.task import Task
from cdnbench.truth import LabelledTask


@dataclass(frozen=True, eq=False)
class CentredShift(Trained):
    """Shift of each gene's mean minus its mean shift in training."""

    winsorised: float = 0.005

    info: ClassVar[MethodInfo] = MethodInfo(
        name="centred-shift",
        summary="z-scores of each gene's shift in mean beyond its mean shift over the training "
        "perturbations",
        version="3",
        licence="MIT",
        preload=("scipy.special",),
        supervised="required",
        needs_symbols=True,
        baseline=True,
        takes={"winsorised": BELOW_A_HALF},
    )

    def fit(self, tasks: Sequence[LabelledTask], *, seed: int = 0) -> dict[str, np.ndarray]:
        """Mean shift of each gene over the training perturbations that have it."""
        profiles = Profiles.of(tasks)
        mean = profiles.shifts.sum(axis=0) / np.maximum(profiles.known.sum(axis=0), 1)
        return {"genes": profiles.genes, "mean": mean}

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores >= 0, in standard errors.

        Raises
        ------
        CannotRun: not fitted.
        """
        at, there = places(self.model["genes"], task.symbols or ())
        usual = np.where(there, self.model["mean"][at], 0.0)
        found = shifts(task.observational, task.regimes, self.winsorised)
        varies = found.before.mean_error + found.after.mean_error > 0
        return np.where(
            varies,
            np.abs(found.after.mean - found.before.mean - usual) / np.sqrt(found.mean_error),
            0.0,
        )
