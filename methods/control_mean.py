"""Genes by their expression in control cells: a prior, without a look at the perturbed cells.

Screens perturb genes that are expressed, and what is expressed is measured better. What a method
gains over this it has learnt from the perturbed cells.

Our own; there is no reference code. Licence: MIT, with this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.method import MethodInfo, Trial
from cdnbench.task import Task


@dataclass(frozen=True)
class ControlMean:
    """Mean expression in control cells."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="control-mean",
        summary="Mean expression in control cells: a prior blind to the perturbed ones",
        licence="MIT",
        needs_symbols=True,
        min_samples=1,
        baseline=True,
        depends_on_units=True,
        trial=Trial(finds_target=False),
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) the same means for each regime."""
        return np.tile(task.observational.mean(axis=0, dtype=np.float64), (task.n_regimes, 1))
