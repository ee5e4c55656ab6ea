"""A screen of a user's own as a suite: the runner's limits, clocks and store then apply to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from cdnbench.digest import digest
from cdnbench.loaded import LoadedMethod
from cdnbench.prediction.screening import Block, Screen
from cdnbench.suite import Suite, SuiteInfo, TaskSpec
from cdnbench.truth import LabelledTask


class Part(NamedTuple):
    """Comparison number i of a block, with at most so many candidates."""

    i: int
    most: int


class ScreenSuite(Suite):
    """The comparisons of one block. It is made in memory, so that no other process can make it."""

    info: ClassVar[SuiteInfo] = SuiteInfo(
        name="predict", summary="perturbations of a file of one's own, with unknown targets"
    )

    def __init__(self, screen: Screen, block: Block, most: int) -> None:
        """most: how many candidates there are at most."""
        super().__init__()
        self._screen, self._block, self._most = screen, block, most

    def specs(self) -> Sequence[TaskSpec]:
        return [self._spec(i, self._most) for i in range(len(self._block.comparisons))]

    def specs_for(self, method: LoadedMethod) -> list[TaskSpec]:
        """The same tasks with as many candidates as the method takes."""
        most = min(self._most, method.info.max_variables or self._most)
        return [self._spec(i, most) for i in range(len(self._block.comparisons))]

    def load(self, spec: TaskSpec) -> LabelledTask:
        """The task, whose targets nobody knows."""
        part: Part = spec.recipe
        candidates = self._block.effects[part.i].candidates(part.most)
        task = self._block.task(part.i, candidates)
        none = np.zeros((1, task.n_variables), bool)
        return LabelledTask(task=task, targets=none, n_unmeasured=[1])

    def _spec(self, i: int, most: int) -> TaskSpec:
        comparison = self._block.comparisons[i]
        most = min(most, len(self._screen.variables))
        identity = digest("predict", self._screen.identity, comparison.group, most)
        return TaskSpec(
            name=comparison.name,
            hash=digest(identity, comparison.perturbation),
            n_variables=most,
            n_regimes=1,
            n_samples=min(comparison.n_control, comparison.n_perturbed),
            has_symbols=self._screen.has_symbols,
            recipe=Part(i, most),
        )
