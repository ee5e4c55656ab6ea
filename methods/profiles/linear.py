"""Ridge regression from the shift of all genes to which of them was the target.

The LINEAR baseline of Wu et al. 2025, as far as its description goes: targets are predicted from
pseudobulk shifts, from training perturbations only. With X (P, V) the training shifts, each divided
by its norm, and Y (P, V) their targets,

    scores(x) = x X' (X X' + penalty I)^-1 Y,

which is ridge regression in its dual form, P being smaller than V. Genes that training never
targeted have no score.

Parameters: `penalty`, in units of a unit shift (.1).

Licence: MIT, with this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.errors import InvalidParameter
from cdnbench.method import MethodInfo
from cdnbench.methods.profiles.profiles import Profiles, embed, of_targeted, unit
from cdnbench.methods.trained import Trained
from cdnbench.task import Task
from cdnbench.truth import LabelledTask


@dataclass(frozen=True, eq=False)
class Linear(Trained):
    """Linear map from shifts to targets."""

    penalty: float = 0.1

    info: ClassVar[MethodInfo] = MethodInfo(
        name="linear",
        summary="Ridge regression from the shifts of all genes to the target, on training "
        "perturbations",
        citation="Wu et al. 2025, Predicting perturbation targets with causal differential "
        "networks (its baseline LINEAR)",
        licence="MIT",
        version="2",
        supervised="required",
        needs_symbols=True,
        min_samples=1,
        depends_on_units=True,
    )

    def __post_init__(self) -> None:
        if self.penalty <= 0:
            raise InvalidParameter(f"linear: penalty is positive; got {self.penalty}.")

    def fit(self, tasks: Sequence[LabelledTask], *, seed: int = 0) -> dict[str, np.ndarray]:
        """Weights (V, T) from shifts to the T genes that were targets."""
        profiles = Profiles.of(tasks)
        x = unit(profiles.shifts)
        targeted = np.flatnonzero(profiles.targets.any(axis=0))
        dual = np.linalg.solve(
            x @ x.T + self.penalty * np.eye(len(x)), profiles.targets[:, targeted].astype(float)
        )
        return {
            "genes": profiles.genes,
            "targeted": targeted,
            "weights": (x.T @ dual).astype(np.float32),
        }

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) predicted indicators, NaN for genes that were never targeted.

        Raises
        ------
        CannotRun: not fitted, or no gene of the task was ever targeted.
        """
        genes = self.model["genes"]
        predicted = unit(embed(task, genes)) @ self.model["weights"]
        return of_targeted(task, genes[self.model["targeted"]], predicted)
