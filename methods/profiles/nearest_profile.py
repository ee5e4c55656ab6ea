"""The targets of the training perturbations whose shifts look most like this one.

A gene scores the largest correlation between the observed shift and that of a training perturbation
that targeted it, over all genes that either task has (0 where one lacks it). Genes that no training
perturbation targeted have no score.

Our own; there is no reference code. Licence: MIT, with this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.method import MethodInfo
from cdnbench.methods.profiles.profiles import Profiles, embed, places
from cdnbench.methods.trained import Trained
from cdnbench.task import Task
from cdnbench.truth import LabelledTask


@dataclass(frozen=True, eq=False)
class NearestProfile(Trained):
    """Retrieval of the most similar training perturbation."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="nearest-profile",
        summary="Targets of the training perturbations whose shifts correlate best with the "
        "observed one",
        licence="MIT",
        supervised="required",
        needs_symbols=True,
        min_samples=1,
        baseline=True,
        depends_on_units=True,
    )

    def fit(self, tasks: Sequence[LabelledTask], *, seed: int = 0) -> dict[str, np.ndarray]:
        """Shifts and targets of all training perturbations."""
        return Profiles.of(tasks).arrays()

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) correlations, NaN for genes that were never targeted.

        Raises
        ------
        CannotRun: not fitted, or no gene of the task was ever targeted.
        """
        genes, targets = self.model["genes"], self.model["targets"]
        similarity = (
            _standardised(embed(task, genes)) @ _standardised(self.model["shifts"]).T
        )  # (R, P)
        at, there = places(genes, task.symbols or ())
        scores = np.full((task.n_regimes, task.n_variables), np.nan)
        for i in np.flatnonzero(there):
            perturbed = targets[:, at[i]]
            if perturbed.any():
                scores[:, i] = similarity[:, perturbed].max(axis=1)
        if np.isnan(scores).all():
            raise CannotRun("no gene of the task was a target in training")
        return scores


def _standardised(vectors: np.ndarray) -> np.ndarray:
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
