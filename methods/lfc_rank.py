"""Genes by how much their mean count changed: |log2 fold change|, and how far it fell.

What biologists look at first. Values are log(1 + counts per ten thousand); with m the mean of a
gene's values,

    log2 fold change = log2((e^m' - 1 + pseudo) / (e^m - 1 + pseudo)),

as scanpy computes it but for `pseudo`, which is 1e-9 there, so that genes that nobody expresses
change most.

Readings (variants)
    size  |log2 fold change|
    down  minus the log2 fold change: for knock-downs, whose target falls

Parameters: `pseudo`, counts per ten thousand that are added to both means (.1: about one molecule
in ten cells).

Our own; there is no reference code. Licence: MIT, with this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.errors import InvalidParameter
from cdnbench.method import MethodInfo, Trial
from cdnbench.task import Task

_LARGEST = 50.0  # of a mean logarithm


@dataclass(frozen=True)
class LFCRank:
    """Genes by their log fold change."""

    pseudo: float = 0.1

    info: ClassVar[MethodInfo] = MethodInfo(
        name="lfc-rank",
        summary="Genes by the log fold change of their mean counts; `down`: by how far they fell",
        licence="MIT",
        variants=("size", "down"),
        needs_symbols=True,
        min_samples=1,
        baseline=True,
        depends_on_units=True,
        trial=Trial(finds_target=False),
    )

    def __post_init__(self) -> None:
        if self.pseudo <= 0:
            raise InvalidParameter(f"lfc-rank: pseudo is positive; got {self.pseudo}.")

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) |log2 fold change|."""
        return self.predict_outputs(task, seed=seed)["size"]

    def predict_outputs(self, task: Task, *, seed: int = 0) -> dict[str, np.ndarray]:
        """`size` and `down`, each (R, N)."""
        before = _mean_count(task.observational) + self.pseudo
        after = np.stack([_mean_count(x) for x in task.regimes]) + self.pseudo
        change = np.log2(after / before)
        return {"size": np.abs(change), "down": -change}


def _mean_count(cells: np.ndarray) -> np.ndarray:
    """(N,) e^m - 1, within what counts per ten thousand can be."""
    return np.expm1(np.clip(cells.mean(axis=0, dtype=np.float64), 0.0, _LARGEST))
