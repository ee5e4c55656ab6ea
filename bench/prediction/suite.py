"""A screen of a user's own as a suite: the runner's limits, clocks and store then apply to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from cdnbench.digest import digest
from cdnbench.errors import CannotRun
from cdnbench.loaded import LoadedMethod
from cdnbench.prediction.methods import Selection, why_not
from cdnbench.prediction.screening import Block, Comparison, Screen
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
        return self._specs(self._most)

    def specs_for(self, method: LoadedMethod) -> list[TaskSpec]:
        """The same tasks with as many candidates as the method takes."""
        return self._specs(_most(method, self._most))

    def load(self, spec: TaskSpec) -> LabelledTask:
        """The task, whose targets nobody knows."""
        part: Part = spec.recipe
        candidates = self._block.effects[part.i].candidates(part.most)
        task = self._block.task(part.i, candidates)
        none = np.zeros((1, task.n_variables), bool)
        return LabelledTask(task=task, targets=none, n_unmeasured=[1])

    def _specs(self, most: int) -> list[TaskSpec]:
        comparisons = enumerate(self._block.comparisons)
        return [_spec(self._screen, comparison, Part(i, most)) for i, comparison in comparisons]


def check_can_run(screen: Screen, selection: Selection, most: int) -> None:
    """Check that each method can run on some comparison that it is for, before anything is done.

    Raises
    ------
    CannotRun: one cannot; the message names another method.
    """
    for method in selection.methods:
        part = Part(0, _most(method, most))
        reasons = [
            method.info.why_skip(_spec(screen, comparison, part))
            for comparison, methods in zip(screen.comparisons, selection.of_each, strict=True)
            if any(method is other for other in methods)
        ]
        if all(reasons):
            raise CannotRun(why_not(method, str(reasons[0])))


def _most(method: LoadedMethod, most: int) -> int:
    return min(most, method.info.max_variables or most)


def _spec(screen: Screen, comparison: Comparison, part: Part) -> TaskSpec:
    most = min(part.most, len(screen.variables))
    identity = digest("predict", screen.identity, comparison.group, most)
    return TaskSpec(
        name=comparison.name,
        hash=digest(identity, comparison.perturbation),
        n_variables=most,
        n_regimes=1,
        n_samples=min(comparison.n_control, comparison.n_perturbed),
        has_symbols=screen.has_symbols,
        recipe=Part(part.i, most),
    )
