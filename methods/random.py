"""Uniform random scores: what guessing gets.

A trivial baseline without a paper. It has no parameters. The scores come from the task's own
stream, so the same task and seed give the same guess whatever its variables are called. Licence:
MIT, with this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.method import MethodInfo, Trial
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task


@dataclass(frozen=True)
class Random:
    """Independent uniform scores."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="random",
        summary="Uniform random scores: what guessing gets",
        licence="MIT",
        stochastic=True,
        timeout_s=lambda sizes: 60.0,
        min_samples=1,
        baseline=True,
        trial=Trial(finds_target=False),
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores in [0, 1)."""
        guess = task_generator(task, "random", seed).random((task.n_regimes, task.n_variables))
        return in_canonical_order(task, lambda ordered: {"": guess})[""]
